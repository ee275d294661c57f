//! Servers of all Gateways that select this proxy, merged by port; virtual hosts where a server's and a
//! VirtualService's hosts meet, and rules for opaque connections where they do.

use super::{Services, Sources, named::Named};
use crate::snapshot::{
    outbound::{GatewayPort, Outbound, ThenTls, TlsServer, resolve},
    stream::{self, StreamRoute},
    virtual_host::{
        RouteEntry, VirtualHost,
        compile::{Place, is_catch_all},
        table::HostTable,
    },
};
use mesh_config::{
    kind::Role,
    model::{
        Gateway, Route,
        gateway::{Server, ServerHost, ServerProtocol},
        route::{Parent, RetryPolicy},
    },
    name::{Host, Port},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

/// A server and the Gateway that it is of.
pub(super) struct Placed<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) server: &'a Server,
}

/// The servers of each port that is bound, oldest Gateway first. The first says what the port speaks; servers that
/// disagree are left out, and all but the first where nothing tells connections apart.
pub(super) fn by_port<'a>(sources: &Sources<'a>) -> BTreeMap<Port, Vec<Placed<'a>>> {
    let mut ports: BTreeMap<Port, Vec<Placed<'a>>> = BTreeMap::new();
    if sources.own.role != Role::Gateway {
        return ports;
    }
    let parts = sources.parts;
    let mut gateways: Vec<&'a Gateway> =
        parts.gateways.values().map(|g| &**g).filter(|g| g.selector.selects(&sources.own.labels)).collect();
    gateways.sort_by(|a, b| (&a.precedence, &a.name).cmp(&(&b.precedence, &b.name)));
    let joins = |first: &Server, server: &Server| match first.protocol {
        ServerProtocol::Http => server.protocol == ServerProtocol::Http,
        ServerProtocol::Https(_) | ServerProtocol::Tls(_) | ServerProtocol::Passthrough => server.protocol.speaks_tls(),
        ServerProtocol::Tcp => false,
    };
    for gateway in gateways {
        for server in &gateway.servers {
            for bound in bound(sources, server.port) {
                let servers = ports.entry(bound).or_default();
                if servers.first().is_none_or(|first| joins(first.server, server)) {
                    servers.push(Placed { gateway, server });
                }
            }
        }
    }
    ports
}

/// Where a server's port is bound: where the services of the gateway's workload that have the port lead to, or, where none
/// has it, there.
fn bound(sources: &Sources<'_>, port: Port) -> BTreeSet<Port> {
    let services = sources.parts.instance.iter().flat_map(|instance| &instance.ports);
    let mut targets: BTreeSet<Port> = services.filter(|p| p.service_port == port).map(|p| p.target_port).collect();
    if targets.is_empty() {
        targets.insert(port);
    }
    targets
}

/// The tables of every port.
pub(super) fn build(
    sources: &Sources<'_>,
    services: &Services,
    named: &Named,
    retries: Option<&Arc<RetryPolicy>>,
    before: &Outbound,
) -> BTreeMap<Port, Arc<GatewayPort>> {
    let mut routes: Vec<&Arc<Route>> = sources.parts.routes.values().collect();
    let own = &sources.own.namespace;
    routes.sort_by(|a, b| a.rank(own).cmp(&b.rank(own)));
    let build = Build { sources, services, named, retries, routes };
    let ports = by_port(sources).into_iter().map(|(port, servers)| {
        let was = before.gateway(port);
        (port, Arc::new(build.port(port, &servers, was.map(|g| &**g))))
    });
    ports.collect()
}

struct Build<'a> {
    sources: &'a Sources<'a>,
    services: &'a Services,
    named: &'a Named,
    retries: Option<&'a Arc<RetryPolicy>>,
    /// Oldest first.
    routes: Vec<&'a Arc<Route>>,
}

