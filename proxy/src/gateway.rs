//! From clients at the edge to the mesh: the outbound half behind public listeners.

use crate::{
    conn::{Arrival, Direction},
    detect::{Detected, Look},
    http::server,
    net::{
        io::{Downstream, Io},
        prefix::Prefixed,
    },
    opening::{self, Opening},
    snapshot::listener::DestinationKey,
    tcp,
    worker::Worker,
};
use bytes::{Bytes, BytesMut};
use mesh_config::name::Port;
use mesh_runtime::tls::server::{ClientAuth, HANDSHAKE_TIMEOUT, ServerProfile};
use std::rc::Rc;
use tokio::net::TcpStream;

/// ALPN of servers that terminate TLS.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Carries one connection to a port of the gateway.
pub async fn serve(worker: Rc<Worker>, stream: TcpStream, arrival: Arrival, port: Port, tls: bool) {
    if !tls {
        let conn = worker.connection(Direction::Gateway, DestinationKey::Gateway(port), port, arrival, None);
        let io = Prefixed::new(Bytes::new(), Io::Plain(stream));
        return Box::pin(server::serve(io, conn, server::Protocol::Either, worker.requests.clone())).await;
    }
    let Some((io, conn)) = Box::pin(terminate(&worker, stream, arrival, port)).await else { return };
    let protocol = server::Protocol::agreed(&conn);
    Box::pin(server::serve(io, conn, protocol, worker.requests.clone())).await;
}

type Terminated = (Downstream, Rc<crate::conn::Connection>);

/// Chooses the server by the name in the client's hello and shakes hands with its credential.
async fn terminate(worker: &Rc<Worker>, mut stream: TcpStream, arrival: Arrival, port: Port) -> Option<Terminated> {
    let refuse = |why: &str| {
        let conn = worker.connection(Direction::Gateway, DestinationKey::Gateway(port), port, arrival, None);
        tcp::not_accepted(worker, conn, why);
        None
    };
    let mut seen = BytesMut::new();
    let limit = Some(HANDSHAKE_TIMEOUT);
    let Opening::Said(Detected::Tls(hello)) = opening::read(&mut stream, &mut seen, Look::Tls, limit, limit).await
    else {
        return refuse("no TLS on a port that terminates TLS");
    };
    let snapshot = worker.snapshot();
    let Some(chosen) = snapshot.outbound.gateway(port).and_then(|g| g.tls_server(hello.sni.as_deref()).cloned()) else {
        return refuse("no server for the name in the ClientHello");
    };
    let tls = match worker.gateway_tls.acceptor(&snapshot, &chosen.tls) {
        Ok(tls) => tls,
        Err(why) => return refuse(&why),
    };
    let auth = if chosen.tls.require_client_certificate { ClientAuth::Required } else { ClientAuth::None };
    let profile = ServerProfile::new(ALPN.to_vec(), auth);
    match tls.accept(Prefixed::new(seen.freeze(), stream), &profile).await {
        Ok((io, accepted)) => {
            let key = DestinationKey::GatewayTls { port, server: chosen.route_config.clone() };
            let conn = worker.connection(Direction::Gateway, key, port, arrival, Some((&accepted).into()));
            Some((Prefixed::new(Bytes::new(), Io::Tls(Box::new(io))), conn))
        }
        Err(error) => refuse(&error.to_string()),
    }
}
