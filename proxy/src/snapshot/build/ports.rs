//! The workload's own ports: those of its services, or those of its `Sidecar`'s ingress where it has one.

use super::{
    Sources,
    clusters::{Clusters, same, with_defaults},
};
use crate::snapshot::{
    cluster::{Cluster, ClusterKey, EndpointCell, Secret},
    inbound::{Inbound, PortPolicy},
    virtual_host::{RouteMeta, compile::inbound_retries},
};
use mesh_config::{
    model::{
        Kind, Protocol,
        destination::{EffectivePolicy, H2Upgrade, UpstreamTls},
        instance::InboundPort,
        peer_authentication::{self, EffectiveMtls, MtlsMode},
        service::Resolution,
        sidecar::{IngressEndpoint, IngressListener},
    },
    name::Port,
};
use std::{collections::BTreeSet, sync::Arc};

/// Builds them; clusters that stay as they were keep their identity.
pub(super) fn build(sources: &Sources<'_>, ids: &mut Clusters, before: Option<&Inbound>) -> Inbound {
    let instance: &[InboundPort] = sources.parts.instance.as_ref().map_or(&[], |i| &i.ports);
    let ingress = sources.sidecar.map_or(&[][..], |s| &s.ingress);
    let declared: Vec<PortPolicy> = match ingress {
        [] => instance.iter().map(|p| of_service(sources, p, ids, before)).collect(),
        listeners => {
            let service = |l: &IngressListener| instance.iter().find(|p| p.target_port == l.port);
            listeners.iter().map(|l| of_listener(sources, l, service(l), ids, before)).collect()
        }
    };
    let passthrough = match before {
        Some(before) => before.other().cluster.clone(),
        None => Arc::new(ids.special(ClusterKey::InboundPassthrough)),
    };
    let other = |port: Port, mtls: EffectiveMtls| PortPolicy {
        port,
        protocol: Protocol::Auto,
        mtls,
        cluster: passthrough.clone(),
        declared: false,
        service: None,
        meta: meta("InboundPassthroughCluster".into(), 0, ""),
        retries: Some(Arc::new(inbound_retries())),
    };
    let taken: BTreeSet<Port> = declared.iter().map(|p| p.port).collect();
    let policies = sources.parts.peer_authentications.values();
    let named: BTreeSet<Port> = policies.flat_map(|p| p.ports.keys().copied()).filter(|p| !taken.contains(p)).collect();
    let named = named.into_iter().map(|port| other(port, mtls(sources, Some(port))));
    let rest = other(Port::new(1).expect("1 is a port"), mtls(sources, None));
    Inbound::new(declared, named.collect::<Vec<_>>(), rest)
}

fn of_service(sources: &Sources<'_>, port: &InboundPort, ids: &mut Clusters, before: Option<&Inbound>) -> PortPolicy {
    let local = IngressEndpoint::InstancePort(port.target_port);
    let cluster = cluster(sources, port.target_port, port.protocol, Some(port), local, ids);
    policy(sources, port.target_port, port.protocol, port.service_port, Some(port), kept(cluster, before))
}

fn of_listener(
    sources: &Sources<'_>,
    listener: &IngressListener,
    service: Option<&InboundPort>,
    ids: &mut Clusters,
    before: Option<&Inbound>,
) -> PortPolicy {
    let local = listener.default_endpoint.clone();
    let cluster = cluster(sources, listener.port, listener.protocol, service, local, ids);
    policy(sources, listener.port, listener.protocol, listener.port, service, kept(cluster, before))
}

fn policy(
    sources: &Sources<'_>,
    port: Port,
    protocol: Protocol,
    rule_port: Port,
    service: Option<&InboundPort>,
    cluster: Arc<Cluster>,
) -> PortPolicy {
    let host = service.map_or("", |s| s.service.host.as_str());
    let grpc = matches!(protocol, Protocol::Grpc | Protocol::GrpcWeb);
    PortPolicy {
        port,
        protocol,
        mtls: mtls(sources, Some(port)),
        meta: meta(cluster.name.clone(), rule_port.get(), host),
        cluster,
        declared: true,
        service: service.map(|s| s.service.clone()),
        retries: (!grpc).then(|| Arc::new(inbound_retries())),
    }
}

/// `rule_port` is the service's port where there is a service: that is how users know the virtual host.
fn meta(route_config: Arc<str>, rule_port: u16, host: &str) -> Arc<RouteMeta> {
    let operation = if host.is_empty() { "".into() } else { format!("{host}:{rule_port}/*").into() };
    Arc::new(RouteMeta {
        route_config,
        virtual_host: format!("inbound|http|{rule_port}").into(),
        route: "default".into(),
        object: None,
        operation,
    })
}

fn mtls(sources: &Sources<'_>, port: Option<Port>) -> EffectiveMtls {
    if let Some(unreadable) = sources.parts.unreadable(Kind::PeerAuthentication).next() {
        return EffectiveMtls { mode: MtlsMode::Strict, decided_by: Some(unreadable) };
    }
    let policies = sources.parts.peer_authentications.values();
    peer_authentication::effective(policies, &sources.own.subject(sources.settings), port)
}

fn kept(new: Cluster, before: Option<&Inbound>) -> Arc<Cluster> {
    let old = before.and_then(|b| b.declared().find(|p| p.cluster.key == new.key)).map(|p| &p.cluster);
    match old {
        Some(old) if same(old, &new) => old.clone(),
        _ => Arc::new(new),
    }
}

fn cluster(
    sources: &Sources<'_>,
    port: Port,
    protocol: Protocol,
    service: Option<&InboundPort>,
    local: IngressEndpoint,
    ids: &mut Clusters,
) -> Cluster {
    let key = ClusterKey::Inbound { port };
    let policy = EffectivePolicy {
        connection_pool: service.and_then(|s| s.connection_pool.clone()).unwrap_or_default(),
        tls: Some(UpstreamTls::Disable),
        ..EffectivePolicy::default()
    };
    let mut policy = with_defaults(policy, sources.settings);
    // The application is spoken to as its port declares: the mesh's upgrade is for the way between proxies.
    policy.connection_pool.h2_upgrade = Some(H2Upgrade::DoNotUpgrade);
    Cluster {
        id: ids.id(&key),
        key,
        name: format!("inbound|{port}||").into(),
        sni: "".into(),
        protocol,
        resolution: Resolution::Static,
        subset_labels: Default::default(),
        policy,
        secret: Secret::Unnamed,
        external: false,
        subject_alt_names: Arc::new([]),
        service_host: service.map_or_else(|| "".into(), |s| s.service.host.shared()),
        service_name: service.map_or_else(|| "".into(), |s| s.service_name.clone()),
        service_namespace: service.map_or_else(|| "".into(), |s| s.service.namespace.as_str().into()),
        endpoints: no_endpoints(),
        local: Some(local),
    }
}

/// Inbound clusters have no endpoints; all share one empty cell, so that equal clusters compare equal.
fn no_endpoints() -> EndpointCell {
    static EMPTY: std::sync::LazyLock<EndpointCell> = std::sync::LazyLock::new(Default::default);
    EMPTY.clone()
}
