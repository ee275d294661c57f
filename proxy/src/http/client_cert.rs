//! X-Forwarded-Client-Cert: who the client was, as TLS proved it. Nobody else may say so.

use crate::conn::{Connection, Direction};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::fmt::Write as _;

const CLIENT_CERT: HeaderName = HeaderName::from_static("x-forwarded-client-cert");

/// Takes off what a client claimed, and adds what is known. `present`: the header was sent. `own`: what the connection
/// adds.
pub(super) fn apply(
    headers: &mut HeaderMap,
    direction: Direction,
    present: bool,
    own: impl FnOnce() -> Option<HeaderValue>,
) {
    if direction == Direction::Outbound {
        if present {
            headers.remove(CLIENT_CERT);
        }
        return;
    }
    let Some(own) = own() else {
        headers.remove(CLIENT_CERT);
        return;
    };
    let earlier: Vec<&[u8]> = match direction {
        Direction::Inbound if present => headers.get_all(CLIENT_CERT).iter().map(HeaderValue::as_bytes).collect(),
        _ => Vec::new(),
    };
    let value = match earlier.is_empty() {
        true => Ok(own),
        false => HeaderValue::from_bytes(&[&earlier.join(&b","[..]), &b","[..], own.as_bytes()].concat()),
    };
    if let Ok(value) = value {
        headers.insert(CLIENT_CERT, value);
    }
}

/// What a connection adds to X-Forwarded-Client-Cert; `None`: the client showed no certificate.
pub(super) fn element(conn: &Connection) -> Option<HeaderValue> {
    let secured = conn.secured.as_ref()?;
    let peer = secured.peer.as_ref()?;
    let mut text = String::new();
    if !secured.own.is_empty() {
        let _ = write!(text, "By={};", secured.own);
    }
    let _ = write!(text, "Hash={};", peer.hash);
    if conn.direction == Direction::Gateway {
        text.push_str("Cert=\"");
        let pem = mesh_runtime::tls::material::pem("CERTIFICATE", &peer.der);
        percent_encoded(&mut text, pem.as_bytes());
        text.push_str("\";");
    }
    let _ = write!(text, "Subject=\"{}\"", peer.subject.replace('\\', "\\\\").replace('"', "\\\""));
    match peer.uris.is_empty() {
        true => text.push_str(";URI="),
        false => peer.uris.iter().for_each(|uri| {
            text.push_str(";URI=");
            value(&mut text, uri);
        }),
    }
    for dns in &peer.dns {
        text.push_str(";DNS=");
        value(&mut text, dns);
    }
    HeaderValue::try_from(text).ok()
}

/// A value as it stands, in quotes where it could be taken for more than one.
fn value(out: &mut String, text: &str) {
    match text.contains([',', ';', '=', '"', '\\']) {
        false => out.push_str(text),
        true => {
            let _ = write!(out, "\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        }
    }
}

fn percent_encoded(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(*byte)),
            other => {
                let _ = write!(out, "%{other:02X}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_become_another_element() {
        let quoted = |text: &str| {
            let mut out = String::new();
            value(&mut out, text);
            out
        };
        assert_eq!(quoted("spiffe://td/ns/a/sa/b"), "spiffe://td/ns/a/sa/b");
        assert_eq!(quoted("a\";URI=spiffe://td/admin"), r#""a\";URI=spiffe://td/admin""#);
        assert_eq!(quoted("a,By=b"), r#""a,By=b""#);
    }
}
