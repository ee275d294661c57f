//! Between the session and the protocol's messages. The bytes of a part are made once; of a message there is no more than the
//! piece that is being sent.

use super::session::{Answer, Request, Response, Upsert};
use bytes::{BufMut, Bytes, BytesMut};
use mesh_config::{
    model::Kind,
    wire::{
        Nonce, Version,
        proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse},
    },
};
use prost::{
    Message as _,
    encoding::{WireType, encode_key, encode_varint, encoded_len_varint},
};

/// What a message says; `None` when it is about a kind that this pilot does not know.
pub fn request(message: DeltaDiscoveryRequest) -> Option<Request> {
    let kind = Kind::from_type_url(&message.type_url)?;
    let nonce: Option<Nonce> = message.response_nonce.parse().ok();
    // A version that is none differs from every other, so the part is sent again.
    let version = |text: String| text.parse().unwrap_or(Version([0; 16]));
    Some(Request {
        kind,
        subscribe: message.resource_names_subscribe,
        unsubscribe: message.resource_names_unsubscribe,
        initial: message.initial_resource_versions.into_iter().map(|(name, text)| (name, version(text))).collect(),
        answer: nonce.map(|nonce| Answer { nonce, error: message.error_detail.map(|status| status.message) }),
    })
}

/// A piece of a message ends with the part that makes it this long, in bytes: with most parts it then fits one frame of HTTP/2, 16 KiB.
const PIECE: usize = 15 << 10;
/// In front of a message: that it is not compressed, and its length (gRPC over HTTP/2, length-prefixed messages).
const PREFIX: usize = 5;
/// Fields of a response and of a resource in it; see the definitions of these messages.
const RESOURCES: u32 = 2;
const VERSION: u32 = 1;
const RESOURCE: u32 = 2;
const NAME: u32 = 3;
const ALIAS: u32 = 4;
/// Fields of a packed message.
const TYPE: u32 = 1;
const VALUE: u32 = 2;

/// The message of a response, with its prefix, made a piece at a time.
#[derive(Debug)]
pub struct Pieces {
    /// What is made already.
    made: BytesMut,
    parts: std::vec::IntoIter<Upsert>,
}

impl Pieces {
    /// Nothing but its beginning is made yet.
    pub fn of(response: Response) -> Self {
        let frame = DeltaDiscoveryResponse {
            system_version_info: response.nonce.mesh.to_string(),
            type_url: response.kind.type_url().to_owned(),
            nonce: response.nonce.to_string(),
            removed_resources: response.removed.iter().map(ToString::to_string).collect(),
            resources: Vec::new(),
        };
        let parts: usize = response.upserts.iter().map(|upsert| field_len(resource_len(upsert))).sum();
        let length = frame.encoded_len() + parts;
        let mut made = BytesMut::with_capacity(PREFIX + length.min(PIECE));
        made.put_u8(0);
        made.put_u32(u32::try_from(length).expect("responses are bounded, and one part is far below 4 GiB"));
        frame.encode(&mut made).expect("the buffer grows");
        Pieces { made, parts: response.upserts.into_iter() }
    }
}

impl Iterator for Pieces {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let mut piece = std::mem::take(&mut self.made);
        while piece.len() < PIECE
            && let Some(upsert) = self.parts.next()
        {
            put_resource(&upsert, &mut piece);
        }
        (!piece.is_empty()).then(|| piece.freeze())
    }
}

fn packed_len(upsert: &Upsert) -> usize {
    let encoded = upsert.part.encoded();
    field_len(encoded.type_url.len()) + field_len(encoded.bytes.len())
}

fn resource_len(upsert: &Upsert) -> usize {
    let name = upsert.part.encoded().name.as_str().len();
    let aliases: usize = upsert.aliases.iter().map(|alias| field_len(alias.len())).sum();
    field_len(Version::TEXT) + field_len(packed_len(upsert)) + field_len(name) + aliases
}

fn put_resource(upsert: &Upsert, out: &mut BytesMut) {
    let encoded = upsert.part.encoded();
    begin(RESOURCES, resource_len(upsert), out);
    put(VERSION, encoded.version.to_string().as_bytes(), out);
    begin(RESOURCE, packed_len(upsert), out);
    put(TYPE, encoded.type_url.as_bytes(), out);
    put(VALUE, &encoded.bytes, out);
    put(NAME, encoded.name.as_str().as_bytes(), out);
    for alias in &upsert.aliases {
        put(ALIAS, alias.as_bytes(), out);
    }
}

/// Of a field of so many bytes: its number, which is below 16, its length and itself.
fn field_len(bytes: usize) -> usize {
    1 + encoded_len_varint(bytes as u64) + bytes
}

fn begin(field: u32, length: usize, out: &mut BytesMut) {
    encode_key(field, WireType::LengthDelimited, out);
    encode_varint(length as u64, out);
}

fn put(field: u32, bytes: &[u8], out: &mut BytesMut) {
    begin(field, bytes.len(), out);
    out.put_slice(bytes);
}

#[cfg(test)]
mod tests;
