//! Key pairs of gateways.

use super::{
    error::{At, FieldError},
    field::{Field, resource},
    v1,
};
use crate::model::Credential;
use std::fmt;

resource!(Credential => Credential { name, chain_pem, key_pem, ca_pem });

impl fmt::Debug for v1::Credential {
    /// Without its key; the generator is told not to derive it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("name", &self.name).finish_non_exhaustive()
    }
}
