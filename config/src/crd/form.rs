//! What a message may hold, declared: name, type and meaning of each field, and a rule over several. A form is how
//! fields are read that nothing acts on yet, so that what is wrong with them is found all the same; schemas and
//! reference pages can be made from the same declaration.

use super::reader::{Fields, Item};
use std::time::Duration;

/// A message.
pub struct Form {
    /// In the order of the reference.
    pub fields: &'static [Field],
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
    /// A text that this judges.
    Judged(fn(&Item<'_>)),
}

/// A [`Form`]: `NAME { field: Holds, "meaning"; … } => rule;`.
macro_rules! forms {
    ($($(#[$doc:meta])* $vis:vis $name:ident { $($field:literal: $holds:expr, $text:literal;)* } $(=> $rule:path)?;)*) => {$(
        $(#[$doc])*
        $vis static $name: $crate::crd::form::Form = $crate::crd::form::Form {
            fields: &[$($crate::crd::form::Field { name: $field, holds: $holds, text: $text }),*],
            rule: $crate::crd::form::forms!(@ $($rule)?),
        };
    )*};
    (@) => { None };
    (@ $rule:path) => { Some($rule) };
}

pub(super) use forms;

/// Longest span that Envoy takes.
const MAX_SPAN: Duration = Duration::from_secs(315_576_000_000);

impl Form {
    /// Reads every field, and reports what is wrong. What the form does not have is left over for
    /// [`Fields::finish`].
    pub fn check(&self, f: &mut Fields<'_>) {
        for field in self.fields {
            if let Some(item) = f.item(field.name) {
                field.holds.check(&item);
            }
        }
        if let Some(rule) = self.rule {
            rule(f);
        }
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
            Holds::Judged(judge) => judge(item),
        }
    }
}

/// `[prefix/]name` and a value, each of letters, digits, `-`, `_` and `.` between letters and digits.
fn label(key: &str, item: &Item<'_>) -> Option<()> {
    let word = |text: &str| {
        let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = text.as_bytes();
        bytes.len() <= 63 && text.bytes().all(inner) && edge(bytes.first()) && edge(bytes.last())
    };
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    if !word(name) || prefix.is_some_and(|prefix| prefix.is_empty() || prefix.len() > 253) {
        return item.invalid("is no name of a label: at most 63 letters, digits, -, _ and .");
    }
    let value = item.string()?;
    if !value.is_empty() && !word(&value) {
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
