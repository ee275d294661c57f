//! Pilot's `Debug` service: of the pilot at an address, or of each of the pilots in a cluster.

use super::{MAX_ANSWER, host_and_port, tls, within};
use crate::{
    cli::XdsArgs,
    cluster::{Cluster, forward::Forward},
    context::Context,
    usage::Usage,
};
use anyhow::{Context as _, Result, anyhow, bail};
use mesh_config::wire::proto::ferromesh::v1::{
    AuthorityRequest, ClientsRequest, ConfigRequest, debug_client::DebugClient,
};
use mesh_runtime::tls::grpc::{Connector, MAX_TOKEN, bearer};
use serde_json::Value;
use std::time::Duration;
use tonic::{
    Code, Request, Status,
    metadata::{Ascii, MetadataMap, MetadataValue},
    transport::{Channel, Endpoint},
};

/// Response metadata that carries pilot's version.
const VERSION: &str = "ferromesh-version";
/// The account that commands ask as: pilot tells callers of its own namespace.
const ACCOUNT: &str = "default";
/// Whom tokens are made for.
const AUDIENCE: &str = "istio-ca";

/// For one of several pilots, where the others are asked whatever it says.
const PATIENCE: Duration = Duration::from_secs(5);

/// What one pilot answered.
pub(crate) struct FromPilot {
    /// Its pod, or its address.
    pub(crate) pilot: String,
    /// Of its pod; nothing is known of an address.
    pub(crate) revision: Option<String>,
    pub(crate) value: Value,
    /// Of pilot, where it says so.
    pub(crate) version: Option<String>,
}

/// Who is connected to each pilot.
pub(crate) fn pilot_clients(args: &XdsArgs, context: &Context) -> Result<Vec<FromPilot>> {
    within(args.timeout, &what(args), async { clients_of(pilots(args, context).await?).await })
}

/// The same of every pilot of a cluster.
pub(crate) async fn clients_in(cluster: &Cluster) -> Result<Vec<FromPilot>> {
    clients_of(in_cluster(&XdsArgs::default(), cluster).await?).await
}

/// What every pilot of a cluster says about the root, or why it says nothing.
pub(crate) async fn authorities_in(cluster: &Cluster) -> Result<Vec<(String, Result<Value, String>)>> {
    let mut answers = Vec::new();
    for mut pilot in in_cluster(&XdsArgs::default(), cluster).await? {
        let request = pilot.sign(AuthorityRequest {});
        let answer = match tokio::time::timeout(PATIENCE, pilot.client.authority(request)).await {
            Ok(Ok(answer)) => {
                pilot.told(&answer.get_ref().json, answer.metadata()).map_err(|error| format!("{error:#}"))
            }
            Ok(Err(status)) => Err(format!("{:#}", refused(&status))),
            Err(_) => Err(format!("no answer within {PATIENCE:?}")),
        };
        answers.push((pilot.name, answer.map(|told| told.value)));
    }
    Ok(answers)
}

async fn clients_of(pilots: Vec<Pilot>) -> Result<Vec<FromPilot>> {
    let mut answers = Vec::new();
    for mut pilot in pilots {
        let request = pilot.sign(ClientsRequest {});
        let answer = pilot.client.clients(request).await.map_err(|status| refused(&status))?;
        answers.push(pilot.told(&answer.get_ref().json, answer.metadata())?);
    }
    Ok(answers)
}

/// What a client holds, from the pilot that it is connected to.
pub(crate) fn pilot_config(args: &XdsArgs, context: &Context, proxy: &str) -> Result<FromPilot> {
    within(args.timeout, &what(args), async {
        let mut unknown = None;
        for mut pilot in pilots(args, context).await? {
            let request = pilot.sign(ConfigRequest { proxy: proxy.to_owned() });
            match pilot.client.config(request).await {
                Ok(answer) => return pilot.told(&answer.get_ref().json, answer.metadata()),
                Err(status) if status.code() == Code::NotFound => unknown = Some(refused(&status)),
                Err(status) => return Err(refused(&status)),
            }
        }
        Err(unknown.unwrap_or_else(|| anyhow!("there is no pilot")))
    })
}

fn what(args: &XdsArgs) -> String {
    match &args.xds_address {
        Some(address) => format!("pilot at {address}"),
        None => "the control plane".to_owned(),
    }
}

