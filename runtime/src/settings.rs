//! Boot parameters by name. A [`Reader`] takes everything it is asked for, remembers each mistake, and reports them
//! together, so that an operator mends a start-up once and not once per variable.

use mesh_config::time;
use std::{collections::BTreeMap, fmt, net::SocketAddr, str::FromStr, time::Duration};

/// Where values come from.
pub trait Source {
    /// The value under this name; an empty one counts as absent to the typed getters.
    fn get(&self, name: &str) -> Option<String>;
}

/// The process environment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Env;

impl Source for Env {
    fn get(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

/// Given values, for tests and for settings that come from elsewhere.
#[derive(Debug, Clone, Default)]
pub struct Map(BTreeMap<String, String>);

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Map {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Map(pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect())
    }
}

impl Source for Map {
    fn get(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }
}

/// A duration on a command line: in Go's form, and above zero.
///
/// # Errors
/// What is wrong with it.
pub fn duration(text: &str) -> Result<Duration, String> {
    let parsed = time::duration(text).filter(|d| !d.is_zero());
    parsed.ok_or_else(|| format!("{text:?} is not a duration above zero, such as 24h or 90s"))
}

/// An address to listen on, or `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen(pub Option<SocketAddr>);

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Listen(None)),
            _ => text.parse().map(|address| Listen(Some(address))).map_err(|_| "neither ADDRESS:PORT nor off".into()),
        }
    }
}

/// One setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The setting's name.
    pub name: String,
    /// What is wrong with it.
    pub message: String,
}

/// Everything that is wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} invalid setting(s):", self.0.len())?;
        self.0.iter().try_for_each(|p| write!(f, "\n  {}: {}", p.name, p.message))
    }
}

impl std::error::Error for Problems {}

/// Reads settings and collects what is wrong.
pub struct Reader<'a> {
    source: &'a dyn Source,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    /// Begins with no problems.
    pub fn new(source: &'a dyn Source) -> Self {
        Reader { source, problems: Vec::new() }
    }

    /// The value if given. One that does not parse is a problem and reads as absent.
    pub fn optional<T: FromStr<Err: fmt::Display>>(&mut self, name: &str) -> Option<T> {
        self.parsed(name, |text| text.parse().map_err(|e: T::Err| format!("{text:?}: {e}")))
    }

    /// The value, or `default` where it is not given.
    pub fn or<T: FromStr<Err: fmt::Display>>(&mut self, name: &str, default: T) -> T {
        self.optional(name).unwrap_or(default)
    }

    /// The value; its absence is a problem. `None` means that [`Reader::finish`] will fail.
    pub fn required<T: FromStr<Err: fmt::Display>>(&mut self, name: &str) -> Option<T> {
        if self.raw(name).is_none() {
            self.problem(name, "must be set");
        }
        self.optional(name)
    }

    /// `true`/`1`/`yes`/`on` or their opposites.
    pub fn flag(&mut self, name: &str, default: bool) -> bool {
        let read = |text: &str| match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" | "t" => Ok(true),
            "false" | "0" | "no" | "off" | "f" => Ok(false),
            _ => Err(format!("{text:?} is neither true nor false")),
        };
        self.parsed(name, read).unwrap_or(default)
    }

    /// A duration in Go's form, such as `15s`, `1m30s`, `250ms`.
    pub fn duration(&mut self, name: &str, default: Duration) -> Duration {
        let read = |text: &str| time::duration(text).ok_or_else(|| format!("{text:?} is not a duration such as 1m30s"));
        self.parsed(name, read).unwrap_or(default)
    }

    /// Comma-separated values; blanks around them and empty ones are dropped.
    pub fn list<T: FromStr<Err: fmt::Display>>(&mut self, name: &str) -> Vec<T> {
        let Some(text) = self.raw(name) else { return Vec::new() };
        let mut values = Vec::new();
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            match item.parse() {
                Ok(value) => values.push(value),
                Err(e) => self.problem(name, format!("{item:?}: {e}")),
            }
        }
        values
    }

    /// Adds a problem that the caller found, such as two settings that are mutually exclusive.
    pub fn problem(&mut self, name: &str, message: impl Into<String>) {
        self.problems.push(Problem { name: name.to_owned(), message: message.into() });
    }

    /// All problems at once.
    ///
    /// # Errors
    /// [`Problems`] when there was at least one.
    pub fn finish(self) -> Result<(), Problems> {
        if self.problems.is_empty() { Ok(()) } else { Err(Problems(self.problems)) }
    }

    fn raw(&self, name: &str) -> Option<String> {
        self.source.get(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    fn parsed<T>(&mut self, name: &str, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let text = self.raw(name)?;
        read(&text).map_err(|message| self.problem(name, message)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_problems_are_reported_together() {
        let map = Map::from_iter([("PORT", "many"), ("DRAIN", "5 parsecs"), ("IPS", "127.0.0.1,x")]);
        let mut reader = Reader::new(&map);
        assert_eq!(reader.or("PORT", 80u16), 80);
        reader.duration("DRAIN", Duration::ZERO);
        assert_eq!(reader.required::<String>("NAME"), None);
        assert_eq!(reader.list::<std::net::IpAddr>("IPS").len(), 1);
        let names: Vec<_> = reader.finish().unwrap_err().0.into_iter().map(|p| p.name).collect();
        assert_eq!(names, ["PORT", "DRAIN", "NAME", "IPS"]);
    }

    #[test]
    fn values_are_read_and_defaults_fill_in() {
        let map = Map::from_iter([("PORT", " 8080 "), ("ON", "yes"), ("EMPTY", " ")]);
        let mut reader = Reader::new(&map);
        assert_eq!((reader.or("PORT", 0u16), reader.flag("ON", false), reader.or("EMPTY", 7u8)), (8080, true, 7));
        assert_eq!(reader.finish(), Ok(()));
    }
}
