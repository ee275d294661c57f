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
            let _ = write!(text, ";URI={uri}");
        }),
    }
    for dns in &peer.dns {
        let _ = write!(text, ";DNS={dns}");
    }
    HeaderValue::try_from(text).ok()
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
