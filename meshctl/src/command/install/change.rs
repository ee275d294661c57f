//! What writing an object would change of it, as paths of fields. What the API server adds of its own counts for nothing. Pure.

use serde_json::Value;

/// Most fields that are named of one object.
const MOST: usize = 4;
/// What the API server keeps about an object.
const ITS_OWN: [&str; 7] =
    ["managedFields", "resourceVersion", "generation", "creationTimestamp", "uid", "selfLink", "deletionTimestamp"];

/// Fields in which two states of an object differ.
pub(super) fn fields(before: &Value, after: &Value) -> Vec<String> {
    let mut fields = Vec::new();
    for key in keys(before, after).filter(|key| !matches!(*key, "status" | "kind" | "apiVersion")) {
        if key == "metadata" {
            for key in keys(&before[key], &after[key]).filter(|key| !ITS_OWN.contains(key)) {
                differ(&before["metadata"][key], &after["metadata"][key], &format!("metadata.{key}"), &mut fields);
            }
        } else {
            differ(&before[key], &after[key], key, &mut fields);
        }
    }
    fields
}

/// The same for a person.
pub(super) fn told(fields: &[String]) -> String {
    let mut text = fields.iter().take(MOST).cloned().collect::<Vec<_>>().join(", ");
    if fields.len() > MOST {
        text.push_str(&format!(" and {} more", fields.len() - MOST));
    }
    text
}

fn keys<'a>(before: &'a Value, after: &'a Value) -> impl Iterator<Item = &'a str> {
    let of = |value: &'a Value| value.as_object().into_iter().flat_map(|map| map.keys().map(String::as_str));
    let new = of(after).filter(move |key| before.get(*key).is_none());
    of(before).chain(new)
}

fn differ(before: &Value, after: &Value, path: &str, fields: &mut Vec<String>) {
    match (before, after) {
        _ if before == after => {}
        (Value::Object(_), Value::Object(_)) => {
            for key in keys(before, after) {
                differ(&before[key], &after[key], &format!("{path}.{key}"), fields);
            }
        }
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            for (place, (old, new)) in old.iter().zip(new).enumerate() {
                differ(old, new, &format!("{path}[{place}]"), fields);
            }
        }
        _ => fields.push(path.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_that_differ_are_named_and_what_is_the_api_servers_is_not() {
        let before = json!({
            "kind": "Deployment", "metadata": {"name": "a", "generation": 1, "labels": {"v": "1", "old": "x"}},
            "spec": {"containers": [{"image": "a:1", "args": ["a"]}], "same": true}, "status": {"replicas": 1},
        });
        let after = json!({
            "metadata": {"name": "a", "generation": 2, "labels": {"v": "2"}, "annotations": {"n": "1"}},
            "spec": {"containers": [{"image": "a:2", "args": ["a", "b"]}], "same": true, "new": 1},
        });
        let fields = fields(&before, &after);
        assert_eq!(
            fields,
            [
                "metadata.labels.v",
                "metadata.labels.old",
                "metadata.annotations",
                "spec.containers[0].image",
                "spec.containers[0].args",
                "spec.new"
            ]
        );
        assert_eq!(
            told(&fields),
            "metadata.labels.v, metadata.labels.old, metadata.annotations, spec.containers[0].image and 2 more"
        );
    }
}
