//! From the application to the mesh: what [`crate::decide::outbound`] says of a connection is done here.

use crate::{
    conn::{Arrival, Connection, Direction},
    decide::{
        Ask,
        outbound::{Entrance, Outgoing, are_requests, outgoing},
    },
    detect::{Detected, Look},
    http::server,
    net::{io::Io, prefix::Prefixed},
    opening::{self, Opening},
    snapshot::{cluster::Cluster, listener::DestinationKey, outbound::Said},
    tcp,
    worker::Worker,
};
use bytes::{Bytes, BytesMut};
use mesh_config::{
    model::{Protocol, ServiceKey},
    name::Port,
};
use mesh_runtime::clock;
use std::{rc::Rc, sync::Arc};
use tokio::net::TcpStream;

/// A captured connection: the address that it wanted says what it is for.
pub async fn captured(worker: Rc<Worker>, stream: TcpStream, arrival: Arrival) {
    let Some(port) = Port::new(arrival.original.port()) else { return };
    serve(worker, stream, arrival, Entrance::Captured(arrival.original), port).await;
}

/// A connection to a listener that a `Sidecar` binds: its hosts say what it is for.
pub async fn listener(
    worker: Rc<Worker>,
    stream: TcpStream,
    arrival: Arrival,
    name: Arc<str>,
    protocol: Protocol,
    port: Port,
) {
    serve(worker, stream, arrival, Entrance::Listener { name, protocol }, port).await;
}

async fn serve(worker: Rc<Worker>, mut stream: TcpStream, arrival: Arrival, entrance: Entrance, port: Port) {
    if !worker.configured().await {
        return;
    }
    let draw = worker.requests.upstreams.draw();
    let (mut seen, mut name) = (BytesMut::new(), None);
    let outgoing = match decided(&worker, &entrance, None, draw).await {
        Outgoing::Hear => match Box::pin(heard(&worker, &mut stream, &mut seen, &entrance, draw)).await {
            Some((outgoing, asked_for)) => {
                name = asked_for;
                outgoing
            }
            None => return,
        },
        outgoing => outgoing,
    };
    let conn = |key: DestinationKey| worker.sealed(Direction::Outbound, key, port, arrival, name.clone());
    match outgoing {
        // Whose an address is has been done without by now.
        Outgoing::Hear | Outgoing::Ask(Ask::Workload(_)) => {}
        Outgoing::Requests(key) => serve_http(&worker, seen.freeze(), stream, conn(key)).await,
        Outgoing::Detect { key, port, cluster, .. } => {
            Box::pin(detected(&worker, stream, seen, conn(key), port, cluster)).await;
        }
        Outgoing::Opaque { key, cluster, .. } => {
            let io = Prefixed::new(seen.freeze(), Io::Plain(stream));
            Box::pin(tcp::outbound(&worker, io, conn(key), cluster, None)).await;
        }
        Outgoing::Missing { key, cluster, .. } => tcp::missing(&worker, conn(key), &cluster),
        Outgoing::Refuse { key, cluster } => {
            tcp::refused(&worker, conn(key), cluster, "nothing that may be reached is at this address");
        }
        Outgoing::Ask(Ask::Details(service)) => {
            let cluster = worker.snapshot().outbound.black_hole().clone();
            let key = DestinationKey::Service(service.clone(), port);
            tcp::refused(&worker, conn(key), cluster, &format!("details of {service} have not arrived from pilot"));
        }
    }
}

async fn decided(worker: &Worker, entrance: &Entrance, said: Option<Said<'_>>, draw: u64) -> Outgoing {
    worker.decided(|snapshot, asking| outgoing(snapshot, entrance, said, draw, asking), Outgoing::asks).await
}

/// Decides with the name in the client's hello, and tells it. `None`: the client ended before it had said anything. One that is silent,
/// or says half a hello, for as long as the mesh's detection allows has named nobody.
async fn heard(
    worker: &Rc<Worker>,
    stream: &mut TcpStream,
    seen: &mut BytesMut,
    entrance: &Entrance,
    draw: u64,
) -> Option<(Outgoing, Option<Arc<str>>)> {
    let patience = opening::patience(worker.snapshot().settings.protocol_detection_timeout);
    let hello = match opening::read(stream, seen, Look::Tls, Some(patience), Some(patience)).await {
        Opening::Ended => return None,
        Opening::Said(Detected::Tls(hello)) => Some(hello),
        Opening::Said(_) | Opening::Silent => None,
    };
    let said = hello.as_ref().map_or(Said::Other, |hello| Said::Tls(hello.sni.as_deref()));
    let outgoing = decided(worker, entrance, Some(said), draw).await;
    Some((outgoing, hello.as_ref().and_then(|hello| hello.sni.as_deref()).map(Arc::from)))
}

/// The client, or the server if it speaks first, says what an undeclared port carries.
async fn detected(
    worker: &Rc<Worker>,
    mut stream: TcpStream,
    mut seen: BytesMut,
    conn: Rc<Connection>,
    port: (ServiceKey, Port),
    cluster: Arc<Cluster>,
) {
    let silence = worker.outbound_verdicts.silence(&port, clock::now());
    let patience = opening::patience(worker.snapshot().settings.protocol_detection_timeout);
    match opening::read(&mut stream, &mut seen, Look::Everything, Some(silence), Some(patience)).await {
        Opening::Ended => {}
        Opening::Said(said) if are_requests(&said) => serve_http(worker, seen.freeze(), stream, conn).await,
        Opening::Said(_) => {
            tcp::outbound(worker, Prefixed::new(seen.freeze(), Io::Plain(stream)), conn, cluster, None).await;
        }
        Opening::Silent => match tcp::race(worker, stream, &conn, cluster.clone(), Look::Everything).await {
            tcp::Race::Server(io, dialled) => {
                worker.outbound_verdicts.server_spoke(port, clock::now());
                tcp::outbound(worker, io, conn, cluster, Some(dialled)).await;
            }
            tcp::Race::Client(said, seen, stream, dialled) => {
                worker.outbound_verdicts.client_spoke(&port);
                match are_requests(&said) {
                    // The connection made for opaque bytes has the wrong ALPN for requests.
                    true => {
                        drop(dialled);
                        serve_http(worker, seen.freeze(), stream, conn).await;
                    }
                    false => {
                        let io = Prefixed::new(seen.freeze(), Io::Plain(stream));
                        tcp::outbound(worker, io, conn, cluster, Some(dialled)).await
                    }
                }
            }
            tcp::Race::Withdrawn(..) | tcp::Race::Ended => {}
        },
    }
}

async fn serve_http(worker: &Rc<Worker>, seen: Bytes, stream: TcpStream, conn: Rc<Connection>) {
    let io = Prefixed::new(seen, Io::Plain(stream));
    Box::pin(server::serve(io, conn, server::Protocol::Either, worker.requests.clone())).await;
}
