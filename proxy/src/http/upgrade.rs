//! After a 101 both connections carry raw bytes: copied until both sides are done, counted into the exchange.

use crate::{
    exchange::{Exchange, Flag},
    net::copy::{End, Moved, bidirectional},
    upstream::Lease,
};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::borrow::Cow;

/// Carries the bytes of an upgraded connection, in a task of its own: the client's connection is given up by hyper
/// only after the 101 was written.
pub fn carry(client: OnUpgrade, upstream: OnUpgrade, mut exchange: Box<Exchange>, lease: Lease) {
    exchange.upgraded = true;
    tokio::task::spawn_local(async move {
        let both = async { tokio::try_join!(client, upstream) };
        let (client, upstream) = match both.await {
            Ok(both) => both,
            Err(error) => {
                tracing::debug!(%error, "an upgraded connection did not become one");
                return;
            }
        };
        let (mut client, mut upstream) = (TokioIo::new(client), TokioIo::new(upstream));
        // The record is made when this task ends, also when it is dropped with the worker.
        let mut record = Tunnel { exchange, moved: Moved::default() };
        let end = bidirectional(&mut client, &mut upstream, &record.moved, None).await;
        record.exchange.complete = true;
        if let End::B(_) = end {
            record.exchange.flags.set(Flag::UpstreamConnectionTermination);
            record.exchange.details =
                Cow::Borrowed("upstream_reset_after_response_started{connection_termination}");
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
