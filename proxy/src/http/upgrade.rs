//! After a 101 both connections carry raw bytes: copied until both sides are done, counted into the exchange. When
//! policies change, the request that made the tunnel is decided again, as opaque connections are.

use super::{decision::Again, server::Served};
use crate::{
    exchange::{Exchange, Flag},
    net::copy::{End, Moved, bidirectional},
    upstream::Lease,
};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::{
    borrow::Cow,
    future::{Future, poll_fn},
    pin::pin,
    rc::Rc,
    task::Poll,
};
use tokio::io::{AsyncRead, AsyncWrite};

/// What becomes of a connection after its 101 is out.
pub(super) struct Switched {
    pub(super) upstream: OnUpgrade,
    pub(super) exchange: Box<Exchange>,
    pub(super) lease: Lease,
    /// The request that asked for it.
    pub(super) tunnel: Option<Box<Again>>,
}

/// Why a tunnel is over.
enum Ended {
    Copy(End),
    /// It could not be made any more.
    Policy(String),
    Shutdown,
}

/// Carries the bytes of an upgraded connection, in a task of its own.
pub(super) fn carry<IO>(mut client: IO, switched: Switched, served: Rc<Served>)
where
    IO: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let Switched { upstream, mut exchange, lease, tunnel } = switched;
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
        let registered = served.requests.live.add();
        let end = {
            let mut copied = pin!(bidirectional(&mut client, &mut upstream, &record.moved, None));
            poll_fn(|cx| {
                let asked = registered.asked(cx.waker());
                if asked.end {
                    return Poll::Ready(Ended::Shutdown);
                }
                if asked.look
                    && let Some(Err(why)) =
                        tunnel.as_ref().map(|request| request.still_stands(&served, &served.requests.snapshot()))
                {
                    return Poll::Ready(Ended::Policy(why));
                }
                copied.as_mut().poll(cx).map(Ended::Copy)
            })
            .await
        };
        record.exchange.complete = true;
        match end {
            Ended::Copy(End::B(_)) => {
                record.exchange.flags.set(Flag::UpstreamConnectionTermination);
                record.exchange.details =
                    Cow::Borrowed("upstream_reset_after_response_started{connection_termination}");
            }
            Ended::Policy(why) => record.exchange.details = Cow::Owned(why),
            Ended::Copy(_) | Ended::Shutdown => {}
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
