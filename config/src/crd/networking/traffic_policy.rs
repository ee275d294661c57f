//! `trafficPolicy` of a DestinationRule and its subsets: load balancing, limits, upstream TLS, ports.

use super::{forms, upstream_tls::upstream_tls};
use crate::{
    crd::{
        form::is_of_whole_millis,
        reader::{Fields, Item},
    },
    model::destination::{ConnectionPool, H2Upgrade, LoadBalancer, PortPolicy, TcpKeepalive, TrafficPolicy},
    name::Port,
};
use std::{collections::BTreeMap, time::Duration};

const BLOCKS: [&str; 8] = [
    "loadBalancer",
    "connectionPool",
    "outlierDetection",
    "tls",
    "portLevelSettings",
    "tunnel",
    "proxyProtocol",
    "retryBudget",
];

/// One `trafficPolicy`.
pub(super) fn traffic_policy(f: &mut Fields<'_>) -> Option<TrafficPolicy> {
    if !BLOCKS.iter().any(|name| f.has(name)) {
        return f.one_is_required(&BLOCKS, format!("at least one of {} is required", BLOCKS.join(", ")));
    }
    if f.has("tunnel") && f.has("proxyProtocol") {
        return f.invalid("tunnel and proxyProtocol are mutually exclusive");
    }
    forms::TRAFFIC_POLICY.read_inert(f);
    let blocks = blocks(f);
    Some(TrafficPolicy {
        load_balancer: blocks.load_balancer,
        connection_pool: blocks.connection_pool,
        tls: blocks.tls,
        ports: ports(f),
    })
}

/// The blocks that stand at both levels.
fn blocks(f: &mut Fields<'_>) -> PortPolicy {
    PortPolicy {
        load_balancer: f.object("loadBalancer", |f| Some(load_balancer(f))),
        connection_pool: f.object("connectionPool", connection_pool),
        tls: f.object("tls", upstream_tls),
    }
}

fn ports(f: &mut Fields<'_>) -> BTreeMap<Port, PortPolicy> {
    let mut ports = BTreeMap::new();
    f.list("portLevelSettings", |item: Item<'_>| {
        let (port, policy) = item.object(|f| {
            let port = f.required("port").and_then(|item| item.object(|f| f.required("number")?.port()));
            if !BLOCKS[..4].iter().any(|name| f.has(name)) {
                f.refuse(format!("says nothing: one of {} is required", BLOCKS[..4].join(", ")));
            }
            forms::PORT_POLICY.read_inert(f);
            let policy = blocks(f);
            Some((port?, policy))
        })?;
        if ports.contains_key(&port) {
            return item.invalid::<()>(format!("port {port} is listed twice"));
        }
        ports.insert(port, policy);
        Some(())
    });
    ports
}

fn load_balancer(f: &mut Fields<'_>) -> LoadBalancer {
    if f.has("simple") && f.has("consistentHash") {
        f.invalid::<()>("simple and consistentHash are mutually exclusive");
    }
    if f.has("localityLbSetting") && f.has("zoneAwareLbSetting") {
        f.invalid::<()>("localityLbSetting and zoneAwareLbSetting are mutually exclusive");
    }
    forms::LOAD_BALANCER.read_inert(f);
    let simple = [
        ("UNSPECIFIED", LoadBalancer::LeastRequest),
        ("LEAST_REQUEST", LoadBalancer::LeastRequest),
        ("LEAST_CONN", LoadBalancer::LeastRequest),
        ("ROUND_ROBIN", LoadBalancer::RoundRobin),
        ("RANDOM", LoadBalancer::Random),
        ("PASSTHROUGH", LoadBalancer::Passthrough),
    ];
    f.enum_of("simple", &simple).unwrap_or_default()
}

fn connection_pool(f: &mut Fields<'_>) -> Option<ConnectionPool> {
    if !f.has("tcp") && !f.has("http") {
        return f.one_is_required(&["tcp", "http"], "one of tcp and http is required");
    }
    let mut pool = ConnectionPool::default();
    f.object("tcp", |f| tcp(f, &mut pool));
    f.object("http", |f| http(f, &mut pool));
    Some(pool)
}

fn tcp(f: &mut Fields<'_>, pool: &mut ConnectionPool) -> Option<()> {
    pool.max_connections = limit(f, "maxConnections");
    pool.connect_timeout = positive(f, "connectTimeout");
    pool.keepalive = f.object("tcpKeepalive", |f| Some(keepalive(f)));
    pool.max_connection_duration = positive(f, "maxConnectionDuration");
    pool.tcp_idle_timeout = span(f, "idleTimeout");
    Some(())
}

fn http(f: &mut Fields<'_>, pool: &mut ConnectionPool) -> Option<()> {
    pool.max_pending_requests = limit(f, "http1MaxPendingRequests");
    pool.max_requests = limit(f, "http2MaxRequests");
    pool.max_requests_per_connection = limit(f, "maxRequestsPerConnection");
    pool.max_retries = limit(f, "maxRetries");
    pool.http_idle_timeout = f.item("idleTimeout").and_then(|item| {
        let time = item.duration()?;
        whole_millis(&item, time);
        if time < Duration::from_millis(1) {
            item.refuse("must be at least 1ms");
        }
        Some(time)
    });
    let upgrade =
        [("DEFAULT", None), ("UPGRADE", Some(H2Upgrade::Upgrade)), ("DO_NOT_UPGRADE", Some(H2Upgrade::DoNotUpgrade))];
    pool.h2_upgrade = f.enum_of("h2UpgradePolicy", &upgrade).flatten();
    pool.use_client_protocol = f.bool("useClientProtocol").unwrap_or(false);
    pool.max_concurrent_streams = limit(f, "maxConcurrentStreams");
    forms::HTTP.read_inert(f);
    if pool.use_client_protocol && pool.h2_upgrade == Some(H2Upgrade::Upgrade) {
        return f.invalid("useClientProtocol and h2UpgradePolicy UPGRADE are mutually exclusive");
    }
    Some(())
}

/// `tcpKeepalive`, also MeshConfig's.
pub(in crate::crd) fn keepalive(f: &mut Fields<'_>) -> TcpKeepalive {
    TcpKeepalive { probes: limit(f, "probes"), time: positive(f, "time"), interval: positive(f, "interval") }
}

/// A limit; 0 is none.
fn limit(f: &mut Fields<'_>, name: &'static str) -> Option<u32> {
    f.u32(name).filter(|n| *n > 0)
}

/// A time, or none.
fn span(f: &mut Fields<'_>, name: &'static str) -> Option<Duration> {
    let item = f.item(name)?;
    let time = item.duration()?;
    whole_millis(&item, time);
    Some(time)
}

fn whole_millis(item: &Item<'_>, time: Duration) {
    if !is_of_whole_millis(time) {
        item.refuse("must be of whole milliseconds");
    }
}

/// A time of at least a millisecond.
pub(super) fn positive(f: &mut Fields<'_>, name: &'static str) -> Option<Duration> {
    let item = f.item(name)?;
    let time = item.duration()?;
    if time >= Duration::from_millis(1) {
        whole_millis(&item, time);
    }
    if time < Duration::from_millis(1) { item.invalid("must be at least 1ms") } else { Some(time) }
}
