//! What an API server answers: events of a watch, one a line, and pages of a list.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use kube::client::Body;
use mesh_config::crd::node::{FromServer, Node};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, SeqAccess, Visitor},
};
use std::{fmt, time::Duration};

/// Longest event that is read, in bytes; an API server stores no object above half of it.
pub(super) const MAX_EVENT: usize = 4 << 20;
/// Longest page of a list, in bytes.
const MAX_PAGE: usize = 256 << 20;
/// Longest answer that says why there is none.
const MAX_STATUS: usize = 64 << 10;

/// Why there is nothing to read, or no more.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// The state from which to go on is forgotten.
    #[error("the API server has forgotten what it was asked to go on from")]
    Gone,
    /// Nothing is served there.
    #[error("the API server does not serve it")]
    Missing,
    /// It does not understand the question.
    #[error("the API server refuses the request: {0}")]
    Refused(String),
    /// It understands, and does not allow it.
    #[error("the API server forbids it: {0}; grant pilot's service account get, list and watch")]
    Forbidden(String),
    /// It has another trouble, or cannot be reached.
    #[error("the API server cannot be asked: {0}")]
    Failed(String),
    /// It said something that is no answer.
    #[error("the API server's answer cannot be read: {0}")]
    Unreadable(String),
    /// Nothing came for too long.
    #[error("the API server has said nothing for {0:?}")]
    Silent(Duration),
}

impl Trouble {
    /// Of an answer that is not what was asked for.
    pub(super) async fn of(status: http::StatusCode, body: Body) -> Trouble {
        let said = collect(body, MAX_STATUS).await.ok();
        let said: Option<Status> = said.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Trouble::of_code(status.as_u16(), said.and_then(|status| status.message).unwrap_or_default())
    }

    fn of_code(code: u16, said: String) -> Trouble {
        let message = format!("{said:.500} (status {code})");
        match code {
            410 => Trouble::Gone,
            404 => Trouble::Missing,
            400 | 405 | 406 | 415 | 422 => Trouble::Refused(message),
            401 | 403 => Trouble::Forbidden(message),
            _ => Trouble::Failed(message),
        }
    }
}

/// An answer of the API server about itself.
#[derive(Deserialize)]
struct Status {
    message: Option<String>,
    code: Option<u16>,
}

/// Something that happened to an object.
pub(super) enum Event {
    /// It is there, and like this.
    Is(Node),
    /// It is gone, or is none of those any more that are wanted.
    Gone(Node),
    /// Nothing; the objects are known up to here.
    Bookmark {
        version: String,
        /// All that was there at the start of the watch has been sent.
        all_sent: bool,
    },
}

/// Reads a line of a watch.
///
/// # Errors
/// When it is no event, and what the API server says in its place.
pub(super) fn event(line: &[u8]) -> Result<Event, Trouble> {
    let Line { r#type, object: FromServer(object) } = serde_json::from_slice(line).map_err(unreadable)?;
    match &*r#type {
        "ADDED" | "MODIFIED" => Ok(Event::Is(object)),
        "DELETED" => Ok(Event::Gone(object)),
        "BOOKMARK" => {
            let ended = object.get("metadata").and_then(|metadata| metadata.get("annotations"));
            let all_sent = ended.and_then(|all| all.get("k8s.io/initial-events-end")).and_then(Node::as_str);
            let version = version(&object).ok_or_else(|| Trouble::Unreadable("a bookmark of nothing".to_owned()))?;
            Ok(Event::Bookmark { version, all_sent: all_sent == Some("true") })
        }
        "ERROR" => {
            let status: Option<Status> = serde_json::to_value(&object).and_then(serde_json::from_value).ok();
            let (code, said) = status.map_or((0, None), |status| (status.code.unwrap_or(0), status.message));
            Err(Trouble::of_code(code, said.unwrap_or_default()))
        }
        other => Err(Trouble::Unreadable(format!("an event of type {other:.20?}"))),
    }
}

#[derive(Deserialize)]
struct Line {
    r#type: String,
    object: FromServer,
}

/// The state of the API server in which it had the object.
pub(super) fn version(object: &Node) -> Option<String> {
    object.get("metadata")?.get("resourceVersion")?.as_str().map(str::to_owned)
}

