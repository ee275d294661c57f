//! Resources of discovery: the first byte picks the kind, the rest is the message. What is understood must survive
//! being sent on.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use mesh_config::{model::Kind, wire};

fuzz_target!(|data: &[u8]| {
    let Some((first, message)) = data.split_first() else { return };
    let kind = Kind::ALL[usize::from(*first) % Kind::ALL.len()];
    let Ok(part) = wire::decode(kind.type_url(), Bytes::copy_from_slice(message)) else { return };
    assert_eq!(part.kind(), kind);
    let encoded = wire::encode(&part);
    let again = wire::decode(encoded.type_url, encoded.bytes.clone()).expect("what we write, we read");
    assert_eq!(wire::encode(&again), encoded);
});
