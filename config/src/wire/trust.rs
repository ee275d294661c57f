//! Root certificates.

use super::{
    error::{At, FieldError},
    field::{Field, resource},
    v1,
};
use crate::model::TrustBundle;

resource!(TrustBundle => TrustBundle { trust_domain, roots });
