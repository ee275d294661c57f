//! Values of every type of the model, made from bytes.

use bytes::Bytes;
use ipnet::IpNet;
use mesh_config::{
    identity::{SpiffeId, TrustDomain},
    kind::ObjectKind,
    matcher::{PathTemplate, Pattern, StringMatch},
    model::{
        authorization::*, destination::*, endpoint::*, gateway::*, index::*, instance::*, peer_authentication::*,
        route::*, service::*, settings::*, sidecar::*, telemetry::*, workload::*, *,
    },
    name::{Host, Namespace, NamespacedName, Port},
    path::Normalization,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6},
    sync::Arc,
    time::Duration,
};

/// Bytes to decide by; zeros when they are used up.
pub(crate) struct Entropy<'a>(&'a [u8]);

impl<'a> Entropy<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Entropy(bytes)
    }

    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn below(&mut self, n: u8) -> u8 {
        self.byte() % n
    }

    fn word(&mut self) -> u64 {
        (0..8).fold(0, |word, _| word << 8 | u64::from(self.byte()))
    }

    fn any<T: Any>(&mut self) -> T {
        T::any(self)
    }

    fn one_of<T: Clone>(&mut self, options: &[T]) -> T {
        options[usize::from(self.byte()) % options.len()].clone()
    }
}