/// What a page of a list says besides its objects.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// The state of the API server that it shows.
    pub(super) version: String,
    /// There are more after this mark.
    pub(super) after: Option<String>,
}

/// Reads a page of a list, object by object: their trees would be large all together.
///
/// # Errors
/// When it is no list.
pub(super) fn page(text: &[u8], each: &mut dyn FnMut(Node)) -> Result<Page, Trouble> {
    let mut from = serde_json::Deserializer::from_slice(text);
    let metadata = ListSeed { each }.deserialize(&mut from).map_err(unreadable)?.unwrap_or_default();
    let version = metadata.resource_version.filter(|version| !version.is_empty());
    let version = version.ok_or_else(|| Trouble::Unreadable("a list without a version".to_owned()))?;
    Ok(Page { version, after: metadata.r#continue.filter(|after| !after.is_empty()) })
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListMetadata {
    resource_version: Option<String>,
    r#continue: Option<String>,
}

struct ListSeed<'f> {
    each: &'f mut dyn FnMut(Node),
}

impl<'de> DeserializeSeed<'de> for ListSeed<'_> {
    type Value = Option<ListMetadata>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ListSeed<'_> {
    type Value = Option<ListMetadata>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
        let mut metadata = None;
        while let Some(key) = from.next_key::<String>()? {
            match &*key {
                "metadata" => metadata = Some(from.next_value()?),
                "items" => from.next_value_seed(Items { each: &mut *self.each })?,
                _ => {
                    from.next_value::<serde::de::IgnoredAny>()?;
                }
            }
        }
        Ok(metadata)
    }
}

struct Items<'f> {
    each: &'f mut dyn FnMut(Node),
}

impl<'de> DeserializeSeed<'de> for Items<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Items<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("objects")
    }

    // An empty list may be `null`.
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<(), A::Error> {
        while let Some(FromServer(object)) = from.next_element()? {
            (self.each)(object);
        }
        Ok(())
    }
}

// The text may be a Secret's: of what is wrong with it only the place is told.
fn unreadable(error: serde_json::Error) -> Trouble {
    let kind = match error.classify() {
        serde_json::error::Category::Eof => "it ends early",
        serde_json::error::Category::Syntax => "it is no JSON",
        serde_json::error::Category::Data => "it is not of the form that was asked for",
        serde_json::error::Category::Io => "it cannot be had",
    };
    Trouble::Unreadable(format!("{kind} (column {})", error.column()))
}

/// A whole page.
///
/// # Errors
/// When it breaks off or is too long.
pub(super) async fn page_text(body: Body) -> Result<Bytes, Trouble> {
    collect(body, MAX_PAGE).await
}

async fn collect(mut body: Body, most: usize) -> Result<Bytes, Trouble> {
    let mut text = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Trouble::Failed(error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        if text.len() + data.len() > most {
            return Err(Trouble::Unreadable(format!("it is longer than {most} bytes")));
        }
        text.extend_from_slice(&data);
    }
    Ok(text.freeze())
}

/// The lines of a watch.
pub(super) struct Lines {
    body: Body,
    buffer: BytesMut,
    /// So much of the buffer has no end of a line.
    searched: usize,
    /// What comes belongs to a line that is too long.
    skipping: bool,
}

/// A line, without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Text {
    Whole(Bytes),
    /// Longer than [`MAX_EVENT`].
    TooLong,
}

impl Lines {
    pub(super) fn of(body: Body) -> Self {
        Lines { body, buffer: BytesMut::new(), searched: 0, skipping: false }
    }

    /// The next line; `None` after the last one.
    ///
    /// # Errors
    /// When the connection breaks off.
    pub(super) async fn next(&mut self) -> Result<Option<Text>, Trouble> {
        loop {
            if let Some(text) = self.received() {
                return Ok(Some(text));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
                Some(Err(error)) => return Err(Trouble::Failed(error.to_string())),
                None => return Ok(None),
            }
        }
    }

