//! One cluster as a worker sees it: who may be picked now, and how a connection to the one picked is had.

use super::{
    Upstreams,
    acquire::idle_timeout,
    balance::Picker,
    endpoint::{Host, Member},
    pool::Slots,
    shared::ClusterShared,
};
use crate::{
    conn::PeerAddress,
    error::Error,
    limit::{Active, Gauge, Held, Retries, budget},
    snapshot::{
        Snapshot,
        cluster::{Cluster, ClusterKey, EndpointSet},
        workloads::Callee,
    },
};
use mesh_config::model::{
    Endpoint, Workload,
    destination::{LoadBalancer, UpstreamTls},
    endpoint::{EndpointAddress, Health},
    service::Resolution,
    sidecar::IngressEndpoint,
};
use smallvec::SmallVec;
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    rc::Rc,
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// See the module.
pub struct WorkerCluster {
    pub(super) shared: Arc<ClusterShared>,
    pub(super) slots: Rc<Slots>,
    pub(super) now: RefCell<Now>,
    /// Destinations of passthrough clusters.
    pub(super) dialled: RefCell<HashMap<PeerAddress, Rc<Host>>>,
    /// Grows with each change of TLS settings: older connections are not used again.
    pub(super) generation: Cell<u32>,
    pub(super) last_used: Cell<Instant>,
}

/// What the members were made from, and they.
pub(super) struct Now {
    pub(super) cluster: Arc<Cluster>,
    endpoints: Arc<EndpointSet>,
    names: u64,
    pub(super) members: Rc<Members>,
}

pub(super) struct Members {
    pub(super) list: Vec<Member>,
    picker: Picker,
    /// Names of endpoints that have not been resolved yet.
    unresolved: bool,
    named: bool,
}

impl WorkerCluster {
    pub(super) fn new(cluster: &Arc<Cluster>, upstreams: &Upstreams, now: Instant) -> Rc<Self> {
        let endpoints = cluster.endpoints.load_full();
        let made = WorkerCluster {
            shared: upstreams.shared.cluster(&cluster.key),
            slots: Rc::default(),
            now: RefCell::new(Now { cluster: cluster.clone(), endpoints, names: 0, members: Rc::new(Members::none()) }),
            dialled: RefCell::default(),
            generation: Cell::new(0),
            last_used: Cell::new(now),
        };
        made.rebuild(upstreams);
        Rc::new(made)
    }

    /// Brings the members up to date: a few comparisons when nothing changed. `false`: this is another cluster.
    pub(super) fn refresh(&self, cluster: &Arc<Cluster>, upstreams: &Upstreams) -> bool {
        {
            let now = self.now.borrow();
            let same_cluster = Arc::ptr_eq(&now.cluster, cluster);
            if !same_cluster && now.cluster.key != cluster.key {
                return false;
            }
            let same_endpoints = Arc::ptr_eq(&now.endpoints, &cluster.endpoints.load());
            let same_names = !now.members.named || now.names == upstreams.shared.names.version();
            if same_cluster && same_endpoints && same_names {
                return true;
            }
        }
        let mut now = self.now.borrow_mut();
        let (old, new) = (&now.cluster, cluster);
        let secured_alike = old.policy.tls == new.policy.tls
            && old.secret == new.secret
            && old.sni == new.sni
            && old.subject_alt_names == new.subject_alt_names;
        if !secured_alike {
            self.generation.set(self.generation.get().wrapping_add(1));
        }
        now.cluster = cluster.clone();
        now.endpoints = cluster.endpoints.load_full();
        drop(now);
        self.rebuild(upstreams);
        true
    }

    fn rebuild(&self, upstreams: &Upstreams) {
        let names = upstreams.shared.names.version();
        let mut now = self.now.borrow_mut();
        let old: HashMap<&PeerAddress, &Rc<Host>> =
            now.members.list.iter().map(|member| (&member.host.address, &member.host)).collect();
        let mut members = Members::none();
        for health in [Health::Healthy, Health::Draining] {
            for endpoint in now.endpoints.endpoints.iter().filter(|e| e.health == health) {
                if !now.cluster.subset_labels.selects(&endpoint.labels) {
                    continue;
                }
                for address in members.addresses(endpoint, now.cluster.resolution, upstreams) {
                    let known = old.get(&address).filter(|host| is_same(host.callee.as_ref(), Some(endpoint)));
                    let host = known.map_or_else(
                        || {
                            let callee = Some(Callee::Endpoint(endpoint.clone()));
                            Host::new(address.clone(), callee, self.shared.load(&address))
                        },
                        |host| Rc::clone(host),
                    );
                    members.list.push(Member { host, weight: endpoint.weight.max(1) });
                }
            }
            if !members.list.is_empty() {
                break;
            }
        }
        let start = match now.members.list.is_empty() {
            true => fastrand::usize(..),
            false => now.members.picker.position(),
        };
        members.picker = Picker::new(now.cluster.policy.load_balancer, &members.list, start);
        drop(old);
        now.names = names;
        now.members = Rc::new(members);
        // Who is at an address that clients chose may have become known since, or be another.
        let stays = |host: &Host| match &host.callee {
            Some(Callee::Workload(_)) => true,
            callee => is_same(callee.as_ref(), at(&now.endpoints, &host.address)),
        };
        self.dialled.borrow_mut().retain(|_, host| stays(host));
    }

