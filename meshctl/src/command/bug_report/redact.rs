//! Takes out what is secret: of objects by their form, of text by what secrets look like (private keys, tokens, credentials of
//! requests and of addresses, values of what is called password, secret, token or key). Rather too much than too little: a report
//! goes to people who must not have them. Pure.

use super::plan::is_ours;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use mesh_config::matcher::expression;
use regex::bytes::{Captures, Regex};
use serde_json::Value;
use std::sync::LazyLock;

/// What stands instead.
const REMOVED: &str = "[removed]";

/// Words of names whose values are secret.
const WORDS: [&str; 12] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "privatekey",
    "accesskey",
    "credential",
    "authorization",
    "cookie",
    "signature",
];
/// Ends of such names that say where a secret is, or what it is for, and not the secret.
const PLACES: [&str; 12] =
    ["name", "names", "ref", "path", "type", "file", "audience", "audiences", "seconds", "mode", "ttl", "httpcookie"];

/// An object as an API server has it.
pub(super) fn object(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            // It has the whole object once more.
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        }
    }
    if object["kind"] == "Secret"
        && let Some(secret) = object.as_object_mut()
    {
        secret.remove("data");
        secret.remove("stringData");
    }
    for spec in ["/spec", "/spec/template/spec", "/spec/jobTemplate/spec/template/spec"] {
        object.pointer_mut(spec).into_iter().for_each(pod_spec);
    }
    value(object);
}

