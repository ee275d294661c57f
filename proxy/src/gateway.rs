//! From clients at the edge to the mesh: the outbound half behind public listeners.

use crate::{
    conn::Direction,
    detect::Detected,
    edge::{Arrival, Edge, by_alpn, secured},
    http::server,
    net::{
        io::{Downstream, Io},
        prefix::Prefixed,
    },
    opening::{self, Opening},
    snapshot::{Snapshot, listener::DestinationKey},
    tcp,
};
use bytes::{Bytes, BytesMut};
use mesh_config::{
    model::{Credential, gateway::ServerTls as TlsSettings},
    name::{NamespacedName, Port},
};
use mesh_runtime::{
    snapshot::Reader,
    tls::{
        material::{CaBundle, Certificate},
        server::{ClientAuth, HANDSHAKE_TIMEOUT, ServerProfile, ServerTls, Serving},
    },
};
use std::{cell::RefCell, collections::HashMap, rc::Rc, sync::Arc};
use tokio::net::TcpStream;

/// ALPN of servers that terminate TLS.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Carries one connection to a port of the gateway.
pub async fn serve(edge: Rc<Edge>, stream: TcpStream, arrival: Arrival, port: Port, tls: bool) {
    if !tls {
        let conn = edge.connection(Direction::Gateway, DestinationKey::Gateway(port), port, arrival, None);
        let io = Prefixed::new(Bytes::new(), Io::Plain(stream));
        return Box::pin(server::serve(io, conn, server::Protocol::Either, edge.worker.clone())).await;
    }
    let Some((io, conn)) = Box::pin(terminate(&edge, stream, arrival, port)).await else { return };
    let protocol = conn.secured.as_ref().map_or(server::Protocol::Either, by_alpn);
    Box::pin(server::serve(io, conn, protocol, edge.worker.clone())).await;
}

type Terminated = (Downstream, Rc<crate::conn::Connection>);

/// Chooses the server by the name in the client's hello and shakes hands with its credential.
async fn terminate(edge: &Rc<Edge>, mut stream: TcpStream, arrival: Arrival, port: Port) -> Option<Terminated> {
    let refuse = |why: &str| {
        let conn = edge.connection(Direction::Gateway, DestinationKey::Gateway(port), port, arrival, None);
        tcp::not_accepted(edge, conn, why);
        None
    };
    let mut seen = BytesMut::new();
    let limit = Some(HANDSHAKE_TIMEOUT);
    let Opening::Said(Detected::Tls(hello)) = opening::read(&mut stream, &mut seen, limit, limit).await else {
        return refuse("no TLS on a port that terminates TLS");
    };
    let snapshot = edge.snapshot();
    let Some(chosen) = snapshot.outbound.gateway(port).and_then(|g| g.tls_server(hello.sni.as_deref()).cloned()) else {
        return refuse("no server for the name in the hello");
    };
    let tls = match edge.gateway_tls.acceptor(&snapshot, &chosen.tls) {
        Ok(tls) => tls,
        Err(why) => return refuse(&why),
    };
    let auth = if chosen.tls.require_client_certificate { ClientAuth::Required } else { ClientAuth::None };
    let profile = ServerProfile::new(ALPN.to_vec(), auth);
    match tls.accept(Prefixed::new(seen.freeze(), stream), &profile).await {
        Ok((io, accepted)) => {
            let key = DestinationKey::GatewayTls { port, server: chosen.route_config.clone() };
            let conn = edge.connection(Direction::Gateway, key, port, arrival, Some(secured(&accepted)));
            Some((Prefixed::new(Bytes::new(), Io::Tls(Box::new(io))), conn))
        }
        Err(error) => refuse(&error.to_string()),
    }
}

/// Acceptors made from credentials, kept while the credential is the same.
#[derive(Default)]
pub struct Credentials(RefCell<HashMap<NamespacedName, (Arc<Credential>, Arc<ServerTls>)>>);

impl Credentials {
    /// The acceptor for a server.
    ///
    /// # Errors
    /// The credential is not here, or cannot be used; the text says which and why.
    fn acceptor(&self, snapshot: &Snapshot, server: &TlsSettings) -> Result<Arc<ServerTls>, String> {
        let name = NamespacedName::new(snapshot.own.namespace.as_str(), &server.credential_name);
        let credential = snapshot.credentials.get(&name).ok_or_else(|| format!("no credential {name}"))?;
        if let Some((kept, tls)) = self.0.borrow().get(&name)
            && Arc::ptr_eq(kept, credential)
        {
            return Ok(tls.clone());
        }
        let unusable = |e: &dyn std::fmt::Display| format!("credential {name} cannot be used: {e}");
        let certificate =
            Certificate::from_pem(&credential.chain_pem, &credential.key_pem).map_err(|e| unusable(&e))?;
        let client_ca = match (server.require_client_certificate, credential.ca_pem.is_empty()) {
            (false, _) => None,
            (true, true) => return Err(unusable(&"it has no CA for client certificates (ca.crt or cacert)")),
            (true, false) => Some(Arc::new(CaBundle::from_pem(&credential.ca_pem).map_err(|e| unusable(&e))?)),
        };
        let serving = Serving { certificates: vec![Arc::new(certificate)], client_ca, subject_alt_names: Vec::new() };
        let tls = Arc::new(ServerTls::with_certificates(Reader::fixed(Arc::new(serving))));
        self.0.borrow_mut().insert(name, (credential.clone(), tls.clone()));
        Ok(tls)
    }
}
