//! The first bytes of a connection. A verdict holds whatever comes after it: bytes arrive in pieces of any size.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mesh_proxy::detect::{Detected, Look, detect};

fuzz_target!(|data: &[u8]| {
    let whole = detect(data, Look::Everything);
    // The first byte says where to cut, so that cuts are found as inputs are.
    let cut = data.first().map_or(0, |byte| usize::from(*byte) * data.len() / 256);
    match detect(&data[..cut], Look::Everything) {
        Detected::NeedMore => {}
        early => assert_eq!(early, whole),
    }
});
