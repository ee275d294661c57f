//! Targets of requests. A canonical path has no segment that climbs, since routing and authorisation compare it as text.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mesh_config::path::{Normalization, normalize};

fuzz_target!(|target: &str| {
    let Ok(as_sent) = normalize(target, Normalization::None) else { return };
    assert!(!as_sent.contains('#'));
    if !target.starts_with('/') {
        return;
    }
    for mode in [Normalization::Base, Normalization::MergeSlashes, Normalization::DecodeAndMergeSlashes] {
        let Ok(canonical) = normalize(target, mode) else { continue };
        assert_eq!(normalize(&canonical, mode).as_deref(), Ok(&*canonical), "the next hop compares the same path");
        let path = canonical.split('?').next().unwrap_or_default();
        assert!(path.starts_with('/') && !path.contains('\\'), "{path:?}");
        assert!(path.split('/').all(|segment| segment != "." && segment != ".."), "{path:?}");
        // Of nothing but slashes the first and the last are kept.
        assert!(mode == Normalization::Base || path == "//" || !path.contains("//"), "{path:?}");
    }
});
