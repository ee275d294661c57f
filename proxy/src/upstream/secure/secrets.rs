//! What Secrets hold, parsed: one worker's.

use crate::credential_cache::ByCredential;
use mesh_config::model::Credential;
use mesh_runtime::tls::material::{CaBundle, Certificate};
use std::{fmt::Display, sync::Arc};

/// What TLS is made with: roots that vouch for the server, and what is shown to it.
pub(super) type Keys = (Option<Arc<CaBundle>>, Option<Arc<Certificate>>);

/// Keys by Secret, and by what of it is used.
#[derive(Default)]
pub(in crate::upstream) struct Secrets(ByCredential<Use, Keys>);

/// What of a Secret is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Use {
    pub(super) roots: bool,
    pub(super) certificate: bool,
}

impl Secrets {
    /// What is used of a Secret.
    ///
    /// # Errors
    /// It has not got that, or it cannot be read; the text says which Secret and what.
    pub(super) fn keys(&self, secret: &Arc<Credential>, wants: Use) -> Result<Keys, String> {
        self.0.get(secret, wants, || made(secret, wants))
    }
}

fn made(secret: &Credential, wants: Use) -> Result<Keys, String> {
    let unusable = |what: &dyn Display| format!("Secret {} cannot be used: {what}", secret.name);
    let lacking = |is_empty: bool, what: &'static str| if is_empty { Err(unusable(&what)) } else { Ok(()) };
    let (mut roots, mut certificate) = (None, None);
    if wants.roots {
        lacking(secret.ca_pem.is_empty(), "it has no CA for the server's certificate (ca.crt or cacert)")?;
        roots = Some(Arc::new(CaBundle::from_pem(&secret.ca_pem).map_err(|e| unusable(&e))?));
    }
    if wants.certificate {
        lacking(
            secret.chain_pem.is_empty(),
            "it has no certificate with a key (tls.crt and tls.key, or cert and key)",
        )?;
        let pair = Certificate::from_pem(&secret.chain_pem, &secret.key_pem).map_err(|e| unusable(&e))?;
        certificate = Some(Arc::new(pair));
    }
    Ok((roots, certificate))
}
