//! What objects of every kind have in common.

use super::{
    error::{At, FieldError},
    field::{Field, Level, choice, message, required, wrapped},
    v1,
};
use crate::{
    kind::ObjectKind,
    model::{Labels, Precedence, Visibility},
    name::Namespace,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

impl Field<v1::Labels> for Labels {
    fn put(&self, level: &mut Level) -> v1::Labels {
        v1::Labels { pairs: self.0.put(level) }
    }

    fn take(wire: v1::Labels) -> Result<Self, FieldError> {
        Field::take(wire.pairs).map(|pairs: BTreeMap<_, _>| Labels(Arc::new(pairs)))
    }
}

/// By its label, which no two kinds share.
impl Field<String> for ObjectKind {
    fn put(&self, level: &mut Level) -> String {
        if *self == ObjectKind::Ingress {
            level.need(4);
        }
        self.label().to_owned()
    }

    fn take(wire: String) -> Result<Self, FieldError> {
        ObjectKind::from_label(&wire)
            .ok_or_else(|| FieldError::new(format_args!("{:.64?} is no kind of object known here", wire)))
    }
}

required!(Labels => Labels);
message!(Precedence => Precedence { created, position });
choice!(Visibility => Visibility in visibility { Everywhere, Namespaces(set) });
wrapped!(BTreeSet<Namespace> => visibility::Namespaces.names);
