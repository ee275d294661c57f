//! What both ends of a discovery stream write into the protocol's free text: the nonce of a response, which frames
//! pushes, and the names and reasons of a refusal.

use crate::name::NameError;
use std::{fmt, str::FromStr, sync::Arc};

/// Longest text of refusals that is looked at, in bytes: some thousand names with their reasons.
const MAX_TEXT: usize = 1 << 20;
/// Longest reason that is kept, in bytes.
const MAX_REASON: usize = 1 << 10;

/// `<mesh version>/<sequence>/<responses left>`. All responses of one push have one mesh version; the one with
/// nothing left ends the push, which is then put in force as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Nonce {
    /// Version of the mesh that the push brings the client to.
    pub mesh: u64,
    /// Counts the responses of one stream, from 1.
    pub sequence: u64,
    /// How many responses of this push still follow.
    pub left: u32,
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.mesh, self.sequence, self.left)
    }
}

impl FromStr for Nonce {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let wrong = || NameError(format!("nonce {text:.60?} is not of the form MESH-VERSION/SEQUENCE/LEFT"));
        let mut numbers = text.split('/');
        let mut next = || numbers.next().ok_or_else(wrong);
        let (mesh, sequence, left) = (next()?, next()?, next()?);
        let nonce = Nonce {
            mesh: mesh.parse().map_err(|_| wrong())?,
            sequence: sequence.parse().map_err(|_| wrong())?,
            left: left.parse().map_err(|_| wrong())?,
        };
        if numbers.next().is_some() { Err(wrong()) } else { Ok(nonce) }
    }
}

/// A resource that a client does not put in force.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Refusal {
    /// Its name within its kind.
    pub name: String,
    /// Why: the field's path and what is wrong with it. What is refused for one reason shares it.
    pub reason: Arc<str>,
}

/// As it appears in `error_detail.message`: one line a resource, `name: reason`.
pub fn refusal_text(refusals: &[Refusal]) -> String {
    let line = |r: &Refusal| format!("{}: {}", r.name, r.reason.replace('\n', " "));
    refusals.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// What [`refusal_text`] wrote, of the resources that `sent` knows: one refusal each, with a reason of bounded length.
/// A text that names none of them, or is longer than any proxy writes, says nothing about single resources.
pub fn refusals_of_text(text: &str, sent: impl Fn(&str) -> bool) -> Vec<Refusal> {
    if text.len() > MAX_TEXT {
        return Vec::new();
    }
    let named = text.lines().filter_map(|line| line.split_once(": ")).filter(|(name, _)| sent(name));
    let mut refusals: Vec<Refusal> =
        named.map(|(name, reason)| Refusal { name: name.to_owned(), reason: reason_of(reason) }).collect();
    refusals.sort_by(|a, b| a.name.cmp(&b.name));
    refusals.dedup_by(|later, first| later.name == first.name);
    refusals
}

/// A reason as it is kept.
pub fn reason_of(text: &str) -> Arc<str> {
    match text.len() {
        0..=MAX_REASON => text.into(),
        length => format!("{}… ({length} bytes)", &text[..text.floor_char_boundary(MAX_REASON)]).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_read_as_written_and_nothing_else_is() {
        let nonce = Nonce { mesh: 7, sequence: 12, left: 3 };
        assert_eq!((nonce.to_string().as_str(), "7/12/3".parse()), ("7/12/3", Ok(nonce)));
        for wrong in ["", "1/2", "1/2/3/4", "a/2/3", "1/2/-1"] {
            assert!(wrong.parse::<Nonce>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_a_peer_says_is_bounded_by_what_it_was_sent() {
        let long = "é".repeat(MAX_REASON);
        let text = format!("shop/a: {long}\nshop/a: again\nnobody: x\n{}", "shop/b: y\n".repeat(1000));
        let read = refusals_of_text(&text, |name| name.starts_with("shop/"));
        assert_eq!(read.iter().map(|r| &*r.name).collect::<Vec<_>>(), ["shop/a", "shop/b"]);
        assert_eq!(&*read[0].reason, format!("{}… (2048 bytes)", "é".repeat(MAX_REASON / 2)));
        let endless = format!("shop/a: {}", "x".repeat(MAX_TEXT));
        assert_eq!(refusals_of_text(&endless, |_| true), []);
        assert!(reason_of(&endless).len() < MAX_REASON + 40);
    }

    #[test]
    fn refusals_survive_names_with_colons_and_reasons_with_lines() {
        let refusals = [
            Refusal { name: "shop/cart/80/fd00::1".into(), reason: "endpoint.weight: is\n0".into() },
            Refusal { name: "shop/b".into(), reason: "x".into() },
        ];
        let read = refusals_of_text(&refusal_text(&refusals), |_| true);
        let read: Vec<_> = [1, 0].into_iter().map(|at| read[at].clone()).collect();
        assert_eq!(read[0], Refusal { reason: "endpoint.weight: is 0".into(), ..refusals[0].clone() });
        assert_eq!(read[1], refusals[1]);
        assert_eq!(refusals_of_text("all of it is wrong", |_| true), []);
    }
}
