//! Values by host, found by "which hosts cover this name" and "which names does this wildcard cover" without
//! looking at all of them.

use mesh_config::name::Host;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

/// Values that stand under exact hosts and wildcards.
#[derive(Debug, Clone)]
pub(crate) struct ByHost<T> {
    at: HashMap<Host, Vec<T>>,
    /// Lengths of the suffixes of the wildcards, so that only these are tried.
    suffix_lengths: BTreeSet<usize>,
    /// Hosts spelled backwards: those that end alike stand together.
    backwards: BTreeMap<Arc<[u8]>, Host>,
}

impl<T> Default for ByHost<T> {
    fn default() -> Self {
        ByHost { at: HashMap::new(), suffix_lengths: BTreeSet::new(), backwards: BTreeMap::new() }
    }
}

impl<T> ByHost<T> {
    /// One more value under a host.
    pub(crate) fn insert(&mut self, host: &Host, value: T) {
        if host.is_wildcard() {
            self.suffix_lengths.insert(host.as_str().len() - 1);
        }
        let values = self.at.entry(host.clone()).or_default();
        if values.is_empty() {
            self.backwards.insert(backwards(host.as_str()), host.clone());
        }
        values.push(value);
    }

    /// Puts the values under each host in order.
    pub(crate) fn sort_by_key<K: Ord>(&mut self, key: impl Fn(&T) -> K) {
        for values in self.at.values_mut() {
            values.sort_by_key(&key);
        }
    }

    /// The values under this very host.
    pub(crate) fn at(&self, host: &Host) -> &[T] {
        self.at.get(host).map_or(&[], Vec::as_slice)
    }

    /// Every host with its values, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Host, &[T])> {
        self.at.iter().map(|(host, values)| (host, values.as_slice()))
    }

    /// Hosts that cover `name`, the most specific first: itself, then ever shorter wildcards.
    pub(crate) fn covering<'a>(&'a self, name: &'a Host) -> impl Iterator<Item = (&'a Host, &'a [T])> + Clone {
        let itself = self.at.get_key_value(name).into_iter();
        let text = name.as_str();
        let wildcards = self.suffix_lengths.iter().rev().filter_map(move |&length| {
            // A wildcard stands for at least one byte; a longer wildcard has its own `*` to spare.
            let start = text.len().checked_sub(length)?;
            if start == 0 || !text.is_char_boundary(start) {
                return None;
            }
            let wildcard: String = ["*", &text[start..]].concat();
            self.at.get_key_value(wildcard.as_str())
        });
        let wildcards = wildcards.filter(move |(host, _)| *host != name);
        itself.chain(wildcards).map(|(host, values)| (host, values.as_slice()))
    }

    /// Hosts that `host` covers: itself when it is exact, else every name and wildcard under it.
    pub(crate) fn covered_by<'a>(&'a self, host: &'a Host) -> impl Iterator<Item = (&'a Host, &'a [T])> {
        let prefix = backwards(host.as_str().strip_prefix('*').unwrap_or(host.as_str()));
        self.backwards
            .range(prefix.clone()..)
            .take_while(move |(text, _)| text.starts_with(&prefix))
            .map(|(_, found)| found)
            .filter(move |found| host.covers(found))
            .map(|found| (found, self.at(found)))
    }
}

fn backwards(text: &str) -> Arc<[u8]> {
    text.bytes().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Host {
        text.parse().unwrap()
    }

    const HOSTS: [&str; 9] = ["*", "*.b", "*.a.b", "a.b", "x.a.b", "b", "*b", "c", "*.c"];

    fn all() -> ByHost<usize> {
        let mut by_host = ByHost::default();
        for (i, text) in HOSTS.iter().enumerate() {
            by_host.insert(&host(text), i);
        }
        by_host
    }

    #[test]
    fn covering_is_what_comparing_with_each_says_most_specific_first() {
        let by_host = all();
        for name in HOSTS.map(host).into_iter().chain(["y.x.a.b", "zb", "none"].map(host)) {
            let got: Vec<&Host> = by_host.covering(&name).map(|(h, _)| h).collect();
            let mut want: Vec<Host> = HOSTS.map(host).into_iter().filter(|h| h.covers(&name)).collect();
            want.sort_by_key(|h| std::cmp::Reverse(h.specificity()));
            assert_eq!(got, want.iter().collect::<Vec<_>>(), "{name}");
        }
    }

    #[test]
    fn covered_by_is_what_comparing_with_each_says() {
        let by_host = all();
        for wide in HOSTS.map(host) {
            let mut got: Vec<&Host> = by_host.covered_by(&wide).map(|(h, _)| h).collect();
            got.sort();
            let mut want: Vec<Host> = HOSTS.map(host).into_iter().filter(|h| wide.covers(h)).collect();
            want.sort();
            assert_eq!(got, want.iter().collect::<Vec<_>>(), "{wide}");
        }
    }
}
