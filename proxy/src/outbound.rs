//! From the application to the mesh.

use crate::{
    conn::{Arrival, Connection, Direction},
    http::server,
    net::{io::Io, prefix::Prefixed},
    opening::{self, Opening},
    snapshot::{
        cluster::Cluster,
        listener::DestinationKey,
        outbound::{Destination, lookup, through},
    },
    tcp,
    worker::Worker,
};
use bytes::{Bytes, BytesMut};
use mesh_config::{
    model::{Protocol, ServiceKey},
    name::Port,
};
use mesh_runtime::clock;
use std::{rc::Rc, sync::Arc, time::Duration};
use tokio::net::TcpStream;

/// How long a connection waits for details that pilot has not sent yet.
const PENDING: Duration = Duration::from_secs(1);

/// A captured connection: the address that it wanted says what it is for.
pub async fn captured(worker: Rc<Worker>, stream: TcpStream, arrival: Arrival) {
    let Some(port) = Port::new(arrival.original.port()) else { return };
    let destination = resolved(&worker, |worker| lookup(&worker.snapshot(), arrival.original)).await;
    let key = destination.key(arrival.original);
    let conn = worker.connection(Direction::Outbound, key, port, arrival, None);
    match destination {
        Destination::HttpPort(_) => serve_http(&worker, Bytes::new(), stream, conn).await,
        Destination::Service { service, port, protocol: Protocol::Auto, cluster } => {
            Box::pin(detected(&worker, stream, conn, (service, port), cluster)).await;
        }
        Destination::Service { cluster, .. } | Destination::Passthrough(cluster) => {
            Box::pin(tcp::outbound(&worker, Prefixed::new(Bytes::new(), Io::Plain(stream)), conn, cluster, None)).await;
        }
        Destination::Refused(cluster) => tcp::refused(&worker, conn, cluster, "outside the registry"),
        Destination::Pending { service, .. } => not_ready(&worker, conn, &service),
    }
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
    let key = DestinationKey::Egress(name.clone());
    let conn = worker.connection(Direction::Outbound, key, port, arrival, None);
    if protocol.is_http() {
        return serve_http(&worker, Bytes::new(), stream, conn).await;
    }
    let destination = resolved(&worker, |worker| {
        let snapshot = worker.snapshot();
        match snapshot.outbound.egress(&name) {
            Some(egress) => through(&snapshot, egress),
            None => Destination::Refused(snapshot.outbound.black_hole().clone()),
        }
    })
    .await;
    match destination {
        Destination::Service { service, port, cluster, .. } if protocol == Protocol::Auto => {
            Box::pin(detected(&worker, stream, conn, (service, port), cluster)).await;
        }
        Destination::Service { cluster, .. } | Destination::Passthrough(cluster) => {
            Box::pin(tcp::outbound(&worker, Prefixed::new(Bytes::new(), Io::Plain(stream)), conn, cluster, None)).await;
        }
        Destination::Refused(cluster) => tcp::refused(&worker, conn, cluster, "no service of this listener"),
        Destination::Pending { service, .. } => not_ready(&worker, conn, &service),
        Destination::HttpPort(_) => serve_http(&worker, Bytes::new(), stream, conn).await,
    }
}

/// Looks until the details are here, or the wait is over. What is in the index is never passed through meanwhile.
async fn resolved(worker: &Rc<Worker>, look: impl Fn(&Worker) -> Destination) -> Destination {
    let end = clock::now() + PENDING;
    loop {
        let destination = look(worker);
        let Destination::Pending { service, .. } = &destination else { return destination };
        if tokio::time::timeout_at(end, worker.requests.demand.need(service)).await.is_err() {
            return look(worker);
        }
    }
}

/// The client, or the server if it speaks first, says what an undeclared port carries.
async fn detected(
    worker: &Rc<Worker>,
    mut stream: TcpStream,
    conn: Rc<Connection>,
    port: (ServiceKey, Port),
    cluster: Arc<Cluster>,
) {
    let mut seen = BytesMut::new();
    let silence = worker.outbound_verdicts.silence(&port, clock::now());
    let patience = opening::patience(worker.snapshot().settings.protocol_detection_timeout);
    match opening::read(&mut stream, &mut seen, Some(silence), Some(patience)).await {
        Opening::Ended => {}
        Opening::Said(said) if said.is_http() => serve_http(worker, seen.freeze(), stream, conn).await,
        Opening::Said(_) => {
            tcp::outbound(worker, Prefixed::new(seen.freeze(), Io::Plain(stream)), conn, cluster, None).await;
        }
        Opening::Silent => match tcp::race_to(worker, stream, &conn, cluster.clone()).await {
            tcp::Race::Server(io, dialled) => {
                worker.outbound_verdicts.server_spoke(port, clock::now());
                tcp::outbound(worker, io, conn, cluster, Some(dialled)).await;
            }
            tcp::Race::Client(said, seen, stream, dialled) => {
                worker.outbound_verdicts.client_spoke(&port);
                match said.is_http() {
                    // The connection made for opaque bytes has the wrong ALPN for requests.
                    true => {
                        drop(dialled);
                        serve_http(worker, seen, stream, conn).await;
                    }
                    false => {
                        tcp::outbound(worker, Prefixed::new(seen, Io::Plain(stream)), conn, cluster, Some(dialled))
                            .await
                    }
                }
            }
            tcp::Race::Ended => {}
        },
    }
}

async fn serve_http(worker: &Rc<Worker>, seen: Bytes, stream: TcpStream, conn: Rc<Connection>) {
    let io = Prefixed::new(seen, Io::Plain(stream));
    Box::pin(server::serve(io, conn, server::Protocol::Either, worker.requests.clone())).await;
}

fn not_ready(worker: &Rc<Worker>, conn: Rc<Connection>, service: &ServiceKey) {
    let cluster = worker.snapshot().outbound.black_hole().clone();
    tcp::refused(worker, conn, cluster, &format!("details of {service} have not arrived from pilot"));
}
