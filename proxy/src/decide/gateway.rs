//! What a connection to a port of a gateway is for: the servers of the port × its first bytes.

use super::Refused;
use crate::{
    detect::Detected,
    snapshot::{Snapshot, listener::DestinationKey, outbound::TlsServer},
};
use mesh_config::name::Port;

/// What becomes of a connection.
#[derive(Debug)]
pub enum Arriving<'s> {
    /// What the client says first decides: read that, and decide again.
    Hear,
    /// Requests in plain text, held against the rules of this key.
    Requests(DestinationKey),
    /// TLS, to be terminated with this server's credential; requests follow.
    Terminate {
        /// The server that answers to the name in the hello.
        server: &'s TlsServer,
        /// Which rules hold for the requests.
        key: DestinationKey,
    },
    /// Nothing that is accepted here.
    Refuse(Refused<'static>),
}

/// Decides on a connection to `port`, of which nothing need have been heard yet: without `said`, [`Arriving::Hear`] may
/// ask for it.
pub fn arriving<'s>(snapshot: &'s Snapshot, port: Port, said: Option<&Detected>) -> Arriving<'s> {
    let Some(gateway) = snapshot.outbound.gateway(port) else { return Arriving::Refuse(Refused::NoServer) };
    if gateway.tls.is_empty() {
        return Arriving::Requests(DestinationKey::Gateway(port));
    }
    let hello = match said {
        None => return Arriving::Hear,
        Some(Detected::Tls(hello)) => hello,
        Some(_) => return Arriving::Refuse(Refused::NoTls),
    };
    match gateway.tls_server(hello.sni.as_deref()) {
        Some(server) => {
            let key = DestinationKey::GatewayTls { port, server: server.route_config.clone() };
            Arriving::Terminate { server, key }
        }
        None => Arriving::Refuse(Refused::NoServer),
    }
}

#[cfg(test)]
mod tests;
