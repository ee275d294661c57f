//! How clients reach a service.

use super::{
    error::{At, FieldError},
    field::{Field, Level, message, required, resource, word},
    v1,
};
use crate::model::destination::{
    CertificateFiles, ConnectionPool, Destination, H2Upgrade, KeyFiles, LoadBalancer, PortPolicy, SecretKeys,
    SimpleTls, Subset, TcpKeepalive, TrafficPolicy, UpstreamKeys, UpstreamTls,
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
message!(CertificateFiles => CertificateFiles { chain, key });
message!(SecretKeys => SecretKeys { name, shows_certificate });
word!(LoadBalancer => LoadBalancer { LeastRequest, RoundRobin, Random, Passthrough });
word!(H2Upgrade => H2Upgrade { Upgrade, DoNotUpgrade });

/// Roots in a file came first, and are as they were; what came with level 4 stands beside them.
impl Field<v1::SimpleTls> for SimpleTls {
    fn put(&self, level: &mut Level) -> v1::SimpleTls {
        let (files, secret) = match &self.keys {
            UpstreamKeys::Files(files) => (files.clone(), None),
            UpstreamKeys::Secret(secret) => (KeyFiles::default(), Some(secret)),
        };
        if secret.is_some() || files.certificate.is_some() {
            level.need(4);
        }
        v1::SimpleTls {
            sni: self.sni.put(level),
            ca_file: files.roots.put(level),
            subject_alt_names: self.subject_alt_names.put(level),
            insecure_skip_verify: self.insecure_skip_verify,
            certificate: files.certificate.put(level),
            secret: secret.map(|secret| secret.put(level)),
        }
    }

    fn take(wire: v1::SimpleTls) -> Result<Self, FieldError> {
        let v1::SimpleTls { sni, ca_file, subject_alt_names, insecure_skip_verify, certificate, secret } = wire;
        let files = KeyFiles {
            roots: Field::take(ca_file).at("ca_file")?,
            certificate: Field::take(certificate).at("certificate")?,
        };
        let keys = match secret {
            None => UpstreamKeys::Files(files),
            Some(secret) if files == KeyFiles::default() => UpstreamKeys::Secret(Field::take(secret).at("secret")?),
            Some(_) => return Err(FieldError::new("excludes files")).at("secret"),
        };
        Ok(SimpleTls {
            sni: Field::take(sni).at("sni")?,
            subject_alt_names: Field::take(subject_alt_names).at("subject_alt_names")?,
            insecure_skip_verify,
            keys,
        })
    }
}

required!(SimpleTls => SimpleTls);

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
