//! What a connection to a port of a gateway is for: the servers of the port × its first bytes.

use super::{Ask, Onward, Refused, onward};
use crate::{
    detect::Detected,
    snapshot::{
        Snapshot,
        cluster::Cluster,
        listener::DestinationKey,
        outbound::{GatewayPort, ThenTls},
        stream::StreamRoute,
    },
};
use mesh_config::{model::gateway::ServerTls, name::Port};
use std::sync::Arc;

/// What becomes of a connection.
#[derive(Debug)]
pub enum Arriving {
    /// Fetch this, and decide again.
    Ask(Ask),
    /// What the client says first decides: read that, and decide again.
    Hear,
    /// Requests in plain text, held against the rules of this key.
    Requests(DestinationKey),
    /// TLS, which ends here.
    Terminate {
        /// Those of the server that answers to the name in the hello.
        tls: ServerTls,
        /// Which rules hold for what is in it.
        key: DestinationKey,
        /// Where opaque bytes in it go; `None`: requests are in it.
        bytes: Option<Bytes>,
    },
    /// Bytes that are carried on as they are, TLS among them.
    Opaque {
        /// Which rules the connection is held against.
        key: DestinationKey,
        /// Where to.
        bytes: Bytes,
    },
    /// Nothing that is accepted here.
    Refuse(Refused<'static>),
}

/// Where opaque bytes go.
#[derive(Debug, Clone)]
pub struct Bytes {
    /// The VirtualService's rule that says so.
    pub rule: Arc<StreamRoute>,
    /// There; else the name of a cluster that does not exist.
    pub to: Result<Arc<Cluster>, Arc<str>>,
}

impl Arriving {
    /// What has to be fetched first.
    pub fn asks(&self) -> Option<Ask> {
        match self {
            Arriving::Ask(ask) => Some(ask.clone()),
            _ => None,
        }
    }
}

/// Decides on a connection to `port`, of which nothing need have been heard yet: without `said`, [`Arriving::Hear`] may
/// ask for it. `draw` is a random number that decides between weighted destinations; the same when it is decided again.
pub fn arriving(snapshot: &Snapshot, port: Port, said: Option<&Detected>, draw: u64) -> Arriving {
    match servers(snapshot, port, said, draw) {
        Ok(arriving) | Err(arriving) => arriving,
    }
}

fn servers(snapshot: &Snapshot, port: Port, said: Option<&Detected>, draw: u64) -> Result<Arriving, Arriving> {
    let refuse = |why| Err(Arriving::Refuse(why));
    let Some(gateway) = snapshot.outbound.gateway(port) else { return refuse(Refused::NoServer) };
    let key = DestinationKey::Gateway(port);
    match &**gateway {
        GatewayPort::Requests(_) => return Ok(Arriving::Requests(key)),
        GatewayPort::Bytes(to) => return Ok(Arriving::Opaque { key, bytes: bytes(to.as_ref(), draw)? }),
        GatewayPort::Tls(_) => {}
    }
    let hello = match said {
        None => return Ok(Arriving::Hear),
        Some(Detected::Tls(hello)) => hello,
        Some(_) => return refuse(Refused::NoTls),
    };
    let Some(server) = gateway.tls_server(hello.sni.as_deref()) else { return refuse(Refused::NoServer) };
    let key = DestinationKey::GatewayTls { port, server: server.route_config.clone() };
    Ok(match &server.then {
        ThenTls::Requests { tls, .. } => Arriving::Terminate { tls: tls.clone(), key, bytes: None },
        ThenTls::Bytes { tls, to } => {
            Arriving::Terminate { tls: tls.clone(), key, bytes: Some(bytes(to.as_ref(), draw)?) }
        }
        ThenTls::Sealed { to } => Arriving::Opaque { key, bytes: bytes(Some(to), draw)? },
    })
}

/// Where a rule sends opaque bytes. A server for which no VirtualService has one accepts nothing.
fn bytes(rule: Option<&Arc<StreamRoute>>, draw: u64) -> Result<Bytes, Arriving> {
    let Some(rule) = rule else { return Err(Arriving::Refuse(Refused::NoRule)) };
    let to = match onward(rule, draw) {
        Onward::To(cluster) => Ok(cluster),
        Onward::Missing(cluster) => Err(cluster),
        Onward::Ask(ask) => return Err(Arriving::Ask(ask)),
    };
    Ok(Bytes { rule: rule.clone(), to })
}

#[cfg(test)]
mod tests;
