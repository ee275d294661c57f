//! How a request's path is made canonical before anything looks at it.
//!
//! Runs once, before routing and authorisation; both decide on the result, and the result is what is sent on. It is a
//! fixed point: the next hop, which does the same, changes nothing any more, so that no policy on the way can be shown
//! another path than the application. The query is never touched. Most targets need nothing: one scan finds that out and the target is lent back.

use std::borrow::Cow;

/// `pathNormalization.normalization` of MeshConfig.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Normalization {
    /// As sent, but for a fragment.
    None,
    /// RFC 3986, and backslash as slash (also `DEFAULT`).
    #[default]
    Base,
    /// And double slashes are one.
    MergeSlashes,
    /// And encoded slashes are slashes.
    DecodeAndMergeSlashes,
}

impl Normalization {
    fn merges(self) -> bool {
        matches!(self, Normalization::MergeSlashes | Normalization::DecodeAndMergeSlashes)
    }

    fn decodes(self) -> bool {
        self == Normalization::DecodeAndMergeSlashes
    }
}

/// The path cannot be made canonical: it holds a NUL, encoded or not. Answered with 400 `path_normalization_failed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the path contains %00, which has no canonical form")]
pub struct Rejected;

/// Makes the target of a request (origin form: path, query, fragment; or `*`) canonical. A fragment is cut in every
/// mode. Lends the target back, whole or cut, when nothing else is to be done.
pub fn normalize(target: &str, mode: Normalization) -> Result<Cow<'_, str>, Rejected> {
    match scan(target.as_bytes(), mode) {
        Scan::Fine => Ok(Cow::Borrowed(target)),
        Scan::FineUpTo(end) => Ok(Cow::Borrowed(&target[..end])),
        Scan::Work => rebuild(target, mode).map(Cow::Owned),
    }
}

enum Scan {
    Fine,
    /// Nothing but a fragment to cut here.
    FineUpTo(usize),
    Work,
}

fn scan(target: &[u8], mode: Normalization) -> Scan {
    let fragment = |from: usize| match target[from..].iter().position(|b| *b == b'#') {
        Some(at) => Scan::FineUpTo(from + at),
        None => Scan::Fine,
    };
    if mode == Normalization::None || target == b"*" {
        return fragment(0);
    }
    if target.first() != Some(&b'/') {
        return Scan::Work;
    }
    let (merges, decodes) = (mode.merges(), mode.decodes());
    for (at, byte) in target.iter().enumerate() {
        let work = match CLASS[*byte as usize] {
            PLAIN => continue,
            QUERY => return fragment(at + 1),
            FRAGMENT => return Scan::FineUpTo(at),
            SLASH => merges && at > 0 && target[at - 1] == b'/',
            DOT => target[at - 1] == b'/' && may_be_dot_segment(&target[at + 1..]),
            PERCENT => !stays(&target[at..], decodes),
            _ => true,
        };
        if work {
            return Scan::Work;
        }
    }
    Scan::Fine
}

const PLAIN: u8 = 0;
const SLASH: u8 = 1;
const DOT: u8 = 2;
const PERCENT: u8 = 3;
const QUERY: u8 = 4;
const FRAGMENT: u8 = 5;
const ALWAYS_CHANGES: u8 = 6;

/// What each byte of a path means to the scan.
static CLASS: [u8; 256] = {
    let mut class = [PLAIN; 256];
    let mut byte = 0;
    while byte < 256 {
        class[byte] = match byte as u8 {
            b'/' => SLASH,
            b'.' => DOT,
            b'%' => PERCENT,
            b'?' => QUERY,
            b'#' => FRAGMENT,
            b'\\' => ALWAYS_CHANGES,
            b if must_be_escaped(b) => ALWAYS_CHANGES,
            _ => PLAIN,
        };
        byte += 1;
    }
    class
};

