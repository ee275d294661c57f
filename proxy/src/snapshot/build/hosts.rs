//! Virtual hosts for the application's calls: by HTTP port, by detected service port, by listener of the `Sidecar`.

use super::{
    Clusters, Services, Sources, gateways, listeners,
    named::{Named, egress_proxy, outbound_policy},
};
use crate::snapshot::{
    cluster::ClusterKey,
    index::single,
    outbound::{Beyond, Egress, HttpPort, Outbound, PortInUse, ServiceInUse, admits, beyond, resolve},
    stream::StreamTable,
    virtual_host::{
        Resolved, VirtualHost,
        compile::{Place, built_in_retries},
        table::HostTable,
    },
};
use mesh_config::{
    kind::Role,
    model::{
        Protocol, Route, ServiceKey,
        index::IndexKind,
        route::{Parent, RetryPolicy, Section, Target},
        settings::OutboundPolicy,
        sidecar::EgressListener,
    },
    name::{Host, Port},
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
};

/// Before the workload is known: no service, and nothing may be reached.
pub(super) fn nothing(ids: &mut Clusters) -> Outbound {
    let passthrough = Arc::new(ids.special(ClusterKey::Passthrough));
    let policy = OutboundPolicy::RegistryOnly;
    Outbound {
        services: Arc::default(),
        routed_hosts: HashSet::new(),
        ports: BTreeMap::new(),
        sniffed: HashMap::new(),
        streams: HashMap::new(),
        egress: HashMap::new(),
        gateways: BTreeMap::new(),
        sidecar: None,
        unknown_address: beyond(&policy, None, &passthrough, "".into()),
        policy,
        egress_proxy: None,
        passthrough,
        black_hole: Arc::new(ids.special(ClusterKey::BlackHole)),
    }
}

/// Builds everything outbound from the services in use.
pub(super) fn build(sources: &Sources<'_>, services: &Arc<Services>, named: &Named, before: &Outbound) -> Outbound {
    let retries = sources.settings.default_retries.clone().unwrap_or_else(built_in_retries);
    let retries = (retries.attempts > 0).then(|| Arc::new(retries));
    let [routes, tls, tcp] = Section::ALL.map(|section| MeshRoutes::new(sources, section));
    let build = Build { sources, services, named, routes: &routes, retries: retries.as_ref() };
    let policy = outbound_policy(sources).clone();
    let egress_proxy = egress_proxy(&policy).map(|target| build.resolve(target, target.port.unwrap_or(http())));
    let sidecar = sources.own.role == Role::Sidecar;
    // Without an address that the client wanted, what may be passed on has nowhere to go.
    let unknown = |route_config: Arc<str>| match &egress_proxy {
        Some(_) => beyond(&policy, egress_proxy.as_ref(), &before.passthrough, route_config),
        None => beyond(&OutboundPolicy::RegistryOnly, None, &before.passthrough, route_config),
    };
    let in_use: Vec<&Arc<ServiceInUse>> = if sidecar { build.ordered() } else { Vec::new() };
    Outbound {
        ports: build.ports(&in_use, before),
        sniffed: build.sniffed(&in_use, before),
        streams: build.streams(&in_use, &tls, &tcp, before),
        egress: if sidecar { build.listeners(&in_use, &unknown, before) } else { HashMap::new() },
        gateways: gateways::build(sources, services, named, retries.as_ref(), before),
        routed_hosts: sources.parts.routes.values().flat_map(|r| &r.hosts).cloned().collect(),
        services: services.clone(),
        sidecar: sources.sidecar.cloned(),
        passthrough: before.passthrough.clone(),
        black_hole: before.black_hole.clone(),
        unknown_address: beyond(&policy, egress_proxy.as_ref(), &before.passthrough, "".into()),
        policy,
        egress_proxy,
    }
}

/// The port of hosts that have no service.
fn http() -> Port {
    Port::new(80).expect("80 is not 0")
}