    /// An endpoint; one of `avoid`, or one that took no connection a moment ago, where there is no other. `snapshot` knows our
    /// addresses, and whose others are.
    ///
    /// # Errors
    /// [`Error::NoHealthyUpstream`], [`Error::Dns`].
    pub async fn pick(
        &self,
        upstreams: &Upstreams,
        original: Option<SocketAddr>,
        snapshot: &Snapshot,
        avoid: &[Rc<Host>],
    ) -> Result<Rc<Host>, Error> {
        if let Some(host) = self.fixed(original, snapshot) {
            return Ok(host);
        }
        if self.now.borrow().members.unresolved {
            Box::pin(self.resolved(upstreams)).await?;
        }
        let members = self.now.borrow().members.clone();
        let pick = || members.picker.pick(&members.list, |n| upstreams.rng.borrow_mut().usize(..n));
        let host = pick().map(|index| &members.list[index].host).ok_or(Error::NoHealthyUpstream)?;
        let shunned = |host: &Rc<Host>| host.is_passed_over() || avoid.iter().any(|tried| Rc::ptr_eq(tried, host));
        if !shunned(host) {
            return Ok(host.clone());
        }
        // Picking again would lead back to it: who fails at once is never busy.
        let others: SmallVec<[&Rc<Host>; 8]> = members.list.iter().map(|m| &m.host).filter(|h| !shunned(h)).collect();
        let other = (!others.is_empty()).then(|| others[upstreams.rng.borrow_mut().usize(..others.len())]);
        Ok(other.unwrap_or(host).clone())
    }

    /// Where the cluster itself does not choose: the application, or where the client wanted to go.
    fn fixed(&self, original: Option<SocketAddr>, snapshot: &Snapshot) -> Option<Rc<Host>> {
        let own = &snapshot.facts.ips;
        let now = self.now.borrow();
        let cluster = &now.cluster;
        let address = match (&cluster.key, &cluster.local) {
            (ClusterKey::Inbound { port }, Some(local)) => match local {
                IngressEndpoint::Loopback => PeerAddress::Ip((Ipv4Addr::LOCALHOST, port.get()).into()),
                IngressEndpoint::Address(address) => PeerAddress::Ip(*address),
                IngressEndpoint::InstancePort(port) => {
                    // Of the family by which the client came, where we know our address there.
                    let same = own.iter().find(|ip| original.is_some_and(|to| to.is_ipv4() == ip.is_ipv4()));
                    PeerAddress::Ip((*same.or(own.first())?, port.get()).into())
                }
                IngressEndpoint::Unix(path) => PeerAddress::Unix(path.clone()),
            },
            (ClusterKey::Inbound { .. } | ClusterKey::InboundPassthrough | ClusterKey::Passthrough, _) => {
                PeerAddress::Ip(original?)
            }
            (ClusterKey::Outbound { .. }, _)
                if cluster.resolution == Resolution::Passthrough
                    || cluster.policy.load_balancer == LoadBalancer::Passthrough =>
            {
                PeerAddress::Ip(original?)
            }
            (ClusterKey::Outbound { .. } | ClusterKey::BlackHole, _) => return None,
        };
        let workload = original.and_then(|to| snapshot.callee(cluster, to));
        let mut dialled = self.dialled.borrow_mut();
        if let Some(host) = dialled.get(&address)
            && is_still(host, workload)
        {
            return Some(host.clone());
        }
        let endpoint = || at(&now.endpoints, &address).cloned().map(Callee::Endpoint);
        let callee = workload.cloned().map(Callee::Workload).or_else(endpoint);
        let host = Host::new(address.clone(), callee, self.shared.load(&address));
        dialled.insert(address, host.clone());
        Some(host)
    }