/// Printable characters that are not for URLs, and what no HTTP/1 parser lets through.
const fn must_be_escaped(byte: u8) -> bool {
    matches!(byte, b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}' | 0..=b' ' | 0x7f..)
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Whether a segment that began with a dot might be `.` or `..`, going by what follows.
fn may_be_dot_segment(rest: &[u8]) -> bool {
    matches!(rest.first(), None | Some(b'/' | b'?' | b'#' | b'.' | b'%' | b'\\' | b';'))
}

/// Whether what begins with this `%` is kept as it stands.
fn stays(escape: &[u8], decodes: bool) -> bool {
    match escaped(escape) {
        None => true,
        Some(byte) => byte != 0 && !is_unreserved(byte) && !(decodes && matches!(byte, b'/' | b'\\')),
    }
}

/// The byte that `%XX` at the front stands for.
fn escaped(bytes: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = bytes else { return None };
    let digit = |b: u8| (b as char).to_digit(16);
    Some((digit(*high)? * 16 + digit(*low)?) as u8)
}

fn rebuild(target: &str, mode: Normalization) -> Result<String, Rejected> {
    let target = target.split_once('#').map_or(target, |(kept, _)| kept);
    let (path, query) = target.split_at(target.find('?').unwrap_or(target.len()));
    let mut path = Cow::Borrowed(path.as_bytes());
    if mode.decodes() {
        path = Cow::Owned(decode_slashes(&path));
    }
    let mut out = canonical(&path, query.len())?;
    if mode.merges() && out.windows(2).any(|pair| pair == b"//") {
        out = merge_slashes(&out);
    }
    out.extend_from_slice(query.as_bytes());
    // Whatever is not ASCII was escaped, and the query begins at a character.
    Ok(String::from_utf8(out).expect("ASCII, followed by the tail of a text"))
}

/// One pass: what it makes is not read again, so `%252F` stays.
fn decode_slashes(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut at = 0;
    while at < path.len() {
        match escaped(&path[at..]) {
            Some(slash @ (b'/' | b'\\')) => {
                out.push(slash);
                at += 3;
            }
            _ => {
                out.push(path[at]);
                at += 1;
            }
        }
    }
    out
}

/// Escapes, backslashes and dot segments, left to right. An empty segment counts as one.
fn canonical(path: &[u8], spare: usize) -> Result<Vec<u8>, Rejected> {
    let mut out = Vec::with_capacity(path.len() + spare + 8);
    if !matches!(path.first(), Some(b'/' | b'\\')) {
        out.push(b'/');
    }
    let mut at = 0;
    // Where a `%` stands in `out` that begins no escape.
    let mut lone = None;
    while at < path.len() {
        let byte = path[at];
        at += 1;
        match byte {
            b'/' | b'\\' => end_segment(&mut out, true),
            b'%' => match escaped(&path[at - 1..]) {
                None => {
                    lone = Some(out.len());
                    out.push(b'%');
                }
                Some(0) => return Err(Rejected),
                Some(plain) => {
                    match is_unreserved(plain) {
                        true => {
                            out.push(plain);
                            keep_apart(&mut out, lone);
                        }
                        false => out.extend_from_slice(&path[at - 1..at + 2]),
                    }
                    at += 2;
                }
            },
            0 => return Err(Rejected),
            odd if must_be_escaped(odd) => {
                const HEX: &[u8; 16] = b"0123456789ABCDEF";
                out.extend_from_slice(&[b'%', HEX[(odd >> 4) as usize], HEX[(odd & 15) as usize]]);
            }
            plain => {
                out.push(plain);
                keep_apart(&mut out, lone);
            }
        }
    }
    end_segment(&mut out, false);
    Ok(out)
}

/// A lone `%` must not become an escape with what was decoded behind it: it is escaped itself then.
fn keep_apart(out: &mut Vec<u8>, lone: Option<usize>) {
    if let Some(at) = lone
        && at + 3 == out.len()
        && escaped(&out[at..]).is_some()
    {
        out.splice(at + 1..at + 1, *b"25");
    }
}

/// The segment at the end of `out` is complete: a dot segment (with parameters, as in `..;v=1`, it is one too) is
/// resolved, which leaves `out` ending in a slash; otherwise a slash is put after it if there was one.
fn end_segment(out: &mut Vec<u8>, slash: bool) {
    let start = out.iter().rposition(|b| *b == b'/').map_or(0, |at| at + 1);
    let segment = &out[start..];
    let without_parameters = segment.split(|b| *b == b';').next().unwrap_or(segment);
    match without_parameters {
        b"." => out.truncate(start),
        b".." => {
            let parent = out[..start.saturating_sub(1)].iter().rposition(|b| *b == b'/').map_or(1, |at| at + 1);
            out.truncate(parent.min(start));
        }
        _ if slash => out.push(b'/'),
        _ => {}
    }
}

/// Drops empty segments; keeps one slash in front and one behind where there were any.
fn merge_slashes(path: &[u8]) -> Vec<u8> {
    let mut out = vec![b'/'];
    for segment in path.split(|b| *b == b'/').filter(|s| !s.is_empty()) {
        if out.len() > 1 {
            out.push(b'/');
        }
        out.extend_from_slice(segment);
    }
    if path.ends_with(b"/") {
        out.push(b'/');
    }
    out
}

#[cfg(test)]
mod tests;
