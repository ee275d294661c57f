//! YAML as a tree that knows where in the text each key and value stands.

use anyhow::{Result, bail};
use granit_parser::{Event, Parser, Span, StrInput};
use mesh_config::crd::node::MAX_DEPTH;
use std::ops::Range;

/// A value, and its bytes in the text.
#[derive(Debug)]
pub(super) struct Node {
    /// From its first byte to behind its last.
    pub(super) range: Range<usize>,
    /// Line, counted from 1.
    pub(super) line: usize,
    /// Whether others may refer to it.
    pub(super) anchored: bool,
    pub(super) value: Value,
}

#[derive(Debug)]
pub(super) enum Value {
    /// Its content.
    Scalar(String),
    Seq(Vec<Node>),
    /// Keys are scalars; others are left out.
    Map(Vec<(Node, Node)>),
    /// What stands elsewhere.
    Alias,
}

impl Node {
    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|(_, value)| value)
    }

    /// Key and value.
    pub(super) fn entry(&self, key: &str) -> Option<&(Node, Node)> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|(k, _)| k.text() == Some(key)),
            _ => None,
        }
    }

    /// The content of a scalar.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(text) => Some(text),
            _ => None,
        }
    }
}

/// The documents of a text that have content.
pub(super) fn read(text: &str) -> Result<Vec<Node>> {
    let mut reader = Reader { events: Parser::new_from_str(text) };
    let mut documents = Vec::new();
    while let Some((event, span)) = reader.next()? {
        match event {
            Event::StreamEnd => break,
            Event::Scalar(..) | Event::SequenceStart(..) | Event::MappingStart(..) | Event::Alias(_) => {
                documents.push(reader.node(&event, span, 0)?);
            }
            _ => {}
        }
    }
    Ok(documents)
}

struct Reader<'t> {
    events: Parser<'t, StrInput<'t>>,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<Option<(Event<'t>, Span)>> {
        loop {
            return match self.events.next_event() {
                None => Ok(None),
                Some(Ok((Event::Comment(..) | Event::Anchor(..), _))) => continue,
                Some(Ok(pair)) => Ok(Some(pair)),
                Some(Err(error)) => bail!("line {}: {}", error.marker().line(), error.info()),
            };
        }
    }

    fn some(&mut self) -> Result<(Event<'t>, Span)> {
        match self.next()? {
            Some(pair) => Ok(pair),
            None => bail!("the text ends within a value"),
        }
    }

    fn node(&mut self, event: &Event<'t>, span: Span, depth: usize) -> Result<Node> {
        if depth > MAX_DEPTH {
            bail!("line {}: nested more than {MAX_DEPTH} levels deep", span.start.line());
        }
        let start = offset(span, |span| span.start)?;
        let mut end = offset(span, |span| span.end)?;
        let (value, anchor) = match event {
            Event::Scalar(text, _, anchor, _) => (Value::Scalar(text.to_string()), *anchor),
            Event::Alias(_) => (Value::Alias, 0),
            Event::SequenceStart(_, anchor, _) => {
                let mut items = Vec::new();
                loop {
                    let (event, span) = self.some()?;
                    if matches!(event, Event::SequenceEnd) {
                        end = closed(end, items.last(), offset(span, |span| span.end)?, span);
                        break (Value::Seq(items), *anchor);
                    }
                    items.push(self.node(&event, span, depth + 1)?);
                }
            }
            Event::MappingStart(_, anchor, _) => {
                let mut entries: Vec<(Node, Node)> = Vec::new();
                loop {
                    let (event, span) = self.some()?;
                    if matches!(event, Event::MappingEnd) {
                        end = closed(end, entries.last().map(|(_, value)| value), offset(span, |span| span.end)?, span);
                        break (Value::Map(entries), *anchor);
                    }
                    let key = self.node(&event, span, depth + 1)?;
                    let (event, span) = self.some()?;
                    let value = self.node(&event, span, depth + 1)?;
                    entries.push((key, value));
                }
            }
            other => bail!("line {}: unexpected {other:?}", span.start.line()),
        };
        Ok(Node { range: start..end.max(start), line: span.start.line(), anchored: anchor != 0, value })
    }
}

/// Where a collection ends: at its bracket, or in block style, whose end event stands where the next thing begins, with its
/// last entry.
fn closed(own: usize, last: Option<&Node>, event_end: usize, span: Span) -> usize {
    let has_bracket = span.start.byte_offset() != span.end.byte_offset();
    match last {
        _ if has_bracket => event_end,
        Some(last) => last.range.end,
        None => own,
    }
}

fn offset(span: Span, of: impl Fn(Span) -> granit_parser::Marker) -> Result<usize> {
    match of(span).byte_offset() {
        Some(offset) => Ok(offset),
        None => bail!("the place of a value in the text is not known"),
    }
}