/// The routes that sidecars act on in one section, by host; for each host the oldest.
struct MeshRoutes<'a> {
    exact: HashMap<&'a str, &'a Arc<Route>>,
    wildcards: Vec<(&'a Host, &'a Arc<Route>)>,
}

impl<'a> MeshRoutes<'a> {
    fn new(sources: &Sources<'a>, section: Section) -> Self {
        let own = &sources.own.namespace;
        let counts =
            |r: &&Arc<Route>| r.parents.contains(&Parent::Mesh) && r.visibility.includes(own) && r.has(section);
        let mut routes: Vec<&'a Arc<Route>> = sources.parts.routes.values().filter(counts).collect();
        routes.sort_by(|a, b| a.rank(own).cmp(&b.rank(own)));
        let mut all = MeshRoutes { exact: HashMap::new(), wildcards: Vec::new() };
        for route in routes {
            for host in &route.hosts {
                match host.is_wildcard() {
                    true => all.wildcards.push((host, route)),
                    false => drop(all.exact.entry(host.as_str()).or_insert(route)),
                }
            }
        }
        // Stable: among equal hosts the oldest stays first.
        all.wildcards.sort_by_key(|(host, _)| std::cmp::Reverse(host.specificity()));
        all
    }

    /// The route for a service: the most specific host over it, then the oldest.
    fn over(&self, host: &Host) -> Option<&'a Arc<Route>> {
        let wildcard = || self.wildcards.iter().find(|(wide, _)| wide.covers(host)).map(|(_, route)| *route);
        self.exact.get(host.as_str()).copied().or_else(wildcard)
    }

    /// The route that names this very host.
    fn naming(&self, host: &Host) -> Option<&'a Arc<Route>> {
        let wildcard = || self.wildcards.iter().find(|(wide, _)| *wide == host).map(|(_, route)| *route);
        self.exact.get(host.as_str()).copied().or_else(wildcard)
    }
}

struct Build<'a> {
    sources: &'a Sources<'a>,
    services: &'a Services,
    named: &'a Named,
    routes: &'a MeshRoutes<'a>,
    retries: Option<&'a Arc<RetryPolicy>>,
}

