//! Acceptors of a gateway's TLS servers, made from credentials.

use crate::snapshot::Snapshot;
use mesh_config::{model::Credential, name::NamespacedName};
use mesh_runtime::{
    snapshot::Reader,
    tls::{
        material::{CaBundle, Certificate},
        server::{ServerTls, Serving},
    },
};
use std::{cell::RefCell, collections::HashMap, sync::Arc};

/// Acceptors made from credentials, kept while the credential is the same. Servers of different modes may share one:
/// who asks for client certificates and who does not are two acceptors.
#[derive(Default)]
pub struct Credentials(RefCell<HashMap<Key, (Arc<Credential>, Arc<ServerTls>)>>);

/// What an acceptor depends on besides the credential's content: its name, and whether clients must show a certificate.
type Key = (NamespacedName, bool);

impl Credentials {
    /// The acceptor for servers with this Secret.
    ///
    /// # Errors
    /// The credential is not here, or cannot be used; the text says which and why.
    pub(crate) fn acceptor(
        &self,
        snapshot: &Snapshot,
        secret: &str,
        require_client_certificate: bool,
    ) -> Result<Arc<ServerTls>, String> {
        let name = NamespacedName::new(snapshot.facts.namespace.as_str(), secret);
        let credential = snapshot.credentials.get(&name).ok_or_else(|| format!("no credential {name}"))?;
        let key = (name.clone(), require_client_certificate);
        if let Some((kept, tls)) = self.0.borrow().get(&key)
            && Arc::ptr_eq(kept, credential)
        {
            return Ok(tls.clone());
        }
        let unusable = |e: &dyn std::fmt::Display| format!("credential {name} cannot be used: {e}");
        let certificate =
            Certificate::from_pem(&credential.chain_pem, &credential.key_pem).map_err(|e| unusable(&e))?;
        let client_ca = match (require_client_certificate, credential.ca_pem.is_empty()) {
            (false, _) => None,
            (true, true) => return Err(unusable(&"it has no CA for client certificates (ca.crt or cacert)")),
            (true, false) => Some(Arc::new(CaBundle::from_pem(&credential.ca_pem).map_err(|e| unusable(&e))?)),
        };
        let serving = Serving { certificates: vec![Arc::new(certificate)], client_ca, subject_alt_names: Vec::new() };
        let tls = Arc::new(ServerTls::with_certificates(Reader::fixed(Arc::new(serving))));
        self.0.borrow_mut().insert(key, (credential.clone(), tls.clone()));
        Ok(tls)
    }
}
