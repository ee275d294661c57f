//! The front door: an accepted connection, and what its listener is for.

use crate::{
    conn::Arrival,
    gateway, inbound,
    listeners::{Bound, Purpose},
    net::origin::original_destination,
    outbound,
    snapshot::listener::ListenerKind,
    worker::Worker,
};
use mesh_config::name::Port;
use std::{future::Future, net::SocketAddr, pin::Pin, rc::Rc};
use tokio::net::TcpStream;

/// A connection on its way.
pub type Carried = Pin<Box<dyn Future<Output = ()>>>;

/// Carries one accepted connection to its end. Boxed by kind: a connection holds the memory of its own kind only.
pub fn serve(worker: Rc<Worker>, stream: TcpStream, source: SocketAddr, bound: &Bound) -> Option<Carried> {
    let original = match original_destination(&stream) {
        Ok(original) => original,
        Err(error) => {
            tracing::debug!(%source, %error, "a connection was closed before it was handled");
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
        Purpose::OutboundCaptured => Box::pin(outbound::captured(worker, stream, arrival)),
        Purpose::InboundCaptured => Box::pin(inbound::serve(worker, stream, arrival, Port::new(original.port())?)),
        Purpose::Configured(ListenerKind::Egress { protocol, port, .. }) => {
            Box::pin(outbound::listener(worker, stream, arrival, bound.name.clone(), *protocol, *port))
        }
        Purpose::Configured(ListenerKind::Ingress { port }) => Box::pin(inbound::serve(worker, stream, arrival, *port)),
        Purpose::Configured(ListenerKind::Gateway { port, .. }) => {
            Box::pin(gateway::serve(worker, stream, arrival, *port))
        }
    })
}
