//! From a peer to the application: what [`crate::decide::inbound`] says of first bytes is done here.

use crate::{
    conn::{Arrival, Connection, Direction, Secured},
    connections::unless_over,
    decide::{
        self,
        inbound::{Admission, Opening as Way, Silence, admit, opening},
    },
    detect::Detected,
    http::server::{self, Protocol},
    net::{
        io::{Downstream, Io},
        prefix::Prefixed,
    },
    opening::{self, Opening},
    snapshot::{inbound::PortPolicy, listener::DestinationKey},
    tcp::{self, Dialled, Race},
    worker::{Worker, credentials::in_mesh},
};
use bytes::{Bytes, BytesMut};
use mesh_config::name::Port;
use mesh_runtime::{clock, tls::server::HANDSHAKE_TIMEOUT};
use std::{rc::Rc, sync::Arc};
use tokio::net::TcpStream;

/// A connection that is ready to be carried.
enum Ready {
    Http(Downstream, Rc<Connection>),
    Opaque(Downstream, Rc<Connection>, Option<Dialled>),
    Refused,
}

/// Carries one connection to `port` of the workload.
pub async fn serve(worker: Rc<Worker>, stream: TcpStream, arrival: Arrival, port: Port) {
    if !worker.configured().await {
        return;
    }
    // Boxed in parts, so that an idle connection holds the memory of its own kind only, and not its handshake's.
    let ready = Box::pin(ready(&worker, stream, arrival, port)).await;
    match ready {
        Ready::Refused => {}
        Ready::Http(io, conn) => {
            let protocol = Protocol::agreed(&conn);
            Box::pin(server::serve(io, conn, protocol, worker.requests.clone())).await;
        }
        Ready::Opaque(io, conn, dialled) => Box::pin(tcp::inbound(&worker, io, conn, dialled)).await,
    }
}

/// Reads until it is clear what the connection is, and makes it ready.
async fn ready(worker: &Rc<Worker>, mut stream: TcpStream, arrival: Arrival, port: Port) -> Ready {
    let plain = worker.connection(Direction::Inbound, DestinationKey::Inbound(port), port, arrival, None);
    let mut seen = BytesMut::new();
    loop {
        let Some(policy) = policy(worker, port) else { return Ready::Refused };
        let way = opening(&policy);
        let said = beginning(worker, &mut stream, &mut seen, &plain, way).await;
        // A mode may have changed while a client was silent: what holds when it speaks decides.
        let Some(policy) = self::policy(worker, port) else { return Ready::Refused };
        if opening(&policy) != way {
            continue;
        }
        return match said {
            Opening::Ended | Opening::Said(Detected::TooLong) => Ready::Refused,
            Opening::Said(said) => admitted(worker, stream, seen.freeze(), &said, &policy, plain, None).await,
            Opening::Silent if way.silence == Silence::Dials => match silent(worker, stream, &plain, &policy).await {
                Heard::Ready(ready) => ready,
                Heard::Again(again, said) => {
                    (stream, seen) = (again, said);
                    continue;
                }
            },
            // As good as plain text: nothing that a client of the mesh would do.
            Opening::Silent => admitted(worker, stream, seen.freeze(), &Detected::NeedMore, &policy, plain, None).await,
        };
    }
}

/// What holds for a port; `None`: that is not known.
fn policy(worker: &Worker, port: Port) -> Option<PortPolicy> {
    worker.snapshot().local().map(|local| local.inbound.port(port))
}

/// The first bytes, read as the port's declaration and mode ask for.
async fn beginning(
    worker: &Rc<Worker>,
    stream: &mut TcpStream,
    seen: &mut BytesMut,
    conn: &Rc<Connection>,
    way: Way,
) -> Opening {
    match way.silence {
        Silence::Ends => opening::read(stream, seen, way.look, Some(HANDSHAKE_TIMEOUT), Some(HANDSHAKE_TIMEOUT)).await,
        Silence::Dials => {
            let silence = worker.inbound_verdicts.silence(&conn.listener_port, clock::now());
            let patience = opening::patience(worker.snapshot().settings.protocol_detection_timeout);
            opening::read(stream, seen, way.look, Some(silence), Some(patience)).await
        }
        // It idles as a connection between requests does, and ends as one.
        Silence::Waits => {
            let registered = worker.requests.connections.add(conn, clock::now());
            let read = async { Some(opening::read(stream, seen, way.look, None, None).await) };
            unless_over(&registered.entry, read).await.unwrap_or(Opening::Ended)
        }
    }
}

