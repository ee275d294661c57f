//! A proxy in a few lines: it asks for some of the crowd's Services, and acknowledges what it is told.

use anyhow::{Context, Result};
use mesh_config::{
    kind::Role,
    model::Kind,
    wire::proto::envoy::{
        config::core::v3::Node,
        service::discovery::v3::{
            DeltaDiscoveryRequest, DeltaDiscoveryResponse,
            aggregated_discovery_service_client::AggregatedDiscoveryServiceClient,
        },
    },
};
use std::{net::SocketAddr, ops::Range};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Streaming, transport::Endpoint};

/// Largest answer that is read, in bytes: the first one holds the index of all Services.
const LARGEST: usize = 64 << 20;

/// See the module.
pub(super) struct Follower {
    requests: mpsc::Sender<DeltaDiscoveryRequest>,
    responses: Streaming<DeltaDiscoveryResponse>,
}

impl Follower {
    /// The proxy of the first pod behind the crowd's first Service.
    pub(super) async fn open(plain: SocketAddr, token: &str, services: Range<usize>) -> Result<Self> {
        let namespace = super::objects::namespace_of(0);
        let name = super::objects::pod_name("service-0", 0);
        let id = format!("sidecar~{}~{name}.{namespace}~{namespace}.svc", super::objects::address(0));
        let mut node = Some(Node { id, ..Node::default() });
        let (requests, out) = mpsc::channel(32);
        let whole = Kind::ALL.into_iter().filter(|kind| kind.is_whole(Role::Sidecar) && *kind != Kind::Service);
        let whole = whole.map(|kind| (kind, vec!["*".to_owned()]));
        // Services last, with which a stream opens.
        let named = (Kind::Service, services.map(key).collect());
        for (kind, names) in whole.chain([named]) {
            let request = DeltaDiscoveryRequest {
                node: node.take(),
                type_url: kind.type_url().into(),
                resource_names_subscribe: names,
                ..Default::default()
            };
            requests.send(request).await?;
        }
        let mut call = Request::new(ReceiverStream::new(out));
        call.metadata_mut().insert("authorization", format!("Bearer {token}").parse()?);
        let channel = Endpoint::from_shared(format!("http://{plain}"))?.connect_lazy();
        let mut client = AggregatedDiscoveryServiceClient::new(channel).max_decoding_message_size(LARGEST);
        let responses = client.delta_aggregated_resources(call).await?.into_inner();
        Ok(Follower { requests, responses })
    }

    /// Services of the next answer, which is acknowledged then.
    pub(super) async fn next(&mut self) -> Result<Vec<usize>> {
        let response = self.responses.message().await?.context("pilot has ended the stream")?;
        let told = services(&response);
        let acknowledgement =
            DeltaDiscoveryRequest { type_url: response.type_url, response_nonce: response.nonce, ..Default::default() };
        self.requests.send(acknowledgement).await?;
        Ok(told)
    }
}

/// The name of a Service of the crowd in discovery.
fn key(service: usize) -> String {
    let namespace = super::objects::namespace_of(service);
    format!("{namespace}/service-{service}.{namespace}.svc.cluster.local")
}

fn services(response: &DeltaDiscoveryResponse) -> Vec<usize> {
    let number = |name: &String| name.split_once("/service-")?.1.split('.').next()?.parse().ok();
    let names = response.resources.iter().map(|resource| &resource.name).chain(&response.removed_resources);
    names.filter_map(number).collect()
}
