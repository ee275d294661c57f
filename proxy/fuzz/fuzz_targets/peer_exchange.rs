//! What a peer's proxy says about itself ahead of opaque bytes. Never more is taken off than is there or may be.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mesh_proxy::tcp::peer_exchange::{Decoded, MOST, decode};

fuzz_target!(|data: &[u8]| {
    if let Decoded::Announcement(_, length) = decode(data) {
        assert!(length <= data.len() && length <= MOST + 8);
        assert_eq!(decode(&data[..length]), decode(data), "what follows is not looked at");
        assert_eq!(decode(&data[..length - 1]), Decoded::More);
    }
});
