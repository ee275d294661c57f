//! From clients at the edge to the mesh, the outbound half behind public listeners: what [`crate::decide::gateway`] says of
//! a connection is done here.

use crate::{
    conn::{Arrival, Connection, Direction, Secured},
    decide::{
        Refused,
        gateway::{Arriving, arriving},
    },
    detect::{Detected, Look},
    http::server,
    net::{
        io::{Downstream, Io},
        prefix::Prefixed,
    },
    opening::{self, Opening},
    snapshot::{Snapshot, listener::DestinationKey, outbound::TlsServer},
    tcp,
    worker::Worker,
};
use bytes::{Bytes, BytesMut};
use mesh_config::{model::gateway::ServerTls, name::Port};
use mesh_runtime::tls::server::{ClientAuth, HANDSHAKE_TIMEOUT, ServerProfile, TlsStream};
use std::rc::Rc;
use tokio::net::TcpStream;

/// ALPN of servers that terminate TLS.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// A connection that requests can be read from.
type Ready = (Downstream, Rc<Connection>);

/// Carries one connection to a port of the gateway.
pub async fn serve(worker: Rc<Worker>, stream: TcpStream, arrival: Arrival, port: Port) {
    let plain = match arriving(&worker.snapshot(), port, None) {
        Arriving::Requests(key) => Some(key),
        _ => None,
    };
    let ready = match plain {
        Some(key) => {
            let conn = worker.connection(Direction::Gateway, key, port, arrival, None);
            Some((Prefixed::new(Bytes::new(), Io::Plain(stream)), conn))
        }
        None => Box::pin(heard(&worker, stream, arrival, port)).await,
    };
    let Some((io, conn)) = ready else { return };
    let protocol = server::Protocol::agreed(&conn);
    Box::pin(server::serve(io, conn, protocol, worker.requests.clone())).await;
}

/// Decides with what the client says first. `None`: it is not accepted, and that is on record.
async fn heard(worker: &Rc<Worker>, mut stream: TcpStream, arrival: Arrival, port: Port) -> Option<Ready> {
    let refuse = |why: &str| {
        let conn = worker.connection(Direction::Gateway, DestinationKey::Gateway(port), port, arrival, None);
        tcp::not_accepted(worker, conn, why);
        None
    };
    let mut seen = BytesMut::new();
    let limit = Some(HANDSHAKE_TIMEOUT);
    let said = match opening::read(&mut stream, &mut seen, Look::Tls, limit, limit).await {
        Opening::Said(said) => said,
        Opening::Silent | Opening::Ended => Detected::NeedMore,
    };
    let snapshot = worker.snapshot();
    let io = Prefixed::new(seen.freeze(), stream);
    match arriving(&snapshot, port, Some(&said)) {
        Arriving::Terminate { server, key } => match terminate(worker, io, &snapshot, server).await {
            Ok((io, secured)) => {
                let conn = worker.connection(Direction::Gateway, key, port, arrival, Some(secured));
                Some((Prefixed::new(Bytes::new(), Io::Tls(Box::new(io))), conn))
            }
            Err(why) => refuse(&why),
        },
        // The port has changed since.
        Arriving::Requests(_) | Arriving::Hear => refuse(&Refused::NoTls.to_string()),
        Arriving::Refuse(why) => refuse(&why.to_string()),
    }
}

/// Shakes hands with the credential of the server that was chosen.
async fn terminate(
    worker: &Worker,
    io: Prefixed<TcpStream>,
    snapshot: &Snapshot,
    server: &TlsServer,
) -> Result<(TlsStream<Prefixed<TcpStream>>, Secured), String> {
    let (tls, auth) = match &server.tls {
        ServerTls::Mesh => (worker.mesh_tls.clone(), ClientAuth::Required),
        ServerTls::Secret { name, require_client_certificate } => {
            let auth = if *require_client_certificate { ClientAuth::Required } else { ClientAuth::None };
            (worker.gateway_tls.acceptor(snapshot, name, *require_client_certificate)?, auth)
        }
    };
    let profile = ServerProfile::new(ALPN.to_vec(), auth);
    let (io, accepted) = tls.accept(io, &profile).await.map_err(|error| error.to_string())?;
    Ok((io, (&accepted).into()))
}
