//! From a peer to the application.
//!
//! What is accepted is decided here and nowhere else: `PeerAuthentication` says plain text, mutual TLS, or both, and
//! the first bytes tell which of them came. Then the declared protocol, the ALPN that the peer's proxy agreed on, or
//! the bytes themselves say whether requests are looked at.

use crate::{
    conn::{Arrival, Connection, Direction},
    detect::{ClientHello, Detected},
    http::server,
    net::{
        io::{Downstream, Io},
        prefix::Prefixed,
    },
    opening::{self, Opening},
    snapshot::{inbound::PortPolicy, listener::DestinationKey},
    tcp,
    worker::Worker,
};
use bytes::{Bytes, BytesMut};
use mesh_config::{
    model::{Protocol, peer_authentication::MtlsMode},
    name::Port,
};
use mesh_runtime::{
    clock,
    tls::server::{ClientAuth, HANDSHAKE_TIMEOUT, ServerProfile},
};
use std::rc::Rc;
use tokio::net::TcpStream;

/// ALPN of chains that carry HTTP, in order of preference.
const HTTP_ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];
/// ALPN of chains that carry opaque bytes.
const TCP_ALPN: [&[u8]; 3] = [b"istio-peer-exchange", b"h2", b"http/1.1"];

/// A connection that is ready to be carried.
enum Ready {
    Http(Downstream, Rc<Connection>),
    Opaque(Downstream, Rc<Connection>),
    /// Nobody has spoken: whoever speaks first decides.
    Undecided(TcpStream, Rc<Connection>),
    Refused,
}

/// Carries one connection to `port` of the workload.
pub async fn serve(worker: Rc<Worker>, stream: TcpStream, arrival: Arrival, port: Port) {
    // Boxed in parts, so that an idle connection holds the memory of its own kind only, and not its handshake's.
    let ready = Box::pin(admit(&worker, stream, arrival, port)).await;
    match ready {
        Ready::Refused => {}
        Ready::Http(io, conn) => {
            let protocol = server::Protocol::agreed(&conn);
            Box::pin(server::serve(io, conn, protocol, worker.requests.clone())).await;
        }
        Ready::Opaque(io, conn) => Box::pin(tcp::inbound(&worker, io, conn, None)).await,
        Ready::Undecided(io, conn) => Box::pin(undecided(worker, io, conn, port)).await,
    }
}

/// Plain text, mutual TLS, the application's own TLS, or nothing that is accepted here.
async fn admit(worker: &Rc<Worker>, mut stream: TcpStream, arrival: Arrival, port: Port) -> Ready {
    let snapshot = worker.snapshot();
    let Some(policy) = snapshot.local().map(|local| local.inbound.port(port)) else { return Ready::Refused };
    let (mode, protocol) = (policy.mtls.mode, policy.protocol);
    let plain = |seen: BytesMut, stream| Prefixed::new(seen.freeze(), Io::Plain(stream));
    let conn = |secured| worker.connection(Direction::Inbound, DestinationKey::Inbound(port), port, arrival, secured);
    let mut seen = BytesMut::new();
    let (silence, patience) = match mode {
        MtlsMode::Strict => (Some(HANDSHAKE_TIMEOUT), Some(HANDSHAKE_TIMEOUT)),
        _ if protocol.is_http() => (None, None),
        _ => {
            let patience = opening::patience(snapshot.settings.protocol_detection_timeout);
            (Some(worker.inbound_verdicts.silence(&port, clock::now())), Some(patience))
        }
    };
    // Not kept while a silent client is waited for.
    drop(snapshot);
    match opening::read(&mut stream, &mut seen, silence, patience).await {
        Opening::Ended => Ready::Refused,
        Opening::Said(Detected::TooLong) => Ready::Refused,
        // A mesh client's hello is answered in every mode, DISABLE too: clients hear of a change of mode a moment
        // before or after us, and no request may be lost for that.
        Opening::Said(Detected::Tls(hello)) => terminate(worker, stream, seen.freeze(), &hello, &policy, arrival).await,
        _ if mode == MtlsMode::Strict => {
            tcp::not_accepted(worker, conn(None), "plain text where mutual TLS is required");
            Ready::Refused
        }
        Opening::Said(said) => match protocol.is_http() || protocol == Protocol::Auto && said.is_http() {
            true => Ready::Http(plain(seen, stream), conn(None)),
            false => Ready::Opaque(plain(seen, stream), conn(None)),
        },
        Opening::Silent => Ready::Undecided(stream, conn(None)),
    }
}

