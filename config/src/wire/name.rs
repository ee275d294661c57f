//! Names and identities: parsed again on arrival, so that a value of the type is right wherever it came from.

use super::{
    error::{At, FieldError},
    field::{Field, Level, message},
    v1,
};
use crate::{
    identity::{SpiffeId, TrustDomain},
    name::{Host, Namespace, NamespacedName, Port},
};
use std::sync::Arc;

/// Names that a message carries as text.
macro_rules! text {
    ($($ty:ty)*) => {$(
        impl Field<String> for $ty {
            fn put(&self, _: &mut Level) -> String {
                self.as_str().to_owned()
            }

            fn take(wire: String) -> Result<Self, FieldError> {
                wire.parse().map_err(FieldError::new)
            }
        }
    )*};
}

text!(Host TrustDomain);

impl Field<String> for Namespace {
    fn put(&self, _: &mut Level) -> String {
        self.as_str().to_owned()
    }

    fn take(wire: String) -> Result<Self, FieldError> {
        let text: Arc<str> = Field::take(wire)?;
        Ok((&*text).into())
    }
}

impl Field<u32> for Port {
    fn put(&self, _: &mut Level) -> u32 {
        self.get().into()
    }

    fn take(wire: u32) -> Result<Self, FieldError> {
        wire.try_into().map_err(FieldError::new)
    }
}

message!(NamespacedName => ObjectName { namespace, name });
message!(SpiffeId => Identity { trust_domain, namespace, service_account });