/// A value made from decisions.
trait Any {
    fn any(e: &mut Entropy<'_>) -> Self;
}

/// A part of each kind.
macro_rules! parts {
    ($(
        $(#[$doc:meta])*
        $kind:ident($module:ident::$model:ident as $message:ident $word:literal)
        $asked:ident $channel:ident $unread:ident $keep:ident $store:ident |$part:ident| $name:expr;
    )*) => {
        /// A part of this kind.
        pub(crate) fn part(kind: Kind, e: &mut Entropy<'_>) -> Part {
            match kind {
                $(Kind::$kind => Part::$kind(e.any()),)*
            }
        }
    };
}

mesh_config::parts!(parts);

/// Structs, field by field, and anything else, by a function.
macro_rules! any {
    ($($ty:ty { $($field:ident $(: $value:expr)?),* $(,)? })*) => {$(
        impl Any for $ty {
            fn any(e: &mut Entropy<'_>) -> Self {
                Self { $($field: any!(@ e $(, $value)?)),* }
            }
        }
    )*};
    (@ $e:ident) => { $e.any() };
    (@ $e:ident, $value:expr) => {{ let make: fn(&mut Entropy<'_>) -> _ = $value; make($e) }};
}

macro_rules! made {
    ($($ty:ty = $value:expr;)*) => {$(
        impl Any for $ty {
            fn any(e: &mut Entropy<'_>) -> Self {
                let make: fn(&mut Entropy<'_>) -> Self = $value;
                make(e)
            }
        }
    )*};
}

/// Enums: one alternative each.
macro_rules! one_of {
    ($($ty:ty { $($value:expr),* $(,)? })*) => {$(
        impl Any for $ty {
            fn any(e: &mut Entropy<'_>) -> Self {
                let options: &[fn(&mut Entropy<'_>) -> Self] = &[$($value),*];
                e.one_of(options)(e)
            }
        }
    )*};
}

impl<T: Any> Any for Arc<T> {
    fn any(e: &mut Entropy<'_>) -> Self {
        Arc::new(e.any())
    }
}

impl<T: Any> Any for Option<T> {
    fn any(e: &mut Entropy<'_>) -> Self {
        (e.below(3) != 0).then(|| e.any())
    }
}

impl<T: Any> Any for Vec<T> {
    fn any(e: &mut Entropy<'_>) -> Self {
        (0..e.below(4)).map(|_| e.any()).collect()
    }
}

impl<T: Any + Ord> Any for BTreeSet<T> {
    fn any(e: &mut Entropy<'_>) -> Self {
        (0..e.below(4)).map(|_| e.any()).collect()
    }
}

impl<K: Any + Ord, V: Any> Any for BTreeMap<K, V> {
    fn any(e: &mut Entropy<'_>) -> Self {
        (0..e.below(4)).map(|_| (e.any(), e.any())).collect()
    }
}

impl<A: Any, B: Any> Any for (A, B) {
    fn any(e: &mut Entropy<'_>) -> Self {
        (e.any(), e.any())
    }
}

fn some<T: Any>(e: &mut Entropy<'_>) -> Vec<T> {
    (0..=e.below(3)).map(|_| e.any()).collect()
}

made! {
    bool = |e| e.below(2) == 1;
    u8 = |e| e.byte();
    u16 = |e| e.word() as u16;
    u32 = |e| e.word() as u32;
    i64 = |e| e.word() as i64;
    Arc<str> = |e| e.one_of(&["", "a", "x-Name", "/p/ü", "multi\nline \u{1f980}"]).into();
    Bytes = |e| Bytes::from((0..e.below(40)).map(|_| e.byte()).collect::<Vec<_>>());
    Duration = |e| e.one_of(&[Duration::ZERO, Duration::from_nanos(1), Duration::new(315_576_000_000, 999_999_999)]);
    Ipv4Addr = |e| Ipv4Addr::from(e.word() as u32);
    Ipv6Addr = |e| Ipv6Addr::from(u128::from(e.word()) << 64 | u128::from(e.word()));
    IpNet = |e| {
        let ip: IpAddr = e.any();
        let longest = if ip.is_ipv4() { 33 } else { 129 };
        IpNet::new(ip, e.below(longest)).unwrap()
    };
    Host = |e| e.one_of(&["a", "cart.shop.svc.cluster.local", "*", "*.b", "10.0.0.1", "::1"]).parse().unwrap();
    Port = |e| Port::new(e.any::<u16>().max(1)).unwrap();
    Namespace = |e| e.one_of(&["", "shop", "istio-system"]).into();
    NamespacedName = |e| NamespacedName { namespace: e.any(), name: e.any() };
    TrustDomain = |e| e.one_of(&["cluster.local", "td_1"]).parse().unwrap();
    Pattern = |e| Pattern::new(e.one_of(&["", "a|b", "/(?i)x.*[0-9]{1,3}", "\\d+"])).unwrap();
    PathTemplate = |e| PathTemplate::new(e.one_of(&["/", "/a/{*}/b", "/{**}/x.y"])).unwrap();
    Labels = |e| Labels(e.any::<std::collections::BTreeMap<_, _>>().into());
}

one_of! {
    IpAddr { |e| IpAddr::V4(e.any()), |e| IpAddr::V6(e.any()) }
    SocketAddr {
        |e| SocketAddr::new(e.any(), e.any()),
        |e| SocketAddrV6::new(e.any(), e.any(), 0, e.any()).into(),
    }
    StringMatch {
        |e| Self::Exact(e.any()), |e| Self::Prefix(e.any()), |e| Self::Suffix(e.any()), |e| Self::Regex(e.any()),
        |_| Self::Present,
    }
    Visibility { |_| Self::Everywhere, |e| Self::Namespaces(e.any()) }
    Protocol {
        |_| Self::Http, |_| Self::Http2, |_| Self::Grpc, |_| Self::GrpcWeb, |_| Self::Https, |_| Self::Tls,
        |_| Self::Tcp, |_| Self::Auto, |_| Self::Udp,
    }
    Resolution { |_| Self::Static, |_| Self::Passthrough, |_| Self::Dns, |_| Self::DnsRoundRobin }
    IndexKind { |_| Self::Service, |_| Self::VirtualHost }
    EndpointAddress { |e| Self::Ip(e.any()), |e| Self::Name(e.any()), |e| Self::Unix(e.any()) }
    Health { |_| Self::Healthy, |_| Self::Draining, |_| Self::Unhealthy }
    LoadBalancer { |_| Self::LeastRequest, |_| Self::RoundRobin, |_| Self::Random, |_| Self::Passthrough }
    H2Upgrade { |_| Self::Upgrade, |_| Self::DoNotUpgrade }
    UpstreamTls {
        |_| Self::Disable,
        |e| Self::IstioMutual { sni: e.any(), subject_alt_names: e.any() },
        |e| Self::Simple(e.any()),
    }
    UpstreamKeys { |e| Self::Files(e.any()), |e| Self::Secret(e.any()) }
    Parent { |_| Self::Mesh, |e| Self::Gateway(e.any()) }
    RouteAction { |e| Self::Forward(some(e)), |e| Self::Redirect(e.any()), |e| Self::Respond(e.any()) }
    RedirectPath { |e| Self::Full(e.any()), |e| Self::Prefix(e.any()) }
    RedirectPort { |_| Self::Keep, |e| Self::Number(e.any()), |_| Self::ProtocolDefault, |_| Self::RequestPort }
    LogSide { |_| Self::Both, |_| Self::Client, |_| Self::Server }
    LogFormat { |e| Self::Text(e.any()), |e| Self::Json(e.any()) }
    LogAttribute { |_| Self::ResponseCode, |_| Self::ResponseFlags, |_| Self::GrpcStatus, |_| Self::MutualTls }
    LogComparison {
        |_| Self::Equal, |_| Self::NotEqual, |_| Self::Less, |_| Self::AtMost, |_| Self::Greater, |_| Self::AtLeast,
    }
    MtlsMode { |_| Self::Disable, |_| Self::Permissive, |_| Self::Strict }
    Action { |_| Self::Allow, |_| Self::Deny, |_| Self::Audit, |e| Self::Custom(e.any()) }
    PathRule { |e| Self::Text(e.any()), |e| Self::Template(e.any()) }
    Attribute {
        |e| Self::RequestHeader(e.any()), |_| Self::SourceIp, |_| Self::RemoteIp, |_| Self::SourceNamespace,
        |_| Self::SourcePrincipal, |_| Self::SourceServiceAccount, |_| Self::SourceTrustDomain,
        |_| Self::RequestPrincipal, |_| Self::RequestAudiences, |_| Self::RequestPresenter,
        |e| Self::RequestClaim(e.any()), |_| Self::DestinationIp, |_| Self::DestinationPort, |_| Self::ConnectionSni,
        |e| Self::FilterMetadata { filter: e.any(), path: e.any() },
    }
    ConditionValue {
        |e| Self::Text(e.any()), |e| Self::ListElement(e.any()), |e| Self::Block(e.any()), |e| Self::Port(e.any()),
        |e| Self::ServiceAccount(e.any()),
    }
    ServerProtocol {
        |_| Self::Http,
        |e| Self::Https(e.any()),
        |_| Self::Tcp,
        |e| Self::Tls(e.any()),
        |_| Self::Passthrough,
    }
    ServerTls {
        |e| Self::Secret { name: e.any(), require_client_certificate: e.any() },
        |_| Self::Mesh,
    }
    IngressEndpoint {
        |_| Self::Loopback, |e| Self::Address(e.any()), |e| Self::InstancePort(e.any()), |e| Self::Unix(e.any()),
    }
    EgressNamespace { |_| Self::Any, |_| Self::OfWorkload, |e| Self::Named(e.any()) }
    OutboundPolicy { |_| Self::AllowAny, |_| Self::RegistryOnly, |e| Self::EgressProxy(e.any()) }
    Normalization { |_| Self::None, |_| Self::Base, |_| Self::MergeSlashes, |_| Self::DecodeAndMergeSlashes }
    AccessLogEncoding { |_| Self::Text, |_| Self::Json }
}

any! {
    SpiffeId { trust_domain, namespace, service_account }
    Precedence { created, position }
    ServiceKey { namespace, host }
    ServicePort { number, name, protocol }
    Service { key, name, addresses, ports, resolution, external, headless, subject_alt_names }
    IndexEntry { key, kind, addresses, ports, resolution, headless }
    Locality { region, zone, subzone }
    WorkloadInfo { workload, namespace, canonical_name, canonical_revision, app, version, cluster }
    Workload {
        uid, addresses, info, labels, service_account, identity, locality, network, mutual_tls, mutual_tls_except, headless,
    }
    HeadlessPort { service, port }
    InboundPort { target_port, service, service_name, service_port, protocol, connection_pool }
    Instance { workload, ports }
    EndpointKey { service, port, id }
    Endpoint {
        key, address, target_port, labels, health, weight: |e| e.any::<u32>().max(1), locality, mutual_tls, identity,
        workload,
    }
    TcpKeepalive { probes, time, interval }
    ConnectionPool {
        max_connections, connect_timeout, keepalive, max_connection_duration, tcp_idle_timeout, max_pending_requests,
        max_requests, max_requests_per_connection, max_retries, http_idle_timeout, h2_upgrade, use_client_protocol,
        max_concurrent_streams,
    }
    CertificateFiles { chain, key }
    SecretKeys { name, shows_certificate }
    KeyFiles { roots, certificate }
    SimpleTls { sni, subject_alt_names, insecure_skip_verify, keys }
    PortPolicy { load_balancer, connection_pool, tls }
    TrafficPolicy { load_balancer, connection_pool, tls, ports }
    Subset { name, labels, policy }
    Destination { object: |e| e.one_of(&ObjectKind::ALL), name, host, precedence, visibility, workload_selector, policy, subsets }
    Target { host, port, subset }
    HeaderChange { remove, set, add }
    HeaderOps { request, response }
    Backend { target, weight: |e| e.any::<u32>().max(1), headers }
    Redirect { path, authority, port, scheme, code: |e| e.one_of(&[301, 302, 303, 307, 308]) }
    DirectResponse { status: |e| e.one_of(&[200, 404, 599]), body }
    Rewrite { uri, uri_regex, authority }
    RetryOn {
        server_error, gateway_error, reset, reset_before_request, connect_failure, refused_stream, retriable_4xx,
        rate_limited, status_codes, grpc,
    }
    RetryPolicy { attempts, per_try_timeout, on, backoff, avoid_previous }
    PathMatch { matcher, ignore_case }
    HeaderMatch { name, matcher, invert }
    QueryMatch { name, matcher }
    RouteMatch {
        name, path, scheme, method, authority, headers, query, port, source_labels, source_namespace, parents,
    }
    RouteRule { name, matches, action, rewrite, timeout, retries, headers }
    StreamMatch { server_names, subnets, port, source_labels, source_namespace, parents }
    Share { target, weight: |e| e.any::<u32>().max(1) }
    StreamRule { matches, backends: some }
    Route { object: |e| e.one_of(&ObjectKind::ALL), name, hosts, parents: some, precedence, visibility, rules, tls, tcp }
    PeerAuthentication { name, precedence, selector, mode, ports }
    LogOutlet { name, file: |_| "/dev/stdout".into(), format }
    LogCondition { attribute, comparison, number }
    LogAlternative { all }
    LogFilter { any }
    LogRule { side, outlets, disabled, filter }
    Telemetry { name, precedence, selector, defaults, rules }
    Values<StringMatch> { any_of, none_of }
    Values<NamespacedName> { any_of, none_of }
    Values<IpNet> { any_of, none_of }
    Values<u16> { any_of, none_of }
    Values<PathRule> { any_of, none_of }
    Values<ConditionValue> { any_of, none_of }
    Source {
        principals, request_principals, namespaces, service_accounts, trust_domains, ip_blocks, remote_ip_blocks,
    }
    Operation { hosts, ports, methods, paths }
    Condition { key, values }
    Rule { sources, operations, conditions }
    Authorization { name, selector, action, dry_run, rules }
    ServerHost { namespace, host }
    Server { port, port_name, protocol, bind, hosts, https_redirect }
    Gateway { object: |e| e.one_of(&ObjectKind::ALL), name, selector, precedence, servers }
    IngressListener { port, protocol, name, bind, default_endpoint }
    EgressHost { namespace, host, exclude }
    EgressListener { port, protocol, name, bind, hosts }
    Sidecar { name, workload_selector, ingress, egress, outbound_policy }
    Credential { name, chain_pem, key_pem, ca_pem }
    TrustBundle { trust_domain, roots }
    AccessLog { file, format, encoding }
    ExternalAuthorizer { name, grpc, service, port, invalid }
    Settings {
        trust_domain, trust_domain_aliases, root_namespace, cluster_domain, outbound_policy, auto_mtls,
        path_normalization, connect_timeout, protocol_detection_timeout, tcp_keepalive, h2_upgrade, default_retries,
        access_log, termination_drain_duration, trusted_proxies, require_tls13, external_authorizers,
    }
}