/// A ClientHello came where mutual TLS is accepted.
async fn terminate(
    worker: &Rc<Worker>,
    stream: TcpStream,
    seen: Bytes,
    hello: &ClientHello,
    policy: &PortPolicy,
    arrival: Arrival,
) -> Ready {
    let port = policy.port;
    let key = DestinationKey::Inbound(port);
    let offers = |names: &[&[u8]]| hello.alpn.iter().any(|offered| names.contains(&offered.as_slice()));
    let from_mesh = hello.alpn.iter().any(|offered| offered.starts_with(b"istio"));
    if policy.mtls.mode != MtlsMode::Strict && !from_mesh {
        // Not a sidecar's hello: the application's own TLS, where bytes may be opaque.
        if policy.protocol.is_http() {
            let conn = worker.connection(Direction::Inbound, key, port, arrival, None);
            tcp::not_accepted(worker, conn, "TLS of no mesh client to an HTTP port");
            return Ready::Refused;
        }
        let conn = worker.connection(Direction::Inbound, key, port, arrival, None);
        return Ready::Opaque(Prefixed::new(seen, Io::Plain(stream)), conn);
    }
    let http = match policy.protocol {
        Protocol::Auto => offers(&[b"istio-http/1.0", b"istio-http/1.1", b"istio-h2"]),
        declared => declared.is_http(),
    };
    let alpn: &[&'static [u8]] = if http { &HTTP_ALPN } else { &TCP_ALPN };
    let profile = ServerProfile::new(alpn.to_vec(), ClientAuth::Required);
    match worker.mesh_tls.accept(Prefixed::new(seen, stream), &profile).await {
        Ok((io, accepted)) => {
            let conn = worker.connection(Direction::Inbound, key, port, arrival, Some((&accepted).into()));
            let io = Prefixed::new(Bytes::new(), Io::Tls(Box::new(io)));
            if http { Ready::Http(io, conn) } else { Ready::Opaque(io, conn) }
        }
        Err(error) => {
            let conn = worker.connection(Direction::Inbound, key, port, arrival, None);
            tcp::not_accepted(worker, conn, &format!("mutual TLS failed: {error}"));
            Ready::Refused
        }
    }
}

/// Plain text to a port whose client is silent: the application is dialled, and whoever speaks first decides.
async fn undecided(worker: Rc<Worker>, stream: TcpStream, conn: Rc<Connection>, port: Port) {
    match tcp::race(&worker, stream, &conn).await {
        tcp::Race::Server(io, dialled) => {
            worker.inbound_verdicts.server_spoke(port, clock::now());
            tcp::inbound(&worker, io, conn, Some(dialled)).await;
        }
        tcp::Race::Client(said, seen, stream, dialled) => {
            worker.inbound_verdicts.client_spoke(&port);
            let snapshot = worker.snapshot();
            let Some(policy) = snapshot.local().map(|local| local.inbound.port(port)) else { return };
            drop(snapshot);
            let arrival = Arrival { source: conn.remote, original: conn.local };
            let ready = match said {
                Detected::Tls(hello) => terminate(&worker, stream, seen, &hello, &policy, arrival).await,
                said if said.is_http() && policy.protocol == Protocol::Auto => {
                    Ready::Http(Prefixed::new(seen, Io::Plain(stream)), conn)
                }
                _ => {
                    let io = Prefixed::new(seen, Io::Plain(stream));
                    return tcp::inbound(&worker, io, conn, Some(dialled)).await;
                }
            };
            // What was dialled in plain text for opaque bytes is of no use to the rest.
            drop(dialled);
            match ready {
                Ready::Http(io, conn) => {
                    let protocol = server::Protocol::agreed(&conn);
                    server::serve(io, conn, protocol, worker.requests.clone()).await;
                }
                Ready::Opaque(io, conn) => tcp::inbound(&worker, io, conn, None).await,
                Ready::Undecided(..) | Ready::Refused => {}
            }
        }
        tcp::Race::Ended => {}
    }
}
