//! One call at a door of a proxy: what the pure functions say of it, hop by hop, and what comes of it over sockets.

use crate::worlds::SERVERS;
use mesh_config::{
    identity::TrustDomain,
    kind::Role,
    model::{Protocol, endpoint::EndpointAddress},
    name::Port,
};
use mesh_e2e::{
    client::{self, Call, Connection},
    mesh::{Mesh, identity, issue},
    offline::{Arriving, Decider, Request, Verdict},
};
use mesh_proxy::{
    decide::outbound::Entrance,
    detect::{ClientHello, Detected, Look, detect},
    snapshot::{cluster::Cluster, outbound::Said},
};
use mesh_runtime::{
    snapshot::Reader,
    testing::{TestCa, mesh_profile},
    tls::{
        client::{ClientProfile, ClientTls, Mode, Simple},
        server::HANDSHAKE_TIMEOUT,
        verify::ExpectedPeer,
    },
};
use std::{net::SocketAddr, sync::Arc};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// No method begins like this, and no hello.
const BYTES_OF_NOBODY: &[u8] = b"\x01\x02\x03\x04 something";
const MESH_HTTP: &[&[u8]] = &[b"istio-http/1.1", b"istio", b"http/1.1"];
/// Of the mesh, but without an introduction.
const MESH_BYTES: &[&[u8]] = &[b"istio", b"http/1.1"];
const EDGE: &[&[u8]] = &[b"http/1.1"];

/// Which proxy, and how a connection comes to it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Door {
    /// A peer's, to a port of a server.
    Peer(&'static str, u16),
    /// The application's, of this workload, to a listener of its Sidecar.
    App(&'static str, mesh_e2e::mesh::Port),
    /// A client's, to a port of the gateway.
    Edge(u16),
}

/// How the connection begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cover {
    Plain,
    /// The mesh's TLS, by an account of a trust domain.
    Mesh {
        account: &'static str,
        domain: &'static str,
    },
    /// A hello of somebody else, and nothing after it.
    Foreign,
    /// A client of the gateway's, with a certificate or without.
    Edge {
        name: &'static str,
        certificate: bool,
    },
}

/// A connection, and the request on it; without one, bytes that are none.
#[derive(Debug, Clone)]
pub(crate) struct Visit {
    pub(crate) door: Door,
    pub(crate) cover: Cover,
    pub(crate) request: Option<Request>,
}

/// What came of a visit: what its client saw, and a line for each proxy on the way, the nearest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) seen: String,
    pub(crate) lines: Vec<String>,
}

impl Outcome {
    /// Of one proxy; `name` is the application behind it.
    fn of(verdict: Verdict, name: &str) -> Self {
        let (seen, line) = match verdict {
            Verdict::Forward { cluster, route, .. } => {
                (format!("200 {name}"), format!("200 via_upstream {cluster} {route}"))
            }
            Verdict::Carry { cluster } => ("echo".to_owned(), format!("carried {cluster}")),
            Verdict::Answer { status: 403, text } => ("403".to_owned(), format!("403 {text}")),
            Verdict::Answer { status, .. } => (status.to_string(), status.to_string()),
            Verdict::Close { why } => ("closed".to_owned(), closed(&why)),
        };
        Outcome { seen, lines: vec![line] }
    }
}

/// Why a connection was closed. What libraries say of a handshake that failed is no decision.
fn closed(why: &str) -> String {
    let decided = ["plain_text", "TLS_of_no", "no_TLS", "no_server", "rbac", "BlackHole"];
    let ours = decided.iter().any(|begin| why.starts_with(begin));
    format!("closed {}", if ours { why } else { "handshake" })
}

/// `client server id status details termination flags cluster route`, as the proxies of a world log.
pub(crate) const FORMAT: &str = "%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %REQ(X-REQUEST-ID)% %RESPONSE_CODE% %RESPONSE_CODE_DETAILS% \
                          %CONNECTION_TERMINATION_DETAILS% %UPSTREAM_CLUSTER_RAW% %ROUTE_NAME%\n";

/// Both ends of a connection, the client's first: a port of the client's may be used again for another server.
pub(crate) type Ends = (SocketAddr, SocketAddr);