/// Values in JSON, by their names.
pub(super) fn value(at: &mut Value) {
    match at {
        Value::Object(map) => {
            // Variables and headers are pairs of a name and a value.
            let named = map.get("name").or_else(|| map.get("key")).and_then(Value::as_str).is_some_and(is_secret);
            for (key, value) in map.iter_mut() {
                if is_secret(key) || named && matches!(key.as_str(), "value" | "values") {
                    remove(value, is_carried(key) || named);
                } else {
                    self::value(value);
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(value),
        Value::String(it) => *it = text(it),
        _ => {}
    }
}

/// Text of any kind.
pub(super) fn text(text: &str) -> String {
    let of = &*PATTERNS;
    let whole = format!("${{1}}{REMOVED}").into_bytes();
    let mut bytes = of.private_key.replace_all(text.as_bytes(), REMOVED.as_bytes()).into_owned();
    for (pattern, instead) in [
        (&of.header, &whole),
        (&of.token, &REMOVED.as_bytes().to_vec()),
        (&of.scheme, &format!("$1 {REMOVED}").into_bytes()),
        (&of.address, &format!("${{1}}{REMOVED}@").into_bytes()),
    ] {
        bytes = pattern.replace_all(&bytes, instead.as_slice()).into_owned();
    }
    bytes = of.encoded.replace_all(&bytes, |found: &Captures<'_>| encoded(&part(found, 0))).into_owned();
    bytes = of.named.replace_all(&bytes, |found: &Captures<'_>| named(found)).into_owned();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A part of what was found.
fn part(found: &Captures<'_>, number: usize) -> String {
    String::from_utf8_lossy(&found[number]).into_owned()
}

/// What secrets look like.
struct Patterns {
    /// Also without an end: a log may be cut off.
    private_key: Regex,
    /// What is PEM once it is decoded.
    encoded: Regex,
    /// JSON Web Tokens.
    token: Regex,
    /// Credentials of a request, after the word for their form.
    scheme: Regex,
    /// Who calls, in an address.
    address: Regex,
    /// Headers whose value is all that follows.
    header: Regex,
    /// What has a name that says it.
    named: Regex,
}

static PATTERNS: LazyLock<Patterns> = LazyLock::new(|| Patterns {
    private_key: pattern(r"(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\z)"),
    encoded: pattern(r"LS0tLS1CRUdJTi[A-Za-z0-9+/=]+"),
    token: pattern(r"eyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]{4,}\.?[A-Za-z0-9_-]*"),
    scheme: pattern(r"((?i-u:\b(?:bearer|basic|digest|negotiate)))[ \t]+[A-Za-z0-9+/=._~-]{4,}"),
    address: pattern(r#"([A-Za-z][A-Za-z0-9+.-]*://)[^/ \t\r\n@"'?\#]+@"#),
    header: pattern(
        r#"((?i-u:set-cookie|cookie|proxy-authorization|authorization)\\?["']?[ \t]*[:=][ \t]*\\?["']?)[^"'\\\r\n{\[]+"#,
    ),
    named: pattern(concat!(
        r"([A-Za-z0-9_.-]*(?i-u:passw|passphrase|secret|token|api[-_]?key|private[-_]?key|access[-_]?key|credential|signature)",
        r"[A-Za-z0-9_.-]*)",
        r#"(\\?["']?[ \t]*[:=][ \t]*)"#,
        r#"(\\"[^"\\]*\\"|"(?:[^"\\]|\\.)*"|'[^']*'|[^ \t\r\n,;&{}\[\]"'\\]+)"#,
    )),
});

fn pattern(text: &str) -> Regex {
    expression(text).expect("patterns of this file are well-formed, as its tests show")
}

fn named(found: &Captures<'_>) -> Vec<u8> {
    let [name, between, value] = [1, 2, 3].map(|number| part(found, number));
    let bare = value.trim_matches(['"', '\'', '\\']);
    let is_plain =
        bare.is_empty() || bare == REMOVED || matches!(bare, "true" | "false" | "null") || bare.parse::<f64>().is_ok();
    if is_plain || !is_secret(&name) {
        return found[0].to_vec();
    }
    let start = value.len() - value.trim_start_matches(['"', '\'', '\\']).len();
    let end = value.trim_end_matches(['"', '\'', '\\']).len().max(start);
    format!("{name}{between}{}{REMOVED}{}", &value[..start], &value[end..]).into_bytes()
}

fn encoded(found: &str) -> Vec<u8> {
    let text = all(found).unwrap_or_default();
    let is_public = text.starts_with("-----BEGIN CERTIFICATE") && !text.contains("PRIVATE KEY");
    if is_public { found.as_bytes().to_vec() } else { REMOVED.as_bytes().to_vec() }
}

/// Everything that was encoded: a key may follow a certificate.
fn all(found: &str) -> Option<String> {
    let whole = &found[..found.len() / 4 * 4];
    STANDARD.decode(whole).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// A name without how it is written.
fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// Whether what has this name is secret.
fn is_secret(name: &str) -> bool {
    let name = plain(name);
    WORDS.iter().any(|word| name.contains(word)) && !PLACES.iter().any(|place| name.ends_with(place))
}

/// Whether everything below such a name is secret too, and it is no list or place of Secrets.
fn is_carried(name: &str) -> bool {
    const HOLDERS: [&str; 5] = ["secret", "secrets", "tokens", "serviceaccounttoken", "imagepullsecrets"];
    !HOLDERS.contains(&&*plain(name))
}

/// Texts; what stands below is looked at as everything else, or is as secret.
fn remove(at: &mut Value, with_all_below: bool) {
    match at {
        Value::String(text) if !text.is_empty() => *text = REMOVED.to_owned(),
        Value::Object(map) if with_all_below => map.values_mut().for_each(|value| remove(value, true)),
        Value::Array(list) => list
            .iter_mut()
            .for_each(|one| if one.is_string() || with_all_below { remove(one, with_all_below) } else { value(one) }),
        other => value(other),
    }
}

/// What applications are started with is theirs.
fn pod_spec(spec: &mut Value) {
    for key in ["containers", "initContainers", "ephemeralContainers"] {
        for container in spec.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten() {
            if container["name"].as_str().is_some_and(is_ours) {
                continue;
            }
            for variable in container.get_mut("env").and_then(Value::as_array_mut).into_iter().flatten() {
                if let Some(value) = variable.get_mut("value") {
                    *value = REMOVED.into();
                }
            }
            for key in ["command", "args"] {
                if let Some(words) = container.get_mut(key) {
                    *words = REMOVED.into();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
