//! YAML text (JSON is YAML here) as trees that remember their lines and columns.
//!
//! A text may hold many documents; one that is broken is reported and does not take the others with it. Input is
//! bounded: [`MAX_TEXT`], [`MAX_DOCUMENTS`], [`MAX_DEPTH`], [`MAX_NODES`] (aliases count for what they stand for).

mod json;
mod packed;

pub use json::FromServer;
pub use packed::{Digest, Packed};

use granit_parser::{Event, Marker, Options, Parser, ScalarStyle, Span, Tag};
use serde::{Serialize, Serializer};
use std::collections::{HashMap, HashSet};

/// Largest text that is read, in bytes.
pub const MAX_TEXT: usize = 16 << 20;
/// Deepest nesting of maps and lists.
pub const MAX_DEPTH: usize = 64;
/// Most documents with content in one text.
pub const MAX_DOCUMENTS: usize = 100_000;
/// Most nodes in one text, aliases expanded.
pub const MAX_NODES: usize = 2_000_000;

/// A value and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Line in the text, counted from 1. A map's value that begins on a later line than its key is at its key.
    pub line: u32,
    /// Column in characters, counted from 1; 0: not known.
    pub column: u16,
    /// Column of the key that it stands at, on the same line; 0: it stands at none, or not known.
    pub key: u16,
    /// What is there.
    pub value: Value,
}

