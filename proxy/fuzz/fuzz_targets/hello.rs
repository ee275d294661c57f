//! ClientHellos. A whole one is understood as it is, whatever comes behind it; a part of one never becomes another.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mesh_proxy::detect::{Detected, hello};

fuzz_target!(|data: &[u8]| {
    // A record's header is put in front: what is inside is what is tried.
    let length = u16::try_from(data.len()).unwrap_or(u16::MAX);
    let mut bytes = vec![22, 3, 1];
    bytes.extend(length.to_be_bytes());
    bytes.extend(&data[..usize::from(length)]);
    let whole = hello(&bytes);
    for cut in [5, 6, 9, bytes.len() / 2, bytes.len().saturating_sub(1)] {
        match hello(&bytes[..cut.min(bytes.len())]) {
            Detected::NeedMore => {}
            early => assert_eq!(early, whole, "cut at {cut}"),
        }
    }
    bytes.extend(b"what follows");
    if matches!(whole, Detected::Tls(_)) {
        assert_eq!(hello(&bytes), whole);
    }
});
