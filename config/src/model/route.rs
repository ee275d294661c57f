//! Routing rules of requests and of opaque connections: one VirtualService, attached to the mesh or to gateways.

use super::{Labels, Precedence, Visibility};
use crate::{
    kind::ObjectKind,
    matcher::StringMatch,
    name::{Host, Namespace, NamespacedName, Port},
};
use bytes::Bytes;
use ipnet::IpNet;
use std::{sync::Arc, time::Duration};

/// What a route is attached to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Parent {
    /// All sidecars (the reserved gateway name `mesh`).
    Mesh,
    /// A gateway.
    Gateway(NamespacedName),
}

/// What a rule is about. Which of several routes counts for a host is decided for each by itself: one that has rules for
/// requests alone leaves opaque connections to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Section {
    /// Requests.
    Http,
    /// TLS that is carried on as it is, told apart by the name in the client's hello.
    Tls,
    /// Opaque bytes.
    Tcp,
}

impl Section {
    /// All of them.
    pub const ALL: [Section; 3] = [Section::Http, Section::Tls, Section::Tcp];
}

/// One VirtualService's rules.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// Kind of the object that it comes from.
    pub object: ObjectKind,
    /// The object's name.
    pub name: NamespacedName,
    /// Fully qualified names and wildcards.
    pub hosts: Vec<Host>,
    /// What it is attached to; never empty.
    pub parents: Vec<Parent>,
    /// Which wins where two say different things about one host.
    pub precedence: Precedence,
    /// Which clients see it.
    pub visibility: Visibility,
    /// Of requests; the first that matches wins.
    pub rules: Vec<RouteRule>,
    /// Of TLS that is carried on as it is; the most specific server name wins.
    pub tls: Vec<StreamRule>,
    /// Of opaque bytes; the first that matches wins.
    pub tcp: Vec<StreamRule>,
}

impl Route {
    /// Whether it says anything about these.
    pub fn has(&self, section: Section) -> bool {
        match section {
            Section::Http => !self.rules.is_empty(),
            Section::Tls => !self.tls.is_empty(),
            Section::Tcp => !self.tcp.is_empty(),
        }
    }

    /// The rules of opaque connections in a section; none for requests.
    pub fn streams(&self, section: Section) -> &[StreamRule] {
        match section {
            Section::Http => &[],
            Section::Tls => &self.tls,
            Section::Tcp => &self.tcp,
        }
    }

    /// Everything that it may forward to, once for each rule that does.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        let of_requests = self.rules.iter().flat_map(|rule| match &rule.action {
            RouteAction::Forward(backends) => backends.as_slice(),
            RouteAction::Redirect(_) | RouteAction::Respond(_) => &[],
        });
        let of_streams = self.tls.iter().chain(&self.tcp).flat_map(|rule| &rule.backends);
        of_requests.map(|backend| &backend.target).chain(of_streams.map(|share| &share.target))
    }

    /// Where it stands, for clients in `client`, among those that say something about one host: the least counts, or
    /// is merged first. See docs/reference/choosing.md.
    pub fn rank<'a>(&'a self, client: &Namespace) -> impl Ord + use<'a> {
        let reach = self.visibility.reach(&self.name.namespace, client);
        (reach.is_none(), reach, &self.precedence, &self.name, self.object)
    }
}

/// One entry of `http`.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteRule {
    /// Route name in logs; empty when the object gives none.
    pub name: Arc<str>,
    /// Any one must match; empty matches all.
    pub matches: Vec<RouteMatch>,
    /// What happens.
    pub action: RouteAction,
    /// Path and host changes before forwarding.
    pub rewrite: Option<Rewrite>,
    /// Whole request, all tries; `None` or zero: no limit.
    pub timeout: Option<Duration>,
    /// `None`: the mesh's default.
    pub retries: Option<RetryPolicy>,
    /// Header operations of the rule.
    pub headers: HeaderOps,
}

/// One entry of `tls` or `tcp`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamRule {
    /// Any one must match; empty matches all.
    pub matches: Vec<StreamMatch>,
    /// A connection goes to one of these, by weight. Never empty; weights are at least 1.
    pub backends: Vec<Share>,
}

/// Conditions on an opaque connection that must all hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StreamMatch {
    /// Names in the client's hello, wildcards among them; empty: any, and none.
    pub server_names: Vec<Host>,
    /// Where the client wants to; empty: anywhere. A gateway does not look at it.
    pub subnets: Vec<IpNet>,
    /// The listener's port.
    pub port: Option<Port>,
    /// Labels of the client's workload; a gateway does not look at them.
    pub source_labels: Labels,
    /// Namespace of the client's workload; a gateway does not look at it.
    pub source_namespace: Option<Namespace>,
    /// Only for these of the route's parents; empty: all.
    pub parents: Vec<Parent>,
}

/// A weighted destination of opaque connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// Where to.
    pub target: Target,
    /// Share, relative to the sum.
    pub weight: u32,
}

/// Conditions that must all hold.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RouteMatch {
    /// Appended to the route's name in logs.
    pub name: Arc<str>,
    /// Path without query.
    pub path: Option<PathMatch>,
    /// `:scheme`.
    pub scheme: Option<StringMatch>,
    /// Method.
    pub method: Option<StringMatch>,
    /// Host as sent, with port, case-sensitive.
    pub authority: Option<StringMatch>,
    /// Headers.
    pub headers: Vec<HeaderMatch>,
    /// Query parameters: first value of each name, not decoded.
    pub query: Vec<QueryMatch>,
    /// The listener's port.
    pub port: Option<Port>,
    /// Labels of the client's workload; ignored when `parents` is not empty.
    pub source_labels: Labels,
    /// Namespace of the client's workload; ignored when `parents` is not empty.
    pub source_namespace: Option<Namespace>,
    /// Only for these of the route's parents; empty: all.
    pub parents: Vec<Parent>,
}

