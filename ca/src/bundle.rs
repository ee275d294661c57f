//! The trust bundle as the model has it. A set from the start: a rotation adds the new root long before it removes the
//! old one, and both are trusted meanwhile.

use bytes::Bytes;
use mesh_config::{identity::TrustDomain, model::TrustBundle};
use mesh_runtime::tls::material::CaBundle;

/// The roots of a trust domain as a part of the mesh.
pub fn part(trust_domain: TrustDomain, roots: &CaBundle) -> TrustBundle {
    let roots = roots.certificates().iter().map(|der| Bytes::copy_from_slice(der)).collect();
    TrustBundle { trust_domain, roots }
}
