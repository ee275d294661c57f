//! The end of an HTTP/1 connection whose client may still be sending: closed at once, the kernel would answer the bytes
//! that nobody has read with a reset, and that takes the last answer away from the client (RFC 9112, 9.6). So what comes
//! after our end is read and dropped, for a while.

use crate::connections::{Entry, Wish};
use mesh_runtime::clock;
use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, ReadBuf},
    time::{Instant, Sleep, sleep},
};

/// How long at most.
const LONGEST: Duration = Duration::from_secs(5);
/// How long without a byte.
const SILENCE: Duration = Duration::from_secs(1);
/// How many bytes.
const MOST: usize = 64 << 20;
/// Read at once.
const ROOM: usize = 16 * 1024;

/// Reads until the client ends, the time is over, or the connection is to end at once.
pub(super) async fn linger<IO: AsyncRead + Unpin>(io: &mut IO, entry: &Entry) {
    let mut room = vec![0; ROOM];
    let (mut left, over) = (MOST, clock::now() + LONGEST);
    let mut silence = pin!(sleep(SILENCE));
    poll_fn(|cx| {
        loop {
            if entry.wish() == Wish::End || left == 0 {
                return Poll::Ready(());
            }
            entry.wake_with(cx.waker());
            let mut buf = ReadBuf::new(&mut room);
            match Pin::new(&mut *io).poll_read(cx, &mut buf) {
                Poll::Pending => {
                    ready!(silence.as_mut().poll(cx));
                    return Poll::Ready(());
                }
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => left = left.saturating_sub(buf.filled().len()),
                Poll::Ready(_) => return Poll::Ready(()),
            }
            put_off(silence.as_mut(), over);
        }
    })
    .await;
}

fn put_off(silence: Pin<&mut Sleep>, over: Instant) {
    silence.reset(over.min(clock::now() + SILENCE));
}