/// On the path without query.
#[derive(Debug, Clone, PartialEq)]
pub struct PathMatch {
    /// How.
    pub matcher: StringMatch,
    /// Exact and prefix compare without case.
    pub ignore_case: bool,
}

/// On one header.
#[derive(Debug, Clone, PartialEq)]
pub struct HeaderMatch {
    /// Lower-case name.
    pub name: Arc<str>,
    /// Each value is tested on its own. [`StringMatch::Present`] asks for presence, even with an empty value.
    pub matcher: StringMatch,
    /// `withoutHeaders`: no value may match; a missing header counts as empty (presence form: must be absent).
    pub invert: bool,
}

/// On one query parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryMatch {
    /// Case-sensitive name.
    pub name: Arc<str>,
    /// On the first value.
    pub matcher: StringMatch,
}

/// What a matching request gets.
#[derive(Debug, Clone, PartialEq)]
pub enum RouteAction {
    /// Sent to one of these, by weight. Never empty; weights are at least 1.
    Forward(Vec<Backend>),
    /// Told to go elsewhere.
    Redirect(Redirect),
    /// Answered by the proxy.
    Respond(DirectResponse),
}

/// A weighted destination.
#[derive(Debug, Clone, PartialEq)]
pub struct Backend {
    /// Where to.
    pub target: Target,
    /// Share, relative to the sum.
    pub weight: u32,
    /// Header operations of the destination.
    pub headers: HeaderOps,
}

/// A destination as a route names it; what it resolves to depends on what the proxy can see.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target {
    /// Fully qualified.
    pub host: Host,
    /// Needed when the service has several ports.
    pub port: Option<Port>,
    /// A subset of the service's DestinationRule.
    pub subset: Option<Arc<str>>,
}

/// Path and host changes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rewrite {
    /// Replaces the matched prefix, or the whole path for exact and regex matches.
    pub uri: Option<Arc<str>>,
    /// Replaces every match in the path (`\1` for groups).
    pub uri_regex: Option<(crate::matcher::Pattern, Arc<str>)>,
    /// Replaces the host.
    pub authority: Option<Arc<str>>,
}

/// Where to, each part `None` keeps the request's.
#[derive(Debug, Clone, PartialEq)]
pub struct Redirect {
    /// Whole path (with query where it has one).
    pub path: Option<RedirectPath>,
    /// Host.
    pub authority: Option<Arc<str>>,
    /// Port.
    pub port: RedirectPort,
    /// `http` or `https`.
    pub scheme: Option<Arc<str>>,
    /// 301, 302, 303, 307 or 308.
    pub code: u16,
}

/// The new path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedirectPath {
    /// `uri`.
    Full(Arc<str>),
    /// `prefixRewrite`.
    Prefix(Arc<str>),
}

/// The new port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RedirectPort {
    /// As in the request's host, without a default port of the old scheme when the scheme changes.
    #[default]
    Keep,
    /// This one.
    Number(Port),
    /// `FROM_PROTOCOL_DEFAULT`: none.
    ProtocolDefault,
    /// `FROM_REQUEST_PORT`: the port that the request came in on.
    RequestPort,
}

/// An answer of the proxy's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectResponse {
    /// 200 to 599.
    pub status: u16,
    /// At most 1 MiB.
    pub body: Bytes,
}

/// Operations on request and response headers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HeaderOps {
    /// On the request.
    pub request: HeaderChange,
    /// On the response.
    pub response: HeaderChange,
}

/// Removes first, then sets, then adds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeaderChange {
    /// Lower-case names.
    pub remove: Vec<Arc<str>>,
    /// Name and value template; replaces.
    pub set: Vec<(Arc<str>, Arc<str>)>,
    /// Name and value template; one more line.
    pub add: Vec<(Arc<str>, Arc<str>)>,
}

impl HeaderChange {
    /// Nothing to do.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }
}

/// When a request is sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Retries besides the first try; 0 switches retries off.
    pub attempts: u32,
    /// `None`: the whole timeout.
    pub per_try_timeout: Option<Duration>,
    /// On which outcomes.
    pub on: RetryOn,
    /// Base of the back-off; 25 ms unless given.
    pub backoff: Duration,
    /// Prefer endpoints not tried yet.
    pub avoid_previous: bool,
}

/// The words of `retryOn` (Envoy's `x-envoy-retry-on` and `-grpc-on`), parsed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RetryOn {
    /// `5xx`.
    pub server_error: bool,
    /// `gateway-error`.
    pub gateway_error: bool,
    /// `reset`.
    pub reset: bool,
    /// `reset-before-request`.
    pub reset_before_request: bool,
    /// `connect-failure`.
    pub connect_failure: bool,
    /// `refused-stream`.
    pub refused_stream: bool,
    /// `retriable-4xx`.
    pub retriable_4xx: bool,
    /// `envoy-ratelimited`.
    pub rate_limited: bool,
    /// `retriable-status-codes`, with the codes that stood in the list.
    pub status_codes: Vec<u16>,
    /// gRPC statuses in response headers: `cancelled` 1, `deadline-exceeded` 4, `resource-exhausted` 8,
    /// `internal` 13, `unavailable` 14.
    pub grpc: Vec<u8>,
}
