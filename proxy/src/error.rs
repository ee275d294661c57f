//! Why a request got an answer of the proxy's own: one enum, and by exhaustive `match` what the client sees
//! (status, body) and what logs and metrics say (flags, details). Texts are Envoy's, since alerts are built on them.

#![warn(clippy::wildcard_enum_match_arm)]

pub use crate::head::BadRequest;

use crate::{body::Fault, exchange::Flag};
use ::http::StatusCode;
use mesh_config::model::ServiceKey;
use std::{borrow::Cow, sync::Arc};

/// Why there is no connection to an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConnectFailure {
    /// The other side refused, or TLS with it failed.
    Remote,
    /// Our side could not even ask.
    Local,
    /// It took too long.
    Timeout,
}

/// How a request ended on an established upstream connection, before response headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reset {
    /// The connection closed or broke.
    Connection,
    /// A reused connection turned out to be closed, and the request could not be repeated safely.
    Stale,
    /// RST_STREAM.
    Remote,
    /// RST_STREAM with REFUSED_STREAM, or above the last stream of a GOAWAY: never begun.
    Refused,
    /// It did not speak HTTP.
    Protocol,
}

/// Why a request is not answered by an upstream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nothing matches.
    #[error("no virtual host or route matches the request")]
    RouteNotFound,
    /// The route's cluster is not known.
    #[error("the route names cluster {0:?}, which does not exist")]
    ClusterNotFound(Arc<str>),
    /// Outside the registry, which the outbound policy forbids.
    #[error("the host is not in the registry and the outbound policy is REGISTRY_ONLY")]
    Blocked,
    /// In the index, its details did not come in time.
    #[error("details of service {0} have not arrived from pilot: is it reachable?")]
    NotReady(ServiceKey),
    /// No endpoint may be chosen.
    #[error("no healthy endpoint")]
    NoHealthyUpstream,
    /// The name of an endpoint has no address.
    #[error("the name {0:?} does not resolve")]
    Dns(Arc<str>),
    /// No connection.
    #[error("no connection to the upstream: {reason}")]
    Connect {
        /// What happened.
        failure: ConnectFailure,
        /// As the transport says it.
        reason: Arc<str>,
    },
    /// The connection or stream ended before response headers.
    #[error("the upstream ended the request before it answered: {0:?}")]
    Reset(Reset),
    /// A limit of the cluster.
    #[error("a connection pool limit of the cluster is reached")]
    Overflow,
    /// As much is held for this client, or for all, as may be.
    #[error("the requests under way hold as much as the proxy holds for clients")]
    Overloaded,
    /// The route's timeout.
    #[error("the upstream did not answer within the route's timeout")]
    Timeout,
    /// The last try's timeout.
    #[error("the upstream did not answer within the timeout of this attempt")]
    PerTryTimeout,
    /// The client's own limit (`grpc-timeout`), at the server's side.
    #[error("the client's own deadline passed")]
    Deadline,
    /// An authorisation policy.
    #[error("access denied: {details}")]
    Denied {
        /// Names the policy and rule: `rbac_access_denied_matched_policy[…]`.
        details: Arc<str>,
    },
    /// The request itself.
    #[error("bad request: {0:?}")]
    Bad(BadRequest),
    /// The client went away in the middle of its request.
    #[error("the client went away before its request was complete")]
    ClientGone,
    /// The client sent nothing of its request for longer than it may.
    #[error("the rest of the request did not come in time")]
    ClientLate,
    /// An upgrade that cannot be done.
    #[error("the upgrade cannot be carried to the upstream")]
    UpgradeRefused,
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Gone => Error::ClientGone,
            Fault::Malformed => Error::Bad(BadRequest::Body),
            Fault::Late => Error::ClientLate,
        }
    }
}

