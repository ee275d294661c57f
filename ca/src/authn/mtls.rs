//! Renewal with a certificate that is still valid. The handshake has verified its chain; what is looked at here is
//! what may have changed since, and what the handshake does not ask: a connection may be older than a certificate's
//! life, and the port may accept other trust domains for other purposes.

use crate::error::CertificateProblem;
use mesh_config::identity::{SpiffeId, TrustDomain};
use mesh_runtime::tls::verify::PeerCertificate;
use std::time::SystemTime;

/// Who a certificate proves its owner to be.
///
/// # Errors
/// When it has expired, carries no or several identities, or is not of our trust domain.
pub fn identity(
    certificate: &PeerCertificate,
    ours: &TrustDomain,
    now: SystemTime,
) -> Result<SpiffeId, CertificateProblem> {
    if let Ok(ago) = now.duration_since(certificate.not_after) {
        return Err(CertificateProblem::Expired { ago });
    }
    let [uri] = &certificate.uris[..] else { return Err(CertificateProblem::NoIdentity) };
    let identity: SpiffeId = uri.parse().map_err(|_| CertificateProblem::NoIdentity)?;
    if identity.trust_domain != *ours {
        return Err(CertificateProblem::TrustDomain(identity.trust_domain.to_string()));
    }
    Ok(identity)
}
