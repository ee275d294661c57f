//! An API server drops what a schema does not have. So ours must have each field that Istio's has, hold the same kind of value there
//! and take each word that may stand there. Bounds and rules are not compared: the tables and the server itself try those.

use super::Score;
use serde_json::{Map, Value};
use std::sync::LazyLock;

static NO_FIELDS: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);

/// Each field of each served version of `theirs`, in `ours`.
pub(crate) fn all(theirs: &[Value], ours: &[Value]) -> Score {
    let mut score = Score::default();
    for definition in theirs.iter().filter(|definition| definition["kind"] == "CustomResourceDefinition") {
        let name = &definition["metadata"]["name"];
        let ours = ours.iter().find(|ours| ours["metadata"]["name"] == *name);
        for version in versions(definition) {
            let at = format!("{} {}", definition["spec"]["names"]["kind"], version["name"]).replace('"', "");
            let same = |other: &&Value| other["name"] == version["name"] && other["served"] == true;
            match ours.and_then(|ours| versions(ours).iter().find(same)) {
                None => score.add(&at, Some("not there".to_owned())),
                Some(ours) => fields(schema(version), schema(ours), &mut format!("{at} "), &mut score),
            }
        }
    }
    score
}

fn versions(definition: &Value) -> &[Value] {
    definition["spec"]["versions"].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn schema(version: &Value) -> &Value {
    &version["schema"]["openAPIV3Schema"]
}

fn fields(theirs: &Value, ours: &Value, at: &mut String, score: &mut Score) {
    // What is kept as it is has every field.
    if ours["x-kubernetes-preserve-unknown-fields"] == true {
        return;
    }
    let steps = properties(theirs)
        .iter()
        .map(|(name, theirs)| (format!(".{name}"), theirs, &ours["properties"][name.as_str()]));
    let inner = [("[]", "items"), (".*", "additionalProperties")];
    let inner = inner.into_iter().map(|(step, key)| (step.to_owned(), &theirs[key], &ours[key]));
    for (step, theirs, ours) in steps.chain(inner.filter(|(_, theirs, _)| theirs.is_object())) {
        let length = at.len();
        at.push_str(&step);
        score.add(at, differs(theirs, ours));
        if ours.is_object() {
            fields(theirs, ours, at, score);
        }
        at.truncate(length);
    }
}

fn properties(schema: &Value) -> &Map<String, Value> {
    schema["properties"].as_object().unwrap_or(&NO_FIELDS)
}

fn differs(theirs: &Value, ours: &Value) -> Option<String> {
    if ours.is_null() {
        return Some("not there".to_owned());
    }
    if theirs["type"] != ours["type"] || theirs["x-kubernetes-int-or-string"] != ours["x-kubernetes-int-or-string"] {
        return Some(format!("holds {}, want {}", ours["type"], theirs["type"]));
    }
    let (theirs, ours) = (theirs["enum"].as_array(), ours["enum"].as_array()?);
    let Some(theirs) = theirs else { return Some(format!("only {ours:?}, want any text")) };
    let missing: Vec<_> = theirs.iter().filter(|word| !ours.contains(word)).collect();
    (!missing.is_empty()).then(|| format!("without {missing:?}"))
}

#[cfg(test)]
mod tests {
    use super::all;
    use serde_json::{Value, json};

    fn definition(properties: &Value) -> Value {
        json!({
            "kind": "CustomResourceDefinition",
            "metadata": {"name": "things.example.com"},
            "spec": {
                "names": {"kind": "Thing"},
                "versions": [{
                    "name": "v1",
                    "served": true,
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": properties}},
                }],
            },
        })
    }

    #[test]
    fn fields_types_and_words_that_are_not_there_are_named() {
        let theirs = definition(&json!({
            "gone": {"type": "string"},
            "words": {"type": "string", "enum": ["A", "B"]},
            "list": {"type": "array", "items": {"type": "object", "properties": {"deep": {"type": "integer"}}}},
            "free": {"type": "object", "properties": {"any": {"type": "string"}}},
        }));
        let ours = definition(&json!({
            "words": {"type": "string", "enum": ["A"]},
            "list": {"type": "array", "items": {"type": "object", "properties": {"deep": {"type": "string"}}}},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "more": {"type": "string"},
        }));
        let mut failed = all(&[theirs], &[ours]).failed;
        failed.sort();
        let want = [
            "Thing v1 .gone: not there",
            r#"Thing v1 .list[].deep: holds "string", want "integer""#,
            r#"Thing v1 .words: without [String("B")]"#,
        ];
        assert_eq!(failed, want);
    }
}
