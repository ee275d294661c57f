//! From clients at the edge to the mesh, the outbound half behind public listeners: what [`crate::decide::gateway`] says of
//! a connection is done here.

use crate::{
    conn::{Arrival, Connection, Direction, Secured},
    decide::{
        Refused,
        gateway::{Arriving, Bytes as Onward, arriving},
    },
    detect::{Detected, Look},
    http::server,
    net::{
        io::{Downstream, Io},
        prefix::Prefixed,
    },
    opening::{self, Opening},
    snapshot::listener::DestinationKey,
    tcp,
    worker::{
        Worker,
        credentials::{HTTP_ALPN, in_mesh},
    },
};
use bytes::{Bytes, BytesMut};
use mesh_config::{model::gateway::ServerTls, name::Port};
use mesh_runtime::tls::server::{ClientAuth, HANDSHAKE_TIMEOUT, ServerProfile, TlsStream};
use std::{rc::Rc, sync::Arc};
use tokio::net::TcpStream;

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
    let ready = match decided(&worker, port, None, draw).await {
        Arriving::Requests(key) => {
            let conn = worker.connection(Direction::Gateway, key, port, arrival, None);
            Some(Ready { io: Prefixed::new(Bytes::new(), Io::Plain(stream)), conn, bytes: None })
        }
        first => Box::pin(heard(&worker, stream, arrival, port, draw, first)).await,
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

/// Decides with what the client says first, where `first` asks for that. `None`: it is not accepted, and that is on
/// record.
async fn heard(
    worker: &Rc<Worker>,
    mut stream: TcpStream,
    arrival: Arrival,
    port: Port,
    draw: u64,
    first: Arriving,
) -> Option<Ready> {
    let (mut seen, mut asked_for, mut arriving) = (BytesMut::new(), None, first);
    if let Arriving::Hear = arriving {
        let limit = Some(HANDSHAKE_TIMEOUT);
        let said = match opening::read(&mut stream, &mut seen, Look::Tls, limit, limit).await {
            Opening::Said(said) => said,
            Opening::Silent | Opening::Ended => Detected::NeedMore,
        };
        if let Detected::Tls(hello) = &said {
            asked_for = hello.sni.as_deref().map(Arc::from);
        }
        arriving = decided(worker, port, Some(&said), draw).await;
    }
    let refuse = |why: &str, asked_for: Option<Arc<str>>| {
        let conn = worker.sealed(Direction::Gateway, DestinationKey::Gateway(port), port, arrival, asked_for);
        tcp::not_accepted(worker, conn, why);
        None
    };
    match arriving {
        Arriving::Terminate { tls, key, bytes } => {
            let io = Prefixed::new(seen.freeze(), stream);
            match terminate(worker, io, &tls, bytes.is_some()).await {
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

async fn decided(worker: &Worker, port: Port, said: Option<&Detected>, draw: u64) -> Arriving {
    worker.decided(|snapshot, _| arriving(snapshot, port, said, draw), Arriving::asks).await
}

/// Shakes hands with the credentials of the server that was chosen.
async fn terminate(
    worker: &Worker,
    io: Prefixed<TcpStream>,
    tls: &ServerTls,
    opaque: bool,
) -> Result<(TlsStream<Prefixed<TcpStream>>, Secured), String> {
    let (acceptor, profile) = match tls {
        ServerTls::Mesh => (worker.mesh_tls.clone(), in_mesh(!opaque)),
        ServerTls::Secret { name, require_client_certificate } => {
            let auth = if tls.asks_for_certificate() { ClientAuth::Required } else { ClientAuth::None };
            let acceptor = worker.gateway_tls.acceptor(&worker.snapshot(), name, *require_client_certificate)?;
            (acceptor, ServerProfile::new(HTTP_ALPN.to_vec(), auth))
        }
    };
    let (io, accepted) = acceptor.accept(io, &profile).await.map_err(|error| error.to_string())?;
    Ok((io, Secured::new(&accepted, matches!(tls, ServerTls::Mesh))))
}
