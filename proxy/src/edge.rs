//! What one worker needs to take connections in, shared by all its listeners.

use crate::{
    conn::{Connection, Direction, Memo, Secured},
    http::{Worker, server::Protocol},
    listeners::{Bound, Purpose},
    net::origin::original_destination,
    observe::Observer,
    opening::Verdicts,
    snapshot::{
        Snapshot,
        listener::{DestinationKey, ListenerKind},
    },
    tcp::{live::Live, peer_exchange},
    {gateway, inbound, outbound},
};
use bytes::Bytes;
use mesh_config::{
    model::{ServiceKey, workload::WorkloadInfo},
    name::Port,
};
use mesh_runtime::{drain, tls::server::ServerTls};
use std::{
    cell::{Cell, RefCell},
    future::Future,
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    sync::Arc,
};
use tokio::net::TcpStream;

/// A connection on its way.
pub type Carried = Pin<Box<dyn Future<Output = ()>>>;

/// See the module.
pub struct Edge {
    /// The HTTP path.
    pub worker: Rc<Worker>,
    /// Accepts mutual TLS with the mesh's identity.
    pub mesh_tls: Arc<ServerTls>,
    /// Accepts TLS with credentials of gateway servers.
    pub gateway_tls: gateway::Credentials,
    /// Counts and logs.
    pub observer: Rc<Observer>,
    /// Signalled when the process wants to end: connections are asked to close.
    pub closing: drain::Watch,
    /// Signalled when nothing is accepted any more.
    pub ending: drain::Watch,
    /// Nothing from others is accepted any more.
    pub arriving: drain::Watch,
    /// Outbound ports whose servers speak first.
    pub outbound_verdicts: Verdicts<(ServiceKey, Port)>,
    /// Inbound ports whose servers speak first.
    pub inbound_verdicts: Verdicts<Port>,
    /// Opaque connections that are being carried.
    pub live: Rc<Live>,
    /// Our node id, part of what we tell peers about ourselves on TCP.
    pub node_id: Arc<str>,
    /// What we tell them, made once for each description of our workload.
    pub announced: RefCell<Option<(Arc<WorkloadInfo>, Bytes)>>,
    /// Numbers connections; each worker begins elsewhere.
    pub next_id: Cell<u64>,
}

impl Edge {
    /// The configuration in force now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.worker.snapshot())
    }

    /// What we tell peers about our workload on TCP.
    pub fn announcement(&self, own: &Arc<WorkloadInfo>) -> Bytes {
        let mut announced = self.announced.borrow_mut();
        match &*announced {
            Some((known, bytes)) if Arc::ptr_eq(known, own) => bytes.clone(),
            _ => {
                let bytes = peer_exchange::encode(own, &self.node_id);
                *announced = Some((own.clone(), bytes.clone()));
                bytes
            }
        }
    }

    /// Carries one accepted connection to its end. Boxed by kind: a connection holds the memory of its own kind only.
    pub fn serve(self: Rc<Self>, stream: TcpStream, source: SocketAddr, bound: &Bound) -> Option<Carried> {
        let original = match original_destination(&stream) {
            Ok(original) => original,
            Err(error) => {
                tracing::debug!(%source, %error, "a connection was gone before it was looked at");
                return None;
            }
        };
        let arrival = Arrival { source, original };
        Some(match &bound.purpose {
            // Who dials the capture port itself would be sent round in circles.
            Purpose::OutboundCaptured | Purpose::InboundCaptured if original.port() == bound.address.port() => {
                tracing::debug!(%source, %original, "not captured: connections to the capture port itself are closed");
                return None;
            }
            Purpose::OutboundCaptured => Box::pin(outbound::captured(self, stream, arrival)),
            Purpose::InboundCaptured => Box::pin(inbound::serve(self, stream, arrival, Port::new(original.port())?)),
            Purpose::Configured(ListenerKind::Egress { protocol, port, .. }) => {
                Box::pin(outbound::listener(self, stream, arrival, bound.name.clone(), *protocol, *port))
            }
            Purpose::Configured(ListenerKind::Ingress { port }) => {
                Box::pin(inbound::serve(self, stream, arrival, *port))
            }
            Purpose::Configured(ListenerKind::Gateway { port, tls }) => {
                Box::pin(gateway::serve(self, stream, arrival, *port, *tls))
            }
        })
    }

    /// The facts of a connection.
    pub fn connection(
        &self,
        direction: Direction,
        key: DestinationKey,
        listener_port: Port,
        arrival: Arrival,
        secured: Option<Secured>,
    ) -> Rc<Connection> {
        let id = self.next_id.get();
        self.next_id.set(id.wrapping_add(1));
        Rc::new(Connection {
            id,
            direction,
            key,
            listener_port,
            local: arrival.original,
            remote: arrival.source,
            secured,
            memo: Memo::default(),
        })
    }
}

/// The protocol that ALPN agreed on; nothing agreed: the first bytes tell.
pub fn by_alpn(accepted: &Secured) -> Protocol {
    match &*accepted.alpn {
        b"h2" => Protocol::Http2,
        b"http/1.1" => Protocol::Http1,
        _ => Protocol::Either,
    }
}

/// Between whom a connection is.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// Who connected.
    pub source: SocketAddr,
    /// Where to, before any redirection.
    pub original: SocketAddr,
}

/// What a TLS handshake proved, in the form that connections keep.
pub fn secured(accepted: &mesh_runtime::tls::server::Accepted) -> Secured {
    Secured {
        peer: accepted.peer.clone(),
        own: accepted.local_uri.clone().unwrap_or_default(),
        sni: accepted.sni.as_deref().map(Arc::from),
        alpn: accepted.alpn.as_deref().unwrap_or_default().into(),
    }
}
