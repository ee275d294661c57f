//! Proxies in a few lines: each asks for what it follows, and acknowledges what it is told.

use crate::crowd;
use mesh_config::{
    kind::Role,
    model::Kind,
    wire::{
        Nonce,
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
use mesh_runtime::{backoff::Backoff, tls::grpc::Connector};
use std::{io::Write as _, net::IpAddr, path::Path, sync::Arc, time::Duration};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Status, Streaming, transport::Endpoint};

/// Services that a proxy follows.
const FOLLOWED: usize = 5;
/// Services whose pods have proxies here.
const HOMES: usize = 900;

/// One stream.
pub(super) struct Proxy {
    requests: mpsc::Sender<DeltaDiscoveryRequest>,
    responses: Streaming<DeltaDiscoveryResponse>,
}

/// A proxy was told something about a service's endpoints.
pub(super) struct Say {
    pub(super) service: usize,
}

impl Proxy {
    /// The proxy of a pod, which follows these services. Tries again as a proxy does, where pilot has no room for it yet.
    pub(super) async fn open(plain: &str, dir: &Path, n: usize, follows: Vec<usize>) -> Self {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
        let mut random = fastrand::Rng::with_seed(n as u64);
        loop {
            match Proxy::try_open(plain, dir, n, &follows).await {
                Ok(proxy) => return proxy,
                Err(status) => {
                    let is_final =
                        matches!(status.code(), Code::Unauthenticated | Code::PermissionDenied | Code::InvalidArgument);
                    assert!(!is_final, "pilot refuses it: {status}");
                    tokio::time::sleep(backoff.next(&mut random)).await;
                }
            }
        }
    }

    async fn try_open(plain: &str, dir: &Path, n: usize, follows: &[usize]) -> Result<Self, Status> {
        let (home, pod) = (n % HOMES, n / HOMES);
        let namespace = crowd::namespace_of(home);
        let (account, name) = (format!("service-{home}"), crowd::pod_name(home, pod));
        let id = format!("sidecar~{}~{name}.{namespace}~{namespace}.svc", crowd::address(home, pod));
        let mut node = Some(Node { id, ..Node::default() });
        let (requests, out) = mpsc::channel(32);
        let whole = Kind::ALL.into_iter().filter(|kind| kind.is_whole(Role::Sidecar) && *kind != Kind::Service);
        let whole = whole.map(|kind| (kind, vec!["*".to_owned()]));
        let services = (Kind::Service, follows.iter().copied().map(crowd::key).collect());
        for (kind, names) in whole.chain([services]) {
            let request = DeltaDiscoveryRequest {
                node: node.take(),
                type_url: kind.type_url().into(),
                resource_names_subscribe: names,
                ..Default::default()
            };
            requests.send(request).await.expect("it is not full");
        }
        let mut call = Request::new(ReceiverStream::new(out));
        let token = format!("Bearer {}", token(dir, &namespace, &account));
        call.metadata_mut().insert("authorization", token.parse().expect("text"));
        // From an address of its own, as every pod has one.
        let own = IpAddr::from([127, 1, (n >> 8) as u8, n as u8]);
        let connector = Connector::plain(plain).from(Arc::new([own]));
        let channel = Endpoint::from_static("http://pilot").connect_with_connector_lazy(connector);
        let mut client = AggregatedDiscoveryServiceClient::new(channel).max_decoding_message_size(64 << 20);
        let responses = client.delta_aggregated_resources(call).await?.into_inner();
        let mut proxy = Proxy { requests, responses };
        while proxy.response().await?.0.left > 0 {}
        Ok(proxy)
    }

    /// Takes and acknowledges one response.
    async fn response(&mut self) -> Result<(Nonce, DeltaDiscoveryResponse), Status> {
        let response = self.responses.message().await?.ok_or_else(|| Status::ok("the stream has ended"))?;
        let answer = DeltaDiscoveryRequest {
            type_url: response.type_url.clone(),
            response_nonce: response.nonce.clone(),
            ..Default::default()
        };
        self.requests.send(answer).await.map_err(|_| Status::ok("the stream has ended"))?;
        Ok((response.nonce.parse().expect("pilot's own"), response))
    }

    /// What the next response says.
    pub(super) async fn next(&mut self) -> Vec<Say> {
        let (_, response) = self.response().await.expect("the stream lasts");
        let names = response.resources.iter().map(|resource| &resource.name).chain(&response.removed_resources);
        let number = |name: &String| name.split_once("/service-")?.1.split('.').next()?.parse().ok();
        names.filter_map(number).map(|service| Say { service }).collect()
    }
}

fn token(dir: &Path, namespace: &str, account: &str) -> String {
    let key = dir.join("token-key.pem").display().to_string();
    let line = ["pilot", "token", "--key", &key, "--namespace", namespace, "--service-account", account];
    match Cli::of(line).expect("a command line").command {
        Command::Token(args) => app::make_token(&args).expect("a token"),
        _ => unreachable!("it is that command"),
    }
}

/// So many proxies; says when each has what it follows, and stays.
pub(crate) fn clients(plain: &str, dir: &Path, count: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut opening = JoinSet::new();
        for n in 0..count {
            let (plain, dir) = (plain.to_owned(), dir.to_owned());
            let follows = (1..=FOLLOWED).map(|more| (n + more * 7) % HOMES).collect();
            opening.spawn(async move { Proxy::open(&plain, &dir, n, follows).await });
        }
        let mut proxies = opening.join_all().await;
        let mut out = std::io::stdout();
        let _ = writeln!(out, "open").and_then(|()| out.flush());
        let mut serving = JoinSet::new();
        while let Some(mut proxy) = proxies.pop() {
            serving.spawn(async move {
                loop {
                    proxy.response().await.expect("the stream lasts");
                }
            });
        }
        serving.join_next().await;
    });
}
