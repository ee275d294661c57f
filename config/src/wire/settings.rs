//! Mesh-wide settings.

use super::{
    error::{At, FieldError},
    field::{Field, choice, message, resource, word},
    v1,
};
use crate::{
    model::settings::{AccessLog, AccessLogEncoding, ExternalAuthorizer, OutboundPolicy, Settings},
    path::Normalization,
};

resource!(Settings => Settings {
    trust_domain, trust_domain_aliases, root_namespace, cluster_domain, outbound_policy, auto_mtls,
    path_normalization, connect_timeout, protocol_detection_timeout, tcp_keepalive, h2_upgrade, default_retries,
    access_log, termination_drain_duration, trusted_proxies, require_tls13, external_authorizers,
});
choice!(OutboundPolicy => OutboundPolicy in outbound_policy { AllowAny, RegistryOnly, EgressProxy(target) });
word!(Normalization => Normalization { None, Base, MergeSlashes, DecodeAndMergeSlashes });
message!(AccessLog => AccessLog { file, format, encoding });
word!(AccessLogEncoding => AccessLogEncoding { Text, Json });
message!(ExternalAuthorizer => ExternalAuthorizer { name, grpc, service, port, invalid });
