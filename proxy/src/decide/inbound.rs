//! What the first bytes of a peer's connection mean: mutual TLS mode × declared protocol × what came.

use super::Refused;
use crate::{
    detect::{ClientHello, Detected, Look},
    snapshot::inbound::PortPolicy,
};
use mesh_config::model::{Protocol, peer_authentication::MtlsMode};

/// What a hello offers that stands for requests inside.
const REQUESTS: [&[u8]; 3] = [b"istio-http/1.0", b"istio-http/1.1", b"istio-h2"];

/// How a connection to a port begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// What its first bytes are looked at for.
    pub look: Look,
    /// What to do about a client that says nothing.
    pub silence: Silence,
}

/// What to do about a client that says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    /// It has to speak soon: it is a client of the mesh, whose proxies do not wait.
    Ends,
    /// It has to speak first, whenever it likes: what is declared says so.
    Waits,
    /// It may wait for the server to speak first.
    Dials,
}

/// How a connection to this port is to be read.
pub fn opening(policy: &PortPolicy) -> Opening {
    let strict = policy.mtls.mode == MtlsMode::Strict;
    // Only where nothing is declared do the bytes of plain text decide; elsewhere the first one that is not TLS's says
    // all there is to know.
    let look = match policy.protocol {
        Protocol::Auto if !strict => Look::Everything,
        _ => Look::Tls,
    };
    let silence = match policy.protocol {
        _ if strict => Silence::Ends,
        declared if declared.is_http() => Silence::Waits,
        _ => Silence::Dials,
    };
    Opening { look, silence }
}

/// What a connection turned out to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Admission {
    /// Requests in plain text.
    Requests,
    /// Bytes that are not looked at.
    Opaque {
        /// They are TLS between the client and the application.
        sealed: bool,
    },
    /// The mesh's TLS, to be terminated here.
    Terminate {
        /// Requests follow; else bytes that are not looked at.
        requests: bool,
    },
    /// Nothing that is accepted here.
    Refuse(Refused<'static>),
}

/// What to do with a connection that began like this. `said` is [`Detected::NeedMore`] when nothing came.
pub fn admit(policy: &PortPolicy, said: &Detected) -> Admission {
    let strict = policy.mtls.mode == MtlsMode::Strict;
    match said {
        Detected::Tls(hello) => by_hello(policy, hello, strict),
        _ if strict => Admission::Refuse(Refused::PlainText),
        _ if policy.protocol.is_http() => Admission::Requests,
        Detected::Http1 | Detected::Http2 if policy.protocol == Protocol::Auto => Admission::Requests,
        _ => Admission::Opaque { sealed: false },
    }
}

/// A mesh client's hello, known by what it offers to speak inside, is answered in every mode, DISABLE too: clients hear
/// of a change of mode a moment before or after us, and no request may be lost for that.
fn by_hello(policy: &PortPolicy, hello: &ClientHello, strict: bool) -> Admission {
    let of_mesh = hello.alpn.iter().any(|offered| offered.starts_with(b"istio"));
    if strict || of_mesh {
        let requests = match policy.protocol {
            Protocol::Auto => REQUESTS.iter().any(|name| hello.offers(name)),
            declared => declared.is_http(),
        };
        return Admission::Terminate { requests };
    }
    match policy.protocol.is_http() {
        true => Admission::Refuse(Refused::ForeignTls),
        // The application's own.
        false => Admission::Opaque { sealed: true },
    }
}

#[cfg(test)]
mod tests;
