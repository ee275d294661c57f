//! What is asked about the root that signs for a mesh in a cluster, and how far it is: annotations of one Secret, which
//! `meshctl` and every pilot know. What is secret stands in the Secret's data, which only pilot reads.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// The Secret, in pilot's namespace.
pub const SECRET: &str = "ferromesh-root-rotation";
/// Its type: that of a root, so that pilot does not read it as one of the user's Secrets.
pub const TYPE: &str = "istio.io/ca-root";
/// The annotation with the [`Request`].
pub const REQUEST: &str = "ferromesh.io/root-request";
/// The annotation with the [`State`], in JSON.
pub const STATE: &str = "ferromesh.io/root-state";

/// Longest id of a request, in bytes.
const MAX_ID: usize = 64;

/// Something to be done about the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Another root in the place of the one that signs, with an overlap.
    Rotate,
    /// The root that signs stays.
    Abort,
    /// Another root in the place of one that has ended.
    Recover,
}

/// A wish, told from others like it: each is carried out once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What.
    pub wish: Wish,
    /// Different from that of every other: letters, digits and dashes.
    pub id: String,
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wish = match self.wish {
            Wish::Rotate => "rotate",
            Wish::Abort => "abort",
            Wish::Recover => "recover",
        };
        write!(f, "{wish} {}", self.id)
    }
}

/// What is written is no request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it is not rotate, abort or recover with an id of letters, digits and dashes")]
pub struct NoRequest;

impl FromStr for Request {
    type Err = NoRequest;

    fn from_str(text: &str) -> Result<Self, NoRequest> {
        let (wish, id) = text.split_once(' ').ok_or(NoRequest)?;
        let wish = match wish {
            "rotate" => Wish::Rotate,
            "abort" => Wish::Abort,
            "recover" => Wish::Recover,
            _ => return Err(NoRequest),
        };
        let is_id = !id.is_empty() && id.len() <= MAX_ID && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if is_id { Ok(Request { wish, id: id.to_owned() }) } else { Err(NoRequest) }
    }
}

/// How far it is. What an older pilot has not written has its default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct State {
    /// The [`Request::id`] that was answered last.
    pub handled: String,
    /// What came of it, for people.
    pub said: String,
    /// Whether another root waits to sign.
    pub phase: Phase,
    /// When the phase began, in seconds since 1970.
    pub since: u64,
    /// Roots of what signed before and that are trusted still.
    pub past: Vec<Past>,
}

/// Whether another root waits to sign.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// None does.
    #[default]
    Idle,
    /// It is trusted, and everybody is to know it before it signs.
    Announcing,
    /// Everybody knows it: it takes the place of the one that signs.
    Switching,
}

/// Roots of what signed before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// In PEM.
    pub roots: String,
    /// Trusted until then, in seconds since 1970: the last certificate that they vouch for has ended.
    pub until: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_as_it_is_written_and_nothing_else_is_one() {
        for wish in [Wish::Rotate, Wish::Abort, Wish::Recover] {
            let request = Request { wish, id: "1a-2".to_owned() };
            assert_eq!(request.to_string().parse(), Ok(request));
        }
        for text in
            ["", "rotate", "rotate ", "rotate a b", "begin 1", "rotate ä", &format!("rotate {}", "1".repeat(65))]
        {
            assert_eq!(text.parse::<Request>(), Err(NoRequest), "{text}");
        }
    }

    #[test]
    fn what_is_not_written_of_a_state_has_its_default() {
        let state: State = serde_json::from_str("{\"phase\": \"announcing\"}").unwrap();
        assert_eq!(state, State { phase: Phase::Announcing, ..State::default() });
        assert!(serde_json::from_str::<State>("{\"phase\": \"later\"}").is_err());
    }
}
