//! TLS of the mesh: who we are ([`material`]), whom we trust ([`verify`]), and the two ends of a handshake
//! ([`server`], [`client`]). Configurations follow the identity that is published; none is built per connection.
//!
//! rustls asks no verifier when a session is resumed, so both ends check a resumed peer again, from the chain that
//! the session kept: see [`verify::Check::check_resumed`].

pub mod client;
pub mod grpc;
pub mod key_files;
pub mod material;
pub mod provider;
pub mod server;
mod sessions;
pub mod verify;

use crate::clock::WallClock;
use rustls::pki_types::UnixTime;
use std::{io, time::Duration};
use verify::Refusal;

/// Why there is no TLS connection.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The peer was too slow.
    #[error("the TLS handshake was not finished within {0:?}")]
    Deadline(Duration),
    /// The peer's first message never ended.
    #[error("the TLS ClientHello is above {} bytes", server::CLIENT_HELLO_LIMIT)]
    ClientHelloTooLarge,
    /// The peer hung up in the middle.
    #[error("the peer closed the connection during the TLS handshake")]
    Closed,
    /// The connection broke.
    #[error("the connection broke during the TLS handshake: {0}")]
    Io(#[source] io::Error),
    /// We do not believe the peer.
    #[error("the peer's certificate is refused: {0}")]
    Refused(#[source] Refusal),
    /// The peer refused us, or does not speak as it should.
    #[error("the TLS handshake failed: {0}")]
    Handshake(#[source] rustls::Error),
    /// Our own side cannot be set up.
    #[error("TLS cannot be set up with this material: {0}")]
    Setup(#[source] rustls::Error),
    /// A name that cannot be sent.
    #[error("{0:?} cannot be sent as TLS server name: it must be a DNS name of at most 253 characters")]
    ServerName(String),
    /// Mesh TLS was asked of a client that has no mesh identity.
    #[error("there is no mesh identity to present: this client was made without one")]
    NoIdentity,
}

impl From<io::Error> for TlsError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return TlsError::Closed;
        }
        match error.downcast::<rustls::Error>() {
            Ok(error) => match Refusal::inside(&error) {
                Some(refusal) => TlsError::Refused(refusal),
                None => TlsError::Handshake(error),
            },
            Err(error) => TlsError::Io(error),
        }
    }
}

impl rustls::time_provider::TimeProvider for WallClock {
    fn current_time(&self) -> Option<UnixTime> {
        self.now().duration_since(std::time::SystemTime::UNIX_EPOCH).ok().map(UnixTime::since_unix_epoch)
    }
}

#[cfg(test)]
mod tests;
