//! `google.protobuf.Any`, with a value that is a slice of the buffer it came in instead of a copy:
//! most of what discovery carries is such values. Same bytes on the wire as the stock type.

use bytes::Bytes;
use prost::{Message, Name};

/// A message of any type, encoded, with the name of its type.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
// A packed message may be a secret, so its bytes are not for logs.
#[prost(skip_debug)]
pub struct Packed {
    /// The type of `value`, `type.googleapis.com/<package>.<message>`.
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// The encoded message. Cloning shares the bytes.
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
}

/// Why a packed message could not be read as the type asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnpackError {
    /// It is a message of another type.
    #[error("expected a message of type {expected:?}, found {found:?}")]
    OtherType {
        /// The type URL asked for.
        expected: String,
        /// The type URL that came.
        found: String,
    },
    /// Its bytes are not an encoding of that type.
    #[error("the bytes are not a valid {type_url}: {source}")]
    Malformed {
        /// The type asked for.
        type_url: String,
        /// Where decoding failed.
        source: prost::DecodeError,
    },
}

impl Packed {
    /// Encodes a message together with its type.
    pub fn pack<M: Message + Name>(message: &M) -> Self {
        Self { type_url: M::type_url(), value: message.encode_to_vec().into() }
    }

    /// Decodes the message if it is an `M`. Its `bytes` fields share this value's buffer.
    ///
    /// # Errors
    /// When the type URL names another type, or the bytes do not decode.
    pub fn unpack<M: Message + Name + Default>(&self) -> Result<M, UnpackError> {
        let expected = M::type_url();
        if self.type_url != expected {
            return Err(UnpackError::OtherType { expected, found: self.type_url.clone() });
        }
        M::decode(self.value.clone()).map_err(|source| UnpackError::Malformed { type_url: expected, source })
    }
}

impl Name for Packed {
    const NAME: &'static str = "Any";
    const PACKAGE: &'static str = "google.protobuf";

    fn full_name() -> String {
        "google.protobuf.Any".into()
    }

    fn type_url() -> String {
        "type.googleapis.com/google.protobuf.Any".into()
    }
}

impl std::fmt::Debug for Packed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Packed({}, {} bytes)", self.type_url, self.value.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::proto::envoy::config::core::v3::{Locality, Node};
    use crate::wire::proto::envoy::service::discovery::v3::{DeltaDiscoveryResponse, Resource};

    fn locality() -> Locality {
        Locality { region: "eu-west".into(), zone: "a".into(), sub_zone: String::new() }
    }

    #[test]
    fn packed_message_comes_back_as_itself() {
        assert_eq!(Packed::pack(&locality()).unpack::<Locality>(), Ok(locality()));
    }

    #[test]
    fn is_the_stock_any_on_the_wire() {
        let stock = prost_types::Any::from_msg(&locality()).unwrap();
        assert_eq!(Packed::pack(&locality()).encode_to_vec(), stock.encode_to_vec());
    }

    #[test]
    fn another_type_is_refused_by_name() {
        let error = Packed::pack(&locality()).unpack::<Node>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "expected a message of type \"type.googleapis.com/envoy.config.core.v3.Node\", \
             found \"type.googleapis.com/envoy.config.core.v3.Locality\""
        );
    }

    #[test]
    fn truncated_value_is_malformed() {
        let mut packed = Packed::pack(&locality());
        packed.value.truncate(4);
        assert!(matches!(packed.unpack::<Locality>(), Err(UnpackError::Malformed { .. })));
    }

    #[test]
    fn received_value_shares_the_buffer_it_came_in() {
        let resource = Resource { resource: Some(Packed::pack(&locality())), ..Resource::default() };
        let response = DeltaDiscoveryResponse { resources: vec![resource], ..Default::default() };
        let buffer = Bytes::from(response.encode_to_vec());

        let received = DeltaDiscoveryResponse::decode(buffer.clone()).unwrap();

        let value = &received.resources[0].resource.as_ref().unwrap().value;
        assert!(buffer.as_ptr_range().contains(&value.as_ptr()), "the value was copied");
    }

    #[test]
    fn debug_does_not_show_the_value() {
        let shown = format!("{:?}", Packed::pack(&locality()));
        assert_eq!(shown, "Packed(type.googleapis.com/envoy.config.core.v3.Locality, 12 bytes)");
    }
}