impl Build<'_> {
    fn port(&self, bound: Port, servers: &[Placed<'_>], before: Option<&GatewayPort>) -> GatewayPort {
        match &servers[0].server.protocol {
            ServerProtocol::Http => {
                let before = before.and_then(GatewayPort::requests);
                GatewayPort::Requests(self.table(servers, format!("http.{bound}").into(), before))
            }
            ServerProtocol::Tcp => GatewayPort::Bytes(self.bytes(&servers[0])),
            ServerProtocol::Https(_) | ServerProtocol::Tls(_) | ServerProtocol::Passthrough => {
                GatewayPort::Tls(self.secured(servers, before.map_or(&[], GatewayPort::tls)))
            }
        }
    }

    /// What speaks TLS. A name that an older server has is not served twice.
    fn secured(&self, servers: &[Placed<'_>], before: &[TlsServer]) -> Vec<TlsServer> {
        let mut tls: Vec<TlsServer> = Vec::new();
        let free = |tls: &[TlsServer], host: &Host| !tls.iter().any(|server| server.hosts.contains(host));
        for placed in servers {
            let name = |scheme: &str| {
                let (Gateway { name, .. }, port) = (placed.gateway, placed.server.port);
                format!("{scheme}.{port}.{}.{}.{}", placed.server.port_name, name.name, name.namespace)
            };
            if placed.server.protocol == ServerProtocol::Passthrough {
                for (position, (hosts, to)) in self.sealed(placed).into_iter().enumerate() {
                    // The whole match is passed over, as part of it would be another than was asked for.
                    if hosts.iter().all(|host| free(&tls, host)) {
                        let route_config = format!("{}.{position}", name("tls")).into();
                        tls.push(TlsServer { route_config, hosts, then: ThenTls::Sealed { to } });
                    }
                }
                continue;
            }
            let hosts: Vec<Host> =
                placed.server.hosts.iter().map(|h| h.host.clone()).filter(|host| free(&tls, host)).collect();
            if hosts.is_empty() {
                continue;
            }
            let (route_config, then): (Arc<str>, ThenTls) = match &placed.server.protocol {
                ServerProtocol::Https(settings) => {
                    let route_config: Arc<str> = name("https").into();
                    let was = before.iter().find(|s| s.route_config == route_config);
                    let was = was.and_then(|server| server.then.table());
                    let table = self.table(std::slice::from_ref(placed), route_config.clone(), was);
                    (route_config, ThenTls::Requests { tls: settings.clone(), table })
                }
                ServerProtocol::Tls(settings) => {
                    let to = self.bytes(placed);
                    (name("tls").into(), ThenTls::Bytes { tls: settings.clone(), to })
                }
                ServerProtocol::Http | ServerProtocol::Tcp | ServerProtocol::Passthrough => continue,
            };
            tls.push(TlsServer { route_config, hosts, then });
        }
        tls
    }

    /// The rule for opaque bytes at a server: the first that is attached to it.
    fn bytes(&self, placed: &Placed<'_>) -> Option<Arc<StreamRoute>> {
        self.attached(placed).find_map(|route| self.opaque(placed, |place| stream::first(route, place)))
    }

    /// The rules for TLS that a server carries on.
    fn sealed(&self, placed: &Placed<'_>) -> Vec<(Vec<Host>, Arc<StreamRoute>)> {
        let rules = |route| self.opaque(placed, |place| stream::by_name(route, place));
        self.attached(placed).flat_map(rules).collect()
    }

    /// The VirtualServices that a server lets in: attached to its Gateway, with a host in common, the oldest first.
    fn attached<'b>(&'b self, placed: &'b Placed<'_>) -> impl Iterator<Item = &'b Arc<Route>> {
        let here = |route: &Route| {
            route.parents.iter().any(|p| matches!(p, Parent::Gateway(name) if *name == placed.gateway.name))
                && placed.server.hosts.iter().any(|host| !meet(route, host).is_empty())
        };
        self.routes.iter().copied().filter(move |route| here(route))
    }

    fn opaque<T>(&self, placed: &Placed<'_>, f: impl FnOnce(&Place<'_>) -> T) -> T {
        let parent = Parent::Gateway(placed.gateway.name.clone());
        self.place(&parent, placed.server.port, &"".into(), "".into()).with(f)
    }

    fn table(&self, servers: &[Placed<'_>], route_config: Arc<str>, before: Option<&HostTable>) -> HostTable {
        // Users know virtual hosts by the port of the server.
        let port = servers[0].server.port;
        let mut hosts = Domains::default();
        for placed in servers {
            let redirect = placed.server.https_redirect;
            for server_host in &placed.server.hosts {
                for route in &self.routes {
                    let domains = meet(route, server_host);
                    for domain in domains {
                        let Some(entries) = self.entries(placed, port, &route_config, route, &domain) else { continue };
                        hosts.add(domain, entries, redirect);
                    }
                }
                if redirect {
                    hosts.add(server_host.host.clone(), Vec::new(), true);
                }
            }
        }
        if hosts.all.is_empty() {
            let any: Host = "*".parse().expect("a wildcard is a host");
            let place = self.place(&Parent::Mesh, port, &route_config, format!("blackhole:{port}").into());
            let host = place.with(|p| p.virtual_host(vec![any.shared()], Vec::new(), false));
            return HostTable::new([keep(host, before)]);
        }
        let built = hosts.all.into_iter().map(|Served { domain, mut entries, https_redirect }| {
            // What matches everything comes last, so that no VirtualService hides another's rules.
            entries.sort_by_key(|e| e.conditions().is_none_or(is_catch_all));
            let place = self.place(&Parent::Mesh, port, &route_config, format!("{domain}:{port}").into());
            keep(place.with(|p| p.virtual_host(vec![domain.shared()], entries, https_redirect)), before)
        });
        HostTable::new(built.collect::<Vec<_>>())
    }

    /// The entries of a VirtualService on a server, if it is attached to the server's Gateway.
    fn entries(
        &self,
        placed: &Placed<'_>,
        port: Port,
        route_config: &Arc<str>,
        route: &Arc<Route>,
        domain: &Host,
    ) -> Option<Vec<RouteEntry>> {
        let parent = Parent::Gateway(placed.gateway.name.clone());
        if !route.parents.contains(&parent) {
            return None;
        }
        let place = self.place(&parent, placed.server.port, route_config, format!("{domain}:{port}").into());
        Some(place.with(|p| p.entries(route)))
    }

    fn place<'b>(
        &'b self,
        parent: &'b Parent,
        port: Port,
        route_config: &Arc<str>,
        virtual_host: Arc<str>,
    ) -> Where<'b> {
        Where { build: self, parent, port, route_config: route_config.clone(), virtual_host }
    }
}

