//! From which version to which one may go: one minor version up or down, within a major one. More is for who says `--force`,
//! because nobody has tried it. Pure.

use std::fmt;

/// A version by its numbers; what follows them (`-rc.1`) counts for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    major: u64,
    minor: u64,
    patch: u64,
}

/// What stands against going from one version to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Against {
    /// What is installed says no version.
    Unknown,
    /// Several minor versions, or a major one, at once.
    TooFarUp,
    TooFarDown,
}

impl Version {
    /// Of text such as `1.2.3` or `1.2.3-rc.1`.
    pub(crate) fn read(text: &str) -> Option<Version> {
        let numbers = text.split(['-', '+']).next()?;
        let mut parts = numbers.split('.').map(str::parse::<u64>);
        let mut next = || parts.next()?.ok();
        Some(Version { major: next()?, minor: next()?, patch: next().unwrap_or(0) })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// What stands against it, if anything does.
pub(crate) fn against(from: &str, to: Version) -> Option<Against> {
    let Some(from) = Version::read(from) else { return Some(Against::Unknown) };
    let is_near = from.major == to.major && from.minor.abs_diff(to.minor) <= 1;
    match (is_near, from < to) {
        (true, _) => None,
        (false, true) => Some(Against::TooFarUp),
        (false, false) => Some(Against::TooFarDown),
    }
}

impl fmt::Display for Against {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Against::Unknown => "it does not say which version it is (label app.kubernetes.io/version)",
            Against::TooFarUp => {
                "these are several versions at once: upgrade by each minor version in turn, with its own meshctl"
            }
            Against::TooFarDown => "that is more than one minor version back",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_minor_version_up_or_down_may_be_gone_and_no_more() {
        for (from, to, want) in [
            ("1.2.3", "1.2.3", None),
            ("1.2.3", "1.2.9", None),
            ("1.2.9", "1.2.3", None),
            ("1.2.3", "1.3.0", None),
            ("1.3.0", "1.2.3", None),
            ("1.2.3-rc.1", "1.3.0-dev", None),
            ("1.2", "1.3.0", None),
            ("1.2.3", "1.4.0", Some(Against::TooFarUp)),
            ("1.4.0", "1.2.3", Some(Against::TooFarDown)),
            ("1.9.0", "2.0.0", Some(Against::TooFarUp)),
            ("2.0.0", "1.9.0", Some(Against::TooFarDown)),
            ("", "1.0.0", Some(Against::Unknown)),
            ("latest", "1.0.0", Some(Against::Unknown)),
        ] {
            assert_eq!(against(from, Version::read(to).unwrap()), want, "{from} to {to}");
        }
    }
}