impl Error {
    /// The status that the client sees.
    pub fn status(&self) -> StatusCode {
        match self {
            Error::RouteNotFound => StatusCode::NOT_FOUND,
            Error::Blocked => StatusCode::BAD_GATEWAY,
            Error::Timeout | Error::PerTryTimeout | Error::Deadline => StatusCode::GATEWAY_TIMEOUT,
            Error::Reset(Reset::Protocol) => StatusCode::BAD_GATEWAY,
            Error::Denied { .. } | Error::UpgradeRefused => StatusCode::FORBIDDEN,
            // Nobody reads it.
            Error::ClientGone => StatusCode::BAD_REQUEST,
            Error::ClientLate => StatusCode::REQUEST_TIMEOUT,
            Error::Bad(bad) => StatusCode::from_u16(bad.status()).expect("the table has no other than valid ones"),
            Error::ClusterNotFound(_)
            | Error::NotReady(_)
            | Error::NoHealthyUpstream
            | Error::Dns(_)
            | Error::Connect { .. }
            | Error::Reset(_)
            | Error::Overloaded
            | Error::Overflow => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The flag of the access log.
    pub fn flag(&self) -> Option<Flag> {
        match self {
            Error::RouteNotFound => Some(Flag::NoRoute),
            Error::ClusterNotFound(_) => Some(Flag::NoCluster),
            Error::NoHealthyUpstream => Some(Flag::NoHealthyUpstream),
            Error::Dns(_) => Some(Flag::DnsFailure),
            Error::Connect { .. } => Some(Flag::UpstreamConnectFailure),
            Error::Reset(Reset::Connection | Reset::Stale) => Some(Flag::UpstreamConnectionTermination),
            Error::Reset(Reset::Remote | Reset::Refused) => Some(Flag::UpstreamRemoteReset),
            Error::Reset(Reset::Protocol) => Some(Flag::UpstreamProtocolError),
            Error::Overflow => Some(Flag::UpstreamOverflow),
            Error::Timeout | Error::PerTryTimeout => Some(Flag::UpstreamTimeout),
            Error::Bad(bad) => bad.is_codec().then_some(Flag::DownstreamProtocolError),
            Error::ClientGone => Some(Flag::DownstreamDisconnect),
            Error::ClientLate => Some(Flag::StreamIdle),
            Error::Overloaded
            | Error::Deadline
            | Error::Blocked
            | Error::NotReady(_)
            | Error::Denied { .. }
            | Error::UpgradeRefused => None,
        }
    }

    /// `response_code_details`; spaces have become underscores.
    pub fn details(&self) -> Cow<'static, str> {
        let text = match self {
            Error::RouteNotFound => "route_not_found",
            Error::ClusterNotFound(_) => "cluster_not_found",
            Error::Blocked => "direct_response",
            Error::NotReady(service) => return Cow::Owned(format!("not_ready{{{service}}}")),
            Error::NoHealthyUpstream => "no_healthy_upstream",
            Error::Dns(name) => return Cow::Owned(format!("dns_resolution_failure{{{name}}}")),
            Error::Connect { failure, reason } => {
                let what = underscored(failure.text());
                let why = underscored(reason);
                return Cow::Owned(format!("upstream_reset_before_response_started{{{what}|{why}}}"));
            }
            Error::Reset(Reset::Connection) => "upstream_reset_before_response_started{connection_termination}",
            Error::Reset(Reset::Stale) => "upstream_reset_before_response_started{stale_connection}",
            Error::Reset(Reset::Remote) => "upstream_reset_before_response_started{remote_reset}",
            Error::Reset(Reset::Refused) => "upstream_reset_before_response_started{remote_refused_stream_reset}",
            Error::Reset(Reset::Protocol) => "upstream_reset_before_response_started{protocol_error}",
            Error::Overflow => "upstream_reset_before_response_started{overflow}",
            Error::Overloaded => "overload",
            Error::Timeout => "response_timeout",
            Error::PerTryTimeout => "upstream_per_try_timeout",
            Error::Deadline => "max_duration_timeout",
            Error::Denied { details } => return Cow::Owned(details.to_string()),
            Error::Bad(bad) => bad.details(),
            Error::ClientGone => "downstream_remote_disconnect",
            Error::ClientLate => "stream_idle_timeout",
            Error::UpgradeRefused => "upgrade_failed",
        };
        Cow::Borrowed(text)
    }

    /// The text that the client gets; empty: none.
    pub fn body(&self, retried: bool) -> Cow<'static, str> {
        let reset = |what: &str| {
            let retried = if retried { "retried and the latest " } else { "" };
            Cow::Owned(format!(
                "upstream connect error or disconnect/reset before headers. {retried}reset reason: {what}"
            ))
        };
        match self {
            Error::Connect { failure, .. } => reset(failure.text()),
            Error::Reset(kind) => reset(kind.text()),
            Error::Overflow => reset("overflow"),
            Error::Overloaded => Cow::Borrowed("envoy overloaded"),
            Error::NoHealthyUpstream => Cow::Borrowed("no healthy upstream"),
            Error::Dns(_) => Cow::Borrowed("DNS resolution failure"),
            Error::Timeout | Error::PerTryTimeout => Cow::Borrowed("upstream request timeout"),
            Error::Deadline => Cow::Borrowed("downstream duration timeout"),
            Error::ClientLate => Cow::Borrowed("stream timeout"),
            Error::Denied { .. } => Cow::Borrowed("RBAC: access denied"),
            Error::NotReady(_) => Cow::Borrowed("service details not loaded yet"),
            Error::Bad(bad) if bad.is_codec() => Cow::Borrowed(self.status().canonical_reason().unwrap_or("")),
            Error::Bad(_)
            | Error::RouteNotFound
            | Error::ClusterNotFound(_)
            | Error::Blocked
            | Error::ClientGone
            | Error::UpgradeRefused => Cow::Borrowed(""),
        }
    }

