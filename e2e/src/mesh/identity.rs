//! Identities of a mesh for tests that speak to its proxies directly.

use super::{Mesh, NAMESPACE};
use mesh_ca::{Authority, Lifetimes, root::Root, store::file::FileStore};
use mesh_config::identity::{SpiffeId, TrustDomain};
use mesh_runtime::{
    clock,
    snapshot::Reader,
    testing::mesh_profile,
    tls::{
        client::{ClientTls, Connected, TlsStream},
        material::Identity,
        verify::ExpectedPeer,
    },
};
use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};
use tokio::net::TcpStream;

/// A certificate of the authority in this folder for an account, also of another trust domain. Its holder believes
/// the mesh's own domain.
pub fn issue(ca: &Path, domain: TrustDomain, account: &str) -> Arc<Identity> {
    let now = clock::system_now();
    let root = Root::open(&FileStore::new(ca), now).expect("pilot keeps its root there");
    let authority = Authority::new(domain.clone(), root, Lifetimes::default());
    let id = SpiffeId::new(domain.clone(), NAMESPACE, account);
    let issued = authority.issue_local(&id, &[], Duration::from_secs(3600), now).expect("the authority signs");
    let own = issued.roots.get(&domain).expect("who signs is believed");
    let roots = issued.roots.with(TrustDomain::default(), own.clone());
    Arc::new(Identity { material: issued.material.clone(), roots: Arc::new(roots) })
}

impl Mesh {
    /// A certificate of this mesh's authority for an account.
    pub fn issue(&self, account: &str) -> Arc<Identity> {
        issue(&self.dir().join("ca"), TrustDomain::default(), account)
    }

    /// A whole handshake with a workload's proxy, as another sidecar would make it.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn handshake(
        &self,
        account: &str,
        to: SocketAddr,
        alpn: &[&'static [u8]],
    ) -> anyhow::Result<(TlsStream<TcpStream>, Connected)> {
        // Fresh: nothing is resumed.
        let client = ClientTls::new(Reader::fixed(self.issue(account)));
        let stream = crate::client::connect(to, None).await?;
        Ok(client.connect(stream, &mesh_profile(alpn, "server.test"), &ExpectedPeer::any()).await?)
    }
}
