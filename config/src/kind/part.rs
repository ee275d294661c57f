//! One part of the mesh, of whichever kind, and its name.

use super::{Kind, ObjectKind};
use crate::model::*;
use crate::name::NamespacedName;
use crate::parts;
use std::{borrow::Borrow, fmt, sync::Arc};

/// The name of a part within its kind. Forms: services, index entries `namespace/host`; endpoints
/// `namespace/host/port/id`; objects `namespace/name`, with the kind of the object before it where parts come from
/// several (`VirtualService/shop/cart`); workloads and instances their uid; settings `mesh`; trust bundles the trust
/// domain.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartName(pub Arc<str>);

impl PartName {
    /// Of a part whose kind comes from several kinds of objects.
    pub fn of(object: ObjectKind, name: &NamespacedName) -> Self {
        PartName(of(object, name).to_string().into())
    }

    /// The text of the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PartName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for PartName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Stands between the name of an object and what a part is of it, where an object has several parts of one kind. No object's
/// name holds it.
pub const PIECE: char = '~';

/// The name of the object that a part of this name is of.
pub fn object_of(name: &NamespacedName) -> NamespacedName {
    let own = name.name.split(PIECE).next().unwrap_or_default();
    NamespacedName { namespace: name.namespace.clone(), name: own.into() }
}

/// The kind's label, then the object's own name.
fn of(object: ObjectKind, name: &NamespacedName) -> impl fmt::Display {
    format!("{}/{name}", object.label())
}

/// [`Part`], with what its kind says of it.
macro_rules! part {
    ($(
        $(#[$doc:meta])*
        $kind:ident($module:ident::$model:ident as $message:ident $word:literal)
        $asked:ident $channel:ident $unread:ident $keep:ident $store:ident |$part:ident| $name:expr;
    )*) => {
        /// One part of the mesh, shared.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Part {
            $($(#[$doc])* $kind(Arc<$module::$model>),)*
        }

        impl Part {
            /// Its kind.
            pub fn kind(&self) -> Kind {
                match self {
                    $(Part::$kind(_) => Kind::$kind,)*
                }
            }

            /// Whether it is of a kind that proxies follow by [`Asked::WhatHolds`](super::Asked), and holds for a workload.
            pub fn holds_for(&self, subject: &Subject<'_>) -> bool {
                match self {
                    $(Part::$kind($part) => holds!($asked $part subject),)*
                }
            }

            /// Its name within its kind.
            pub fn name(&self) -> PartName {
                match self {
                    $(Part::$kind($part) => PartName($name.to_string().into()),)*
                }
            }
        }
    };
}

macro_rules! holds {
    (WhatHolds $part:ident $subject:ident) => {
        $part.holds_for($subject)
    };
    ($asked:ident $part:ident $subject:ident) => {{
        let _ = $part;
        false
    }};
}

parts!(part);
