//! What is written otherwise today.

use super::tree::{Node, Value};
use mesh_config::crd::{
    self,
    form::{Form, Holds},
};
use mesh_config::kind::ObjectKind;
use std::ops::Range;

/// Changes of a text, and what cannot be changed.
pub(super) struct Edits<'t> {
    text: &'t str,
    edits: Vec<(Range<usize>, String)>,
    notes: Vec<String>,
}

impl<'t> Edits<'t> {
    /// None yet.
    pub(super) fn new(text: &'t str) -> Self {
        Edits { text, edits: Vec::new(), notes: Vec::new() }
    }

    /// The text with the changes.
    pub(super) fn finish(mut self) -> (String, Vec<String>) {
        self.edits.sort_by_key(|(range, _)| range.start);
        let mut text = self.text.to_owned();
        for (range, new) in self.edits.into_iter().rev() {
            text.replace_range(range, &new);
        }
        (text, self.notes)
    }

    fn replace(&mut self, range: Range<usize>, new: String) {
        self.edits.push((range, new));
    }

    fn note(&mut self, node: &Node, message: &str) {
        self.notes.push(format!("{}: {message}", node.line));
    }

    fn source(&self, node: &Node) -> &'t str {
        &self.text[node.range.clone()]
    }

    /// A word with the quotes that its model has.
    fn like(&self, model: &Node, word: &str) -> String {
        match self.source(model).chars().next() {
            Some(quote @ ('"' | '\'')) => format!("{quote}{word}{quote}"),
            _ => word.to_owned(),
        }
    }

    /// Gives a key another name.
    fn rename(&mut self, key: &Node, name: &str) {
        let new = self.like(key, name);
        self.replace(key.range.clone(), new);
    }

    /// A value in braces or brackets on one line. Keys and scalars are as in the source, so that JSON stays JSON.
    fn flow(&self, node: &Node) -> String {
        let all = |parts: Vec<String>| parts.join(", ");
        match &node.value {
            Value::Scalar(text) => {
                let source = self.source(node);
                let is_plain = !source.starts_with(['"', '\'']);
                match is_plain && source.contains([',', '[', ']', '{', '}', '#', '\n', '|', '>']) {
                    true => serde_json::Value::from(text.as_str()).to_string(),
                    false => source.to_owned(),
                }
            }
            Value::Alias => self.source(node).to_owned(),
            Value::Seq(items) => format!("[{}]", all(items.iter().map(|item| self.flow(item)).collect())),
            Value::Map(entries) => {
                let entry = |(key, value): &(Node, Node)| format!("{}: {}", self.source(key), self.flow(value));
                format!("{{{}}}", all(entries.iter().map(entry).collect()))
            }
        }
    }

    /// `old: VALUE` becomes `new: {inner: VALUE}`.
    fn wrap(&mut self, map: &Node, old: &str, new: &str, inner: &str) {
        let Some((key, value)) = self.alone(map, old, &[new]) else { return };
        let text = format!("{{{}: {}}}", self.like(key, inner), self.flow(value));
        self.rename(key, new);
        self.replace(value.range.clone(), text);
    }

    /// A key whose successors are not there, and whose value nobody refers to.
    fn alone<'n>(&mut self, map: &'n Node, old: &str, others: &[&str]) -> Option<&'n (Node, Node)> {
        let entry = map.entry(old)?;
        if let Some(other) = others.iter().find(|other| map.get(other).is_some()) {
            self.note(&entry.0, &format!("{old} is superseded by {other}, which is there too: take one out"));
            return None;
        }
        if entry.1.anchored || matches!(entry.1.value, Value::Alias) {
            self.note(
                &entry.0,
                &format!("{old} is superseded by {}; its value is shared by an alias: write it out", others[0]),
            );
            return None;
        }
        Some(entry)
    }

    /// `old: VALUE` becomes `new: VALUE`.
    fn renamed(&mut self, map: &Node, old: &str, new: &str) {
        let Some((key, _)) = map.entry(old) else { return };
        match map.get(new) {
            Some(_) => self.note(key, &format!("{old} is superseded by {new}, which is there too: take one out")),
            None => self.rename(key, new),
        }
    }
}

