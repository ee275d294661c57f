//! What two proxies tell each other about their workloads before the first byte of a TCP connection, when both agreed
//! on ALPN `istio-peer-exchange`.
//!
//! Each side sends: magic, length of what follows (both 32 bits, big-endian), and a `google.protobuf.Any` of a Struct
//! with the keys `x-envoy-peer-metadata` (a Struct) and `x-envoy-peer-metadata-id` (a text). A peer that sends
//! something else is passed through, and stays unknown.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use mesh_config::{model::workload::WorkloadInfo, wire::Packed};
use prost::Message;
use prost_types::{Struct, Value, value::Kind};
use std::sync::Arc;

/// First four bytes of the exchange.
pub const MAGIC: u32 = 0x3D23_0467;
/// Longest announcement that is read.
pub const MOST: usize = 16 * 1024;
const STRUCT: &str = "type.googleapis.com/google.protobuf.Struct";
const METADATA: &str = "x-envoy-peer-metadata";
const METADATA_ID: &str = "x-envoy-peer-metadata-id";

/// The announcement of a workload. `id` is the proxy's node id.
pub fn encode(own: &WorkloadInfo, id: &str) -> Bytes {
    let labels = [
        ("service.istio.io/canonical-name", &own.canonical_name),
        ("service.istio.io/canonical-revision", &own.canonical_revision),
        ("app", &own.app),
        ("version", &own.version),
    ];
    let labels = labels.into_iter().filter(|(_, v)| !v.is_empty()).map(|(k, v)| (k.to_owned(), text(v)));
    let metadata = fields([
        ("NAME", text(&own.workload)),
        ("NAMESPACE", text(&own.namespace)),
        ("WORKLOAD_NAME", text(&own.workload)),
        ("CLUSTER_ID", text(&own.cluster)),
        ("LABELS", structure(Struct { fields: labels.collect() })),
    ]);
    let whole = fields([(METADATA, structure(metadata)), (METADATA_ID, text(id))]);
    let any = Packed { type_url: STRUCT.to_owned(), value: whole.encode_to_vec().into() }.encode_to_vec();
    let mut out = BytesMut::with_capacity(8 + any.len());
    out.put_u32(MAGIC);
    out.put_u32(any.len() as u32);
    out.put_slice(&any);
    out.freeze()
}

/// What the first bytes of a peer are.
#[derive(Debug, Clone, PartialEq)]
pub enum Decoded {
    /// Not enough bytes yet.
    More,
    /// No announcement: the bytes are payload.
    Payload,
    /// An announcement; so many bytes of it are to be taken off, whatever it says (`None`: nothing of use).
    Announcement(Option<Arc<WorkloadInfo>>, usize),
}

/// Reads an announcement off the front of `seen`.
pub fn decode(seen: &[u8]) -> Decoded {
    let magic = MAGIC.to_be_bytes();
    let known = seen.len().min(4);
    if seen[..known] != magic[..known] {
        return Decoded::Payload;
    }
    if seen.len() < 8 {
        return Decoded::More;
    }
    let mut head = &seen[4..8];
    let length = head.get_u32() as usize;
    if length > MOST {
        return Decoded::Payload;
    }
    match seen.get(8..8 + length) {
        None => Decoded::More,
        Some(any) => Decoded::Announcement(workload(any), 8 + length),
    }
}

fn workload(any: &[u8]) -> Option<Arc<WorkloadInfo>> {
    let any = Packed::decode(any).ok().filter(|any| any.type_url == STRUCT)?;
    let whole = Struct::decode(any.value).ok()?;
    let Some(Kind::StructValue(metadata)) = whole.fields.get(METADATA)?.kind.as_ref() else { return None };
    let labels = match metadata.fields.get("LABELS").and_then(|v| v.kind.as_ref()) {
        Some(Kind::StructValue(labels)) => Some(labels),
        _ => None,
    };
    let get = |from: Option<&Struct>, key: &str| -> Arc<str> {
        match from.and_then(|s| s.fields.get(key)).and_then(|v| v.kind.as_ref()) {
            Some(Kind::StringValue(text)) if text.len() <= 256 => text.as_str().into(),
            _ => "".into(),
        }
    };
    let first = |keys: [&str; 2]| keys.into_iter().map(|k| get(labels, k)).find(|v| !v.is_empty()).unwrap_or_default();
    Some(Arc::new(WorkloadInfo {
        workload: get(Some(metadata), "WORKLOAD_NAME"),
        namespace: get(Some(metadata), "NAMESPACE"),
        canonical_name: get(labels, "service.istio.io/canonical-name"),
        canonical_revision: get(labels, "service.istio.io/canonical-revision"),
        app: first(["app.kubernetes.io/name", "app"]),
        version: first(["app.kubernetes.io/version", "version"]),
        cluster: get(Some(metadata), "CLUSTER_ID"),
    }))
}

fn text(value: &str) -> Value {
    Value { kind: Some(Kind::StringValue(value.to_owned())) }
}

fn structure(value: Struct) -> Value {
    Value { kind: Some(Kind::StructValue(value)) }
}

fn fields<const N: usize>(pairs: [(&str, Value); N]) -> Struct {
    Struct { fields: pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> WorkloadInfo {
        WorkloadInfo {
            workload: "cart-v1".into(),
            namespace: "shop".into(),
            canonical_name: "cart".into(),
            canonical_revision: "v1".into(),
            app: "cart".into(),
            version: "v1".into(),
            cluster: "Kubernetes".into(),
        }
    }

    #[test]
    fn an_announcement_is_read_back_whatever_follows() {
        let mut bytes = encode(&own(), "sidecar~x").to_vec();
        let length = bytes.len();
        assert_eq!(&bytes[..4], [0x3D, 0x23, 0x04, 0x67]);
        assert_eq!(decode(&bytes[..length - 1]), Decoded::More);
        bytes.extend_from_slice(b"payload");
        assert_eq!(decode(&bytes), Decoded::Announcement(Some(Arc::new(own())), length));
    }

    #[test]
    fn other_bytes_are_payload() {
        assert_eq!(decode(b""), Decoded::More);
        assert_eq!(decode(b"="), Decoded::More);
        assert_eq!(decode(b"GET / HTTP/1.1"), Decoded::Payload);
        let huge = [&MAGIC.to_be_bytes()[..], &u32::MAX.to_be_bytes()[..]].concat();
        assert_eq!(decode(&huge), Decoded::Payload);
    }

    #[test]
    fn an_announcement_of_nonsense_is_taken_off_and_says_nothing() {
        let mut bytes = MAGIC.to_be_bytes().to_vec();
        bytes.extend_from_slice(&3u32.to_be_bytes());
        bytes.extend_from_slice(b"\xff\xff\xffrest");
        assert_eq!(decode(&bytes), Decoded::Announcement(None, 11));
    }
}
