//! Parts to resources and back: which message stands for which kind, levels, and the bound on a resource's size.

use super::{DecodeError, Version, error::FieldError, field::Field, v1};
use crate::model::{Kind, Part, PartName};
use bytes::Bytes;
use prost::Message;
use std::{fmt, sync::Arc};

/// The level of this program: it understands resources up to it. A resource carries the least level that understands
/// the fields it uses, so that an older proxy refuses what it would half understand.
pub const LEVEL: u32 = 1;

/// Largest encoded resource that is decoded.
pub const MAX_RESOURCE_BYTES: usize = 4 << 20;

/// A part ready to be sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Encoded {
    /// Its kind.
    pub kind: Kind,
    /// Its name within the kind.
    pub name: PartName,
    /// Hash of kind and bytes.
    pub version: Version,
    /// Type of the message in `bytes`.
    pub type_url: &'static str,
    /// The encoded message; equal parts have equal bytes. Cloning shares them.
    pub bytes: Bytes,
}

impl fmt::Debug for Encoded {
    /// Without the bytes, which may be a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Encoded({:?} {} {}, {} bytes)", self.kind, self.name, self.version, self.bytes.len())
    }
}

/// The wire form of a part.
pub fn encode(part: &Part) -> Encoded {
    let kind = part.kind();
    let bytes = Bytes::from(message_bytes(part));
    Encoded { kind, name: part.name(), version: Version::of(kind, &bytes), type_url: kind.type_url(), bytes }
}

/// The part that a resource from a peer stands for.
///
/// # Errors
/// When it is of another type, too large, no encoding, of a higher level, or a field of it cannot be.
pub fn decode(type_url: &str, bytes: Bytes) -> Result<Part, DecodeError> {
    let kind = Kind::from_type_url(type_url)
        .ok_or_else(|| DecodeError::UnknownType { type_url: type_url.chars().take(256).collect() })?;
    if bytes.len() > MAX_RESOURCE_BYTES {
        return Err(DecodeError::TooLarge { kind, bytes: bytes.len() });
    }
    part_of_message(kind, bytes)
}

/// The one table of kinds: kind, message, first word of a field's path in errors.
macro_rules! kinds {
    ($($kind:ident $message:ident $word:literal;)*) => {
        impl Kind {
            /// Type URL of the kind's resources.
            pub fn type_url(self) -> &'static str {
                match self {
                    $(Kind::$kind => concat!("type.googleapis.com/ferromesh.v1.", stringify!($message)),)*
                }
            }

            /// The kind whose resources have this type URL.
            pub fn from_type_url(type_url: &str) -> Option<Kind> {
                Kind::ALL.into_iter().find(|kind| kind.type_url() == type_url)
            }
        }

        fn message_bytes(part: &Part) -> Vec<u8> {
            match part {
                $(Part::$kind(value) => <_ as Field<v1::$message>>::put(value.as_ref()).encode_to_vec(),)*
            }
        }

        fn part_of_message(kind: Kind, bytes: Bytes) -> Result<Part, DecodeError> {
            let malformed = |source| DecodeError::Malformed { kind, source };
            match kind {
                $(Kind::$kind => {
                    let message = v1::$message::decode(bytes).map_err(malformed)?;
                    understood(kind, message.level, $word)?;
                    let value = Field::take(message).map_err(|e: FieldError| e.below($word))?;
                    Ok(Part::$kind(Arc::new(value)))
                })*
            }
        }
    };
}

kinds! {
    Settings Settings "settings";
    Trust TrustBundle "trust";
    Instance Instance "instance";
    Sidecar Sidecar "sidecar";
    PeerAuthentication PeerAuthentication "peer_authentication";
    Authorization Authorization "authorization";
    Secret Credential "secret";
    Index IndexEntry "index";
    Destination Destination "destination";
    Endpoint Endpoint "endpoint";
    Service Service "service";
    Workload Workload "workload";
    Gateway Gateway "gateway";
    Route Route "route";
}

/// Checked before anything else is looked at: the rest of a newer message may not mean what it seems to.
fn understood(kind: Kind, level: u32, word: &str) -> Result<(), DecodeError> {
    match level {
        0 => Err(DecodeError::Field { path: format!("{word}.level"), what: "is not set".into() }),
        1..=LEVEL => Ok(()),
        _ => Err(DecodeError::TooNew { kind, level }),
    }
}
