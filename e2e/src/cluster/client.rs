//! Calls to an API server as its administrator: one connection, one call at a time, JSON both ways.

use super::certificates::Pair;
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use serde_json::{Value, json};
use std::{collections::HashMap, fs, net::SocketAddr, path::Path, sync::Arc, time::Duration};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Longest wait for an answer.
const ANSWER: Duration = Duration::from_secs(60);
/// Largest answer that is read, in bytes.
const LARGEST: usize = 64 << 20;

/// What an API server does with fields that it does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// It refuses the object.
    Refuse,
    /// It drops them and says so in a header.
    Drop,
}

/// Where objects of a kind are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// E.g. `virtualservices`.
    pub plural: String,
    /// Whether they stand in namespaces.
    pub is_namespaced: bool,
}

/// A connection to an API server.
pub struct Client {
    sender: SendRequest<Full<Bytes>>,
    /// Of group and version, by kind; asked for once.
    known: HashMap<String, HashMap<String, Resource>>,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// When there is no connection, or the server is not one that `root` vouches for.
    pub async fn open(server: SocketAddr, root: &str, user: &Pair) -> Result<Self> {
        let connector = TlsConnector::from(Arc::new(tls(root, user)?));
        let stream = TcpStream::connect(server).await.with_context(|| format!("cannot connect to {server}"))?;
        let stream = connector.connect(ServerName::from(server.ip()), stream).await?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Client { sender, known: HashMap::new() })
    }

    /// As a kubeconfig says that [`super::local`] or [`super::api_server`] wrote.
    ///
    /// # Errors
    /// When it is none of those, or there is no connection.
    pub async fn of_kubeconfig(file: &Path) -> Result<Self> {
        use base64::{Engine, engine::general_purpose::STANDARD};
        let said: Value =
            serde_json::from_slice(&fs::read(file).with_context(|| format!("cannot read {}", file.display()))?)?;
        let (cluster, user) = (&said["clusters"][0]["cluster"], &said["users"][0]["user"]);
        let text = |value: &Value| value.as_str().map(str::to_owned).context("the kubeconfig is not one of ours");
        let pem = |value: &Value| Ok::<_, anyhow::Error>(String::from_utf8(STANDARD.decode(text(value)?)?)?);
        let server = text(&cluster["server"])?;
        let server = server.strip_prefix("https://").context("the server is not asked over TLS")?.parse()?;
        let pair = Pair { certificate: pem(&user["client-certificate-data"])?, key: pem(&user["client-key-data"])? };
        Self::open(server, &pem(&cluster["certificate-authority-data"])?, &pair).await
    }

    /// Calls a path; gives status and content, which is JSON or, where it is none, a text.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn call(&mut self, method: Method, path: &str, content: Option<&Value>) -> Result<(StatusCode, Value)> {
        let body = content.map_or_else(Bytes::new, |content| content.to_string().into());
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "kubernetes")
            .header("accept", "application/json")
            .header("content-type", "application/json")
            .body(Full::new(body))?;
        let answer = async {
            self.sender.ready().await?;
            let answer = self.sender.send_request(request).await?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), LARGEST).collect().await;
            let body = body.map_err(|e| anyhow::anyhow!("the answer was not read: {e}"))?.to_bytes();
            let text = || Value::String(String::from_utf8_lossy(&body).into_owned());
            Ok::<_, anyhow::Error>((status, serde_json::from_slice(&body).unwrap_or_else(|_| text())))
        };
        tokio::time::timeout(ANSWER, answer).await.with_context(|| format!("{path}: no answer within {ANSWER:?}"))?
    }

    /// Whether the server is ready to serve.
    ///
    /// # Errors
    /// When it is not, with what it says.
    pub async fn ready(&mut self) -> Result<()> {
        match self.call(Method::GET, "/readyz", None).await? {
            (StatusCode::OK, _) => Ok(()),
            (status, said) => bail!("{status}: {said}"),
        }
    }

    /// Where objects of this version and kind are; `None` where the server does not have them.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn resource(&mut self, api_version: &str, kind: &str) -> Result<Option<Resource>> {
        if !self.known.contains_key(api_version) {
            let (status, list) = self.call(Method::GET, &root_of(api_version), None).await?;
            if status != StatusCode::OK {
                return Ok(None);
            }
            self.known.insert(api_version.to_owned(), kinds(&list));
        }
        Ok(self.known.get(api_version).and_then(|kinds| kinds.get(kind)).cloned())
    }

    /// Creates an object, in namespace `default` where it names none; `is_dry` goes all the way but for the store. Gives
    /// what would be stored, or why the server refuses.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn create(&mut self, object: &Value, unknown: Unknown, is_dry: bool) -> Result<Result<Value, Refusal>> {
        let text = |key: &str| object[key].as_str().unwrap_or_default();
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        let Some(resource) = self.resource(api_version, kind).await? else {
            let message = format!("the API server has no {api_version} {kind}");
            return Ok(Err(Refusal { status: StatusCode::NOT_FOUND, message }));
        };
        let place = match object["metadata"]["namespace"].as_str() {
            _ if !resource.is_namespaced => String::new(),
            Some(namespace) => format!("/namespaces/{namespace}"),
            None => "/namespaces/default".to_owned(),
        };
        let validation = match unknown {
            Unknown::Refuse => "Strict",
            Unknown::Drop => "Warn",
        };
        let dry = if is_dry { "&dryRun=All" } else { "" };
        let (root, plural) = (root_of(api_version), resource.plural);
        let path = format!("{root}{place}/{plural}?fieldValidation={validation}{dry}");
        let (status, answer) = self.call(Method::POST, &path, Some(object)).await?;
        if status.is_success() {
            return Ok(Ok(answer));
        }
        let message = answer["message"].as_str().map_or_else(|| answer.to_string(), str::to_owned);
        Ok(Err(Refusal { status, message }))
    }

    /// Installs definitions of kinds and waits until objects of each served version may be written.
    ///
    /// # Errors
    /// When one is refused.
    pub async fn define(&mut self, definitions: &[Value]) -> Result<()> {
        for definition in definitions {
            let name = &definition["metadata"]["name"];
            if let Err(refusal) = self.create(definition, Unknown::Refuse, false).await? {
                bail!("the definition {name} is refused: {}", refusal.message);
            }
        }
        for definition in definitions {
            self.established(definition["metadata"]["name"].as_str().unwrap_or_default()).await?;
        }
        // Kinds that were asked for before may be there now.
        self.known.clear();
        Ok(())
    }

    async fn established(&mut self, name: &str) -> Result<()> {
        let path = format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}");
        let end = mesh_runtime::clock::now() + ANSWER;
        let yes = json!("True");
        loop {
            let (_, definition) = self.call(Method::GET, &path, None).await?;
            let conditions = definition["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
            let is = |kind: &str, status: &Value| {
                conditions.iter().any(|condition| condition["type"] == kind && condition["status"] == *status)
            };
            if is("NonStructuralSchema", &yes) {
                bail!("{name} is no structural schema: {}", definition["status"]["conditions"]);
            }
            if is("Established", &yes) && is("NamesAccepted", &yes) {
                return Ok(());
            }
            if mesh_runtime::clock::now() > end {
                bail!("{name} is not established within {ANSWER:?}: {}", definition["status"]["conditions"]);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Why an object was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub status: StatusCode,
    pub message: String,
}

fn root_of(api_version: &str) -> String {
    if api_version.contains('/') { format!("/apis/{api_version}") } else { format!("/api/{api_version}") }
}

/// The kinds of a discovery document; subresources (`pods/log`) are none.
fn kinds(list: &Value) -> HashMap<String, Resource> {
    let resources = list["resources"].as_array().map(Vec::as_slice).unwrap_or_default();
    resources
        .iter()
        .filter_map(|resource| {
            let plural = resource["name"].as_str()?.to_owned();
            let is_namespaced = resource["namespaced"].as_bool()?;
            let kind = resource["kind"].as_str()?.to_owned();
            (!plural.contains('/')).then_some((kind, Resource { plural, is_namespaced }))
        })
        .collect()
}

fn tls(root: &str, user: &Pair) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(root.as_bytes())?)?;
    let chain = vec![CertificateDer::from_pem_slice(user.certificate.as_bytes())?];
    let key = PrivateKeyDer::from_pem_slice(user.key.as_bytes())?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots).with_client_auth_cert(chain, key)?)
}
