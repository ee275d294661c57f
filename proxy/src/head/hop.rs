//! What `Connection` says: which fields end at this hop, and whether the connection is to become something else.

use super::BadRequest;

/// Tokens at most.
const MOST_TOKENS: usize = 10;

/// What the tokens of Connection came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Connection {
    /// `upgrade` is one of them.
    pub upgrade: bool,
}

/// Reads the values of Connection and hands on each field that is to go no further than this hop.
///
/// # Errors
/// A token that is none, or that would take away what the mesh adds; too many of them.
pub fn connection<'a>(
    values: impl IntoIterator<Item = &'a [u8]>,
    mut ends_here: impl FnMut(&'a [u8]),
) -> Result<Connection, BadRequest> {
    let mut found = Connection::default();
    let mut count = 0;
    for token in values.into_iter().flat_map(|value| value.split(|b| *b == b',')).map(<[u8]>::trim_ascii) {
        if token.is_empty() {
            continue;
        }
        count += 1;
        let is = |name: &str| token.eq_ignore_ascii_case(name.as_bytes());
        if count >= MOST_TOKENS || !token.iter().all(is_token) {
            return Err(BadRequest::ConnectionHeader);
        }
        if ["host", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-client-cert"].into_iter().any(is) {
            return Err(BadRequest::ConnectionHeader);
        }
        found.upgrade |= is("upgrade");
        if !["close", "keep-alive", "upgrade", "te", "content-length"].into_iter().any(is) {
            ends_here(token);
        }
    }
    Ok(found)
}

/// Characters of field names (RFC 9110, 5.6.2).
fn is_token(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte)
}
