//! Names of things, parsed once and then trusted: hosts, ports, namespaced names.
//!
//! A [`Host`] is lower-case and may carry a leading wildcard (`*.example.com`, `*`); everything that compares
//! hosts goes through it, so that case and trailing dots cannot make two spellings of one name differ.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

/// A text was not a name of the wanted kind. The message says what is wrong and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NameError(pub String);

/// A host name: fully qualified, short, an IP address in text form, or a wildcard (`*` or `*.suffix`).
/// Lower-case; at most 253 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Host(Arc<str>);

impl Host {
    /// The text of the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Shares the text.
    pub fn shared(&self) -> Arc<str> {
        self.0.clone()
    }

    /// `*` or `*.suffix`.
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with('*')
    }

    /// Whether `self` covers every name that `other` covers: equal names, a wildcard over an exact name,
    /// or a shorter wildcard over a longer one. `*` covers all; a wildcard stands for at least one byte.
    pub fn covers(&self, other: &Host) -> bool {
        match self.0.strip_prefix('*') {
            None => self == other,
            Some("") => true,
            Some(suffix) => match other.0.strip_prefix('*') {
                Some(tail) => tail.ends_with(suffix),
                None => other.0.len() > suffix.len() && other.0.ends_with(suffix),
            },
        }
    }

    /// Whether the two have any name in common.
    pub fn overlaps(&self, other: &Host) -> bool {
        self.covers(other) || other.covers(self)
    }

    /// Order of specificity for "most specific wins": exact before wildcard, longer before shorter.
    pub fn specificity(&self) -> (bool, usize) {
        (!self.is_wildcard(), self.0.len())
    }
}

impl FromStr for Host {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError("a host must not be empty".into()));
        }
        if text.len() > 253 {
            return Err(NameError(format!("host {text:.40}… is longer than 253 bytes")));
        }
        if text.bytes().any(|b| b <= b' ' || b >= 0x7f || b == b'/') {
            return Err(NameError(format!("host {text:?} contains a space, slash or non-ASCII byte")));
        }
        if text[1..].contains('*') {
            return Err(NameError(format!(
                "host {text:?}: a wildcard is only allowed as the first label, as in *.example.com"
            )));
        }
        Ok(Host(text.to_ascii_lowercase().into()))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for Host {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// A TCP port, 1 to 65535.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Port(std::num::NonZeroU16);

impl Port {
    /// `None` for 0.
    pub fn new(number: u16) -> Option<Self> {
        std::num::NonZeroU16::new(number).map(Port)
    }

    /// The number.
    pub fn get(self) -> u16 {
        self.0.get()
    }
}

impl TryFrom<u32> for Port {
    type Error = NameError;

    fn try_from(number: u32) -> Result<Self, NameError> {
        u16::try_from(number)
            .ok()
            .and_then(Port::new)
            .ok_or_else(|| NameError(format!("port {number} is not within 1 to 65535")))
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A Kubernetes namespace.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Namespace(Arc<str>);

impl Namespace {
    /// The text of the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Namespace {
    fn from(text: &str) -> Self {
        Namespace(text.into())
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for Namespace {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// `namespace/name` of an object.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NamespacedName {
    /// The object's namespace.
    pub namespace: Namespace,
    /// The object's name.
    pub name: Arc<str>,
}

impl NamespacedName {
    /// From its two halves, taken as they are.
    pub fn new(namespace: &str, name: &str) -> Self {
        NamespacedName { namespace: namespace.into(), name: name.into() }
    }
}

impl FromStr for NamespacedName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.split_once('/') {
            Some((ns, name)) if !ns.is_empty() && !name.is_empty() => Ok(NamespacedName::new(ns, name)),
            _ => Err(NameError(format!("{text:?} is not of the form namespace/name"))),
        }
    }
}

impl fmt::Display for NamespacedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Host {
        text.parse().unwrap()
    }

    #[test]
    fn wildcards_cover_what_they_should() {
        for (wide, narrow, want) in [
            ("*", "a.b", true),
            ("*.b", "a.b", true),
            ("*.b", "b", false),
            ("*.b", ".b", false),
            ("*.b", "*.a.b", true),
            ("*.a.b", "*.b", false),
            ("a.b", "a.b", true),
            ("a.b", "*.b", false),
            ("*.b", "*.b", true),
        ] {
            assert_eq!(host(wide).covers(&host(narrow)), want, "{wide} over {narrow}");
        }
    }

    #[test]
    fn hosts_are_lower_case_and_checked() {
        assert_eq!(host("A.Example").as_str(), "a.example");
        for bad in ["", "a b", "a.*.b", "a/b", "é"] {
            assert!(bad.parse::<Host>().is_err(), "{bad:?}");
        }
    }
}
