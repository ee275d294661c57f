//! Objects of a cluster as trees, and reading them from what charts make.

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// An object.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Object(pub(crate) Value);

impl Object {
    pub(crate) fn kind(&self) -> &str {
        self.0["kind"].as_str().unwrap_or_default()
    }

    pub(crate) fn name(&self) -> &str {
        self.0["metadata"]["name"].as_str().unwrap_or_default()
    }

    /// Its namespace, where it says one.
    pub(crate) fn namespace(&self) -> Option<&str> {
        self.0["metadata"]["namespace"].as_str()
    }

    /// With a label, in place of one with the same key.
    pub(crate) fn label(&mut self, key: &str, value: &str) {
        self.0["metadata"]["labels"][key] = value.into();
    }

    /// Kind and name for a person: `Deployment istio-system/istiod`.
    pub(crate) fn title(&self) -> String {
        match self.namespace() {
            Some(namespace) => format!("{} {namespace}/{}", self.kind(), self.name()),
            None => format!("{} {}", self.kind(), self.name()),
        }
    }
}

/// One YAML document; nothing at all is an empty map.
pub(crate) fn yaml(text: &str) -> Result<Value> {
    let value = mesh_template::yaml::read(text).map_err(anyhow::Error::msg)?;
    Ok(if value.is_null() { Value::Object(serde_json::Map::new()) } else { value })
}

/// The objects of documents, one after the other.
///
/// # Errors
/// Where one is no YAML, or no object.
pub(crate) fn read(text: &str) -> Result<Vec<Object>> {
    let mut objects = Vec::new();
    let mut start = 0;
    for document in documents(text) {
        let line = text[..start].matches('\n').count() + 1;
        start += document.len();
        let value = yaml(document).with_context(|| format!("line {line} of it begins no YAML"))?;
        if value.as_object().is_some_and(serde_json::Map::is_empty) {
            continue;
        }
        let object = Object(value);
        if object.kind().is_empty() || object.name().is_empty() {
            bail!("line {line} of it begins what has no kind or no name");
        }
        objects.push(object);
    }
    Ok(objects)
}

/// The documents of a text: split at lines that begin with `---`, which stay at the beginning of what follows.
pub(crate) fn documents(text: &str) -> Vec<&str> {
    let cuts = text.match_indices("\n---").map(|(at, _)| at + 1);
    let is_cut = |at: &usize| text[at + 3..].starts_with(['\n', '\r', ' ', '\t']) || text.len() == at + 3;
    let cuts: Vec<usize> = std::iter::once(0).chain(cuts.filter(is_cut)).chain([text.len()]).collect();
    cuts.windows(2).map(|cut| &text[cut[0]..cut[1]]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_objects_and_what_is_empty_is_none() {
        let text =
            "\n---\n# only this\n---\nkind: A\nmetadata: {name: a}\n---\nkind: B\nmetadata: {name: b, namespace: ns}\n";
        let titles: Vec<String> = read(text).unwrap().iter().map(Object::title).collect();
        assert_eq!(titles, ["A a", "B ns/b"]);
        assert!(read("---\nkind: A\n").unwrap_err().to_string().contains("no name"));
    }
}