    /// What the transport said; empty: nothing went wrong there.
    pub fn transport_failure(&self) -> Cow<'static, str> {
        let Error::Connect { reason, .. } = self else { return Cow::Borrowed("") };
        Cow::Owned(underscored(reason))
    }

    /// The gRPC status, where it is not the one that stands for the HTTP status.
    pub fn grpc_status(&self) -> Option<u16> {
        matches!(self, Error::Deadline).then_some(4)
    }

    /// Answered with `x-envoy-overloaded: true`.
    pub fn is_overload(&self) -> bool {
        matches!(self, Error::Overflow | Error::Overloaded)
    }
}

impl ConnectFailure {
    fn text(self) -> &'static str {
        match self {
            ConnectFailure::Remote => "remote connection failure",
            ConnectFailure::Local => "local connection failure",
            ConnectFailure::Timeout => "connection timeout",
        }
    }
}

impl Reset {
    fn text(self) -> &'static str {
        match self {
            Reset::Connection | Reset::Stale => "connection termination",
            Reset::Remote => "remote reset",
            Reset::Refused => "remote refused stream reset",
            Reset::Protocol => "protocol error",
        }
    }
}

fn underscored(text: &str) -> String {
    text.replace(' ', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_connection_reads_as_users_know_it() {
        let error = Error::Connect {
            failure: ConnectFailure::Remote,
            reason: "delayed connect error: Connection refused".into(),
        };
        assert_eq!(error.status(), 503);
        assert_eq!(error.flag(), Some(Flag::UpstreamConnectFailure));
        assert_eq!(
            error.details(),
            "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}"
        );
        assert_eq!(
            error.body(false),
            "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure"
        );
        assert_eq!(
            error.body(true),
            "upstream connect error or disconnect/reset before headers. \
             retried and the latest reset reason: remote connection failure"
        );
    }

    #[test]
    fn a_denial_names_the_policy_in_details_only() {
        let error = Error::Denied { details: "rbac_access_denied_matched_policy[ns[a]-policy[b]-rule[0]]".into() };
        assert_eq!(error.status(), 403);
        assert_eq!(error.details(), "rbac_access_denied_matched_policy[ns[a]-policy[b]-rule[0]]");
        assert_eq!((error.body(false).as_ref(), error.flag()), ("RBAC: access denied", None));
    }

    #[test]
    fn a_lost_stale_connection_is_told_apart() {
        let error = Error::Reset(Reset::Stale);
        assert_eq!(error.flag(), Some(Flag::UpstreamConnectionTermination));
        assert_eq!(error.details(), "upstream_reset_before_response_started{stale_connection}");
    }

    #[test]
    fn codec_refusals_carry_the_status_phrase() {
        let error = Error::Bad(BadRequest::TransferEncoding);
        assert_eq!((error.status().as_u16(), error.body(false).as_ref()), (400, "Bad Request"));
        assert_eq!(error.flag(), Some(Flag::DownstreamProtocolError));
        assert_eq!(Error::Bad(BadRequest::MissingHost).flag(), None);
    }
}
