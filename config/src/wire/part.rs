//! Parts to resources and back: which message stands for which kind, levels, and the bound on a resource's size.

use super::{
    DecodeError, Version,
    error::FieldError,
    field::{Field, Level},
    v1,
};
use crate::kind::{Kind, Part, PartName};
use crate::parts;
use bytes::Bytes;
use prost::Message;
use std::{fmt, sync::Arc};

/// The level of this program: it understands resources up to it. A resource carries the least level that understands
/// the fields it uses, so that an older proxy refuses what it would half understand.
pub const LEVEL: u32 = 4;

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
        write!(f, "Encoded({} {} {}, {} bytes)", self.kind, self.name, self.version, self.bytes.len())
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

/// Bytes of a part and back, one arm for each row of the table of kinds.
macro_rules! conversions {
    ($(
        $(#[$doc:meta])*
        $kind:ident($module:ident::$model:ident as $message:ident $word:literal)
        $asked:ident $channel:ident $unread:ident $keep:ident $store:ident |$part:ident| $name:expr;
    )*) => {
        fn message_bytes(part: &Part) -> Vec<u8> {
            let mut level = Level::FIRST;
            match part {
                $(Part::$kind(value) => <_ as Field<v1::$message>>::put(value.as_ref(), &mut level).encode_to_vec(),)*
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

parts!(conversions);

/// Checked before anything else is looked at: the rest of a newer message may not mean what it seems to.
fn understood(kind: Kind, level: u32, word: &str) -> Result<(), DecodeError> {
    match level {
        0 => Err(DecodeError::Field { path: format!("{word}.level"), what: "is not set".into() }),
        1..=LEVEL => Ok(()),
        _ => Err(DecodeError::TooNew { kind, level }),
    }
}
