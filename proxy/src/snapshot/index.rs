//! Every name and address in scope, found by host, address or port, in use or not.
//!
//! One entry costs two pointers besides its own value, so that thousands of services which nobody calls stay
//! cheap: short names are not stored but resolved when they are asked for.

use ipnet::IpNet;
use mesh_config::{
    model::{IndexEntry, Protocol, ServiceKey},
    name::{Namespace, Port},
};
use smallvec::SmallVec;
use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::Arc,
};

type Entries = SmallVec<[Arc<IndexEntry>; 1]>;

/// The index. Cloning copies tables of pointers; the builder does it once a change, not once a reader.
#[derive(Debug, Clone)]
pub struct Index {
    namespace: Namespace,
    suffix: Arc<str>,
    hosts: HashMap<Arc<str>, Entries>,
    wildcard_lengths: BTreeMap<usize, usize>,
    addresses: HashMap<IpAddr, Entries>,
    blocks: Vec<(IpNet, Arc<IndexEntry>)>,
    ports: BTreeMap<Port, PortUse>,
}

/// What a port number is used for.
#[derive(Debug, Clone, Default)]
pub struct PortUse {
    /// How many services declare it as HTTP.
    pub http: usize,
    /// Services that declare it as something else, or as nothing; ordered by key.
    pub others: Vec<Arc<IndexEntry>>,
}

impl Index {
    /// Empty. Short names are those of a client in `namespace`; `cluster_domain` is the suffix of Kubernetes
    /// service names (`cluster.local`).
    pub fn new(namespace: Namespace, cluster_domain: &str) -> Self {
        Index {
            namespace,
            suffix: format!(".svc.{cluster_domain}").into(),
            hosts: HashMap::new(),
            wildcard_lengths: BTreeMap::new(),
            addresses: HashMap::new(),
            blocks: Vec::new(),
            ports: BTreeMap::new(),
        }
    }

    /// Whether Kubernetes services are named under this domain here.
    pub(super) fn is_of_domain(&self, cluster_domain: &str) -> bool {
        self.suffix.strip_prefix(".svc.") == Some(cluster_domain)
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.hosts.values().map(|e| e.len()).sum()
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }

