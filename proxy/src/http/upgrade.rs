//! After a 101 both connections carry raw bytes: copied until both sides are done, counted into the exchange.

use crate::{
    exchange::{Exchange, Flag},
    net::copy::{End, Moved, bidirectional},
    upstream::Lease,
};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::borrow::Cow;
use tokio::io::{AsyncRead, AsyncWrite};

/// What becomes of a connection after its 101 is out.
pub(super) struct Switched {
    pub(super) upstream: OnUpgrade,
    pub(super) exchange: Box<Exchange>,
    pub(super) lease: Lease,
}

/// Carries the bytes of an upgraded connection, in a task of its own.
pub(super) fn carry<IO>(mut client: IO, switched: Switched)
where
    IO: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let Switched { upstream, mut exchange, lease } = switched;
    exchange.upgraded = true;
    tokio::task::spawn_local(async move {
        let mut upstream = match upstream.await {
            Ok(upstream) => TokioIo::new(upstream),
            Err(error) => {
                tracing::debug!(%error, "an upgraded connection did not become one");
                return;
            }
        };
        // The record is made when this task ends, also when it is dropped with the worker.
        let mut record = Tunnel { exchange, moved: Moved::default() };
        let end = bidirectional(&mut client, &mut upstream, &record.moved, None).await;
        record.exchange.complete = true;
        if let End::B(_) = end {
            record.exchange.flags.set(Flag::UpstreamConnectionTermination);
            record.exchange.details = Cow::Borrowed("upstream_reset_after_response_started{connection_termination}");
        }
        drop(record);
        drop(lease);
    });
}

struct Tunnel {
    exchange: Box<Exchange>,
    moved: Moved,
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.exchange.request_body_bytes += self.moved.a_to_b.get();
        self.exchange.response_body_bytes += self.moved.b_to_a.get();
    }
}
