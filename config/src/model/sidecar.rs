//! What a sidecar sees and listens on: one Istio `Sidecar`.

use super::{Labels, ServiceKey, index::IndexKind, service::Protocol, settings::OutboundPolicy};
use crate::name::{Host, Namespace, NamespacedName, Port};
use std::{net::IpAddr, net::SocketAddr, sync::Arc};

/// One Sidecar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sidecar {
    /// The object's name.
    pub name: NamespacedName,
    /// Which workloads of its namespace; `None`: all of them (root namespace: all of the mesh).
    pub workload_selector: Option<Labels>,
    /// Empty: the ports of the workload's services.
    pub ingress: Vec<IngressListener>,
    /// Empty: everything that is exported to the namespace.
    pub egress: Vec<EgressListener>,
    /// `None`: the mesh's.
    pub outbound_policy: Option<OutboundPolicy>,
}

/// An inbound listener of the workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngressListener {
    /// The port that peers dial.
    pub port: Port,
    /// What is spoken.
    pub protocol: Protocol,
    /// Name of the port, may be empty.
    pub name: Arc<str>,
    /// The proxy binds this address itself (`captureMode: NONE`); `None`: captured on the inbound port.
    pub bind: Option<IpAddr>,
    /// Where the application listens.
    pub default_endpoint: IngressEndpoint,
}

/// Where the application listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IngressEndpoint {
    /// At the listener's own port, on loopback.
    Loopback,
    /// `127.0.0.1:P` or `[::1]:P`: on loopback. An instance address: as given.
    Address(SocketAddr),
    /// `0.0.0.0:P` or `[::]:P`: on the workload's own address.
    InstancePort(Port),
    /// `unix:///path`.
    Unix(Arc<str>),
}

/// An outbound listener, or the catch-all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EgressListener {
    /// `None`: all ports of the services selected.
    pub port: Option<Port>,
    /// Of the port.
    pub protocol: Protocol,
    /// Name of the port, may be empty.
    pub name: Arc<str>,
    /// The proxy binds this address itself (`captureMode: NONE`, or an explicit bind); `None`: captured.
    pub bind: Option<IpAddr>,
    /// What can be reached through it.
    pub hosts: Vec<EgressHost>,
}

/// An entry of `egress.hosts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EgressHost {
    /// Of what can be reached.
    pub namespace: EgressNamespace,
    /// Which names.
    pub host: Host,
    /// `~namespace/host`: taken away from what the others give.
    pub exclude: bool,
}

/// The namespace of an entry of `egress.hosts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EgressNamespace {
    /// `*`.
    Any,
    /// `.`: the namespace of the workload that the Sidecar is for, which a Sidecar of the root namespace does not know.
    /// Selects nothing until [`Sidecar::for_workload_in`] has said which.
    OfWorkload,
    /// By its name.
    Named(Namespace),
}

impl Sidecar {
    /// The Sidecar in force for a workload, among all that there are, the oldest first: one of its namespace that
    /// selects it, else its namespace's, else the root namespace's.
    pub fn choose<'a>(
        oldest_first: impl Iterator<Item = &'a Arc<Sidecar>> + Clone,
        namespace: &Namespace,
        labels: &Labels,
        root: &Namespace,
    ) -> Option<Arc<Sidecar>> {
        let of = |wanted: &Namespace, fits: &dyn Fn(Option<&Labels>) -> bool| {
            let fits = |s: &&Arc<Sidecar>| s.name.namespace == *wanted && fits(s.workload_selector.as_ref());
            oldest_first.clone().find(fits)
        };
        let chosen = of(namespace, &|selector| selector.is_some_and(|selector| selector.selects(labels)))
            .or_else(|| of(namespace, &|selector| selector.is_none()))
            .or_else(|| of(root, &|selector| selector.is_none()));
        chosen.map(|sidecar| sidecar.for_workload_in(namespace))
    }

    /// This Sidecar as it holds for a workload of `namespace`.
    pub fn for_workload_in(self: &Arc<Self>, namespace: &Namespace) -> Arc<Self> {
        let open = |host: &EgressHost| host.namespace == EgressNamespace::OfWorkload;
        if !self.egress.iter().flat_map(|listener| &listener.hosts).any(open) {
            return self.clone();
        }
        let mut resolved = (**self).clone();
        for host in resolved.egress.iter_mut().flat_map(|listener| &mut listener.hosts).filter(|host| open(host)) {
            host.namespace = EgressNamespace::Named(namespace.clone());
        }
        Arc::new(resolved)
    }
}

