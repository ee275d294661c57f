//! What an operator watches, under the names that dashboards for Istio know.

use crate::{
    authority::{Authority, Issued},
    error::Error,
};
use mesh_runtime::telemetry::metrics::{RegisterError, Registry};
use prometheus::{Gauge, IntCounter, IntCounterVec, Opts};
use std::time::SystemTime;
use tonic::Code;

/// Counters of an authority.
#[derive(Debug, Clone)]
pub struct Metrics {
    requests: IntCounter,
    issued: IntCounter,
    unauthenticated: IntCounter,
    bad_requests: IntCounter,
    refused: IntCounterVec,
    failed: IntCounter,
    root_expiry: Gauge,
}

impl Metrics {
    /// Registers `citadel_server_*` and `mesh_ca_refused_total{reason}`.
    ///
    /// # Errors
    /// When a name is taken.
    pub fn new(registry: &Registry) -> Result<Self, RegisterError> {
        let counter = |name: &str, help: &str| registry.register(IntCounter::new(name, help)?);
        let refused = Opts::new("mesh_ca_refused_total", "Certificate requests refused, by reason");
        let expiry =
            Gauge::new("citadel_server_root_cert_expiry_timestamp", "End of the authority's certificate, Unix time")?;
        Ok(Metrics {
            requests: counter("citadel_server_csr_count", "Certificate requests received")?,
            issued: counter("citadel_server_success_cert_issuance_count", "Certificates issued")?,
            unauthenticated: counter("citadel_server_authentication_failure_count", "Callers not believed")?,
            bad_requests: counter("citadel_server_csr_parsing_err_count", "Certificate requests that cannot be used")?,
            refused: registry.register(IntCounterVec::new(refused, &["reason"])?)?,
            failed: counter("citadel_server_csr_sign_err_count", "Certificates that could not be signed")?,
            root_expiry: registry.register(expiry)?,
        })
    }

    /// The authority in force.
    pub fn in_force(&self, authority: &Authority) {
        let end = authority.expires().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.root_expiry.set(end.as_secs_f64());
    }

    /// What came of a request.
    pub fn decision(&self, outcome: &Result<Issued, Error>) {
        self.requests.inc();
        match outcome {
            Ok(_) => self.issued.inc(),
            Err(Error::Refused(refusal)) => {
                self.refused.with_label_values(&[refusal.reason()]).inc();
                match refusal.code() {
                    Code::Unauthenticated => self.unauthenticated.inc(),
                    Code::InvalidArgument => self.bad_requests.inc(),
                    _ => {}
                }
            }
            Err(Error::Failed(_)) => self.failed.inc(),
        }
    }
}
