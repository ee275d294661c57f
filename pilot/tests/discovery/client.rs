//! A proxy in a few lines, and what it proves itself with.

use bytes::Bytes;
use mesh_config::{
    model::{Kind, Part},
    wire::{
        Nonce, decode,
        proto::envoy::{
            config::core::v3::Node,
            service::discovery::v3::{
                DeltaDiscoveryRequest, DeltaDiscoveryResponse,
                aggregated_discovery_service_client::AggregatedDiscoveryServiceClient,
            },
        },
    },
};
use mesh_pilot::{
    app,
    settings::{Cli, Command},
};
use mesh_runtime::tls::{
    client::{ClientTls, Simple},
    grpc::Connector,
    material::CaBundle,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Request, Status, Streaming,
    transport::{Channel, Endpoint},
};

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Over TLS, knowing pilot by the root that it left in its directory.
pub(crate) fn secure(pilot: SocketAddr, root: &Path, from: Option<IpAddr>) -> Channel {
    let simple = Simple {
        roots: Some(Arc::new(CaBundle::from_pem(&std::fs::read(root).unwrap()).unwrap())),
        names: vec!["istiod.istio-system.svc".into()],
        ..Simple::default()
    };
    let (tls, name) = (Arc::new(ClientTls::anonymous()), "istiod.istio-system.svc".into());
    let connector = Connector::plain(pilot.to_string()).secured(tls, name, simple, PATIENCE);
    let connector = connector.from(from.into_iter().collect());
    Endpoint::from_static("http://pilot").connect_with_connector_lazy(connector)
}

pub(crate) fn token(key: &Path, namespace: &str, account: &str, audience: &str) -> String {
    token_for(key, (namespace, account), audience, "24h")
}

/// That is good for so long.
pub(crate) fn token_for(key: &Path, (namespace, account): (&str, &str), audience: &str, ttl: &str) -> String {
    let key = key.display().to_string();
    let line = [
        "pilot",
        "token",
        "--key",
        &key,
        "--namespace",
        namespace,
        "--service-account",
        account,
        "--audience",
        audience,
        "--ttl",
        ttl,
    ];
    let Command::Token(args) = Cli::of(line).unwrap().command else { panic!("token") };
    app::make_token(&args).unwrap()
}

/// A proxy in a few lines.
pub(crate) struct Client {
    pub(crate) requests: mpsc::Sender<DeltaDiscoveryRequest>,
    pub(crate) responses: Streaming<DeltaDiscoveryResponse>,
    /// As it was last told.
    pub(crate) roots: BTreeSet<Bytes>,
    /// By kind, what it follows and the versions in force.
    follows: BTreeMap<Kind, (Vec<String>, Versions)>,
}

type Versions = BTreeMap<String, String>;

impl Client {
    /// Says who it is and what it follows.
    pub(crate) async fn open(channel: Channel, token: &str, kinds: &[Kind], services: &[&str]) -> Result<Self, Status> {
        let names = |names: &[&str]| (names.iter().map(ToString::to_string).collect(), Versions::new());
        let mut follows: BTreeMap<Kind, _> = kinds.iter().map(|kind| (*kind, names(&["*"]))).collect();
        follows.insert(Kind::Service, names(services));
        Client::greet(channel, token, follows).await
    }

    /// Says what it holds since before.
    pub(crate) async fn again(self, channel: Channel, token: &str) -> Result<Self, Status> {
        Client::greet(channel, token, self.follows).await
    }

    async fn greet(
        channel: Channel,
        token: &str,
        follows: BTreeMap<Kind, (Vec<String>, Versions)>,
    ) -> Result<Self, Status> {
        let (requests, out) = mpsc::channel(16);
        let mut node = Some(Node { id: "sidecar~127.0.2.1~front-1.web~web.svc".into(), ..Node::default() });
        let greeting = |(kind, (names, held)): (&Kind, &(Vec<String>, Versions))| DeltaDiscoveryRequest {
            node: node.take(),
            type_url: kind.type_url().into(),
            resource_names_subscribe: names.clone(),
            initial_resource_versions: held.clone(),
            ..Default::default()
        };
        // Services last, with which a stream opens.
        let (last, rest): (Vec<_>, Vec<_>) = follows.iter().partition(|(kind, _)| **kind == Kind::Service);
        for request in rest.into_iter().chain(last).map(greeting) {
            requests.send(request).await.unwrap();
        }
        let mut call = Request::new(ReceiverStream::new(out));
        call.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        let mut client = AggregatedDiscoveryServiceClient::new(channel);
        let responses = client.delta_aggregated_resources(call).await?.into_inner();
        Ok(Client { requests, responses, roots: BTreeSet::new(), follows })
    }

    /// One push, acknowledged: names that came and names that went.
    pub(crate) async fn push(&mut self) -> Result<(Vec<(Kind, String)>, Vec<String>), Status> {
        let (mut came, mut went) = (Vec::new(), Vec::new());
        loop {
            let message = tokio::time::timeout(PATIENCE, self.responses.message()).await.expect("a push in time")?;
            let Some(response) = message else { return Err(Status::ok("the stream ended")) };
            for resource in response.resources {
                let packed = resource.resource.unwrap();
                let part = decode(&packed.type_url, packed.value).unwrap();
                assert_eq!(part.name().as_str(), resource.name);
                let (_, held) = self.follows.entry(part.kind()).or_default();
                held.insert(resource.name.clone(), resource.version);
                came.push((part.kind(), resource.name));
                if let Part::Trust(trust) = part {
                    self.roots.clone_from(&trust.roots);
                }
            }
            for (_, held) in self.follows.values_mut() {
                held.retain(|name, _| !response.removed_resources.contains(name));
            }
            went.extend(response.removed_resources);
            let nonce: Nonce = response.nonce.parse().unwrap();
            let ack = DeltaDiscoveryRequest {
                type_url: response.type_url,
                response_nonce: response.nonce,
                ..Default::default()
            };
            self.requests.send(ack).await.unwrap();
            if nonce.left == 0 {
                return Ok((came, went));
            }
        }
    }
}