/// Everything about one object.
pub(super) fn object(node: &Node, edits: &mut Edits<'_>) {
    let text = |key: &str| node.get(key).and_then(Node::text).unwrap_or_default();
    let Some((group, version)) = text("apiVersion").split_once('/') else { return };
    let Some(kind) = ObjectKind::of(group, text("kind")) else { return };
    let newest = kind.versions()[0];
    if kind.versions().contains(&version)
        && version != newest
        && let Some(written) = node.get("apiVersion")
    {
        let new = edits.like(written, &kind.api_version());
        edits.replace(written.range.clone(), new);
    }
    let Some(spec) = node.get("spec") else { return };
    if let Some(form) = crd::form(kind) {
        spelling(spec, form, edits);
    }
    match kind {
        ObjectKind::VirtualService => each(spec, &["http", "*"], &mut |rule| http_rule(rule, edits)),
        ObjectKind::DestinationRule => {
            for place in [&["trafficPolicy"][..], &["subsets", "*", "trafficPolicy"]] {
                each(spec, place, &mut |policy| {
                    traffic_policy(policy, edits);
                    each(policy, &["portLevelSettings", "*"], &mut |port| traffic_policy(port, edits));
                });
            }
        }
        ObjectKind::WasmPlugin => {
            edits.note(node, "WasmPlugin is superseded by TrafficExtension, whose priorities and phases are its own: move it by hand");
            targets(spec, edits);
        }
        ObjectKind::AuthorizationPolicy | ObjectKind::RequestAuthentication | ObjectKind::Telemetry => {
            targets(spec, edits)
        }
        _ => {}
    }
    if kind == ObjectKind::RequestAuthentication {
        each(spec, &["jwtRules", "*"], &mut |rule| edits.renamed(rule, "jwks_uri", "jwksUri"));
    }
}

fn http_rule(rule: &Node, edits: &mut Edits<'_>) {
    for old in ["mirrorPercent", "mirror_percent"] {
        edits.wrap(rule, old, "mirrorPercentage", "value");
    }
    each(rule, &["fault", "delay"], &mut |delay| edits.wrap(delay, "percent", "percentage", "value"));
    each(rule, &["corsPolicy"], &mut |cors| {
        let Some((key, value)) = edits.alone(cors, "allowOrigin", &["allowOrigins"]) else { return };
        edits.rename(key, "allowOrigins");
        let Value::Seq(origins) = &value.value else { return };
        for origin in origins {
            let exact = format!("{{{}: {}}}", edits.like(key, "exact"), edits.flow(origin));
            edits.replace(origin.range.clone(), exact);
        }
    });
}

fn traffic_policy(policy: &Node, edits: &mut Edits<'_>) {
    each(policy, &["loadBalancer"], &mut |balancer| {
        if let Some(simple) = balancer.get("simple").filter(|simple| simple.text() == Some("LEAST_CONN")) {
            let new = edits.like(simple, "LEAST_REQUEST");
            edits.replace(simple.range.clone(), new);
        }
        edits.wrap(balancer, "warmupDurationSecs", "warmup", "duration");
        each(balancer, &["consistentHash"], &mut |hash| {
            edits.wrap(hash, "minimumRingSize", "ringHash", "minimumRingSize")
        });
    });
    // 502, 503 and 504 were what it counted.
    each(policy, &["outlierDetection"], &mut |outliers| {
        edits.renamed(outliers, "consecutiveErrors", "consecutiveGatewayErrors");
    });
}

fn targets(spec: &Node, edits: &mut Edits<'_>) {
    let Some((key, value)) = edits.alone(spec, "targetRef", &["targetRefs"]) else { return };
    let json = edits.source(key).starts_with('"');
    let colon = if json { ":" } else { ": " };
    let new = format!("{}{colon}[{}]", edits.like(key, "targetRefs"), edits.flow(value));
    edits.replace(key.range.start..value.range.end, new);
}

/// Names of fields as protobuf has them, which an API server takes for unknown and drops.
fn spelling(node: &Node, form: &'static Form, edits: &mut Edits<'_>) {
    let Value::Map(entries) = &node.value else { return };
    for (key, value) in entries {
        let Some(name) = key.text() else { continue };
        let field = form.fields.iter().find(|field| field.name == name).or_else(|| {
            let field =
                form.fields.iter().find(|field| name.contains('_') && crd::form::snake_case(field.name) == name)?;
            edits.renamed(node, name, field.name);
            Some(field)
        });
        if let Some(field) = field {
            within(value, field.holds, edits);
        }
    }
}

fn within(node: &Node, holds: Holds, edits: &mut Edits<'_>) {
    match (holds, &node.value) {
        (Holds::Of(form), _) => spelling(node, form, edits),
        (Holds::List(of), Value::Seq(items)) => items.iter().for_each(|item| within(item, *of, edits)),
        (Holds::Map(of), Value::Map(entries)) => entries.iter().for_each(|(_, value)| within(value, *of, edits)),
        _ => {}
    }
}

/// Calls `see` for each node at a path; `*` is every entry of a list.
fn each<'n>(node: &'n Node, path: &[&str], see: &mut impl FnMut(&'n Node)) {
    match path.split_first() {
        None => see(node),
        Some((&"*", rest)) => {
            if let Value::Seq(items) = &node.value {
                items.iter().for_each(|item| each(item, rest, see));
            }
        }
        Some((key, rest)) => {
            if let Some(value) = node.get(key) {
                each(value, rest, see);
            }
        }
    }
}
