//! Sending an image to a registry: as much of the OCI distribution API as a push needs, on the HTTP client that is here
//! anyway. Blobs that the registry has already are not sent again. Every request has a connection of its own.

use super::{Bundle, Digest};
use crate::echo::tls;
use anyhow::{Context, bail, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use std::{fmt, path::PathBuf, sync::Arc, time::Duration};
use tokio::net::TcpStream;

/// Longest answer of a registry that is read, in bytes.
const LONGEST: usize = 1 << 20;
/// Longest time for one request; a layer may take a while.
const PATIENCE: Duration = Duration::from_secs(300);

/// Who pushes.
#[derive(Clone)]
pub struct Login {
    pub user: String,
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Login {
    fn basic(&self) -> anyhow::Result<HeaderValue> {
        let mut value =
            HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(format!("{}:{}", self.user, self.password))))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

/// A registry, as one image's repository in it.
#[derive(Debug)]
pub struct Registry {
    /// `https://host` or `http://host`
    base: String,
    /// The image's name without host and tag.
    repository: String,
    tag: String,
    login: Option<Login>,
    /// Roots that are trusted for `https`.
    roots: PathBuf,
    /// What the registry wants to see with every request, once it has said so.
    ticket: Option<HeaderValue>,
}

impl Registry {
    /// The place of an image of this whole name, `host/path:tag`. `plain`: without TLS.
    ///
    /// # Errors
    /// When the name has no host, path or tag.
    pub fn of(name: &str, login: Option<Login>, plain: bool, roots: PathBuf) -> anyhow::Result<Self> {
        let (host, rest) = name.split_once('/').with_context(|| format!("{name} names no registry"))?;
        let (repository, tag) = rest.rsplit_once(':').with_context(|| format!("{name} has no tag"))?;
        // The one registry that answers under another name than its images have.
        let host = if host == "docker.io" { "registry-1.docker.io" } else { host };
        let scheme = if plain { "http" } else { "https" };
        Ok(Registry {
            base: format!("{scheme}://{host}"),
            repository: repository.to_owned(),
            tag: tag.to_owned(),
            login,
            roots,
            ticket: None,
        })
    }

    /// Sends all of an image: blobs, then the manifest of each platform, then what the tag names.
    ///
    /// # Errors
    /// When the registry refuses, or cannot be reached; nothing is under the tag then that was not there before.
    pub async fn push(&mut self, bundle: &Bundle) -> anyhow::Result<()> {
        for (digest, bytes) in &bundle.blobs {
            self.blob(digest, bytes).await.with_context(|| format!("blob {digest}"))?;
        }
        for (digest, bytes) in bundle.manifests.iter().filter(|(digest, _)| **digest != bundle.top.digest) {
            self.manifest(&digest.to_string(), super::MANIFEST, bytes).await?;
        }
        let tag = self.tag.clone();
        self.manifest(&tag, bundle.top.media_type, &bundle.top.bytes).await
    }

    async fn blob(&mut self, digest: &Digest, bytes: &[u8]) -> anyhow::Result<()> {
        let there = self.url(&format!("blobs/{digest}"))?;
        if self.ask(Method::HEAD, &there, None, &[]).await?.status() == StatusCode::OK {
            return Ok(());
        }
        let begin = self.url("blobs/uploads/")?;
        let opened = self.ask(Method::POST, &begin, None, &[]).await?;
        ensure!(opened.status() == StatusCode::ACCEPTED, "no upload was opened: {}", refusal(&opened));
        let place =
            opened.headers().get(header::LOCATION).context("an upload was opened, and no place for it named")?;
        let place = place.to_str()?;
        let place = if place.starts_with('/') { format!("{}{place}", self.base) } else { place.to_owned() };
        let joint = if place.contains('?') { '&' } else { '?' };
        let place: Uri = format!("{place}{joint}digest={}", digest.to_string().replace(':', "%3A")).parse()?;
        let done = self.ask(Method::PUT, &place, Some("application/octet-stream"), bytes).await?;
        ensure!(done.status() == StatusCode::CREATED, "it was not taken: {}", refusal(&done));
        Ok(())
    }

    async fn manifest(&mut self, reference: &str, media_type: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let place = self.url(&format!("manifests/{reference}"))?;
        let done = self.ask(Method::PUT, &place, Some(media_type), bytes).await?;
        ensure!(done.status() == StatusCode::CREATED, "manifest {reference} was not taken: {}", refusal(&done));
        Ok(())
    }

    fn url(&self, rest: &str) -> anyhow::Result<Uri> {
        Ok(format!("{}/v2/{}/{rest}", self.base, self.repository).parse()?)
    }

    /// Asks, and once more when the registry says how it wants to know who asks.
    async fn ask(
        &mut self,
        method: Method,
        to: &Uri,
        kind: Option<&str>,
        body: &[u8],
    ) -> anyhow::Result<Response<Bytes>> {
        let answer = self.once(method.clone(), to, kind, body).await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        let challenge = answer.headers().get(header::WWW_AUTHENTICATE).context("refused without a way to log in")?;
        self.ticket = Some(self.authorize(challenge.to_str()?).await?);
        self.once(method, to, kind, body).await
    }

    async fn once(&self, method: Method, to: &Uri, kind: Option<&str>, body: &[u8]) -> anyhow::Result<Response<Bytes>> {
        let mut request = Request::builder().method(method).uri(to).body(Full::new(Bytes::copy_from_slice(body)))?;
        if let Some(kind) = kind {
            request.headers_mut().insert(header::CONTENT_TYPE, kind.parse()?);
        }
        // A place for uploads may be on another host, for which the ticket is not.
        if let Some(ticket) = self.ticket.as_ref().filter(|_| to.to_string().starts_with(&format!("{}/", self.base))) {
            request.headers_mut().insert(header::AUTHORIZATION, ticket.clone());
        }
        self.send(request).await
    }

    /// The ticket for a challenge: the login itself, or a token that a service gives for it.
    async fn authorize(&self, challenge: &str) -> anyhow::Result<HeaderValue> {
        let (scheme, words) = challenge.split_once(' ').unwrap_or((challenge, ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return self.login.as_ref().context("it wants a user and a password")?.basic();
        }
        ensure!(scheme.eq_ignore_ascii_case("bearer"), "it wants to know who asks by {scheme}, which is not served");
        let word = |name: &str| {
            let begin = words.find(&format!("{name}=\""))? + name.len() + 2;
            words[begin..].split('"').next()
        };
        let realm = word("realm").context("a challenge names no realm")?;
        ensure!(
            realm.starts_with("https://") || self.base.starts_with("http://"),
            "{realm} would get the password without TLS"
        );
        let scope = format!("repository:{}:pull,push", self.repository);
        let mut query = format!("scope={}", encoded(&scope));
        if let Some(service) = word("service") {
            query.push_str(&format!("&service={}", encoded(service)));
        }
        let joint = if realm.contains('?') { '&' } else { '?' };
        let mut request = Request::get(format!("{realm}{joint}{query}")).body(Full::new(Bytes::new()))?;
        if let Some(login) = &self.login {
            request.headers_mut().insert(header::AUTHORIZATION, login.basic()?);
        }
        let answer = self.send(request).await?;
        ensure!(answer.status() == StatusCode::OK, "{realm} gives no token: status {}", answer.status());
        let answer: serde_json::Value = serde_json::from_slice(answer.body()).context("no token, and no JSON")?;
        let token =
            ["token", "access_token"].iter().find_map(|key| answer[key].as_str()).context("no token in JSON")?;
        let mut ticket = HeaderValue::from_str(&format!("Bearer {token}"))?;
        ticket.set_sensitive(true);
        Ok(ticket)
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> anyhow::Result<Response<Bytes>> {
        let place = request.uri().authority().context("a URL names a host")?.clone();
        match tokio::time::timeout(PATIENCE, self.carry(request)).await {
            Ok(answer) => answer.with_context(|| format!("{place} cannot be asked")),
            Err(_) => bail!("no answer of {place} within {PATIENCE:?}"),
        }
    }

    async fn carry(&self, request: Request<Full<Bytes>>) -> anyhow::Result<Response<Bytes>> {
        let secure = request.uri().scheme_str() == Some("https");
        let host = request.uri().host().context("a URL names a host")?.to_owned();
        let port = request.uri().port_u16().unwrap_or(if secure { 443 } else { 80 });
        let stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await?;
        if !secure {
            return exchange(TokioIo::new(stream), request).await;
        }
        let config = tls::client(Some(&self.roots), None, &[b"http/1.1"])?;
        let name = ServerName::try_from(host)?;
        let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        exchange(TokioIo::new(stream), request).await
    }
}

async fn exchange<S>(stream: TokioIo<S>, mut request: Request<Full<Bytes>>) -> anyhow::Result<Response<Bytes>>
where
    TokioIo<S>: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
    let driver = tokio::spawn(connection);
    let host = request.uri().authority().context("a URL names a host")?.as_str().parse()?;
    request.headers_mut().insert(header::HOST, host);
    *request.uri_mut() = request.uri().path_and_query().context("a URL has a path")?.as_str().parse()?;
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = Limited::new(body, LONGEST).collect().await.map_err(anyhow::Error::from_boxed)?;
    driver.abort();
    Ok(Response::from_parts(head, body.to_bytes()))
}

/// What a registry says when it refuses.
fn refusal(answer: &Response<Bytes>) -> String {
    let text = String::from_utf8_lossy(answer.body());
    format!("status {} {}", answer.status(), text.chars().take(300).collect::<String>())
}

/// A value in a query.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests;
