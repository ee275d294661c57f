//! Single values: texts, numbers, truth values, times, hosts.

use super::Item;
use crate::crd::node::Value;
use crate::name::{Host, Port};
use std::{sync::Arc, time::Duration};

/// A number or a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IntOrString {
    /// A number, also one written as text.
    Int(u32),
    /// A name.
    String(Arc<str>),
}

impl<'a> Item<'a> {
    /// A text.
    pub fn string(&self) -> Option<Arc<str>> {
        match &self.node.value {
            Value::String(text) => Some(text.as_str().into()),
            Value::Bool(_) | Value::Int(_) | Value::Float(_) => {
                self.invalid(format!("must be a string, not {}: put it in quotes", self.node.describe()))
            }
            _ => self.invalid(format!("must be a string, not {}", self.node.describe())),
        }
    }

    /// A text that is not empty.
    pub fn non_empty(&self) -> Option<Arc<str>> {
        let text = self.string()?;
        if text.is_empty() { self.invalid("must not be empty") } else { Some(text) }
    }

    /// A truth value.
    pub fn bool(&self) -> Option<bool> {
        match &self.node.value {
            Value::Bool(value) => Some(*value),
            Value::String(text) => match text.as_str() {
                "true" | "yes" | "on" | "Yes" | "On" => Some(true),
                "false" | "no" | "off" | "No" | "Off" => Some(false),
                _ => self.invalid(format!("must be true or false, not {text:?}")),
            },
            _ => self.invalid(format!("must be true or false, not {}", self.node.describe())),
        }
    }

    /// A whole number.
    pub fn i64(&self) -> Option<i64> {
        let number = match &self.node.value {
            Value::Int(number) => Some(*number),
            // Exact below 2^53, and nothing here counts so far.
            Value::Float(f) if f.fract() == 0.0 && f.abs() < 9e15 => Some(*f as i64),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        number.or_else(|| self.invalid(format!("must be a whole number, not {}", self.shown())))
    }

    /// A whole number from 0 to 2^32-1.
    pub fn u32(&self) -> Option<u32> {
        let number = self.i64()?;
        u32::try_from(number).ok().or_else(|| self.invalid(format!("{number} is not within 0 to {}", u32::MAX)))
    }

    /// A number, whole or not.
    pub fn f64(&self) -> Option<f64> {
        let number = match &self.node.value {
            Value::Int(number) => Some(*number as f64),
            Value::Float(number) => Some(*number),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        number.filter(|n| n.is_finite()).or_else(|| self.invalid(format!("must be a number, not {}", self.shown())))
    }

    /// A port, 1 to 65535.
    pub fn port(&self) -> Option<Port> {
        let number = self.u32()?;
        Port::try_from(number).map_err(|e| self.invalid::<()>(e.to_string())).ok()
    }

    /// A number or a text.
    pub fn int_or_string(&self) -> Option<IntOrString> {
        match &self.node.value {
            Value::String(text) => Some(match text.parse() {
                Ok(number) => IntOrString::Int(number),
                Err(_) => IntOrString::String(text.as_str().into()),
            }),
            _ => self.u32().map(IntOrString::Int),
        }
    }

    /// A time span as Go writes it.
    pub fn duration(&self) -> Option<Duration> {
        let text = match &self.node.value {
            Value::String(text) => text.clone(),
            Value::Int(0) => return Some(Duration::ZERO),
            _ => return self.invalid(format!("must be a duration such as \"1.5s\", not {}", self.shown())),
        };
        parse_duration(&text)
            .or_else(|| self.invalid(format!("{text:?} is not a duration such as \"1.5s\", \"100ms\" or \"1h30m\"")))
    }

    /// One of these words.
    pub fn enum_of<T: Clone>(&self, values: &[(&str, T)]) -> Option<T> {
        let text = self.string()?;
        let hit = values.iter().find(|(name, _)| *name == &*text).map(|(_, value)| value.clone());
        hit.or_else(|| {
            let names: Vec<_> = values.iter().map(|(name, _)| *name).collect();
            self.invalid(format!("{text:?} is not one of {}", names.join(", ")))
        })
    }

    /// A host name or wildcard, as written.
    pub fn host(&self) -> Option<Host> {
        let text = self.string()?;
        text.parse().map_err(|e: crate::name::NameError| self.invalid::<()>(e.to_string())).ok()
    }

    /// Anything that parses from text.
    pub fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(&self) -> Option<T> {
        let text = self.string()?;
        text.parse().map_err(|e: T::Err| self.invalid::<()>(format!("{text:?}: {e}"))).ok()
    }

    fn shown(&self) -> String {
        match &self.node.value {
            Value::String(text) => format!("{text:.40?}"),
            Value::Float(number) => number.to_string(),
            _ => self.node.describe().to_owned(),
        }
    }
}

/// A time span as Go's `time.Duration` reads it, without a sign: numbers with units `h`, `m`, `s`, `ms`, `us`
/// (`µs`), `ns` one after the other, or `0`. `None` when it is not one, or longer than 292 years.
pub fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut nanos: u64 = 0;
    while !rest.is_empty() || nanos == 0 && text.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (digits, tail) = rest.split_at(number);
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let scale: u64 = match unit {
            "h" => 3_600_000_000_000,
            "m" => 60_000_000_000,
            "s" => 1_000_000_000,
            "ms" => 1_000_000,
            "us" | "µs" | "μs" => 1_000,
            "ns" => 1,
            _ => return None,
        };
        nanos = nanos.checked_add(scaled(digits, scale)?).filter(|n| i64::try_from(*n).is_ok())?;
        rest = tail;
        if rest.is_empty() {
            return Some(Duration::from_nanos(nanos));
        }
    }
    None
}

/// `digits`, maybe with a fraction, times `scale`.
fn scaled(digits: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut part = 0;
    let mut unit = scale;
    for digit in fraction.bytes() {
        unit /= 10;
        part += u64::from(digit - b'0') * unit;
    }
    whole.checked_mul(scale)?.checked_add(part)
}
