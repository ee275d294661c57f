//! How clients reach a service.

use super::{
    error::{At, FieldError},
    field::{Field, Level, message, required, resource, word},
    v1,
};
use crate::model::destination::{
    ConnectionPool, Destination, H2Upgrade, LoadBalancer, PortPolicy, SimpleTls, Subset, TcpKeepalive, TrafficPolicy,
    UpstreamTls,
};

resource!(Destination => Destination {
    object, name, host, precedence, visibility, workload_selector, policy, subsets,
});
message!(Subset => Subset { name, labels, policy });
message!(TrafficPolicy => TrafficPolicy { load_balancer, connection_pool, tls, ports });
message!(PortPolicy => PortPolicy { load_balancer, connection_pool, tls });
message!(ConnectionPool => ConnectionPool {
    max_connections, connect_timeout, keepalive, max_connection_duration, tcp_idle_timeout, max_pending_requests,
    max_requests, max_requests_per_connection, max_retries, http_idle_timeout, h2_upgrade, use_client_protocol,
    max_concurrent_streams,
});
message!(TcpKeepalive => TcpKeepalive { probes, time, interval });
message!(SimpleTls => SimpleTls { sni, ca_file, subject_alt_names, insecure_skip_verify });
word!(LoadBalancer => LoadBalancer { LeastRequest, RoundRobin, Random, Passthrough });
word!(H2Upgrade => H2Upgrade { Upgrade, DoNotUpgrade });

impl Field<v1::UpstreamTls> for UpstreamTls {
    fn put(&self, level: &mut Level) -> v1::UpstreamTls {
        use v1::upstream_tls::{Disable, IstioMutual, Kind};
        let kind = match self {
            UpstreamTls::Disable => Kind::Disable(Disable {}),
            UpstreamTls::IstioMutual { sni, subject_alt_names } => {
                Kind::IstioMutual(IstioMutual { sni: sni.put(level), subject_alt_names: subject_alt_names.put(level) })
            }
            UpstreamTls::Simple(simple) => Kind::Simple(simple.put(level)),
        };
        v1::UpstreamTls { kind: Some(kind) }
    }

    fn take(wire: v1::UpstreamTls) -> Result<Self, FieldError> {
        use v1::upstream_tls::Kind;
        Ok(match wire.kind.ok_or_else(FieldError::unset)? {
            Kind::Disable(_) => UpstreamTls::Disable,
            Kind::IstioMutual(mutual) => UpstreamTls::IstioMutual {
                sni: Field::take(mutual.sni).at("sni").at("istio_mutual")?,
                subject_alt_names: Field::take(mutual.subject_alt_names).at("subject_alt_names").at("istio_mutual")?,
            },
            Kind::Simple(simple) => UpstreamTls::Simple(Field::take(simple).at("simple")?),
        })
    }
}

required!(UpstreamTls => UpstreamTls);