    /// All entries, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<IndexEntry>> {
        self.hosts.values().flatten()
    }

    /// The entry of this key.
    pub fn get(&self, key: &ServiceKey) -> Option<&Arc<IndexEntry>> {
        self.hosts.get(key.host.as_str())?.iter().find(|e| e.key == *key)
    }

    /// The entries whose host is this very text (a wildcard entry by its wildcard), the client's namespace first.
    pub fn by_host(&self, host: &str) -> &[Arc<IndexEntry>] {
        self.hosts.get(host).map_or(&[], |e| e.as_slice())
    }

    /// The entry that a client means by `name` (lower-case, without port): the fully qualified name, with or
    /// without trailing dot, a short form (`svc` in the own namespace, `svc.ns`, `svc.ns.svc`), a pod's name under
    /// a headless service, or an address. `wanted` says which entries come into question.
    pub fn find_exact(&self, name: &str, wanted: impl Fn(&IndexEntry) -> bool) -> Option<&Arc<IndexEntry>> {
        if let Some(entry) = self.find_named(name, &wanted) {
            return Some(entry);
        }
        if let Some(address) = address_in(name) {
            return self.at(address).find(|e| wanted(e));
        }
        let (_, parent) = name.split_once('.')?;
        self.find_named(parent, |e| e.headless && wanted(e))
    }

    fn find_named(&self, name: &str, wanted: impl Fn(&IndexEntry) -> bool) -> Option<&Arc<IndexEntry>> {
        let pick = |host: &str| self.by_host(host).iter().find(|e| wanted(e));
        let qualified = name.strip_suffix('.').unwrap_or(name);
        if name.starts_with('*') {
            return None;
        }
        pick(qualified).or_else(|| {
            if qualified.len() != name.len() {
                return None;
            }
            let mut dots = name.bytes().filter(|b| *b == b'.').count();
            if name.ends_with(".svc") {
                dots = dots.saturating_sub(1);
            }
            let domain = self.suffix.strip_prefix(".svc").unwrap_or(&self.suffix);
            match (dots, name.ends_with(".svc")) {
                (0, false) => pick(&format!("{name}.{}{}", self.namespace, self.suffix)),
                (1, false) => pick(&format!("{name}{}", self.suffix)),
                (1, true) => pick(&format!("{name}{domain}")),
                _ => None,
            }
        })
    }

    /// The entry with the longest wildcard over `name`, among those that are `wanted`.
    pub fn find_wildcard(&self, name: &str, wanted: impl Fn(&IndexEntry) -> bool) -> Option<&Arc<IndexEntry>> {
        let mut key = String::new();
        self.wildcard_lengths.keys().rev().filter(|length| **length <= name.len()).find_map(|length| {
            let suffix = name.get(name.len() - (length - 1)..)?;
            key.clear();
            key.push('*');
            key.push_str(suffix);
            self.by_host(&key).iter().find(|e| wanted(e))
        })
    }

    /// The entries of an address: those that name it, then those that hold it in a block, longest prefix first.
    pub fn at(&self, address: IpAddr) -> impl Iterator<Item = &Arc<IndexEntry>> {
        let exact = self.addresses.get(&address).into_iter().flatten();
        exact.chain(self.blocks.iter().filter(move |(net, _)| net.contains(&address)).map(|(_, e)| e))
    }

    /// What the port number is used for.
    pub fn port(&self, port: Port) -> Option<&PortUse> {
        self.ports.get(&port)
    }

    /// Every port number that some service has.
    pub fn ports(&self) -> impl Iterator<Item = (Port, &PortUse)> {
        self.ports.iter().map(|(port, used)| (*port, used))
    }

    /// Every name that a client in the own namespace may use for `host`, besides `host` itself.
    pub fn other_names(&self, host: &str) -> Vec<String> {
        let mut names = vec![format!("{host}.")];
        let Some((name, namespace)) = host.strip_suffix(&*self.suffix).and_then(|short| short.split_once('.')) else {
            return names;
        };
        if namespace == self.namespace.as_str() {
            names.push(name.to_owned());
        }
        names.push(format!("{name}.{namespace}"));
        names.push(format!("{name}.{namespace}.svc"));
        names
    }

    /// Adds an entry, or replaces the one with its key.
    pub fn insert(&mut self, entry: Arc<IndexEntry>) {
        self.remove(&entry.key);
        let host = entry.key.host.shared();
        if entry.key.host.is_wildcard() {
            *self.wildcard_lengths.entry(host.len()).or_default() += 1;
        }
        let same_host = self.hosts.entry(host).or_default();
        let own = &self.namespace;
        let rank = |e: &IndexEntry| (e.key.namespace != *own, e.key.namespace.clone());
        let position = same_host.partition_point(|e| rank(e) < rank(&entry));
        same_host.insert(position, entry.clone());
        for net in &entry.addresses {
            match single(net) {
                Some(address) => insert_by_key(self.addresses.entry(address).or_default(), &entry),
                None => {
                    let position = self.blocks.partition_point(|(other, e)| {
                        (std::cmp::Reverse(other.prefix_len()), &e.key)
                            < (std::cmp::Reverse(net.prefix_len()), &entry.key)
                    });
                    self.blocks.insert(position, (*net, entry.clone()));
                }
            }
        }
        for port in &entry.ports {
            let used = self.ports.entry(port.number).or_default();
            match port.protocol {
                p if p.is_http() => used.http += 1,
                Protocol::Udp => {}
                _ => {
                    let position = used.others.partition_point(|e| e.key < entry.key);
                    used.others.insert(position, entry.clone());
                }
            }
        }
    }

    /// Takes an entry out; `false` when there was none.
    pub fn remove(&mut self, key: &ServiceKey) -> bool {
        let Some(same_host) = self.hosts.get_mut(key.host.as_str()) else { return false };
        let Some(position) = same_host.iter().position(|e| e.key == *key) else { return false };
        let entry = same_host.remove(position);
        if same_host.is_empty() {
            self.hosts.remove(key.host.as_str());
        }
        if key.host.is_wildcard() {
            decrement(&mut self.wildcard_lengths, key.host.as_str().len());
        }
        for address in entry.addresses.iter().filter_map(single) {
            if let Some(entries) = self.addresses.get_mut(&address) {
                entries.retain(|e| e.key != *key);
                if entries.is_empty() {
                    self.addresses.remove(&address);
                }
            }
        }
        if entry.addresses.iter().any(|net| single(net).is_none()) {
            self.blocks.retain(|(_, e)| e.key != *key);
        }
        for port in &entry.ports {
            let Some(used) = self.ports.get_mut(&port.number) else { continue };
            if port.protocol.is_http() {
                used.http = used.http.saturating_sub(1);
            } else if port.protocol != Protocol::Udp {
                used.others.retain(|e| !Arc::ptr_eq(e, &entry));
            }
            if used.http == 0 && used.others.is_empty() {
                self.ports.remove(&port.number);
            }
        }
        true
    }
}

fn decrement(counts: &mut BTreeMap<usize, usize>, key: usize) {
    if let Some(count) = counts.get_mut(&key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&key);
        }
    }
}

fn insert_by_key(entries: &mut Entries, entry: &Arc<IndexEntry>) {
    let position = entries.partition_point(|e| e.key < entry.key);
    if entries.get(position).is_none_or(|e| e.key != entry.key) {
        entries.insert(position, entry.clone());
    }
}

/// The address of a block that holds just one.
pub fn single(net: &IpNet) -> Option<IpAddr> {
    (net.prefix_len() == net.max_prefix_len()).then(|| net.addr())
}

/// The address that a host is the text of; an IPv6 one is in brackets.
fn address_in(host: &str) -> Option<IpAddr> {
    host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host).parse().ok()
}

#[cfg(test)]
mod tests;