    /// Waits for the first answer about a name.
    async fn resolved(&self, upstreams: &Upstreams) -> Result<(), Error> {
        let cluster = self.now.borrow().cluster.clone();
        let wait = async {
            loop {
                let seen = upstreams.shared.names.version();
                self.refresh(&cluster, upstreams);
                let members = self.now.borrow().members.clone();
                if !members.list.is_empty() || !members.unresolved {
                    return;
                }
                upstreams.shared.names.changed(seen).await;
            }
        };
        let limit = cluster.policy.connection_pool.connect_timeout.unwrap_or(Duration::from_secs(10));
        let _ = tokio::time::timeout(limit, wait).await;
        match self.now.borrow().members.list.is_empty() {
            true => Err(Error::Dns(cluster.service_host.clone())),
            false => Ok(()),
        }
    }

    /// Counts an active request.
    ///
    /// # Errors
    /// [`Error::Overflow`].
    pub fn enter(&self) -> Result<Held<Active>, Error> {
        let limit = self.now.borrow().cluster.policy.connection_pool.max_requests;
        Gauge::enter(&Active(self.shared.counts.clone()), limit).ok_or(Error::Overflow)
    }

    /// Counts a retry, if budget and limit allow one.
    pub fn enter_retry(&self) -> Option<Held<Retries>> {
        let max = self.now.borrow().cluster.policy.connection_pool.max_retries;
        let counts = &self.shared.counts;
        Gauge::enter(&Retries(counts.clone()), Some(budget::allowed(counts.active.get(), max)))
    }

    /// Closes what idled too long; whether any connection is left.
    pub(super) fn sweep(&self, now: Instant, relax: bool) -> bool {
        let current = self.now.borrow();
        let idle_timeout = idle_timeout(&current.cluster);
        for member in &current.members.list {
            member.host.sweep(now, idle_timeout, relax);
        }
        self.dialled.borrow_mut().retain(|_, host| {
            host.sweep(now, idle_timeout, relax);
            Rc::strong_count(host) > 1 || host.has_connections()
        });
        self.slots.own() > 0
    }

    /// Whether the cluster's policy secures connections; what an endpoint can by itself is not counted.
    pub fn wants_tls(&self) -> bool {
        matches!(&self.now.borrow().cluster.policy.tls, Some(UpstreamTls::Simple(_) | UpstreamTls::IstioMutual { .. }))
    }

    /// Whether TLS to the upstream needs the request's host.
    pub fn wants_server_name(&self) -> bool {
        matches!(&self.now.borrow().cluster.policy.tls, Some(UpstreamTls::Simple(simple)) if simple.sni.is_none())
    }
}

impl Members {
    fn none() -> Self {
        let list: Vec<Member> = Vec::new();
        let picker = Picker::new(LoadBalancer::Random, &list, 0);
        Members { list, picker, unresolved: false, named: false }
    }

    /// The addresses of an endpoint; notes when one is a name.
    fn addresses(&mut self, endpoint: &Endpoint, resolution: Resolution, upstreams: &Upstreams) -> Vec<PeerAddress> {
        let port = endpoint.target_port;
        match &endpoint.address {
            EndpointAddress::Ip(ip) => vec![PeerAddress::Ip((*ip, port).into())],
            EndpointAddress::Unix(path) => vec![PeerAddress::Unix(path.clone())],
            EndpointAddress::Name(name) => {
                self.named = true;
                let Some(known) = upstreams.shared.names.addresses(name) else {
                    self.unresolved = true;
                    return Vec::new();
                };
                let most = if resolution == Resolution::DnsRoundRobin { 1 } else { usize::MAX };
                known.iter().take(most).map(|ip| PeerAddress::Ip((*ip, port).into())).collect()
            }
        }
    }
}

/// Whether connections to who was at an address may be kept for who is there now.
fn is_still(host: &Host, workload: Option<&Arc<Workload>>) -> bool {
    match (&host.callee, workload) {
        (Some(Callee::Workload(before)), Some(now)) => Arc::ptr_eq(before, now),
        (Some(Callee::Workload(_)), None) | (_, Some(_)) => false,
        (_, None) => true,
    }
}

/// The same for an endpoint.
fn is_same(callee: Option<&Callee>, endpoint: Option<&Arc<Endpoint>>) -> bool {
    match (callee, endpoint) {
        (Some(Callee::Endpoint(before)), Some(endpoint)) => alike(before, endpoint),
        (callee, endpoint) => callee.is_none() && endpoint.is_none(),
    }
}

/// The endpoint that has this very address.
fn at<'e>(endpoints: &'e EndpointSet, address: &PeerAddress) -> Option<&'e Arc<Endpoint>> {
    let PeerAddress::Ip(to) = address else { return None };
    endpoints.at(*to)
}

/// Whether connections to one may be kept for the other.
fn alike(a: &Endpoint, b: &Endpoint) -> bool {
    a.mutual_tls == b.mutual_tls
        && a.identity == b.identity
        && a.target_port == b.target_port
        && a.labels == b.labels
        && a.workload == b.workload
        && a.key == b.key
}

#[cfg(test)]
mod tests;
