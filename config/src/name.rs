//! Names of things, parsed once and then trusted: hosts, ports, namespaced names.
//!
//! A [`Host`] is lower-case and may carry a leading wildcard (`*.example.com`, `*`); everything that compares
//! hosts goes through it, so that case and trailing dots cannot make two spellings of one name differ.

use std::{
    borrow::{Borrow, Cow},
    fmt,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
    sync::Arc,
};

/// Namespaces of the cluster itself, whose pods are never of the mesh.
pub const SYSTEM_NAMESPACES: [&str; 4] = ["kube-system", "kube-public", "kube-node-lease", "local-path-storage"];

/// The name of an object of a control plane: that of a revision has `-REVISION` behind it.
pub fn of_revision(name: &str, revision: &str) -> String {
    match revision {
        "" | "default" => name.to_owned(),
        revision => format!("{name}-{revision}"),
    }
}

/// A text was not a name of the wanted kind. The message says what is wrong and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NameError(pub String);

/// A host name: fully qualified, short, an IP address, or a wildcard (`*` or `*.suffix`). Lower-case; at most 253
/// bytes. An address has one spelling: the shortest, without the brackets that it wears in an authority.
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
        if let Some(address) = address(text) {
            return Ok(Host(address.to_string().into()));
        }
        if text.contains(['[', ']']) {
            return Err(NameError(format!("host {text:?}: brackets are for IPv6 addresses, as in [2001:db8::1]")));
        }
        Ok(Host(text.to_ascii_lowercase().into()))
    }
}

/// The address that a host is, with or without brackets if it is of version 6.
fn address(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inner) => inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => host.parse().ok(),
    }
}

/// Host and port of an authority (RFC 3986, 3.2). The port is what stands after the last colon, if it is digits and the
/// colon is none of an IPv6 address; one that is no port number is cut off all the same. The host keeps its brackets.
pub fn split_authority(authority: &str) -> (&str, Option<Port>) {
    let Some((host, digits)) = authority.rsplit_once(':') else { return (authority, None) };
    let inside_an_address = host.contains(':') && !host.ends_with(']');
    if inside_an_address || digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return (authority, None);
    }
    (host, digits.parse().ok().and_then(Port::new))
}

/// The host of an authority, spelled as a [`Host`] is, so that the two can be compared.
pub fn host_of_authority(authority: &str) -> Cow<'_, str> {
    let (host, _) = split_authority(authority);
    if host.contains(':')
        && let Some(address) = address(host)
    {
        return Cow::Owned(address.to_string());
    }
    match host.bytes().any(|b| b.is_ascii_uppercase()) {
        true => Cow::Owned(host.to_ascii_lowercase()),
        false => Cow::Borrowed(host),
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

impl From<Arc<str>> for Namespace {
    fn from(text: Arc<str>) -> Self {
        Namespace(text)
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

    #[test]
    fn an_address_is_one_host_however_it_is_spelled() {
        for text in ["2001:db8::10", "2001:DB8:0::10", "[2001:db8::10]", "[2001:0DB8::0010]"] {
            assert_eq!(text.parse::<Host>().unwrap().as_str(), "2001:db8::10", "{text}");
        }
        assert_eq!("192.0.2.1".parse::<Host>().unwrap().as_str(), "192.0.2.1");
        for wrong in ["[192.0.2.1]", "[a.example]", "[::1", "::1]"] {
            assert!(wrong.parse::<Host>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_host_of_an_authority_is_spelled_as_a_host() {
        for (authority, host, port) in [
            ("A.example:8080", "a.example", Some(8080)),
            ("a.example", "a.example", None),
            ("a.example:", "a.example:", None),
            ("a.example:99999", "a.example", None),
            ("192.0.2.1:80", "192.0.2.1", Some(80)),
            ("[2001:DB8::10]:8080", "2001:db8::10", Some(8080)),
            ("[2001:db8::10]", "2001:db8::10", None),
            ("2001:db8::10", "2001:db8::10", None),
            ("::1", "::1", None),
        ] {
            assert_eq!(host_of_authority(authority), host, "{authority}");
            assert_eq!(split_authority(authority).1.map(Port::get), port, "{authority}");
        }
        assert_eq!(split_authority("[::1]:80").0, "[::1]");
    }
}