/// A line and a column, both counted from 1; 0: not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Line.
    pub line: u32,
    /// Column in characters.
    pub column: u32,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`, `~`, or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// Text.
    String(String),
    /// A list.
    Seq(Vec<Node>),
    /// A map, in the order of the text; keys are unique.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// A value that stands in no column that is known.
    pub fn new(line: u32, value: Value) -> Self {
        Node { line, column: 0, key: 0, value }
    }

    /// Where it begins.
    pub fn place(&self) -> Place {
        Place { line: self.line, column: self.column.into() }
    }

    /// Where its key begins; where it does itself, when it stands at none.
    pub fn key_place(&self) -> Place {
        let column = if self.key == 0 { self.column } else { self.key };
        Place { line: self.line, column: column.into() }
    }

    /// The value of a key, when this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|(k, _)| k == key).map(|(_, v)| v),
            _ => None,
        }
    }

    /// The text, when this is one.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// What kind of value it is, in words for a message.
    pub fn describe(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Int(_) => "a number",
            Value::Float(_) => "a fraction",
            Value::String(_) => "a text",
            Value::Seq(_) => "a list",
            Value::Map(_) => "a map",
        }
    }
}

/// As the JSON that it is, without its places.
impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.value {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(it) => it.serialize(serializer),
            Value::Int(it) => it.serialize(serializer),
            Value::Float(it) => it.serialize(serializer),
            Value::String(it) => it.serialize(serializer),
            Value::Seq(items) => serializer.collect_seq(items),
            Value::Map(entries) => serializer.collect_map(entries.iter().map(|(key, value)| (key, value))),
        }
    }
}

/// One document of a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Place among the documents of the text, counted from 0, empty and broken ones included.
    pub number: u32,
    /// First line of its content.
    pub line: u32,
    /// Its content.
    pub node: Node,
}

/// A document that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {}, column {}: {reason}", place.line, place.column)]
pub struct Broken {
    /// Where reading stopped.
    pub place: Place,
    /// Why.
    pub reason: String,
}

/// Reads every document. Documents without content are left out.
pub fn read(text: &str) -> Vec<Result<Document, Broken>> {
    if text.len() > MAX_TEXT {
        let reason = format!("the file is {} bytes long; at most {MAX_TEXT} bytes are read", text.len());
        return vec![Err(Broken { place: Place { line: 1, column: 1 }, reason })];
    }
    let mut options = Options::default();
    options.emit_comments = false;
    let mut reader = Reader { events: Parser::new_from_str_with_options(text, options), budget: MAX_NODES };
    let mut documents = Vec::new();
    let mut number = 0;
    loop {
        match reader.document(number) {
            Ok(Step::End) => return documents,
            Ok(Step::Empty) => {}
            Ok(Step::Document(document)) if documents.len() == MAX_DOCUMENTS => {
                let reason = format!("more than {MAX_DOCUMENTS} documents in one file; split it");
                documents.push(Err(Broken { place: document.node.place(), reason }));
                return documents;
            }
            Ok(Step::Document(document)) => documents.push(Ok(document)),
            Err(broken) => {
                documents.push(Err(broken));
                // A spent budget ends the text: what follows would not be read either.
                if reader.budget == 0
                    || documents.len() > MAX_DOCUMENTS
                    || !matches!(reader.events.proceed_next_document(), Ok(true))
                {
                    return documents;
                }
            }
        }
        number += 1;
    }
}

enum Step {
    Document(Document),
    Empty,
    End,
}

struct Reader<'t> {
    events: Parser<'t, granit_parser::StrInput<'t>>,
    budget: usize,
}

/// An anchored node and how many nodes it holds.
type Anchors = HashMap<usize, (Node, usize)>;

impl<'t> Reader<'t> {
    fn document(&mut self, number: u32) -> Result<Step, Broken> {
        let mut anchors = Anchors::new();
        loop {
            let Some((event, span)) = self.next()? else { return Ok(Step::End) };
            match event {
                Event::StreamEnd => return Ok(Step::End),
                Event::StreamStart | Event::DocumentStart(..) | Event::Anchor(..) | Event::Comment(..) => {}
                Event::DocumentEnd => return Ok(Step::Empty),
                content => {
                    let (node, _) = self.node(content, span, 0, &mut anchors)?;
                    while let Some((event, _)) = self.next()? {
                        if matches!(event, Event::DocumentEnd) {
                            break;
                        }
                    }
                    return Ok(match node.value {
                        Value::Null => Step::Empty,
                        _ => Step::Document(Document { number, line: node.line, node }),
                    });
                }
            }
        }
    }

    fn next(&mut self) -> Result<Option<(Event<'t>, Span)>, Broken> {
        match self.events.next_event() {
            None => Ok(None),
            Some(Ok(pair)) => Ok(Some(pair)),
            Some(Err(e)) => {
                let reason = match e.info() {
                    // The parser's own bound, which it may meet before ours.
                    info if info.contains("recursion limit") => too_deep(),
                    info => info,
                };
                Err(Broken { place: place(*e.marker()), reason })
            }
        }
    }

    /// The node that begins with `event`, and how many nodes it holds.
    fn node(
        &mut self,
        event: Event<'t>,
        span: Span,
        depth: usize,
        anchors: &mut Anchors,
    ) -> Result<(Node, usize), Broken> {
        let at = place(span.start);
        let broken = |reason: String| Broken { place: at, reason };
        if depth > MAX_DEPTH {
            return Err(broken(too_deep()));
        }
        let (value, anchor, size) = match event {
            Event::Scalar(text, style, anchor, tag) => (scalar(&text, style, tag.as_deref()), anchor, 1),
            Event::SequenceStart(_, anchor, _) => {
                let (items, size) = self.list(depth, anchors)?;
                (Value::Seq(items), anchor, size)
            }
            Event::MappingStart(_, anchor, _) => {
                let (entries, size) = self.map(depth, anchors)?;
                (Value::Map(entries), anchor, size)
            }
            Event::Alias(id) => {
                let (mut node, size) = anchors
                    .get(&id)
                    .cloned()
                    .ok_or_else(|| broken("an alias refers to a node that contains it".into()))?;
                (node.line, node.column, node.key) = (at.line, narrow(at.column), 0);
                self.spend(size, at)?;
                return Ok((node, size));
            }
            other => return Err(broken(format!("unexpected {other:?}"))),
        };
        self.spend(1, at)?;
        let node = Node { line: at.line, column: narrow(at.column), key: 0, value };
        if anchor != 0 {
            // The copy is paid for here, each use of it again where it is used.
            self.spend(size, at)?;
            anchors.insert(anchor, (node.clone(), size));
        }
        Ok((node, size))
    }

    fn list(&mut self, depth: usize, anchors: &mut Anchors) -> Result<(Vec<Node>, usize), Broken> {
        let (mut items, mut size) = (Vec::new(), 1);
        while let Some((event, span)) = self.next()? {
            match event {
                Event::SequenceEnd => break,
                Event::Comment(..) | Event::Anchor(..) => {}
                event => {
                    let (node, n) = self.node(event, span, depth + 1, anchors)?;
                    size += n;
                    items.push(node);
                }
            }
        }
        Ok((items, size))
    }

    fn map(&mut self, depth: usize, anchors: &mut Anchors) -> Result<(Vec<(String, Node)>, usize), Broken> {
        let mut entries = Vec::new();
        let mut places = HashSet::new();
        let (mut merged, mut size) = (Vec::new(), 1);
        let mut key: Option<(String, Place)> = None;
        while let Some((event, span)) = self.next()? {
            match (event, key.take()) {
                (Event::Comment(..) | Event::Anchor(..), waiting) => key = waiting,
                (Event::MappingEnd, _) => break,
                (Event::Scalar(text, style, _, _), None) => {
                    let at = place(span.start);
                    if !places.insert(text.to_string()) {
                        return Err(Broken { place: at, reason: format!("duplicate key {text:?} in a map") });
                    }
                    key = Some((text.into_owned(), at));
                    if style != ScalarStyle::Plain && key.as_ref().is_some_and(|(k, _)| k == "<<") {
                        return Err(Broken { place: at, reason: "\"<<\" is not a field name".into() });
                    }
                }
                (_, None) => {
                    let at = place(span.start);
                    return Err(Broken { place: at, reason: "a map's key must be a plain string".into() });
                }
                (event, Some((key, at))) => {
                    let (mut node, n) = self.node(event, span, depth + 1, anchors)?;
                    size += n;
                    if node.value == Value::Null || node.line != at.line {
                        (node.line, node.column) = (at.line, narrow(at.column));
                    }
                    node.key = narrow(at.column);
                    match key == "<<" {
                        true => merged.push(node),
                        false => entries.push((key, node)),
                    }
                }
            }
        }
        for node in merged {
            merge(&mut entries, &mut places, node)?;
        }
        Ok((entries, size))
    }

    fn spend(&mut self, nodes: usize, place: Place) -> Result<(), Broken> {
        match self.budget.checked_sub(nodes) {
            Some(left) => self.budget = left,
            None => {
                self.budget = 0;
                let reason = format!("more than {MAX_NODES} values in one file, counting what aliases expand to");
                return Err(Broken { place, reason });
            }
        }
        Ok(())
    }
}

/// `<<`: entries that the map does not have itself.
fn merge(entries: &mut Vec<(String, Node)>, places: &mut HashSet<String>, from: Node) -> Result<(), Broken> {
    match from.value {
        Value::Map(more) => {
            for (key, node) in more {
                if places.insert(key.clone()) {
                    entries.push((key, node));
                }
            }
            Ok(())
        }
        Value::Seq(maps) => maps.into_iter().try_for_each(|map| merge(entries, places, map)),
        _ => Err(Broken { place: from.place(), reason: "<< needs a map, or a list of maps".into() }),
    }
}

/// A scalar by YAML's core rules; anything quoted, or tagged `!!str`, is text.
fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Value {
    if style != ScalarStyle::Plain || tag.is_some_and(|t| t.is_yaml_core_schema_tag("str")) {
        return Value::String(text.to_owned());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    number(text).unwrap_or_else(|| Value::String(text.to_owned()))
}

fn number(text: &str) -> Option<Value> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if let Some(hex) = text.strip_prefix("0x") {
        return i64::from_str_radix(hex, 16).ok().map(Value::Int);
    }
    if let Some(octal) = text.strip_prefix("0o") {
        return i64::from_str_radix(octal, 8).ok().map(Value::Int);
    }
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') || !digits.contains(|c: char| c.is_ascii_digit()) {
        return None;
    }
    if digits.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().map(Value::Int).or_else(|_| text.parse().map(Value::Float)).ok();
    }
    let float = digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'-' | b'+'));
    float.then(|| text.parse().map(Value::Float).ok()).flatten()
}

fn too_deep() -> String {
    format!("nested more than {MAX_DEPTH} levels deep")
}

fn place(marker: Marker) -> Place {
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Place { line: number(marker.line()), column: number(marker.col()).saturating_add(1) }
}

/// Columns further out than a person would count are not kept.
fn narrow(column: u32) -> u16 {
    u16::try_from(column).unwrap_or(0)
}

#[cfg(test)]
mod tests;
