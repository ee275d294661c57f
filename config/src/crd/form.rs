//! What a message may hold, declared: name, type and meaning of each field, what else is said of it, and rules over
//! several. Schemas and reference pages are made from this, and fields that nothing acts on yet are read by it, so that
//! what is wrong with them is found all the same.

mod bounds;

use super::reader::{Fields, Item};
use std::time::Duration;

/// A message.
pub struct Form {
    /// In the order of the reference.
    pub fields: &'static [Field],
    /// What an API server is told about several fields.
    pub together: &'static [Fact],
    /// What fields must be together, or beyond their types.
    pub rule: Option<fn(&mut Fields<'_>)>,
}

/// A field of a message.
pub struct Field {
    /// As it is written.
    pub name: &'static str,
    /// What it may hold.
    pub holds: Holds,
    /// What it means, for people.
    pub text: &'static str,
    /// What else is said of it.
    pub facts: &'static [Fact],
}

/// What is said of a field beside its type, or of a message's fields together. Where nothing else is said, it is for the
/// schema that an API server has, which is often wider than what validation takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fact {
    /// The message is none without the field, for validation and for API servers.
    Required,
    /// What holds without it, for people.
    Default(&'static str),
    /// It is read, and has no effect yet: what happens instead, or nothing more to say. Beneath such a field nothing has
    /// an effect.
    Inert(&'static str),
    /// It acts on pods when they are injected, and changes nothing of what proxies are told.
    Injected,
    /// A whole number of 32 bits with a sign, without bounds.
    Signed,
    /// `null` may be written for it, which says nothing.
    Nullable,
    /// It is in the schema, and validation refuses it: it never had an effect.
    Forbidden,
    /// Least number.
    Least(i64),
    /// Greatest number.
    Most(i64),
    /// Fewest characters of a text.
    LeastLength(u32),
    /// Most characters of a text.
    MostLength(u32),
    /// Regular expression that a text must match.
    Pattern(&'static str),
    /// Fewest entries of a list or a map.
    LeastEntries(u32),
    /// Most entries of a list or a map.
    MostEntries(u32),
    /// Facts about each entry of a list, or each value of a map.
    Each(&'static [Fact]),
    /// A list's entries differ in this field.
    KeyedBy(&'static str),
    /// A list's entries differ.
    Distinct,
    /// Of a message: validation holds to what API servers are told of the types and sizes of its fields.
    Strict,
    /// An expression in CEL that must hold, and the message when it does not.
    Rule(&'static str, &'static str),
    /// Of these fields of a message at most one may be set.
    OneOf(&'static [&'static str]),
}

/// What API servers are told about most time spans.
pub const WHOLE_SPAN: Fact =
    Fact::Rule("duration(self) >= duration('1ms')", "must be a valid duration greater than 1ms");

impl Field {
    /// Whether its message is none without it.
    pub fn is_required(&self) -> bool {
        self.facts.contains(&Fact::Required)
    }

    /// What happens instead of an effect, if it has none yet.
    pub fn inert(&self) -> Option<&'static str> {
        self.facts.iter().find_map(|fact| match fact {
            Fact::Inert(instead) => Some(*instead),
            _ => None,
        })
    }

    /// Whether it acts on pods when they are injected, and there alone.
    pub fn is_injected(&self) -> bool {
        self.facts.contains(&Fact::Injected)
    }

    /// The value, where proxies are told nothing of it and it is there: judged, and said to be without an effect if it is.
    fn read_inert<'a>(&self, f: &mut Fields<'a>) -> Option<Item<'a>> {
        if self.is_injected() {
            let item = f.item(self.name)?;
            self.holds.check(&item);
            return Some(item);
        }
        let instead = self.inert()?;
        let item = f.item(self.name)?;
        item.leniently(|item| self.holds.check(item));
        item.not_acted_on(instead);
        Some(item)
    }
}

/// What a field may hold.
#[derive(Clone, Copy)]
pub enum Holds {
    /// A text.
    Text,
    /// A text that is not empty.
    Filled,
    /// A truth value.
    Bool,
    /// A whole number within these bounds.
    Whole(i64, i64),
    /// A number within these bounds.
    Number(f64, f64),
    /// A port, 1 to 65535.
    Port,
    /// A time span of at least a millisecond and of whole milliseconds, as Envoy counts.
    Span,
    /// A time span that may be zero.
    SpanOrZero,
    /// One of these words.
    Word(&'static [&'static str]),
    /// Labels, as Kubernetes takes them.
    Labels,
    /// A list of these.
    List(&'static Holds),
    /// Values under free keys.
    Map(&'static Holds),
    /// A message.
    Of(&'static Form),
    /// Whatever is a map; its content is for somebody else.
    Struct,
    /// A whole number or a text.
    IntOrString,
    /// Any value; it is for somebody else.
    Any,
    /// A text that this judges.
    Judged(fn(&Item<'_>)),
}

/// A [`Form`]: `NAME { field: Holds, "meaning", Fact, …; … } with [Fact, …] => rule;`.
macro_rules! forms {
    ($(
        $(#[$doc:meta])*
        $vis:vis $name:ident { $($field:literal: $holds:expr, $text:literal $(, $fact:expr)*;)* }
        $(with [$($together:expr),* $(,)?])? $(=> $rule:path)?;
    )*) => {$(
        $(#[$doc])*
        $vis static $name: $crate::crd::form::Form = $crate::crd::form::Form {
            fields: &[$($crate::crd::form::Field { name: $field, holds: $holds, text: $text, facts: &[$($fact),*] }),*],
            together: &[$($($together),*)?],
            rule: $crate::crd::form::forms!(@ $($rule)?),
        };
    )*};
    (@) => { None };
    (@ $rule:path) => { Some($rule) };
}

pub(super) use forms;

/// A field's name as protobuf has it: `exportTo` is `export_to`.
pub fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

/// Longest span that Envoy takes.
const MAX_SPAN: Duration = Duration::from_secs(315_576_000_000);

impl Form {
    /// Reads every field, and reports what is wrong. What the form does not have is left over for
    /// [`Fields::finish`].
    pub fn check(&self, f: &mut Fields<'_>) {
        let is_strict = self.together.contains(&Fact::Strict);
        for field in self.fields {
            let item = if field.is_required() { f.required(field.name) } else { f.item(field.name) };
            if let Some(item) = item {
                field.holds.check(&item);
                if is_strict {
                    bounds::check(field.holds, field.facts, &item);
                }
            }
        }
        if let Some(rule) = self.rule {
            rule(f);
        }
    }

    /// Reads the fields that have no effect yet, and says so of each; what is wrong with them is refused when it is
    /// written, and leaves the object in force.
    pub fn read_inert(&self, f: &mut Fields<'_>) {
        self.fields.iter().for_each(|field| drop(field.read_inert(f)));
    }

    /// As [`Self::read_inert`], for some of the fields. Whether one of them is there.
    pub fn read_inert_of(&self, f: &mut Fields<'_>, names: &[&str]) -> bool {
        let named = self.fields.iter().filter(|field| names.contains(&field.name));
        // Each is read, also after the first that is there.
        named.filter_map(|field| field.read_inert(f)).count() > 0
    }

    /// Reads a value that must be such a message.
    pub fn check_in(&self, item: &Item<'_>) {
        item.object(|f| {
            self.check(f);
            Some(())
        });
    }
}

impl Holds {
    /// Reads a value that must be so.
    pub fn check(self, item: &Item<'_>) {
        match self {
            Holds::Text => drop(item.string()),
            Holds::Filled => drop(item.non_empty()),
            Holds::Bool => drop(item.bool()),
            Holds::Whole(least, most) => {
                if let Some(number) = item.i64().filter(|n| !(least..=most).contains(n)) {
                    item.invalid::<()>(format!("{number} is not within {least} to {most}"));
                }
            }
            Holds::Number(least, most) => {
                if let Some(number) = item.f64().filter(|n| !(least..=most).contains(n)) {
                    item.invalid::<()>(format!("{number} is not within {least} to {most}"));
                }
            }
            Holds::Port => drop(item.port()),
            Holds::Span => drop(item.duration().and_then(|span| span_of(item, span))),
            Holds::SpanOrZero => drop(item.duration()),
            Holds::Word(words) => {
                let values: Vec<(&str, ())> = words.iter().map(|word| (*word, ())).collect();
                item.enum_of(&values);
            }
            Holds::Labels => drop(item.map(|key, item| label(key, &item))),
            Holds::List(of) => drop(item.list(|item| checked(*of, &item))),
            Holds::Map(of) => drop(item.map(|key, item| match key {
                "" => item.invalid("has no name"),
                _ => checked(*of, &item),
            })),
            Holds::Of(form) => form.check_in(item),
            Holds::Struct => drop(item.map(|_, _| None::<()>)),
            Holds::IntOrString => drop(item.int_or_string()),
            Holds::Any => {}
            Holds::Judged(judge) => judge(item),
        }
    }
}

/// A header's name of the kind that some objects are restricted to.
pub(super) fn plain_header(item: &Item<'_>) {
    let is_plain = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if item.non_empty().is_some_and(|name| !is_plain(&name)) {
        item.invalid::<()>("a header's name has letters, digits, - and _ alone");
    }
}

/// Whether a text is a label's name without its prefix, or a label's value that is not empty.
pub(super) fn is_label_word(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= 63 && text.bytes().all(inner) && edge(bytes.first()) && edge(bytes.last())
}

/// `[prefix/]name` and a value, each of letters, digits, `-`, `_` and `.` between letters and digits.
fn label(key: &str, item: &Item<'_>) -> Option<()> {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    if !is_label_word(name) || prefix.is_some_and(|prefix| prefix.is_empty() || prefix.len() > 253) {
        return item.invalid("is no name of a label: at most 63 letters, digits, -, _ and .");
    }
    let value = item.string()?;
    if !value.is_empty() && !is_label_word(&value) {
        return item.invalid("is no value of a label: at most 63 letters, digits, -, _ and .");
    }
    None
}

/// An entry that was read for what is wrong with it alone.
fn checked(holds: Holds, item: &Item<'_>) -> Option<()> {
    holds.check(item);
    None
}

/// Whether Envoy can count a span: it does so in milliseconds.
pub(crate) fn is_of_whole_millis(span: Duration) -> bool {
    span.subsec_nanos().is_multiple_of(1_000_000)
}

/// A span as Envoy counts them.
fn span_of(item: &Item<'_>, span: Duration) -> Option<Duration> {
    if !is_of_whole_millis(span) {
        return item.invalid("must be of whole milliseconds");
    }
    if span.is_zero() {
        return item.invalid("must be at least 1ms");
    }
    if span > MAX_SPAN {
        return item.invalid("is longer than ten thousand years");
    }
    Some(span)
}
