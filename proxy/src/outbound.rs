//! From the application to the mesh.

use crate::{
    conn::{Connection, Direction},
    edge::{Arrival, Edge},
    http::server,
    net::{io::Io, prefix::Prefixed},
    opening::{self, Opening},
    snapshot::{
        cluster::Cluster,
        listener::DestinationKey,
        outbound::{Destination, lookup, through},
    },
    tcp,
};
use bytes::{Bytes, BytesMut};
use mesh_config::{
    model::{Protocol, ServiceKey},
    name::Port,
};
use std::{rc::Rc, sync::Arc, time::Duration};
use tokio::{net::TcpStream, time::Instant};

/// How long a connection waits for details that pilot has not sent yet.
const PENDING: Duration = Duration::from_secs(1);

/// A captured connection: the address that it wanted says what it is for.
pub async fn captured(edge: Rc<Edge>, stream: TcpStream, arrival: Arrival) {
    let Some(port) = Port::new(arrival.original.port()) else { return };
    let destination = resolved(&edge, |edge| lookup(&edge.snapshot(), arrival.original)).await;
    let key = destination.key(arrival.original);
    let conn = edge.connection(Direction::Outbound, key, port, arrival, None);
    match destination {
        Destination::HttpPort(_) => serve_http(&edge, Bytes::new(), stream, conn).await,
        Destination::Service { service, port, protocol: Protocol::Auto, cluster } => {
            Box::pin(detected(&edge, stream, conn, (service, port), cluster)).await;
        }
        Destination::Service { cluster, .. } | Destination::Passthrough(cluster) => {
            Box::pin(tcp::outbound(&edge, Prefixed::new(Bytes::new(), Io::Plain(stream)), conn, cluster, None)).await;
        }
        Destination::Refused(cluster) => tcp::refused(&edge, conn, cluster, "outside the registry"),
        Destination::Pending { service, .. } => not_ready(&edge, conn, &service),
    }
}

/// A connection to a listener that a `Sidecar` binds: its hosts say what it is for.
pub async fn listener(
    edge: Rc<Edge>,
    stream: TcpStream,
    arrival: Arrival,
    name: Arc<str>,
    protocol: Protocol,
    port: Port,
) {
    let key = DestinationKey::Egress(name.clone());
    let conn = edge.connection(Direction::Outbound, key, port, arrival, None);
    if protocol.is_http() {
        return serve_http(&edge, Bytes::new(), stream, conn).await;
    }
    let destination = resolved(&edge, |edge| {
        let snapshot = edge.snapshot();
        match snapshot.outbound.egress(&name) {
            Some(egress) => through(&snapshot, egress),
            None => Destination::Refused(snapshot.outbound.black_hole().clone()),
        }
    })
    .await;
    match destination {
        Destination::Service { service, port, cluster, .. } if protocol == Protocol::Auto => {
            Box::pin(detected(&edge, stream, conn, (service, port), cluster)).await;
        }
        Destination::Service { cluster, .. } | Destination::Passthrough(cluster) => {
            Box::pin(tcp::outbound(&edge, Prefixed::new(Bytes::new(), Io::Plain(stream)), conn, cluster, None)).await;
        }
        Destination::Refused(cluster) => tcp::refused(&edge, conn, cluster, "no service of this listener"),
        Destination::Pending { service, .. } => not_ready(&edge, conn, &service),
        Destination::HttpPort(_) => serve_http(&edge, Bytes::new(), stream, conn).await,
    }
}

/// Looks until the details are here, or the wait is over. What is in the index is never passed through meanwhile.
async fn resolved(edge: &Rc<Edge>, look: impl Fn(&Edge) -> Destination) -> Destination {
    let end = Instant::now() + PENDING;
    loop {
        let destination = look(edge);
        let Destination::Pending { service, .. } = &destination else { return destination };
        if tokio::time::timeout_at(end, edge.worker.demand.need(service)).await.is_err() {
            return look(edge);
        }
    }
}

/// The client, or the server if it speaks first, says what an undeclared port carries.
async fn detected(
    edge: &Rc<Edge>,
    mut stream: TcpStream,
    conn: Rc<Connection>,
    port: (ServiceKey, Port),
    cluster: Arc<Cluster>,
) {
    let mut seen = BytesMut::new();
    let silence = edge.outbound_verdicts.silence(&port, Instant::now());
    let patience = opening::patience(edge.snapshot().settings.protocol_detection_timeout);
    match opening::read(&mut stream, &mut seen, Some(silence), Some(patience)).await {
        Opening::Ended => {}
        Opening::Said(said) if said.is_http() => serve_http(edge, seen.freeze(), stream, conn).await,
        Opening::Said(_) => {
            tcp::outbound(edge, Prefixed::new(seen.freeze(), Io::Plain(stream)), conn, cluster, None).await;
        }
        Opening::Silent => match tcp::race_to(edge, stream, &conn, cluster.clone()).await {
            tcp::Race::Server(io, dialled) => {
                edge.outbound_verdicts.server_spoke(port, Instant::now());
                tcp::outbound(edge, io, conn, cluster, Some(dialled)).await;
            }
            tcp::Race::Client(said, seen, stream, dialled) => {
                edge.outbound_verdicts.client_spoke(&port);
                match said.is_http() {
                    // The connection made for opaque bytes has the wrong ALPN for requests.
                    true => {
                        drop(dialled);
                        serve_http(edge, seen, stream, conn).await;
                    }
                    false => {
                        tcp::outbound(edge, Prefixed::new(seen, Io::Plain(stream)), conn, cluster, Some(dialled)).await
                    }
                }
            }
            tcp::Race::Ended => {}
        },
    }
}

async fn serve_http(edge: &Rc<Edge>, seen: Bytes, stream: TcpStream, conn: Rc<Connection>) {
    let io = Prefixed::new(seen, Io::Plain(stream));
    Box::pin(server::serve(io, conn, server::Protocol::Either, edge.worker.clone())).await;
}

fn not_ready(edge: &Rc<Edge>, conn: Rc<Connection>, service: &ServiceKey) {
    let cluster = edge.snapshot().outbound.black_hole().clone();
    tcp::refused(edge, conn, cluster, &format!("details of {service} have not arrived from pilot"));
}
