//! Virtual hosts by name: exact, else the longest wildcard, else `*`.

use super::VirtualHost;
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

/// The virtual hosts of one listener port. The first to claim a name keeps it.
#[derive(Debug, Clone, Default)]
pub struct HostTable {
    exact: HashMap<Arc<str>, Arc<VirtualHost>>,
    /// By what stands behind the `*`.
    suffixes: HashMap<Arc<str>, Arc<VirtualHost>>,
    lengths: BTreeSet<usize>,
    any: Option<Arc<VirtualHost>>,
    all: Vec<Arc<VirtualHost>>,
}

impl HostTable {
    /// From virtual hosts in order of their claim.
    pub fn new(hosts: impl IntoIterator<Item = Arc<VirtualHost>>) -> Self {
        let mut table = HostTable { all: hosts.into_iter().collect(), ..HostTable::default() };
        let all = table.all.clone();
        let depth = all.iter().map(|h| h.domains.len()).max().unwrap_or_default();
        // First every host's own name, then other names: a short name never takes another's full one.
        for position in 0..depth {
            for host in &all {
                if let Some(domain) = host.domains.get(position) {
                    table.claim(domain, host);
                }
            }
        }
        table
    }

    /// Whether both are made of the very same virtual hosts.
    pub(in crate::snapshot) fn same(&self, other: &HostTable) -> bool {
        self.all.len() == other.all.len() && self.all.iter().zip(&other.all).all(|(a, b)| Arc::ptr_eq(a, b))
    }

    fn claim(&mut self, domain: &Arc<str>, host: &Arc<VirtualHost>) {
        match domain.strip_prefix('*') {
            None => drop(self.exact.entry(domain.clone()).or_insert_with(|| host.clone())),
            Some("") => drop(self.any.get_or_insert_with(|| host.clone())),
            Some(suffix) => {
                self.lengths.insert(suffix.len());
                self.suffixes.entry(suffix.into()).or_insert_with(|| host.clone());
            }
        }
    }

    /// The virtual host that claims this domain, a name or a wildcard as it was given.
    pub fn claimed(&self, domain: &str) -> Option<&Arc<VirtualHost>> {
        match domain.strip_prefix('*') {
            None => self.exact.get(domain),
            Some("") => self.any.as_ref(),
            Some(suffix) => self.suffixes.get(suffix),
        }
    }

    /// The virtual host that claims this very name (lower-case, without port).
    pub fn exact(&self, name: &str) -> Option<&Arc<VirtualHost>> {
        self.exact.get(name)
    }

    /// The virtual host with the longest wildcard over `name`, and the length of what stands behind its `*`.
    /// `*` stands for at least one byte.
    pub fn wildcard(&self, name: &str) -> Option<(&Arc<VirtualHost>, usize)> {
        self.lengths
            .iter()
            .rev()
            .filter(|length| **length < name.len())
            .find_map(|length| Some((self.suffixes.get(name.get(name.len() - length..)?)?, *length)))
            .or_else(|| self.any.as_ref().map(|host| (host, 0)))
    }

    /// The virtual host for `name`.
    pub fn find(&self, name: &str) -> Option<&Arc<VirtualHost>> {
        self.exact(name).or_else(|| self.wildcard(name).map(|(host, _)| host))
    }

    /// All of them, in order of their claim.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<VirtualHost>> {
        self.all.iter()
    }
}
