//! What is written comes back: no field is lost on the way through an API server.

use super::{Score, table::Table};
use anyhow::Result;
use mesh_e2e::cluster::{
    client::{Client, Unknown},
    document,
};
use serde_json::Value;
use std::path::Path;

/// Cases that are valid, and that an API server refuses by the schema before anybody validates them; Istio's schema does too.
const REFUSED_BY_SCHEMA: [(&str, &str); 1] =
    [("TestValidateRequestAuthentication/007-empty-issuer-and-set-jwksUri", "spec.jwtRules[0].issuer")];

/// Every example, and every valid object of the tables, whose kind the server has.
pub(crate) async fn trip(client: &mut Client, examples: &Path, tables: &[Table]) -> Result<Score> {
    let mut score = Score::default();
    for file in document::files_under(examples)? {
        let name = file.strip_prefix(examples).unwrap_or(&file).display().to_string();
        for (number, object) in document::of_file(&file)?.into_iter().enumerate() {
            one(client, &format!("{name}#{number}"), object, &mut score).await?;
        }
    }
    for table in tables {
        for case in table.cases.iter().filter(|case| case.refused.is_none()) {
            one(client, &format!("{} {}", table.name, case.id), case.object.clone(), &mut score).await?;
        }
    }
    Ok(score)
}

async fn one(client: &mut Client, id: &str, mut object: Value, score: &mut Score) -> Result<()> {
    let text = |key: &str| object[key].as_str().unwrap_or_default().to_owned();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    if !is_expected(&api_version) && client.resource(&api_version, &kind).await?.is_none() {
        return Ok(());
    }
    if let Some(fields) = object.as_object_mut() {
        // A status is not the author's to write: the server keeps it from creation on.
        fields.remove("status");
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        // Nor is this.
        metadata.remove("creationTimestamp");
    }
    if object["metadata"]["name"].as_str().unwrap_or_default().is_empty() {
        object["metadata"]["name"] = "unnamed".into();
    }
    let refused = REFUSED_BY_SCHEMA.iter().find(|(case, _)| id.ends_with(case)).map(|(_, field)| *field);
    let failure = match client.create(&object, Unknown::Drop, true).await? {
        Err(refusal) if refused.is_some_and(|field| refusal.message.contains(field)) => None,
        Ok(_) if refused.is_some() => Some("taken, though the schema should refuse it".to_owned()),
        Err(refusal) => Some(format!("refused: {}", refusal.message)),
        Ok(stored) => {
            let mut lost = Vec::new();
            compare(&object, &stored, &mut String::new(), &mut lost);
            (!lost.is_empty()).then(|| format!("lost: {}", lost.join(", ")))
        }
    };
    score.add(id, failure);
    Ok(())
}

/// Whether an API server with our definitions must have the kinds of this version: all of Istio's but the files that an
/// installer reads.
fn is_expected(api_version: &str) -> bool {
    let group = api_version.split('/').next().unwrap_or_default();
    group.ends_with(".istio.io") && group != "install.istio.io"
}

/// Collects the paths of `sent` that `stored` does not have. What is null says nothing; what the server adds is no loss.
fn compare(sent: &Value, stored: &Value, at: &mut String, lost: &mut Vec<String>) {
    match (sent, stored) {
        (Value::Null, _) => {}
        (Value::Object(fields), Value::Object(_)) => {
            for (name, value) in fields {
                within(at, &format!(".{name}"), |at| compare(value, &stored[name.as_str()], at, lost));
            }
        }
        (Value::Array(items), Value::Array(others)) if items.len() == others.len() => {
            for (number, (item, other)) in items.iter().zip(others).enumerate() {
                within(at, &format!("[{number}]"), |at| compare(item, other, at, lost));
            }
        }
        (Value::Number(one), Value::Number(other)) if one.as_f64() == other.as_f64() => {}
        (one, other) if one == other => {}
        (_, Value::Null) => lost.push(at.clone()),
        (one, other) => lost.push(format!("{at} ({one} became {other})")),
    }
}

fn within(at: &mut String, step: &str, then: impl FnOnce(&mut String)) {
    let length = at.len();
    at.push_str(step);
    then(at);
    at.truncate(length);
}

#[cfg(test)]
mod tests {
    use super::compare;
    use serde_json::json;

    #[test]
    fn what_was_dropped_or_changed_is_named_and_what_was_added_is_not() {
        let sent = json!({"a": null, "b": {"c": 1, "d": "x"}, "e": [{"f": true}, 2], "g": [1], "h": 3.0});
        let stored = json!({"b": {"c": 1, "new": 1}, "e": [{"f": false, "new": 1}, 2], "g": [1, 2], "h": 3});
        let mut lost = Vec::new();
        compare(&sent, &stored, &mut String::new(), &mut lost);
        assert_eq!(lost, [".b.d", ".e[0].f (true became false)", ".g ([1] became [1,2])"]);
    }
}
