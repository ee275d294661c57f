//! Mesh-wide settings: the part of MeshConfig that proxies act on.

use super::{
    destination::{H2Upgrade, TcpKeepalive},
    route::RetryPolicy,
};
use crate::name::Host;
use crate::{
    identity::TrustDomain,
    name::{Namespace, Port},
    path::Normalization,
};
use std::{sync::Arc, time::Duration};

/// Name of the one settings part.
pub const NAME: &str = "mesh";

/// What happens to destinations outside the index.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum OutboundPolicy {
    /// Passed through.
    #[default]
    AllowAny,
    /// Refused.
    RegistryOnly,
    /// Sent to this destination (`Sidecar.outboundTrafficPolicy.egressProxy`).
    EgressProxy(super::route::Target),
}

/// Form of the access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum AccessLogEncoding {
    /// `accessLogEncoding: TEXT`.
    #[default]
    Text,
    /// `accessLogEncoding: JSON`.
    Json,
}

/// The mesh's access log.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct AccessLog {
    /// `/dev/stdout` or a path; empty: off.
    pub file: Arc<str>,
    /// Text form only; empty: Istio's default.
    pub format: Arc<str>,
    /// Text or JSON.
    pub encoding: AccessLogEncoding,
}

/// Extension providers that AuthorizationPolicy with action CUSTOM may name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ExternalAuthorizer {
    /// `extensionProviders[].name`.
    pub name: Arc<str>,
    /// gRPC, else HTTP; only gRPC can decide about TCP.
    pub grpc: bool,
    /// `service`, fully qualified.
    pub service: Host,
    /// `port`.
    pub port: Port,
    /// What was wrong with its definition; such a provider refuses everything.
    pub invalid: Option<Arc<str>>,
}

/// What proxies need of MeshConfig.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// `trustDomain`.
    pub trust_domain: TrustDomain,
    /// `trustDomainAliases`.
    pub trust_domain_aliases: Vec<TrustDomain>,
    /// `rootNamespace`.
    pub root_namespace: Namespace,
    /// Suffix of Kubernetes service names; `cluster.local`.
    pub cluster_domain: Arc<str>,
    /// `outboundTrafficPolicy.mode`.
    pub outbound_policy: OutboundPolicy,
    /// `enableAutoMtls`.
    pub auto_mtls: bool,
    /// `pathNormalization.normalization`.
    pub path_normalization: Normalization,
    /// `connectTimeout`.
    pub connect_timeout: Duration,
    /// `protocolDetectionTimeout`: how long half a first line is waited for before its bytes are opaque; zero: the
    /// proxy's own rule.
    pub protocol_detection_timeout: Duration,
    /// `tcpKeepalive`.
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// `h2UpgradePolicy`.
    pub h2_upgrade: H2Upgrade,
    /// `defaultHttpRetryPolicy`; `None`: the built-in one.
    pub default_retries: Option<RetryPolicy>,
    /// `accessLogFile`, `-Format`, `-Encoding`.
    pub access_log: AccessLog,
    /// `defaultConfig.terminationDrainDuration`.
    pub termination_drain_duration: Duration,
    /// `defaultConfig.gatewayTopology.numTrustedProxies`.
    pub trusted_proxies: u32,
    /// `meshMTLS.minProtocolVersion` is TLSV1_3.
    pub require_tls13: bool,
    /// `extensionProviders` of the ext_authz kinds.
    pub external_authorizers: Vec<ExternalAuthorizer>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            trust_domain: TrustDomain::default(),
            trust_domain_aliases: Vec::new(),
            root_namespace: "istio-system".into(),
            cluster_domain: "cluster.local".into(),
            outbound_policy: OutboundPolicy::AllowAny,
            auto_mtls: true,
            path_normalization: Normalization::default(),
            connect_timeout: Duration::from_secs(10),
            protocol_detection_timeout: Duration::ZERO,
            tcp_keepalive: None,
            h2_upgrade: H2Upgrade::DoNotUpgrade,
            default_retries: None,
            access_log: AccessLog::default(),
            termination_drain_duration: Duration::from_secs(5),
            trusted_proxies: 0,
            require_tls13: false,
            external_authorizers: Vec::new(),
        }
    }
}