/// What its first bytes say is decided, and done.
async fn admitted(
    worker: &Rc<Worker>,
    stream: TcpStream,
    seen: Bytes,
    said: &Detected,
    policy: &PortPolicy,
    conn: Rc<Connection>,
    dialled: Option<Dialled>,
) -> Ready {
    match admit(policy, said) {
        Admission::Requests => Ready::Http(Prefixed::new(seen, Io::Plain(stream)), conn),
        Admission::Opaque { sealed } => {
            // What was dialled for a silent client is of use for its bytes, but not for TLS that it began late.
            let dialled = dialled.filter(|_| !sealed);
            let conn = match said {
                Detected::Tls(hello) => {
                    let arrival = Arrival { source: conn.remote, original: conn.local };
                    let name = hello.sni.as_deref().map(Arc::from);
                    worker.sealed(conn.direction, conn.key.clone(), conn.listener_port, arrival, name)
                }
                _ => conn,
            };
            Ready::Opaque(Prefixed::new(seen, Io::Plain(stream)), conn, dialled)
        }
        Admission::Terminate { requests } => terminate(worker, stream, seen, requests, &conn).await,
        Admission::Refuse(why) => {
            tcp::not_accepted(worker, conn, &why.to_string());
            Ready::Refused
        }
    }
}

/// The mesh's TLS ends here.
async fn terminate(
    worker: &Rc<Worker>,
    stream: TcpStream,
    seen: Bytes,
    requests: bool,
    conn: &Rc<Connection>,
) -> Ready {
    match worker.mesh_tls.accept(Prefixed::new(seen, stream), &in_mesh(requests)).await {
        Ok((io, accepted)) => {
            let arrival = Arrival { source: conn.remote, original: conn.local };
            let secured = Some(Secured::new(&accepted, true));
            let conn = worker.connection(conn.direction, conn.key.clone(), conn.listener_port, arrival, secured);
            let io = Prefixed::new(Bytes::new(), Io::Tls(Box::new(io)));
            if requests { Ready::Http(io, conn) } else { Ready::Opaque(io, conn, None) }
        }
        Err(error) => {
            tcp::not_accepted(worker, conn.clone(), &format!("mutual TLS failed: {error}"));
            Ready::Refused
        }
    }
}

/// What came of a silent client.
enum Heard {
    Ready(Ready),
    /// Rules have changed: it is looked at again.
    Again(TcpStream, BytesMut),
}

/// The client says nothing. The application may have to speak first: it is dialled, if plain text of this client may
/// reach it. If not, a client of the mesh may still begin; who that is is decided when it has.
async fn silent(worker: &Rc<Worker>, mut stream: TcpStream, conn: &Rc<Connection>, policy: &PortPolicy) -> Heard {
    let look = opening(policy).look;
    if decide::opaque(&worker.snapshot(), &conn.caller(), None).0.is_err() {
        let mut seen = BytesMut::new();
        let limit = Some(HANDSHAKE_TIMEOUT);
        return match opening::read(&mut stream, &mut seen, look, limit, limit).await {
            Opening::Ended => Heard::Ready(Ready::Refused),
            // Refused where all that is carried is decided about, and so on record.
            Opening::Silent => Heard::Ready(Ready::Opaque(plain(seen, stream), conn.clone(), None)),
            Opening::Said(_) => Heard::Again(stream, seen),
        };
    }
    match tcp::race(worker, stream, conn, policy.cluster.clone(), look).await {
        Race::Server(io, dialled) => {
            worker.inbound_verdicts.server_spoke(conn.listener_port, clock::now());
            Heard::Ready(Ready::Opaque(io, conn.clone(), Some(dialled)))
        }
        Race::Client(said, seen, stream, dialled) => {
            worker.inbound_verdicts.client_spoke(&conn.listener_port);
            let Some(policy) = self::policy(worker, conn.listener_port) else { return Heard::Ready(Ready::Refused) };
            if opening(&policy).look != look {
                return Heard::Again(stream, seen);
            }
            let seen = seen.freeze();
            Heard::Ready(admitted(worker, stream, seen, &said, &policy, conn.clone(), Some(dialled)).await)
        }
        Race::Withdrawn(seen, stream) => Heard::Again(stream, seen),
        Race::Ended => Heard::Ready(Ready::Refused),
    }
}

fn plain(seen: BytesMut, stream: TcpStream) -> Downstream {
    Prefixed::new(seen.freeze(), Io::Plain(stream))
}
