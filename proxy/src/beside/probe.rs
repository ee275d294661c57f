//! The kubelet's probes and hooks of the application. The kubelet has no certificate of the mesh, so injection points them at
//! the proxy, which asks the application as the kubelet would have.

use super::fetch::Way;
use crate::settings::{How, HttpGet, Settings};
use anyhow::{Context, bail, ensure};
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Full, Limited};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh_runtime::{
    admin::{self, Reply},
    carried,
    tls::client::ClientTls,
};
use prost::Message;
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};
use tokio::task::JoinSet;

/// Of a body that the application answers with, this much reaches the kubelet, which shows it in an event.
const BODY: usize = 10 * 1024;
/// A message of `grpc.health.v1` has a few bytes.
const HEALTH: usize = 1024;

/// Asks the application.
pub struct Prober {
    settings: Arc<Settings>,
    tls: Arc<ClientTls>,
    /// The port on which the kubelet asks.
    port: u16,
}

#[derive(Clone, PartialEq, Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, PartialEq, Message)]
struct HealthCheckResponse {
    /// 1: serving.
    #[prost(int32, tag = "1")]
    status: i32,
}

impl Prober {
    /// For the probes of these settings, asked on `port`.
    pub fn new(settings: Arc<Settings>, port: u16) -> Self {
        Prober { settings, tls: Arc::new(ClientTls::anonymous()), port }
    }

    /// The answer to the probe at `path`, asked with these headers: the application's status, 200 for a redirection, and the
    /// beginning of its body; 500 where it does not answer in time; 400 where there is no such probe.
    pub async fn answer(&self, path: &str, asked: &HeaderMap) -> Reply {
        let Some(probe) = self.settings.pod.probes.0.get(path) else {
            return admin::text(StatusCode::BAD_REQUEST, "the pod has no probe or hook of this path\n");
        };
        let answer = async {
            match &probe.how {
                How::Http(get) => self.http(get, asked).await,
                How::Tcp { port } => {
                    self.way(*port, false).connect().await?;
                    Ok(admin::text(StatusCode::OK, ""))
                }
                How::Grpc { port, service } => {
                    self.grpc(*port, service).await?;
                    Ok(admin::text(StatusCode::OK, ""))
                }
            }
        };
        let answered = match tokio::time::timeout(probe.timeout, answer).await {
            Ok(answered) => answered,
            Err(_) => Err(anyhow::anyhow!("no answer within {:?}", probe.timeout)),
        };
        answered.unwrap_or_else(|error| {
            tracing::debug!(path, error = format!("{error:#}"), "a probe of the application failed");
            admin::text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}\n"))
        })
    }

    fn way(&self, port: u16, https: bool) -> Way {
        let pod = &self.settings.pod;
        let own = self.settings.instance_ips.first().copied().filter(|_| !pod.probe_loopback);
        let to = SocketAddr::new(own.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)), port);
        Way { to, from: carried::from(to, pod.captured), tls: https.then(|| self.tls.clone()) }
    }

    async fn http(&self, get: &HttpGet, asked: &HeaderMap) -> anyhow::Result<Reply> {
        let way = self.way(get.port, get.https);
        let mut request = Request::get(&get.path).body(Empty::<Bytes>::new()).context("the probe's path")?;
        *request.headers_mut() = self.headers(get, asked, way.to)?;
        let (head, body) = way.ask(request, BODY).await?.into_parts();
        let status = if head.status.is_redirection() { StatusCode::OK } else { head.status };
        let mut reply = admin::text(status, body.bytes);
        if let Some(kind) = head.headers.get(header::CONTENT_TYPE) {
            reply.headers_mut().insert(header::CONTENT_TYPE, kind.clone());
        }
        Ok(reply)
    }

    /// Those of the kubelet but for what belongs to its connection, and the probe's own instead of them.
    fn headers(&self, get: &HttpGet, asked: &HeaderMap, to: SocketAddr) -> anyhow::Result<HeaderMap> {
        const OF_A_CONNECTION: [HeaderName; 6] = [
            header::CONNECTION,
            header::CONTENT_LENGTH,
            header::TE,
            header::TRAILER,
            header::TRANSFER_ENCODING,
            header::UPGRADE,
        ];
        let mut headers = asked.clone();
        for name in OF_A_CONNECTION {
            headers.remove(name);
        }
        // A host that the probe does not give is the kubelet's name for the proxy's port.
        let host = asked.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let host = match host.rsplit_once(':') {
            Some((name, port)) if port.parse() == Ok(self.port) => format!("{name}:{}", get.port),
            _ if host.is_empty() => to.to_string(),
            _ => host.to_owned(),
        };
        headers.insert(header::HOST, HeaderValue::from_str(&host)?);
        let mut own = HeaderMap::new();
        for (name, value) in &get.headers {
            let wrong = || format!("the probe's header {name:?}");
            own.append(
                HeaderName::from_bytes(name.as_bytes()).with_context(wrong)?,
                HeaderValue::from_str(value).with_context(wrong)?,
            );
        }
        headers.extend(own);
        Ok(headers)
    }

    async fn grpc(&self, port: u16, service: &str) -> anyhow::Result<()> {
        let way = self.way(port, false);
        let (mut sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(way.connect().await?)).await.context("HTTP/2")?;
        let uri = format!("http://{}/grpc.health.v1.Health/Check", way.to);
        let request = Request::post(uri)
            .header(header::CONTENT_TYPE, "application/grpc")
            .header(header::TE, "trailers")
            .body(Full::new(framed(&HealthCheckRequest { service: service.to_owned() })))?;
        let mut driven = JoinSet::new();
        driven.spawn(connection);
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, HEALTH).collect().await.map_err(|error| anyhow::anyhow!("{error}"))?;
        let trailers = body.trailers().cloned().unwrap_or_default();
        let said = trailers.get("grpc-status").or(head.headers.get("grpc-status"));
        ensure!(said.is_some_and(|status| status == "0"), "gRPC status {said:?}, HTTP status {}", head.status);
        match unframed(&body.to_bytes())?.status {
            1 => Ok(()),
            other => bail!("the service says that it does not serve: status {other}"),
        }
    }
}

/// A message as gRPC puts it on the wire: not compressed, its length, itself.
fn framed(message: &impl Message) -> Bytes {
    let mut bytes = BytesMut::with_capacity(5 + message.encoded_len());
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(message.encoded_len()).unwrap_or(u32::MAX));
    bytes.extend_from_slice(&message.encode_to_vec());
    bytes.freeze()
}

fn unframed(bytes: &[u8]) -> anyhow::Result<HealthCheckResponse> {
    let message = bytes.get(5..).filter(|_| bytes[0] == 0).context("the answer is no gRPC message")?;
    Ok(HealthCheckResponse::decode(message)?)
}

#[cfg(test)]
mod tests;
