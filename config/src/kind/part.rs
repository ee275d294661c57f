//! One part of the mesh, of whichever kind, and its name.

use super::{Kind, parts};
use crate::model::*;
use std::{borrow::Borrow, fmt, sync::Arc};

/// The name of a part within its kind. Forms: services, index entries `namespace/host`; endpoints
/// `namespace/host/port/id`; objects `namespace/name`; workloads and instances their uid; settings `mesh`;
/// trust bundles the trust domain.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartName(pub Arc<str>);

impl PartName {
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

/// [`Part`], with what its kind says of it.
macro_rules! part {
    ($(
        $(#[$doc:meta])*
        $kind:ident($module:ident::$model:ident as $message:ident $word:literal)
        $asked:ident $channel:ident $unread:ident |$part:ident| $name:expr;
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

            /// Its name within its kind.
            pub fn name(&self) -> PartName {
                match self {
                    $(Part::$kind($part) => PartName($name.to_string().into()),)*
                }
            }
        }
    };
}

parts!(part);
