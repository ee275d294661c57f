//! Objects as users write them, and the text of a MeshConfig. An object with an error has no meaning.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mesh_config::{
    crd::{self, ParseContext, parse, read_text},
    diagnostic::Severity,
};

fuzz_target!(|text: &str| {
    let context = ParseContext::default();
    let (objects, _) = read_text(&"fuzz.yaml".into(), text);
    for object in &objects {
        let (parsed, found) = parse(object, &context);
        let has_errors = found.iter().any(|finding| finding.severity == Severity::Error);
        assert!(parsed.is_none() || !has_errors);
    }
    crd::mesh_config::parse_text(text, &"istio-system".into());
});