    /// The next line, when it is here already.
    pub(super) fn received(&mut self) -> Option<Text> {
        loop {
            let Some(end) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') else {
                self.searched = self.buffer.len();
                if self.skipping || self.buffer.len() > MAX_EVENT {
                    self.skipping = true;
                    self.buffer.clear();
                    self.searched = 0;
                }
                return None;
            };
            let line = self.buffer.split_to(self.searched + end + 1).freeze();
            self.searched = 0;
            if std::mem::take(&mut self.skipping) || line.len() > MAX_EVENT {
                return Some(Text::TooLong);
            }
            let line = line.slice(..line.len() - 1);
            if !line.trim_ascii().is_empty() {
                return Some(Text::Whole(line));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(object: &Node) -> &str {
        object.get("metadata").and_then(|m| m.get("name")).and_then(Node::as_str).unwrap_or_default()
    }

    #[test]
    fn a_page_is_read_object_by_object() {
        let mut names = Vec::new();
        let text = br#"{"items":[{"metadata":{"name":"a"}},{"metadata":{"name":"b"}}],"kind":"PodList",
                        "metadata":{"resourceVersion":"7","continue":"x","remainingItemCount":2}}"#;
        let read = page(text, &mut |object| names.push(name(&object).to_owned())).unwrap();
        assert_eq!(
            (read, names),
            (Page { version: "7".into(), after: Some("x".into()) }, vec!["a".into(), "b".into()])
        );
        let empty = page(br#"{"metadata":{"resourceVersion":"7","continue":""},"items":null}"#, &mut |_| panic!());
        assert_eq!(empty.unwrap(), Page { version: "7".into(), after: None });
        for bad in [&b"{\"items\":[]}"[..], b"[]", b"{\"metadata\":{\"resourceVersion\":\"7\"},\"items\":[{}"] {
            assert!(matches!(page(bad, &mut |_| {}), Err(Trouble::Unreadable(_))));
        }
    }

    #[test]
    fn events_are_told_apart() {
        let is = event(br#"{"type":"MODIFIED","object":{"metadata":{"name":"a","resourceVersion":"3"}}}"#);
        let Ok(Event::Is(object)) = is else { panic!() };
        assert_eq!((name(&object), version(&object).as_deref()), ("a", Some("3")));
        assert!(matches!(event(br#"{"type":"DELETED","object":{}}"#), Ok(Event::Gone(_))));
        let bookmark = |annotations: &str| {
            let line = format!(
                r#"{{"type":"BOOKMARK","object":{{"metadata":{{"resourceVersion":"9","annotations":{annotations}}}}}}}"#
            );
            match event(line.as_bytes()) {
                Ok(Event::Bookmark { version, all_sent }) => (version, all_sent),
                _ => panic!(),
            }
        };
        assert_eq!(bookmark("{}"), ("9".to_owned(), false));
        assert_eq!(bookmark(r#"{"k8s.io/initial-events-end":"true"}"#), ("9".to_owned(), true));
        let error = |code: u16| event(format!(r#"{{"type":"ERROR","object":{{"code":{code}}}}}"#).as_bytes()).err();
        assert!(matches!(error(410), Some(Trouble::Gone)));
        assert!(matches!(error(500), Some(Trouble::Failed(_))));
        assert!(matches!(event(br#"{"type":"OTHER","object":{}}"#), Err(Trouble::Unreadable(_))));
    }

    #[test]
    fn a_secret_is_not_in_what_is_said_of_a_broken_line() {
        let broken = event(br#"{"type":"ADDED","object":{"data":{"tls.key":"c2VjcmV0"}"#).err().unwrap();
        assert_eq!(broken.to_string(), "the API server's answer cannot be read: it ends early (column 55)");
    }

    #[tokio::test]
    async fn lines_are_cut_and_one_that_is_too_long_is_left_out() {
        let long = "x".repeat(MAX_EVENT + 1);
        let mut lines = Lines::of(Body::from(format!("a\n\nb\n{long}\nc\nrest").into_bytes()));
        let whole = |text: &'static str| Some(Text::Whole(Bytes::from_static(text.as_bytes())));
        assert_eq!(lines.next().await.unwrap(), whole("a"));
        assert_eq!(lines.received(), whole("b"));
        assert_eq!(lines.received(), Some(Text::TooLong));
        assert_eq!(lines.received(), whole("c"));
        assert_eq!(lines.received(), None);
        assert_eq!(lines.next().await.unwrap(), None);
    }
}