type Token = MetadataValue<Ascii>;

/// A pilot that can be asked.
struct Pilot {
    name: String,
    revision: Option<String>,
    client: DebugClient<Channel>,
    token: Option<Token>,
    /// Open as long as it is asked.
    _forward: Option<Forward>,
}

impl Pilot {
    fn sign<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            request.metadata_mut().insert("authorization", token.clone());
        }
        request
    }

    fn told(&self, json: &str, metadata: &MetadataMap) -> Result<FromPilot> {
        let version = metadata.get(VERSION).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let value = serde_json::from_str(json).context("what pilot answered is not JSON")?;
        Ok(FromPilot { pilot: self.name.clone(), revision: self.revision.clone(), value, version })
    }
}

async fn pilots(args: &XdsArgs, context: &Context) -> Result<Vec<Pilot>> {
    let Some(address) = &args.xds_address else {
        return in_cluster(args, &Cluster::open(&context.kube).await?).await;
    };
    let client = client(address, tls::connector(address, args)?, args.plaintext)?;
    Ok(vec![Pilot { name: address.clone(), revision: None, client, token: token_of(args)?, _forward: None }])
}

/// Each running pod of the control plane, verified by the mesh's own roots, with a token of its namespace.
async fn in_cluster(args: &XdsArgs, cluster: &Cluster) -> Result<Vec<Pilot>> {
    let pods = cluster.pilots(args.xds_label.as_deref(), args.revision.as_deref()).await?;
    let namespace = &cluster.mesh_namespace;
    let port = args.xds_port.unwrap_or(if args.plaintext { 15010 } else { 15012 });
    let (roots, token) = match (args.plaintext, token_of(args)?) {
        // The pod sees a caller from its own loopback.
        (true, _) => (None, None),
        (false, Some(token)) => (Some(cluster.roots().await?), Some(token)),
        (false, None) => {
            let token = cluster.token(namespace, ACCOUNT, AUDIENCE).await?;
            let token = bearer(&token).map_err(|reason| anyhow!("the API server made no token: {reason}"))?;
            (Some(cluster.roots().await?), Some(token))
        }
    };
    let mut pilots = Vec::new();
    for pod in pods {
        let forward = cluster.forward(namespace, &pod.name, port).await?;
        let address = forward.address.to_string();
        let connector = match &roots {
            None => Connector::plain(address.as_str()),
            Some(roots) => {
                let name = args.authority.clone().unwrap_or_else(|| format!("istiod.{namespace}.svc"));
                tls::connector_to(&address, &name, roots.as_bytes(), args)?
            }
        };
        let client = client(&address, connector, args.plaintext)?;
        let (name, revision) = (pod.name, Some(pod.revision));
        pilots.push(Pilot { name, revision, client, token: token.clone(), _forward: Some(forward) });
    }
    Ok(pilots)
}

fn token_of(args: &XdsArgs) -> Result<Option<Token>> {
    let Some(file) = &args.token_file else { return Ok(None) };
    let length = std::fs::metadata(file).with_context(|| format!("cannot read the token {}", file.display()))?.len();
    if length > MAX_TOKEN as u64 {
        bail!("{} is not a token: it has {length} bytes", file.display());
    }
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read the token {}", file.display()))?;
    Ok(Some(bearer(&text).map_err(|reason| anyhow!("{} is not a token: {reason}", file.display()))?))
}

fn client(address: &str, connector: Connector, plaintext: bool) -> Result<DebugClient<Channel>> {
    let scheme = if plaintext { "http" } else { "https" };
    let wrong = || Usage::new(format!("{address:?} is not HOST:PORT"));
    host_and_port(address)?;
    let origin = format!("{scheme}://{address}").parse().map_err(|_| wrong())?;
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|_| wrong())?.origin(origin);
    let channel = endpoint.connect_with_connector_lazy(connector);
    Ok(DebugClient::new(channel).max_decoding_message_size(MAX_ANSWER))
}

fn refused(status: &Status) -> anyhow::Error {
    let mut text = format!("{}: {}", status.code(), status.message());
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        let next = error.to_string();
        // Each layer may repeat the one below, with a word of its own in front.
        if !text.contains(next.trim_start_matches("transport error: ")) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    anyhow!(text)
}
