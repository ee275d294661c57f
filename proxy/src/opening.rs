//! The beginning of a connection: what its first bytes say, and what to do when it says nothing.
//!
//! A client that is silent for a few milliseconds may wait for the server to speak first (MySQL, SMTP, …). The
//! upstream is then dialled, and whichever side speaks first decides. The verdict is remembered for the port, for a
//! while: the next silent client does not even wait. A client that speaks is always believed, so one odd client
//! poisons nothing.

use crate::{
    detect::{self, Detected, Look},
    net::prefix::read_more,
};
use bytes::BytesMut;
use mesh_runtime::clock;
use std::{cell::RefCell, collections::HashMap, hash::Hash, io, time::Duration};
use tokio::{io::AsyncRead, time::Instant};

/// Silence after which the upstream is dialled.
pub const SILENCE: Duration = Duration::from_millis(5);
/// How long the rest of a first line may take on a port whose protocol is not declared, unless the mesh says another.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a verdict is believed.
const REMEMBERED: Duration = Duration::from_secs(600);
/// Verdicts kept at once.
const MOST: usize = 4096;
/// Bytes that detection may look at: a ClientHello, or the first line of a request.
const WINDOW: usize = 17 * 1024;

/// What a connection began with.
#[derive(Debug)]
pub enum Opening {
    /// It said this; the bytes are kept.
    Said(Detected),
    /// Nothing, for as long as was allowed.
    Silent,
    /// It ended, or broke, before it had said enough.
    Ended,
}

/// How long half a beginning is waited for before its bytes are opaque: the mesh's `protocolDetectionTimeout`; zero
/// is our own rule.
pub fn patience(detection_timeout: Duration) -> Duration {
    if detection_timeout.is_zero() { PATIENCE } else { detection_timeout }
}

/// Reads until the bytes say what they are, into `seen`. `silence`: how long to wait for the first byte; once
/// something has been said, `patience` is how long to wait for the rest (`None`: without end).
pub async fn read<IO: AsyncRead + Unpin>(
    io: &mut IO,
    seen: &mut BytesMut,
    look: Look,
    silence: Option<Duration>,
    patience: Option<Duration>,
) -> Opening {
    let begun = clock::now();
    loop {
        match detect::detect(seen, look) {
            Detected::NeedMore => {}
            said => return Opening::Said(said),
        }
        let limit = if seen.is_empty() { silence } else { patience };
        let more = read_more(io, seen, WINDOW);
        let read: io::Result<bool> = match limit {
            None => more.await,
            Some(limit) => match tokio::time::timeout_at(begun + limit, more).await {
                Ok(read) => read,
                Err(_) if seen.is_empty() => return Opening::Silent,
                Err(_) => return Opening::Said(Detected::Opaque),
            },
        };
        match read {
            Ok(true) => {}
            // Half a line and then the end is still something to carry.
            Ok(false) if !seen.is_empty() => return Opening::Said(Detected::Opaque),
            Ok(false) => return Opening::Ended,
            Err(_) if seen.len() >= WINDOW => return Opening::Said(Detected::Opaque),
            Err(_) => return Opening::Ended,
        }
    }
}

/// Ports whose servers speak first, as seen.
#[derive(Debug)]
pub struct Verdicts<K>(RefCell<HashMap<K, Instant>>);

impl<K: Eq + Hash> Default for Verdicts<K> {
    fn default() -> Self {
        Verdicts(RefCell::default())
    }
}

impl<K: Eq + Hash> Verdicts<K> {
    /// How long to wait for the client's first byte before dialling.
    pub fn silence(&self, port: &K, now: Instant) -> Duration {
        match self.0.borrow().get(port) {
            Some(until) if *until > now => Duration::ZERO,
            _ => SILENCE,
        }
    }

    /// The server spoke first.
    pub fn server_spoke(&self, port: K, now: Instant) {
        let mut known = self.0.borrow_mut();
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(port, now + REMEMBERED);
    }

    /// The client spoke first after all.
    pub fn client_spoke(&self, port: &K) {
        self.0.borrow_mut().remove(port);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    #[tokio::test(start_paused = true)]
    async fn a_silent_client_is_told_from_one_that_speaks() {
        let (mut client, mut server) = tokio::io::duplex(1024);
        let mut seen = BytesMut::new();
        assert!(matches!(read(&mut server, &mut seen, Look::Everything, Some(SILENCE), None).await, Opening::Silent));
        client.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        assert!(matches!(
            read(&mut server, &mut seen, Look::Everything, Some(SILENCE), None).await,
            Opening::Said(Detected::Http1)
        ));
        assert_eq!(&seen[..], b"GET / HTTP/1.1\r\n");
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_line_is_carried_as_it_is_after_the_meshs_detection_timeout_or_our_own() {
        for (timeout, want) in [(Duration::from_millis(300), Duration::from_millis(300)), (Duration::ZERO, PATIENCE)] {
            let (mut client, mut server) = tokio::io::duplex(1024);
            client.write_all(b"GET /").await.unwrap();
            let (mut seen, begun) = (BytesMut::new(), clock::now());
            let opening = read(&mut server, &mut seen, Look::Everything, None, Some(patience(timeout))).await;
            assert!(matches!(opening, Opening::Said(Detected::Opaque)));
            // The clock is paused: it moves to the timer that ends the wait, a millisecond's rounding apart.
            let waited = clock::since(begun);
            assert!(waited >= want && waited < want + Duration::from_millis(10), "{waited:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn verdicts_expire_and_are_taken_back() {
        let verdicts = Verdicts::default();
        let now = clock::now();
        assert_eq!(verdicts.silence(&1, now), SILENCE);
        verdicts.server_spoke(1, now);
        assert_eq!(verdicts.silence(&1, now), Duration::ZERO);
        assert_eq!(verdicts.silence(&1, now + REMEMBERED), SILENCE);
        verdicts.client_spoke(&1);
        assert_eq!(verdicts.silence(&1, now), SILENCE);
    }
}