/// A line of the log: the connection's ends, the request's id, and the line as an [`Outcome`] has it.
pub(crate) fn logged(line: &str) -> Option<(Ends, String, String)> {
    let words: Vec<&str> = line.split(' ').collect();
    let [client, server, id, status, details, termination, cluster, route] = words[..] else { return None };
    let text = match (status, details) {
        ("0", _) if cluster == "BlackHoleCluster" => closed(cluster),
        ("0", _) if termination == "-" => format!("carried {cluster}"),
        ("0", _) => closed(termination),
        (_, "via_upstream") => format!("{status} via_upstream {cluster} {route}"),
        ("403", _) => format!("403 {details}"),
        _ => status.to_owned(),
    };
    Some(((client.parse().ok()?, server.parse().ok()?), id.to_owned(), text))
}

/// The world, decided and in sockets.
pub(crate) struct World<'m> {
    pub(crate) mesh: &'m Mesh,
    pub(crate) compiled: &'m mesh_pilot::Mesh,
    pub(crate) edge: &'m TestCa,
}

impl World<'_> {
    /// What the pure functions say.
    pub(crate) fn decided(&self, visit: &Visit) -> Outcome {
        let request = visit.request.as_ref();
        match visit.door {
            Door::Peer(name, port) => {
                let verdict = self.decider(Role::Sidecar, name).from_peer(&self.arriving(visit, port), request);
                Outcome::of(verdict, name)
            }
            Door::App(name, port) => {
                let mut decider = self.decider(Role::Sidecar, name);
                let listener = format!("{}_{}", self.mesh.ip(name), port.number).into();
                let protocol = match port.protocol {
                    "" => Protocol::Auto,
                    "TCP" => Protocol::Tcp,
                    _ => Protocol::Http,
                };
                let entrance = Entrance::Listener { name: listener, protocol };
                let number = Port::new(port.number).unwrap();
                let verdict = decider.from_application(&entrance, number, Said::Other, request, 0);
                self.onward(&decider, name, request, verdict)
            }
            Door::Edge(port) => {
                let mut decider = self.decider(Role::Gateway, "gateway");
                let verdict = decider.from_outside(&self.arriving(visit, port), request);
                self.onward(&decider, "gateway", request, verdict)
            }
        }
    }

    fn decider(&self, role: Role, name: &str) -> Decider<'_> {
        Decider::new(self.compiled, role, self.mesh.ip(name))
    }

    fn arriving(&self, visit: &Visit, port: u16) -> Arriving {
        let http = visit.request.is_some();
        let hello = |sni: &str, alpn: &[&[u8]]| {
            let alpn = alpn.iter().map(|name| name.to_vec()).collect();
            Detected::Tls(ClientHello { sni: Some(sni.to_owned()), alpn })
        };
        let (said, peer) = match visit.cover {
            Cover::Plain if http => (Detected::Http1, None),
            Cover::Plain => (Detected::Opaque, None),
            Cover::Mesh { account, domain } => {
                let alpn = if http { MESH_HTTP } else { MESH_BYTES };
                (hello("server.test", alpn), Some(format!("spiffe://{domain}/ns/test/sa/{account}")))
            }
            Cover::Foreign => (detect(&foreign_hello(), Look::Tls), None),
            Cover::Edge { name, certificate } => (hello(name, EDGE), certificate.then(String::new)),
        };
        Arriving { port: Port::new(port).unwrap(), said, peer, source: [127, 0, 0, 1].into() }
    }

    /// With what the proxy of the endpoint makes of what the first one sends.
    fn onward(&self, decider: &Decider<'_>, from: &str, request: Option<&Request>, verdict: Verdict) -> Outcome {
        let (cluster, first, request) = match verdict {
            Verdict::Forward { cluster, route, path, host } => {
                let request = request.map(|request| Request { path, host, ..request.clone() });
                (cluster.clone(), format!("via_upstream {cluster} {route}"), request)
            }
            Verdict::Carry { cluster } => (cluster.clone(), format!("carried {cluster}"), None),
            other => return Outcome::of(other, ""),
        };
        let snapshot = decider.snapshot();
        let to = snapshot.outbound.clusters().find(|known| *known.name == *cluster).expect("a cluster that is there");
        let (name, arriving) = self.sent(from, to, request.is_some());
        let next = Outcome::of(self.decider(Role::Sidecar, name).from_peer(&arriving, request.as_ref()), name);
        match (&request, &*next.seen) {
            (None, _) => Outcome { seen: next.seen, lines: vec![first] },
            // It may be tried more than once, so that the other proxy's lines are not compared.
            (Some(_), "closed") => Outcome { seen: "503".to_owned(), lines: vec!["503".to_owned()] },
            (Some(_), seen) => {
                let status = seen.split(' ').next().unwrap_or_default();
                let lines = std::iter::once(format!("{status} {first}")).chain(next.lines);
                Outcome { seen: seen.to_owned(), lines: lines.collect() }
            }
        }
    }

    /// The server that a cluster's one endpoint is, and a connection to it.
    fn sent(&self, from: &str, to: &Cluster, http: bool) -> (&'static str, Arriving) {
        let endpoints = to.endpoints.load();
        let [endpoint] = &endpoints.endpoints[..] else { panic!("{} has not one endpoint", to.name) };
        let EndpointAddress::Ip(address) = endpoint.address else { panic!("{} has no address", to.name) };
        let name = SERVERS.into_iter().find(|name| self.mesh.ip(name) == address).expect("a server's");
        let alpn = if http { "istio-http/1.1" } else { "istio-peer-exchange" };
        let hello =
            ClientHello { sni: Some(to.sni.to_string()), alpn: vec![alpn.as_bytes().to_vec(), b"istio".to_vec()] };
        let said = match endpoint.mutual_tls {
            true => Detected::Tls(hello),
            false if http => Detected::Http1,
            false => Detected::Opaque,
        };
        let peer = endpoint.mutual_tls.then(|| identity(from));
        let port = Port::new(endpoint.target_port).unwrap();
        (name, Arriving { port, said, peer, source: self.mesh.ip(from) })
    }
}

