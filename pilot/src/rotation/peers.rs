//! The other pilots of the namespace, whatever their revision: all sign with one root, and each knows its own clients.

use super::report::Report;
use crate::kubernetes::call;
use k8s_openapi::{List, api::core::v1::Pod};
use kube::Client;
use mesh_ca::Authority;
use mesh_config::wire::proto::ferromesh::v1::{AuthorityRequest, debug_client::DebugClient};
use mesh_runtime::{
    snapshot,
    tls::{
        client::{ClientTls, Simple},
        grpc::Connector,
        material::Identity,
    },
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tonic::{Code, Status, transport::Endpoint};

/// Of pods of control planes.
const LABEL: &str = "app%3Distiod";
/// For one pilot's answer.
const ANSWER: Duration = Duration::from_secs(5);
/// Longest answer that is read, in bytes.
const MAX_ANSWER: usize = 1 << 20;

/// Where they are, and by what we know each other.
pub(crate) struct Peers {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    /// Our own pod.
    pub(crate) own: Option<String>,
    /// Where pilots serve.
    pub(crate) port: u16,
    /// What their certificates are valid for.
    pub(crate) names: Vec<Arc<str>>,
    pub(crate) authority: Arc<Authority>,
    pub(crate) identity: snapshot::Reader<Identity>,
}

/// What each said, or why it said nothing.
pub(super) type Said = Vec<(String, Result<Report, String>)>;

impl Peers {
    /// What all of them say.
    ///
    /// # Errors
    /// When it is not known who they are.
    pub(super) async fn ask(&self) -> Result<Said, String> {
        let path = format!("/api/v1/namespaces/{}/pods?labelSelector={LABEL}", self.namespace);
        let list: List<Pod> =
            call::get(&self.client, &path).await.map_err(|e| format!("pilots cannot be listed: {e}"))?;
        let others = list.items.into_iter().filter_map(|pod| {
            let name = pod.metadata.name?;
            let status = pod.status?;
            let serves = status.phase.as_deref() == Some("Running") && pod.metadata.deletion_timestamp.is_none();
            let address = status.pod_ip?.parse().ok()?;
            (serves && self.own.as_ref() != Some(&name)).then(|| (name, SocketAddr::new(address, self.port)))
        });
        Ok(futures_util::future::join_all(others.map(|(name, address)| self.one(name, address))).await)
    }

    async fn one(&self, name: String, address: SocketAddr) -> (String, Result<Report, String>) {
        let answer = tokio::time::timeout(ANSWER, self.call(address)).await;
        (name, answer.unwrap_or_else(|_| Err(format!("no answer within {ANSWER:?}"))))
    }

    async fn call(&self, address: SocketAddr) -> Result<Report, String> {
        let name = self.names.first().ok_or("pilots have no name")?.clone();
        let simple = Simple {
            roots: Some(self.authority.roots()),
            names: self.names.clone(),
            insecure_skip_verify: false,
            certificate: Some(self.identity.get().material.certificate().clone()),
        };
        let tls = Arc::new(ClientTls::anonymous());
        let origin = format!("https://{name}").parse().map_err(|_| format!("{name} is no host name"))?;
        let connector = Connector::plain(address.to_string()).secured(tls, name, simple, ANSWER);
        let channel = Endpoint::from_static("http://pilot").origin(origin).connect_with_connector_lazy(connector);
        let mut client = DebugClient::new(channel).max_decoding_message_size(MAX_ANSWER);
        let answer = client.authority(AuthorityRequest {}).await.map_err(|status| said(&status))?;
        serde_json::from_str(&answer.get_ref().json).map_err(|_| "its answer is not understood".to_owned())
    }
}

fn said(status: &Status) -> String {
    match status.code() {
        Code::Unimplemented => "it is of a version that takes no part in rotations".to_owned(),
        code => call::short(&format!("{code}: {}", status.message())),
    }
}
