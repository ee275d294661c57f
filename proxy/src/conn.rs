//! What is known about a connection once it has been accepted, secured and detected: the facts that every request
//! on it shares. A connection keeps a key of its destination, never what the key means: that is looked up in each
//! request's own snapshot.

use crate::{
    decide::Caller,
    snapshot::{listener::DestinationKey, workloads::Callee},
};
use mesh_config::name::Port;
use mesh_runtime::tls::{server::Accepted, verify::PeerCertificate};
use std::{any::Any, cell::RefCell, fmt, net::SocketAddr, rc::Rc, sync::Arc};

pub use crate::decide::Direction;

/// What TLS proved about a connection that this proxy terminated.
#[derive(Debug, Clone)]
pub struct Secured {
    /// The peer's certificate; `None`: it showed none.
    pub peer: Option<Arc<PeerCertificate>>,
    /// The URI in our own certificate; empty where the certificate has none (a gateway's).
    pub own: Arc<str>,
    /// The name that the client asked for.
    pub sni: Option<Arc<str>>,
    /// What was agreed on, empty when nothing was.
    pub alpn: Arc<[u8]>,
    /// The handshake was the mesh's own: the peer's trust domain is one that the mesh accepts.
    pub in_mesh: bool,
}

impl Secured {
    /// What a TLS handshake proved, in the form that connections keep. `in_mesh`: it was the mesh's own.
    pub fn new(accepted: &Accepted, in_mesh: bool) -> Self {
        Secured {
            in_mesh,
            peer: accepted.peer.clone(),
            own: accepted.local_uri.clone().unwrap_or_default(),
            sni: accepted.sni.as_deref().map(Arc::from),
            alpn: accepted.alpn.as_deref().unwrap_or_default().into(),
        }
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

/// One accepted connection.
#[derive(Debug)]
pub struct Connection {
    /// Unique in the process.
    pub id: u64,
    /// Which half of the path.
    pub direction: Direction,
    /// Which rules its requests are held against.
    pub key: DestinationKey,
    /// The port that rules know: the captured port, or the listener's.
    pub listener_port: Port,
    /// Our end, as the client dialled it (the original destination when captured).
    pub local: SocketAddr,
    /// The direct peer.
    pub remote: SocketAddr,
    /// What TLS proved; `None`: plain text, or TLS that does not end here.
    pub secured: Option<Secured>,
    /// The name in the client's hello, where TLS does not end here.
    pub asked_for: Option<Arc<str>>,
    /// What observers keep with it.
    pub memo: Memo,
}

impl Connection {
    /// What decisions look at.
    pub fn caller(&self) -> Caller<'_> {
        Caller {
            direction: self.direction,
            key: &self.key,
            port: self.listener_port,
            secured: self.secured.is_some(),
            peer: self.peer_certificate().and_then(|peer| peer.uri.as_ref()),
            own: self.secured.as_ref().filter(|s| s.in_mesh && !s.own.is_empty()).map(|s| &*s.own),
            source: Some(self.remote.ip()),
            destination: Some(self.local.ip()),
            sni: self.sni(),
        }
    }

    /// The peer's identity as it appears in its certificate.
    pub fn peer_uri(&self) -> Option<&str> {
        self.peer_certificate().and_then(|peer| peer.uri.as_ref()).map(|uri| uri.uri())
    }

    /// The peer's certificate.
    pub fn peer_certificate(&self) -> Option<&Arc<PeerCertificate>> {
        self.secured.as_ref().and_then(|secured| secured.peer.as_ref())
    }

    /// The name that the client asked for in its ClientHello.
    pub fn sni(&self) -> Option<&str> {
        match &self.secured {
            Some(secured) => secured.sni.as_deref(),
            None => self.asked_for.as_deref(),
        }
    }
}

/// Where an upstream is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PeerAddress {
    /// An address and port.
    Ip(SocketAddr),
    /// A unix socket: an absolute path, or `@name` in the abstract namespace.
    Unix(Arc<str>),
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PeerAddress::Ip(address) => address.fmt(f),
            PeerAddress::Unix(path) => f.write_str(path),
        }
    }
}

/// The upstream end of a request: one for each upstream connection, or for an attempt to make one.
#[derive(Debug)]
pub struct Upstream {
    /// Where it is.
    pub address: PeerAddress,
    /// Our end of the connection; `None`: there was no connection.
    pub local: Option<SocketAddr>,
    /// Who is there; `None` for the application and for who is not known.
    pub callee: Option<Callee>,
    /// The certificate it showed.
    pub certificate: Option<Arc<PeerCertificate>>,
    /// The URI in the certificate that we showed; empty: none shown.
    pub own: Arc<str>,
    /// The handshake was the mesh's own: who is there proved to be of it.
    pub in_mesh: bool,
    /// What observers keep with it.
    pub memo: Memo,
}

impl Upstream {
    /// The identity that it proved.
    pub fn peer_uri(&self) -> Option<&str> {
        self.certificate.as_ref().and_then(|peer| peer.uri.as_ref()).map(|uri| uri.uri())
    }
}

/// A place for one value that an observer computes once and reads for every request: label sets, metric handles.
#[derive(Default)]
pub struct Memo(RefCell<Option<Rc<dyn Any>>>);

impl Memo {
    /// The value kept, made by `make` if there is none of this type yet (a value of another type is replaced).
    pub fn get_or_insert_with<T: 'static>(&self, make: impl FnOnce() -> T) -> Rc<T> {
        if let Some(kept) = self.get::<T>() {
            return kept;
        }
        let made = Rc::new(make());
        self.set(made.clone());
        made
    }

    /// The value kept, if it is of this type.
    pub fn get<T: 'static>(&self) -> Option<Rc<T>> {
        self.0.borrow().clone().and_then(|kept| kept.downcast::<T>().ok())
    }

    /// Keeps another value.
    pub fn set<T: 'static>(&self, value: Rc<T>) {
        *self.0.borrow_mut() = Some(value);
    }
}

impl fmt::Debug for Memo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memo")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memo_keeps_the_first_value_of_a_type() {
        let memo = Memo::default();
        assert_eq!(*memo.get_or_insert_with(|| 1_u32), 1);
        assert_eq!(*memo.get_or_insert_with(|| 2_u32), 1);
        assert_eq!(memo.get::<String>(), None);
        memo.set(Rc::new(3_u32));
        assert_eq!(*memo.get_or_insert_with(|| 2_u32), 3);
    }
}