/// A hello without anything of the mesh.
fn foreign_hello() -> Vec<u8> {
    let mut config =
        rustls::ClientConfig::builder().with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let mut client = rustls::ClientConnection::new(Arc::new(config), "server.test".try_into().unwrap()).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

impl World<'_> {
    /// What comes of it over sockets: what the client sees, and the connection's ends.
    pub(crate) async fn made(&self, visit: &Visit) -> (String, Ends) {
        let (to, from) = match visit.door {
            Door::Peer(name, port) => (SocketAddr::new(self.mesh.ip(name), port), None),
            Door::App(name, port) => (self.mesh.egress(name, port), Some(self.mesh.ip(name))),
            Door::Edge(port) => (SocketAddr::new(self.mesh.ip("gateway"), port), None),
        };
        let stream = client::connect(to, from).await.unwrap();
        let own = stream.local_addr().unwrap();
        let seen = match visit.cover {
            Cover::Plain => spoken(stream, visit.request.as_ref()).await,
            Cover::Foreign => bytes(stream, &foreign_hello()).await,
            Cover::Mesh { account, domain } => {
                let domain: TrustDomain = domain.parse().unwrap();
                let client = ClientTls::new(Reader::fixed(issue(&self.mesh.dir().join("ca"), domain, account)));
                let profile = mesh_profile(if visit.request.is_some() { MESH_HTTP } else { MESH_BYTES }, "server.test");
                match client.connect(stream, &profile, &ExpectedPeer::any()).await {
                    Ok((stream, _)) => spoken(stream, visit.request.as_ref()).await,
                    Err(_) => "closed".to_owned(),
                }
            }
            Cover::Edge { name, certificate } => {
                let certificate = certificate.then(|| self.edge.server_certificate(&["client.example"]));
                let simple = Simple { roots: Some(self.edge.bundle()), certificate, ..Simple::default() };
                let profile = ClientProfile {
                    alpn: EDGE.into(),
                    sni: Some(name.into()),
                    mode: Mode::Simple(Arc::new(simple)),
                    handshake_timeout: HANDSHAKE_TIMEOUT,
                };
                let client = ClientTls::new(Reader::fixed(self.mesh.issue("client")));
                match client.connect(stream, &profile, &ExpectedPeer::any()).await {
                    Ok((stream, _)) => spoken(stream, visit.request.as_ref()).await,
                    Err(_) => "closed".to_owned(),
                }
            }
        };
        (seen, (own, to))
    }
}

async fn spoken<S: AsyncRead + AsyncWrite + Unpin>(stream: S, request: Option<&Request>) -> String {
    let Some(Request { method, host, path, headers }) = request else { return bytes(stream, BYTES_OF_NOBODY).await };
    let mut call = Call::get(host, path).method(method);
    call.headers.extend(headers.iter().cloned());
    match Connection::over(stream).call(&call).await {
        Ok(reply) => format!("{} {}", reply.status, reply.served_by()).trim().to_owned(),
        Err(_) => "closed".to_owned(),
    }
}

/// Whether they come back.
async fn bytes<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, bytes: &[u8]) -> String {
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    let mut back = Vec::new();
    let _ = stream.read_to_end(&mut back).await;
    match &back[..] {
        back if back == bytes => "echo".to_owned(),
        back if back.starts_with(b"HTTP/1.1 400") => "400".to_owned(),
        _ => "closed".to_owned(),
    }
}
