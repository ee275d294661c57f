//! What a gateway does with connections to its ports: hosts in plain text, servers for TLS by name, opaque bytes.

use crate::snapshot::{stream::StreamRoute, virtual_host::table::HostTable};
use mesh_config::{model::gateway::ServerTls, name::Host};
use std::sync::Arc;

/// One port of a gateway.
#[derive(Debug, Clone)]
pub enum GatewayPort {
    /// Requests in plain text: hosts of all servers on the port.
    Requests(HostTable),
    /// Opaque bytes in plain text. Where to; `None`: no VirtualService says.
    Bytes(Option<Arc<StreamRoute>>),
    /// TLS: servers in the order in which they may claim a name. None where TLS is carried on and no VirtualService says
    /// where to.
    Tls(Vec<TlsServer>),
}

/// One server for TLS, or one rule of a server that carries TLS on.
#[derive(Debug, Clone)]
pub struct TlsServer {
    /// `https.<port>.<port name>.<gateway>.<namespace>`; for opaque bytes `tls.…`, and where TLS is carried on the number of
    /// the rule behind it.
    pub route_config: Arc<str>,
    /// Names in a client's hello that are for this server.
    pub hosts: Vec<Host>,
    /// What becomes of the connection.
    pub then: ThenTls,
}

/// What becomes of TLS at a gateway.
#[derive(Debug, Clone)]
pub enum ThenTls {
    /// It ends here, and requests are in it.
    Requests {
        /// Credentials.
        tls: ServerTls,
        /// Virtual hosts.
        table: HostTable,
    },
    /// It ends here, and opaque bytes are in it.
    Bytes {
        /// Credentials.
        tls: ServerTls,
        /// Where to; `None`: no VirtualService says.
        to: Option<Arc<StreamRoute>>,
    },
    /// It is carried on as it is.
    Sealed {
        /// Where to.
        to: Arc<StreamRoute>,
    },
}

impl ThenTls {
    /// Where the connection goes, as lists show it.
    pub fn shown(&self, route_config: &str) -> String {
        match self {
            ThenTls::Requests { .. } => format!("Route: {route_config}"),
            ThenTls::Bytes { to, .. } => shown(to.as_ref()),
            ThenTls::Sealed { to } => shown(Some(to)),
        }
    }

    /// The virtual hosts, if there are requests.
    pub fn table(&self) -> Option<&HostTable> {
        match self {
            ThenTls::Requests { table, .. } => Some(table),
            ThenTls::Bytes { .. } | ThenTls::Sealed { .. } => None,
        }
    }

    fn same(&self, other: &ThenTls) -> bool {
        match (self, other) {
            (ThenTls::Requests { tls: a, table: x }, ThenTls::Requests { tls: b, table: y }) => a == b && x.same(y),
            (ThenTls::Bytes { tls: a, to: x }, ThenTls::Bytes { tls: b, to: y }) => {
                a == b && StreamRoute::both_same(x.as_ref(), y.as_ref())
            }
            (ThenTls::Sealed { to: x }, ThenTls::Sealed { to: y }) => StreamRoute::both_same(Some(x), Some(y)),
            _ => false,
        }
    }
}

/// Where opaque bytes go, as lists show it.
pub fn shown(to: Option<&Arc<StreamRoute>>) -> String {
    to.map_or_else(|| "no rule".to_owned(), |to| format!("Cluster: {}", to.destinations()))
}

impl GatewayPort {
    /// The virtual hosts of requests in plain text.
    pub fn requests(&self) -> Option<&HostTable> {
        match self {
            GatewayPort::Requests(table) => Some(table),
            GatewayPort::Bytes(_) | GatewayPort::Tls(_) => None,
        }
    }

    /// The servers for TLS.
    pub fn tls(&self) -> &[TlsServer] {
        match self {
            GatewayPort::Tls(servers) => servers,
            GatewayPort::Requests(_) | GatewayPort::Bytes(_) => &[],
        }
    }

    /// The virtual hosts of requests, in plain text and in TLS that ends here.
    pub fn tables(&self) -> impl Iterator<Item = &HostTable> {
        self.requests().into_iter().chain(self.tls().iter().filter_map(|server| server.then.table()))
    }

    pub(super) fn same(&self, other: &GatewayPort) -> bool {
        let server = |(a, b): (&TlsServer, &TlsServer)| {
            a.route_config == b.route_config && a.hosts == b.hosts && a.then.same(&b.then)
        };
        match (self, other) {
            (GatewayPort::Requests(a), GatewayPort::Requests(b)) => a.same(b),
            (GatewayPort::Bytes(a), GatewayPort::Bytes(b)) => StreamRoute::both_same(a.as_ref(), b.as_ref()),
            (GatewayPort::Tls(a), GatewayPort::Tls(b)) => a.len() == b.len() && a.iter().zip(b).all(server),
            _ => false,
        }
    }

    /// The server for the name in a client's hello: the most specific host wins. Without a name only a server for
    /// `*` answers; `None`: the connection is closed.
    pub fn tls_server(&self, sni: Option<&str>) -> Option<&TlsServer> {
        let name = sni.map(str::to_ascii_lowercase).and_then(|n| n.parse::<Host>().ok());
        let rank = |server: &TlsServer| {
            let fits = |h: &&Host| match &name {
                Some(name) => h.covers(name),
                None => h.as_str() == "*",
            };
            server.hosts.iter().filter(fits).map(Host::specificity).max()
        };
        let ranked = self.tls().iter().rev().filter_map(|server| Some((rank(server)?, server)));
        ranked.max_by(|a, b| a.0.cmp(&b.0)).map(|(_, server)| server)
    }
}