struct Where<'b> {
    build: &'b Build<'b>,
    parent: &'b Parent,
    port: Port,
    route_config: Arc<str>,
    virtual_host: Arc<str>,
}

impl Where<'_> {
    fn with<T>(self, f: impl FnOnce(&Place<'_>) -> T) -> T {
        let Build { sources, services, named, retries, .. } = self.build;
        let find = |target: &_, port| resolve(named, services, target, port);
        f(&Place {
            parent: self.parent,
            port: self.port,
            own: sources.own,
            route_config: self.route_config,
            virtual_host: self.virtual_host,
            default_retries: retries.cloned(),
            resolve: &find,
        })
    }
}

/// The names that a VirtualService and a server have in common: of two that overlap the narrower.
fn meet(route: &Route, server: &ServerHost) -> Vec<Host> {
    if server.namespace.as_ref().is_some_and(|ns| *ns != route.name.namespace) {
        return Vec::new();
    }
    let narrower = |host: &Host| match (server.host.covers(host), host.covers(&server.host)) {
        (true, _) => Some(host.clone()),
        (false, true) => Some(server.host.clone()),
        (false, false) => None,
    };
    let mut hosts: Vec<Host> = route.hosts.iter().filter_map(narrower).collect();
    hosts.dedup();
    hosts
}

/// What is served under one domain.
struct Served {
    domain: Host,
    entries: Vec<RouteEntry>,
    https_redirect: bool,
}

/// Domains in the order in which they were first named.
#[derive(Default)]
struct Domains {
    all: Vec<Served>,
    positions: HashMap<Host, usize>,
}

impl Domains {
    /// Joins entries to those that the domain has. Two servers may bring the same ones; they count once.
    fn add(&mut self, domain: Host, entries: Vec<RouteEntry>, https_redirect: bool) {
        let position = *self.positions.entry(domain.clone()).or_insert_with(|| {
            self.all.push(Served { domain, entries: Vec::new(), https_redirect: false });
            self.all.len() - 1
        });
        let served = &mut self.all[position];
        served.https_redirect |= https_redirect;
        for entry in entries {
            if !served.entries.iter().any(|e| e.same(&entry)) {
                served.entries.push(entry);
            }
        }
    }
}

/// The one before, if it decides the same.
pub(super) fn keep(new: VirtualHost, before: Option<&HostTable>) -> Arc<VirtualHost> {
    let domain = new.domains.first().map_or("", |d| &**d);
    match before.and_then(|t| t.claimed(domain)) {
        Some(old) if old.same(&new) => old.clone(),
        _ => Arc::new(new),
    }
}
