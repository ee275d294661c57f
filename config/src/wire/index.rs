//! The index.

use super::{
    error::{At, FieldError},
    field::{Field, resource, word},
    v1,
};
use crate::model::index::{IndexEntry, IndexKind};

resource!(IndexEntry => IndexEntry { key, kind, addresses, ports, resolution, headless });
word!(IndexKind => IndexKind { Service, VirtualHost });
