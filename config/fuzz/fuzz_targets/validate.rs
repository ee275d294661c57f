//! Any bytes as objects to validate: there is an answer, of bounded length, and each finding stands in the text.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mesh_config::crd::{ParseContext, read_text, validate};

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let (objects, mut found) = read_text(&"fuzz.yaml".into(), &text);
    assert!(found.len() <= 1001);
    let context = ParseContext::default();
    for object in &objects {
        let about = validate(object, &context);
        assert!(about.len() <= 201);
        // Texts within a text count their own lines.
        found.extend(about.into_iter().filter(|finding| &*finding.object.kind != "ConfigMap"));
    }
    let lines = text.split(['\n', '\r']).count();
    for finding in found {
        let line = usize::try_from(finding.origin.line).expect("32 bits");
        assert!((1..=lines).contains(&line), "{finding}");
    }
});
