//! Single values: texts, numbers, truth values, times, hosts.

use super::Item;
use crate::crd::node::Value;
use crate::name::{Host, Port};
use crate::time;

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
        time::duration(&text)
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
