//! From clients at the edge to the mesh, the outbound half behind public listeners: what [`crate::decide::gateway`] says of
//! a connection is done here.

use crate::{
    conn::{Arrival, Connection, Direction, Secured},
    decide::{
        self, Refused,
        gateway::{Arriving, Bytes as Onward, arriving},
    },
    detect::{Detected, Look},
    http::server,
    net::{
        io::{Downstream, Io},
        prefix::Prefixed,
    },
    opening::{self, Opening},
    snapshot::{Snapshot, listener::DestinationKey},
    tcp,
    worker::{PENDING, Worker},
};
use bytes::{Bytes, BytesMut};
use mesh_config::{model::gateway::ServerTls, name::Port};
use mesh_runtime::tls::server::{ClientAuth, HANDSHAKE_TIMEOUT, ServerProfile, TlsStream};
use std::{rc::Rc, sync::Arc};
use tokio::net::TcpStream;

/// ALPN of servers that terminate TLS.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];
/// ALPN of servers that terminate the mesh's TLS and carry opaque bytes: proxies may introduce themselves.
const MESH_TCP_ALPN: [&[u8]; 3] = [b"istio-peer-exchange", b"h2", b"http/1.1"];

/// A connection that is ready to be carried.
struct Ready {
    io: Downstream,
    conn: Rc<Connection>,
    /// Where its bytes go; `None`: requests are in it.
    bytes: Option<Onward>,
}

/// Carries one connection to a port of the gateway.
pub async fn serve(worker: Rc<Worker>, stream: TcpStream, arrival: Arrival, port: Port) {
    let draw = worker.requests.upstreams.draw();
    let plain = match arriving(&worker.snapshot(), port, None, draw) {
        Arriving::Requests(key) => Some(key),
        _ => None,
    };
    let ready = match plain {
        Some(key) => {
            let conn = worker.connection(Direction::Gateway, key, port, arrival, None);
            Some(Ready { io: Prefixed::new(Bytes::new(), Io::Plain(stream)), conn, bytes: None })
        }
        None => Box::pin(heard(&worker, stream, arrival, port, draw)).await,
    };
    let Some(Ready { io, conn, bytes }) = ready else { return };
    match bytes {
        None => {
            let protocol = server::Protocol::agreed(&conn);
            Box::pin(server::serve(io, conn, protocol, worker.requests.clone())).await;
        }
        Some(Onward { to: Ok(cluster), .. }) => Box::pin(tcp::outbound(&worker, io, conn, cluster, None)).await,
        Some(Onward { to: Err(cluster), .. }) => tcp::missing(&worker, conn, &cluster),
    }
}

/// Decides with what the client says first, where that is needed. `None`: it is not accepted, and that is on record.
async fn heard(worker: &Rc<Worker>, mut stream: TcpStream, arrival: Arrival, port: Port, draw: u64) -> Option<Ready> {
    let refuse = |why: &str, asked_for: Option<Arc<str>>| {
        let conn = worker.sealed(Direction::Gateway, DestinationKey::Gateway(port), port, arrival, asked_for);
        tcp::not_accepted(worker, conn, why);
        None
    };
    let (mut seen, mut said) = (BytesMut::new(), None);
    let mut snapshot = settled(worker, port, None, draw).await;
    if matches!(arriving(&snapshot, port, None, draw), Arriving::Hear) {
        let limit = Some(HANDSHAKE_TIMEOUT);
        said = Some(match opening::read(&mut stream, &mut seen, Look::Tls, limit, limit).await {
            Opening::Said(said) => said,
            Opening::Silent | Opening::Ended => Detected::NeedMore,
        });
        snapshot = settled(worker, port, said.as_ref(), draw).await;
    }
    let asked_for = match &said {
        Some(Detected::Tls(hello)) => hello.sni.as_deref().map(Arc::from),
        _ => None,
    };
    match arriving(&snapshot, port, said.as_ref(), draw) {
        Arriving::Terminate { tls, key, bytes, .. } => {
            let io = Prefixed::new(seen.freeze(), stream);
            match terminate(worker, io, &snapshot, tls, bytes.is_some()).await {
                Ok((io, secured)) => {
                    let conn = worker.connection(Direction::Gateway, key, port, arrival, Some(secured));
                    Some(Ready { io: Prefixed::new(Bytes::new(), Io::Tls(Box::new(io))), conn, bytes })
                }
                Err(why) => refuse(&why, asked_for),
            }
        }
        Arriving::Opaque { key, bytes } => {
            let conn = worker.sealed(Direction::Gateway, key, port, arrival, asked_for);
            Some(Ready { io: Prefixed::new(seen.freeze(), Io::Plain(stream)), conn, bytes: Some(bytes) })
        }
        // The port has changed since.
        Arriving::Requests(_) | Arriving::Hear => refuse(&Refused::NoTls.to_string(), asked_for),
        Arriving::Ask(_) => refuse("details_have_not_arrived_from_pilot", asked_for),
        Arriving::Refuse(why) => refuse(&why.to_string(), asked_for),
    }
}

/// The newest configuration; where details are missing, one that has them, or the newest when the wait is over.
async fn settled(worker: &Rc<Worker>, port: Port, said: Option<&Detected>, draw: u64) -> Arc<Snapshot> {
    let asks = |snapshot: &Snapshot| arriving(snapshot, port, said, draw).asks();
    let newest = worker.snapshot();
    if asks(&newest).is_none() {
        return newest;
    }
    let mut fetching = worker.requests.fetching(PENDING);
    let held = Box::pin(decide::settle(&mut fetching, asks)).await;
    Arc::clone(&held)
}

/// Shakes hands with the credentials of the server that was chosen.
async fn terminate(
    worker: &Worker,
    io: Prefixed<TcpStream>,
    snapshot: &Snapshot,
    tls: &ServerTls,
    opaque: bool,
) -> Result<(TlsStream<Prefixed<TcpStream>>, Secured), String> {
    let (acceptor, profile) = match tls {
        ServerTls::Mesh => {
            let alpn: &[&'static [u8]] = if opaque { &MESH_TCP_ALPN } else { &ALPN };
            (worker.mesh_tls.clone(), ServerProfile::new(alpn.to_vec(), ClientAuth::Required))
        }
        ServerTls::Secret { name, require_client_certificate } => {
            let auth = if *require_client_certificate { ClientAuth::Required } else { ClientAuth::None };
            let acceptor = worker.gateway_tls.acceptor(snapshot, name, *require_client_certificate)?;
            (acceptor, ServerProfile::new(ALPN.to_vec(), auth))
        }
    };
    let (io, accepted) = acceptor.accept(io, &profile).await.map_err(|error| error.to_string())?;
    Ok((io, Secured::new(&accepted, matches!(tls, ServerTls::Mesh))))
}
