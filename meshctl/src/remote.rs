//! Calls to running processes: a proxy's admin port over HTTP, pilot's `Debug` service over gRPC. Every call has a
//! time limit; the error says what was tried.

mod tls;

use crate::{cli::XdsArgs, usage::Usage};
use anyhow::{Context as _, Result, anyhow, bail};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use mesh_config::name::split_authority;
use mesh_config::wire::proto::ferromesh::v1::{ClientsRequest, ConfigRequest, debug_client::DebugClient};
use mesh_runtime::tls::grpc::{MAX_TOKEN, bearer};
use serde_json::Value;
use std::{future::Future, time::Duration};
use tokio::net::TcpStream;
use tonic::{
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};

/// Largest answer that is read, in bytes.
const MAX_ANSWER: usize = 256 << 20;
/// Response metadata that carries pilot's version.
const VERSION: &str = "ferromesh-version";

/// What pilot answered.
pub(crate) struct FromPilot {
    pub(crate) value: Value,
    /// Of pilot, where it says so.
    pub(crate) version: Option<String>,
}

/// `GET http://ADDRESS/PATH` of an admin port, as JSON.
pub(crate) fn admin_json(address: &str, path: &str, limit: Duration) -> Result<Value> {
    host_and_port(address)?;
    let url = format!("http://{address}{path}");
    let body = within(limit, &url, get(address, path))?;
    serde_json::from_slice(&body).with_context(|| format!("what {url} answered is not JSON"))
}

async fn get(address: &str, path: &str) -> Result<Bytes> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let request = http::Request::get(path).header(http::header::HOST, address).body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await.map_err(|e| anyhow!(e))?.to_bytes();
    driver.abort();
    match status.is_success() {
        true => Ok(body),
        false => bail!("it answered {status}: {}", String::from_utf8_lossy(&body[..body.len().min(200)]).trim()),
    }
}

/// Who is connected to pilot.
pub(crate) fn pilot_clients(args: &XdsArgs) -> Result<FromPilot> {
    let (address, token) = pilot(args)?;
    let answer = within(args.timeout, &format!("pilot at {address}"), async {
        let mut request = tonic::Request::new(ClientsRequest {});
        sign(&mut request, token);
        client(address, args)?.clients(request).await.map_err(refused)
    })?;
    of_answer(&answer.get_ref().json, answer.metadata())
}

/// What a client of pilot holds.
pub(crate) fn pilot_config(args: &XdsArgs, proxy: &str) -> Result<FromPilot> {
    let (address, token) = pilot(args)?;
    let answer = within(args.timeout, &format!("pilot at {address}"), async {
        let mut request = tonic::Request::new(ConfigRequest { proxy: proxy.to_owned() });
        sign(&mut request, token);
        client(address, args)?.config(request).await.map_err(refused)
    })?;
    of_answer(&answer.get_ref().json, answer.metadata())
}

fn of_answer(json: &str, metadata: &tonic::metadata::MetadataMap) -> Result<FromPilot> {
    let version = metadata.get(VERSION).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let value = serde_json::from_str(json).context("what pilot answered is not JSON")?;
    Ok(FromPilot { value, version })
}

fn refused(status: tonic::Status) -> anyhow::Error {
    let mut text = format!("{}: {}", status.code(), status.message());
    let mut cause = std::error::Error::source(&status);
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

/// An address that can be dialled: a name or an IP address, and a port.
fn host_and_port(address: &str) -> Result<()> {
    match split_authority(address) {
        (host, Some(_)) if !host.is_empty() => Ok(()),
        _ => bail!(Usage::new(format!("{address:?} is not HOST:PORT"))),
    }
}

type Token = MetadataValue<Ascii>;

fn pilot(args: &XdsArgs) -> Result<(&str, Option<Token>)> {
    let address = args
        .xds_address
        .as_deref()
        .ok_or_else(|| Usage::new("no control plane to ask: give --xds-address HOST:PORT"))?;
    let Some(file) = &args.token_file else { return Ok((address, None)) };
    let length = std::fs::metadata(file).with_context(|| format!("cannot read the token {}", file.display()))?.len();
    if length > MAX_TOKEN as u64 {
        bail!("{} is not a token: it has {length} bytes", file.display());
    }
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read the token {}", file.display()))?;
    let token = bearer(&text).map_err(|reason| anyhow!("{} is not a token: {reason}", file.display()))?;
    Ok((address, Some(token)))
}

fn sign<T>(request: &mut tonic::Request<T>, token: Option<Token>) {
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", token);
    }
}

fn client(address: &str, args: &XdsArgs) -> Result<DebugClient<Channel>> {
    let connector = tls::connector(address, args)?;
    let scheme = if args.plaintext { "http" } else { "https" };
    let wrong = || Usage::new(format!("{address:?} is not HOST:PORT"));
    host_and_port(address)?;
    let origin = format!("{scheme}://{address}").parse().map_err(|_| wrong())?;
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|_| wrong())?.origin(origin);
    let channel = endpoint.connect_with_connector_lazy(connector);
    Ok(DebugClient::new(channel).max_decoding_message_size(MAX_ANSWER))
}

/// Runs a call to its end or to the limit.
fn within<T>(limit: Duration, what: &str, call: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the machinery for network calls")?;
    let outcome = runtime.block_on(async { tokio::time::timeout(limit, call).await });
    // A look-up of a name cannot be interrupted; it must not be waited for either.
    runtime.shutdown_background();
    match outcome {
        Ok(answer) => answer.with_context(|| format!("cannot ask {what}")),
        Err(_) => bail!("cannot ask {what}: no answer within {limit:?} (--timeout)"),
    }
}
