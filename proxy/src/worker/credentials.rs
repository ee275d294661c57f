//! What TLS is accepted with: the profiles of servers, and acceptors of a gateway's servers, made from credentials.

use crate::{credential_cache::ByCredential, snapshot::Snapshot};
use mesh_config::{model::Credential, name::NamespacedName};
use mesh_runtime::{
    snapshot::Reader,
    tls::{
        material::{CaBundle, Certificate},
        server::{ClientAuth, ServerProfile, ServerTls, Serving},
    },
};
use std::sync::Arc;

/// ALPN of servers whose connections carry requests, in order of preference.
pub const HTTP_ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];
/// ALPN of servers of the mesh whose connections carry opaque bytes: proxies may introduce themselves.
const TCP_ALPN: [&[u8]; 3] = [b"istio-peer-exchange", b"h2", b"http/1.1"];

/// For the mesh's own TLS.
pub fn in_mesh(requests: bool) -> ServerProfile {
    let alpn: &[&'static [u8]] = if requests { &HTTP_ALPN } else { &TCP_ALPN };
    ServerProfile::new(alpn.to_vec(), ClientAuth::Required)
}

/// Acceptors made from credentials. Servers of different modes may share one: who asks for client certificates and who does
/// not are two acceptors.
#[derive(Default)]
pub struct Credentials(ByCredential<bool, Arc<ServerTls>>);

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
        self.0.get(credential, require_client_certificate, || made(credential, require_client_certificate))
    }
}

fn made(credential: &Credential, require_client_certificate: bool) -> Result<Arc<ServerTls>, String> {
    let unusable = |e: &dyn std::fmt::Display| format!("credential {} cannot be used: {e}", credential.name);
    let certificate = Certificate::from_pem(&credential.chain_pem, &credential.key_pem).map_err(|e| unusable(&e))?;
    let client_ca = match (require_client_certificate, credential.ca_pem.is_empty()) {
        (false, _) => None,
        (true, true) => return Err(unusable(&"it has no CA for client certificates (ca.crt or cacert)")),
        (true, false) => Some(Arc::new(CaBundle::from_pem(&credential.ca_pem).map_err(|e| unusable(&e))?)),
    };
    let serving = Serving { certificates: vec![Arc::new(certificate)], client_ca, subject_alt_names: Vec::new() };
    Ok(Arc::new(ServerTls::with_certificates(Reader::fixed(Arc::new(serving)))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::fixture;
    use mesh_config::{kind::Role, model::Part};
    use mesh_runtime::{
        testing::{TestCa, handshake},
        tls::{
            client::{ClientProfile, ClientTls, Mode, Simple},
            server::{ClientAuth, HANDSHAKE_TIMEOUT, ServerProfile},
            verify::ExpectedPeer,
        },
    };

    /// Who the server sees in a handshake; `None`: there was none. `shows`: the client has a certificate.
    async fn seen(ca: &TestCa, server: &ServerTls, auth: ClientAuth, shows: bool) -> Option<Vec<String>> {
        let certificate = shows.then(|| ca.server_certificate(&["client.test"]));
        let simple = Simple { roots: Some(ca.bundle()), certificate, ..Simple::default() };
        let client = ClientProfile {
            alpn: Arc::new([]),
            sni: Some("edge.test".into()),
            mode: Mode::Simple(Arc::new(simple)),
            handshake_timeout: HANDSHAKE_TIMEOUT,
        };
        let profile = ServerProfile::new(Vec::new(), auth);
        let ours = ClientTls::anonymous();
        let (accepted, _) = handshake((server, &profile), (&ours, &client, &ExpectedPeer::any()), 4096).await;
        let peer = accepted.ok()?.1.peer;
        Some(peer.map(|peer| peer.dns.clone()).unwrap_or_default())
    }

    #[tokio::test]
    async fn servers_of_both_modes_share_a_credential_in_either_order() {
        let ca = TestCa::new("edge.test");
        let certificate = ca.server_certificate(&["edge.test"]);
        let credential = Part::Secret(Arc::new(Credential {
            name: NamespacedName::new("shop", "edge"),
            chain_pem: certificate.chain_pem().into(),
            key_pem: certificate.key_pem().into(),
            ca_pem: ca.root_pem().into(),
        }));
        let state = fixture::state(Role::Gateway, [credential]);
        for order in [[false, true, false], [true, false, true]] {
            let acceptors = Credentials::default();
            for mutual in order {
                let acceptor = acceptors.acceptor(state.snapshot(), "edge", mutual).unwrap();
                let auth = if mutual { ClientAuth::Required } else { ClientAuth::None };
                let with = seen(&ca, &acceptor, auth, true).await;
                let want: &[String] = if mutual { &["client.test".into()] } else { &[] };
                assert_eq!(with.as_deref(), Some(want), "{order:?}, mutual {mutual}");
                assert_eq!(seen(&ca, &acceptor, auth, false).await.is_some(), !mutual, "{order:?}, mutual {mutual}");
            }
        }
    }
}