impl Build<'_> {
    /// Services in the order in which they may claim names: the own namespace first, then by key.
    fn ordered(&self) -> Vec<&Arc<ServiceInUse>> {
        let own = &self.sources.own.namespace;
        let mut all: Vec<_> = self.services.values().collect();
        all.sort_by_key(|s| (s.service.key.namespace != *own, s.service.key.clone()));
        all
    }

    fn resolve(&self, target: &Target, port: Port) -> Resolved {
        resolve(self.named, self.services, target, port)
    }

    fn admits(&self, key: &ServiceKey, kind: IndexKind, port: Port) -> bool {
        admits(self.sources.sidecar.map(|s| &**s), key, kind, port)
    }

    /// Captured HTTP ports.
    fn ports(&self, in_use: &[&Arc<ServiceInUse>], before: &Outbound) -> BTreeMap<Port, Arc<HttpPort>> {
        let mut by_port: BTreeMap<Port, Vec<&Arc<ServiceInUse>>> = BTreeMap::new();
        for service in in_use {
            for port in service.ports.iter().map(|p| &p.port) {
                let http = port.protocol.is_http() || port.protocol == Protocol::Auto;
                if http && self.admits(&service.service.key, IndexKind::Service, port.number) {
                    by_port.entry(port.number).or_default().push(service);
                }
            }
        }
        let without_service = self.without_service(|key| self.admits(key, IndexKind::VirtualHost, http()));
        if !without_service.is_empty() {
            by_port.entry(http()).or_default();
        }
        let built = by_port.into_iter().map(|(port, services)| {
            let route_config: Arc<str> = port.to_string().into();
            let was = before.port(port);
            let extra = if port == http() { &without_service[..] } else { &[] };
            let table = self.table(port, &route_config, &services, extra, was.map(|w| &w.table));
            (port, Arc::new(HttpPort { route_config, table }))
        });
        built.collect()
    }

    /// Indexed hosts without service whose routes are here.
    fn without_service(&self, admitted: impl Fn(&ServiceKey) -> bool) -> Vec<(Host, &Arc<Route>)> {
        let mut hosts: BTreeMap<&Host, &Arc<Route>> = BTreeMap::new();
        for host in
            self.routes.exact.values().flat_map(|r| &r.hosts).chain(self.routes.wildcards.iter().map(|(h, _)| *h))
        {
            let entry = self.named.by_host(host).iter();
            let mut wanted = entry.filter(|e| e.kind == IndexKind::VirtualHost && admitted(&e.key));
            if let Some(route) = wanted.next().and_then(|_| self.routes.naming(host)) {
                hosts.insert(host, route);
            }
        }
        hosts.into_iter().map(|(host, route)| (host.clone(), route)).collect()
    }

    fn table(
        &self,
        port: Port,
        route_config: &Arc<str>,
        services: &[&Arc<ServiceInUse>],
        without_service: &[(Host, &Arc<Route>)],
        before: Option<&HostTable>,
    ) -> HostTable {
        let of_services = services.iter().map(|s| self.of_service(s, port, route_config.clone(), self.domains(s)));
        let of_routes = without_service.iter().map(|(host, route)| {
            let name = format!("{host}:{port}").into();
            self.place(port, route_config.clone(), name, |p| {
                p.virtual_host(vec![host.shared()], p.entries(route), false)
            })
        });
        let built: Vec<VirtualHost> = of_services.chain(of_routes).collect();
        HostTable::new(built.into_iter().map(|host| gateways::keep(host, before)).collect::<Vec<_>>())
    }

    /// A service's virtual host on one of its ports: its VirtualService's rules, or straight to it.
    fn of_service(
        &self,
        service: &ServiceInUse,
        port: Port,
        route_config: Arc<str>,
        domains: Vec<Arc<str>>,
    ) -> VirtualHost {
        let host = &service.service.key.host;
        self.place(port, route_config, format!("{host}:{port}").into(), |p| {
            let entries = match self.routes.over(host) {
                Some(route) => p.entries(route),
                None => match service.port(port) {
                    Some(found) => vec![p.service_entry(&service.service, Resolved::Ready(found.cluster.clone()))],
                    None => Vec::new(),
                },
            };
            p.virtual_host(domains, entries, false)
        })
    }

    fn place<T>(
        &self,
        port: Port,
        route_config: Arc<str>,
        virtual_host: Arc<str>,
        f: impl FnOnce(&Place<'_>) -> T,
    ) -> T {
        f(&Place {
            parent: &Parent::Mesh,
            port,
            own: self.sources.own,
            route_config,
            virtual_host,
            default_retries: self.retries.cloned(),
            resolve: &|target, port| self.resolve(target, port),
        })
    }

    /// The names that a client may call a service by: its host first, then short names and addresses.
    fn domains(&self, service: &ServiceInUse) -> Vec<Arc<str>> {
        let service = &service.service;
        let host = &service.key.host;
        let mut domains = vec![host.shared()];
        if host.is_wildcard() {
            return domains;
        }
        let names = self.sources.parts.index.other_names(host.as_str());
        if service.headless {
            domains.extend(
                std::iter::once(host.as_str()).chain(names.iter().map(String::as_str)).map(|n| format!("*.{n}").into()),
            );
        }
        domains.extend(names.into_iter().map(Arc::from));
        domains.extend(service.addresses.iter().filter_map(single).map(|address| match address {
            IpAddr::V4(v4) => v4.to_string().into(),
            IpAddr::V6(v6) => format!("[{v6}]").into(),
        }));
        domains
    }

    /// Ports whose protocol is detected: any host reaches the service.
    fn sniffed(
        &self,
        in_use: &[&Arc<ServiceInUse>],
        before: &Outbound,
    ) -> HashMap<ServiceKey, Vec<(Port, Arc<VirtualHost>)>> {
        let mut all = HashMap::new();
        for service in in_use {
            let key = &service.service.key;
            let ports = service.ports.iter().map(|p| &p.port).filter(|p| p.protocol == Protocol::Auto);
            let hosts: Vec<_> = ports
                .map(|port| {
                    let config = format!("{}:{}", key.host, port.number).into();
                    let new = self.of_service(service, port.number, config, vec!["*".into()]);
                    let old = before.sniffed(key, port.number).filter(|old| old.same(&new));
                    (port.number, old.cloned().unwrap_or_else(|| Arc::new(new)))
                })
                .collect();
            if !hosts.is_empty() {
                all.insert(key.clone(), hosts);
            }
        }
        all
    }

    /// Rules for opaque connections: by server name on ports that carry TLS, by address on the others.
    fn streams(
        &self,
        in_use: &[&Arc<ServiceInUse>],
        tls: &MeshRoutes<'_>,
        tcp: &MeshRoutes<'_>,
        before: &Outbound,
    ) -> HashMap<ServiceKey, Vec<(Port, Arc<StreamTable>)>> {
        let mut all = HashMap::new();
        for service in in_use {
            let key = &service.service.key;
            let tables = service.ports.iter().filter_map(|PortInUse { port, .. }| {
                let (section, routes) = match port.protocol {
                    Protocol::Tls | Protocol::Https => (Section::Tls, tls),
                    Protocol::Tcp | Protocol::Auto => (Section::Tcp, tcp),
                    Protocol::Http | Protocol::Http2 | Protocol::Grpc | Protocol::GrpcWeb | Protocol::Udp => {
                        return None;
                    }
                };
                let route = routes.over(&key.host)?;
                let new = self.place(port.number, "".into(), "".into(), |p| StreamTable::new(route, section, p))?;
                let old = before.streams(key, port.number).filter(|old| old.same(&new));
                Some((port.number, old.cloned().unwrap_or_else(|| Arc::new(new))))
            });
            let tables: Vec<_> = tables.collect();
            if !tables.is_empty() {
                all.insert(key.clone(), tables);
            }
        }
        all
    }

    /// Listeners of the `Sidecar` that bind by themselves.
    fn listeners(
        &self,
        in_use: &[&Arc<ServiceInUse>],
        unknown: &dyn Fn(Arc<str>) -> Beyond,
        before: &Outbound,
    ) -> HashMap<Arc<str>, Arc<Egress>> {
        let declared = self.sources.sidecar.map_or(&[][..], |s| &s.egress);
        let mut all = HashMap::new();
        for listener in declared {
            let Some((address, port)) = listeners::egress_address(listener) else { continue };
            let name = listeners::name(address);
            let was = before.egress(&name).map(|e| &e.table);
            let route_config: Arc<str> = port.to_string().into();
            // The first of two listeners for one address is the one that is bound.
            all.entry(name.clone()).or_insert_with(|| {
                Arc::new(Egress {
                    name,
                    port,
                    table: self.named_by(listener, port, &route_config, in_use, was),
                    single: self.named.single(address).cloned(),
                    unknown: unknown(route_config),
                    listener: Arc::new(listener.clone()),
                })
            });
        }
        all
    }

    /// Services with the listener's port that the listener names.
    fn named_by(
        &self,
        listener: &EgressListener,
        port: Port,
        route_config: &Arc<str>,
        in_use: &[&Arc<ServiceInUse>],
        before: Option<&HostTable>,
    ) -> HostTable {
        let carries_http = |s: &ServiceInUse| {
            s.port(port).is_some_and(|p| p.port.protocol.is_http() || p.port.protocol == Protocol::Auto)
        };
        let named: Vec<_> =
            in_use.iter().copied().filter(|s| listener.selects(&s.service.key) && carries_http(s)).collect();
        let extra = match port == http() {
            true => self.without_service(|key| listener.selects_rules(key)),
            false => Vec::new(),
        };
        self.table(port, route_config, &named, &extra, before)
    }
}