impl EgressListener {
    /// Whether a service can be reached through this listener: an entry contains all of its name. A wildcard service
    /// is not let in by one of the names under it, since with it all others would be.
    pub fn selects(&self, key: &ServiceKey) -> bool {
        self.decide(key, |entry, host| entry.covers(host))
    }

    /// Whether the rules of a VirtualService for this name may count: an entry has a name in common with it.
    pub fn selects_rules(&self, key: &ServiceKey) -> bool {
        self.decide(key, |entry, host| entry.overlaps(host))
    }

    /// As the kind of the name asks.
    pub fn selects_entry(&self, key: &ServiceKey, kind: IndexKind) -> bool {
        match kind {
            IndexKind::Service => self.selects(key),
            IndexKind::VirtualHost => self.selects_rules(key),
        }
    }

    fn decide(&self, key: &ServiceKey, fits: impl Fn(&Host, &Host) -> bool) -> bool {
        let in_namespace = |entry: &EgressHost| match &entry.namespace {
            EgressNamespace::Any => true,
            EgressNamespace::OfWorkload => false,
            EgressNamespace::Named(namespace) => *namespace == key.namespace,
        };
        let mut entries = self.hosts.iter().filter(|entry| in_namespace(entry));
        entries.clone().any(|entry| !entry.exclude && fits(&entry.host, &key.host))
            && !entries.any(|entry| entry.exclude && entry.host.overlaps(&key.host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(hosts: &[(EgressNamespace, &str, bool)]) -> EgressListener {
        let hosts = hosts.iter().map(|(namespace, host, exclude)| EgressHost {
            namespace: namespace.clone(),
            host: host.parse().unwrap(),
            exclude: *exclude,
        });
        EgressListener { port: None, protocol: Protocol::Auto, name: "".into(), bind: None, hosts: hosts.collect() }
    }

    fn key(text: &str) -> ServiceKey {
        text.parse().unwrap()
    }

    #[test]
    fn an_entry_contains_the_service_and_meets_the_rules() {
        let one = listener(&[(EgressNamespace::Any, "foo.example.com", false)]);
        assert!(one.selects(&key("shop/foo.example.com")));
        assert!(!one.selects(&key("shop/*.example.com")) && one.selects_rules(&key("shop/*.example.com")));
        let all = listener(&[(EgressNamespace::Any, "*.example.com", false)]);
        assert!(all.selects(&key("shop/*.example.com")) && all.selects(&key("shop/foo.example.com")));
        assert!(!all.selects(&key("shop/*.com")));
    }

    #[test]
    fn what_is_taken_away_takes_every_service_that_has_such_a_name() {
        let but = listener(&[
            (EgressNamespace::Any, "*", false),
            (EgressNamespace::Named("shop".into()), "foo.example.com", true),
        ]);
        assert!(but.selects(&key("shop/bar.example.com")) && but.selects(&key("other/foo.example.com")));
        assert!(!but.selects(&key("shop/foo.example.com")) && !but.selects(&key("shop/*.example.com")));
    }

    #[test]
    fn the_dot_is_the_namespace_of_the_workload() {
        let sidecar = Arc::new(Sidecar {
            name: NamespacedName::new("istio-system", "default"),
            workload_selector: None,
            ingress: Vec::new(),
            egress: vec![listener(&[(EgressNamespace::OfWorkload, "*", false)])],
            outbound_policy: None,
        });
        assert!(!sidecar.egress[0].selects(&key("istio-system/a.b")));
        let shops = sidecar.for_workload_in(&"shop".into());
        assert!(shops.egress[0].selects(&key("shop/a.b")) && !shops.egress[0].selects(&key("istio-system/a.b")));
        assert!(Arc::ptr_eq(&shops, &shops.for_workload_in(&"other".into())));
    }
}
