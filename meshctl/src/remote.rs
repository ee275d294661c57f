//! Calls to running processes: a proxy's admin port over HTTP, pilot's `Debug` service over gRPC, both also through a
//! cluster. Every call has a time limit; the error says what was tried.

mod pilot;
mod tls;

pub(crate) use pilot::{FromPilot, authorities_in, clients_in, pilot_clients, pilot_config};

use crate::{
    cluster::{Cluster, target::PodName},
    context::Context,
    usage::Usage,
};
use anyhow::{Context as _, Result, anyhow, bail};
use http::Method;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use mesh_config::name::split_authority;
use serde_json::Value;
use std::{future::Future, time::Duration};
use tokio::net::TcpStream;

/// Largest answer that is read, in bytes.
const MAX_ANSWER: usize = 256 << 20;
/// `GET http://ADDRESS/PATH` of an admin port, as JSON.
pub(crate) fn admin_json(address: &str, path: &str, limit: Duration) -> Result<Value> {
    host_and_port(address)?;
    let url = format!("http://{address}{path}");
    let body = within(limit, &url, send(address, Method::GET, path))?;
    serde_json::from_slice(&body).with_context(|| format!("what {url} answered is not JSON"))
}

/// The same of a pod: `proxy` is `[TYPE/]NAME[.NAMESPACE]`.
pub(crate) fn pod_json(proxy: &str, port: u16, path: &str, limit: Duration, context: &Context) -> Result<Value> {
    within(limit, &format!("proxy {proxy}"), async {
        let cluster = Cluster::open(&context.kube).await?;
        let pod = cluster.pod(proxy, context).await?;
        get_json(&cluster, &pod.namespace, &pod.name, port, path).await
    })
}

/// `GET` of a port of a pod, as JSON.
pub(crate) async fn get_json(cluster: &Cluster, namespace: &str, pod: &str, port: u16, path: &str) -> Result<Value> {
    let pod = PodName { namespace: namespace.to_owned(), name: pod.to_owned() };
    let body = call(cluster, &pod, port, Method::GET, path).await?;
    serde_json::from_slice(&body)
        .with_context(|| format!("what port {port} of pod {} answered to {path} is not JSON", pod.name))
}

/// Calls a port of a pod; what it answers, where that is success.
pub(crate) async fn call(cluster: &Cluster, pod: &PodName, port: u16, method: Method, path: &str) -> Result<Bytes> {
    let forward = cluster.forward(&pod.namespace, &pod.name, port).await?;
    send(&forward.address.to_string(), method, path).await
}

async fn send(address: &str, method: Method, path: &str) -> Result<Bytes> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let request = http::Request::builder().method(method).uri(path).header(http::header::HOST, address);
    let response = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await.map_err(|e| anyhow!(e))?.to_bytes();
    driver.abort();
    match status.is_success() {
        true => Ok(body),
        false => bail!("it answered {status}: {}", String::from_utf8_lossy(&body[..body.len().min(200)]).trim()),
    }
}

/// An address that can be dialled: a name or an IP address, and a port.
fn host_and_port(address: &str) -> Result<()> {
    match split_authority(address) {
        (host, Some(_)) if !host.is_empty() => Ok(()),
        _ => bail!(Usage::new(format!("{address:?} is not HOST:PORT"))),
    }
}

/// Runs a call to its end or to the limit.
pub(crate) fn within<T>(limit: Duration, what: &str, call: impl Future<Output = Result<T>>) -> Result<T> {
    match outcome(limit, call)? {
        Some(answer) => answer.with_context(|| format!("cannot ask {what}")),
        None => bail!("cannot ask {what}: no answer within {limit:?} (--timeout)"),
    }
}

/// Carries out what is more than a question: its errors are told as they are.
pub(crate) fn carried_out<T>(limit: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    match outcome(limit, work)? {
        Some(done) => done,
        None => bail!("not done within {limit:?}; what was done stays, and the same command goes on"),
    }
}

/// What came of it; nothing, where the time was up first.
fn outcome<T>(limit: Duration, call: impl Future<Output = Result<T>>) -> Result<Option<Result<T>>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the machinery for network calls")?;
    let outcome = runtime.block_on(async { tokio::time::timeout(limit, call).await });
    // A look-up of a name cannot be interrupted; it must not be waited for either.
    runtime.shutdown_background();
    Ok(outcome.ok())
}
