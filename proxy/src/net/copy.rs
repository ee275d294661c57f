//! Bidirectional copy with half-close and buffers that grow with what flows.
//!
//! A quiet connection holds one small buffer a direction; one that moves much gets larger ones, because fewer, larger
//! writes cost less (a TLS record a write). Buffers are allocated when the first byte comes.

use mesh_runtime::clock;
use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Buffer sizes, and after how many bytes of one direction the next one is used.
const SIZES: [(usize, u64); 3] = [(8 * 1024, 0), (32 * 1024, 64 * 1024), (128 * 1024, 4 * 1024 * 1024)];

/// Bytes moved in each direction, kept current while the copy runs so that a record made at any moment is right.
#[derive(Debug, Default)]
pub struct Moved {
    /// From `a` to `b`.
    pub a_to_b: std::cell::Cell<u64>,
    /// From `b` to `a`.
    pub b_to_a: std::cell::Cell<u64>,
}

/// Why the copy ended.
#[derive(Debug)]
pub enum End {
    /// Both sides are done.
    Closed,
    /// No byte went either way for the idle limit.
    Idle,
    /// Reading from or writing to `a` failed.
    A(io::Error),
    /// Reading from or writing to `b` failed.
    B(io::Error),
}

/// Copies both ways until both are closed, one fails, or nothing moves for `idle` (`None`: no limit).
pub async fn bidirectional<A, B>(a: &mut A, b: &mut B, moved: &Moved, idle: Option<Duration>) -> End
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let (mut there, mut back) = (Half::default(), Half::default());
    let copy = poll_fn(|cx| {
        let one = match there.poll(cx, Pin::new(a), Pin::new(b), &moved.a_to_b) {
            Poll::Ready(Err((Side::Reader, e))) => return Poll::Ready(End::A(e)),
            Poll::Ready(Err((Side::Writer, e))) => return Poll::Ready(End::B(e)),
            Poll::Ready(Ok(())) => true,
            Poll::Pending => false,
        };
        let other = match back.poll(cx, Pin::new(b), Pin::new(a), &moved.b_to_a) {
            Poll::Ready(Err((Side::Reader, e))) => return Poll::Ready(End::B(e)),
            Poll::Ready(Err((Side::Writer, e))) => return Poll::Ready(End::A(e)),
            Poll::Ready(Ok(())) => true,
            Poll::Pending => false,
        };
        if one && other { Poll::Ready(End::Closed) } else { Poll::Pending }
    });
    match idle {
        None => copy.await,
        Some(limit) => {
            tokio::select! {
                biased;
                end = copy => end,
                () = silence(moved, limit) => End::Idle,
            }
        }
    }
}

/// Ends once nothing has moved for `limit`. Looks only a few times per limit: exact to a quarter of it.
async fn silence(moved: &Moved, limit: Duration) {
    let total = || moved.a_to_b.get() + moved.b_to_a.get();
    let (mut last, mut since) = (total(), clock::now());
    loop {
        tokio::time::sleep(limit / 4).await;
        let now = total();
        if now != last {
            (last, since) = (now, clock::now());
        } else if clock::since(since) >= limit {
            return;
        }
    }
}

/// Which end of a direction failed.
enum Side {
    Reader,
    Writer,
}

/// One direction.
#[derive(Default)]
struct Half {
    buffer: Vec<u8>,
    filled: usize,
    written: usize,
    total: u64,
    needs_flush: bool,
    ended: bool,
    shut: bool,
}

impl Half {
    fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        mut reader: Pin<&mut R>,
        mut writer: Pin<&mut W>,
        moved: &std::cell::Cell<u64>,
    ) -> Poll<Result<(), (Side, io::Error)>>
    where
        R: AsyncRead,
        W: AsyncWrite,
    {
        if self.shut {
            return Poll::Ready(Ok(()));
        }
        loop {
            if self.written == self.filled && !self.ended {
                self.resize();
                let mut target = ReadBuf::new(&mut self.buffer);
                match reader.as_mut().poll_read(cx, &mut target) {
                    Poll::Ready(Ok(())) => {
                        self.filled = target.filled().len();
                        self.written = 0;
                        self.ended = self.filled == 0;
                    }
                    Poll::Ready(Err(e)) => return Poll::Ready(Err((Side::Reader, e))),
                    Poll::Pending => {
                        if self.needs_flush {
                            ready!(writer.as_mut().poll_flush(cx)).map_err(|e| (Side::Writer, e))?;
                            self.needs_flush = false;
                        }
                        if self.total == 0 {
                            self.buffer = Vec::new(); // nothing came yet: hold no memory
                        }
                        return Poll::Pending;
                    }
                }
            }
            while self.written < self.filled {
                let chunk = &self.buffer[self.written..self.filled];
                let n = ready!(writer.as_mut().poll_write(cx, chunk)).map_err(|e| (Side::Writer, e))?;
                if n == 0 {
                    return Poll::Ready(Err((Side::Writer, io::ErrorKind::WriteZero.into())));
                }
                self.written += n;
                self.total += n as u64;
                moved.set(moved.get() + n as u64);
                self.needs_flush = true;
            }
            if self.ended {
                ready!(writer.as_mut().poll_shutdown(cx)).map_err(|e| (Side::Writer, e))?;
                self.shut = true;
                self.buffer = Vec::new();
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// The buffer that fits what has flowed so far.
    fn resize(&mut self) {
        let size = SIZES.iter().rev().find(|(_, after)| self.total >= *after).map_or(SIZES[0].0, |(size, _)| *size);
        if self.buffer.len() < size {
            self.buffer = vec![0; size];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn each_direction_closes_on_its_own() {
        let (mut client, mut a) = tokio::io::duplex(1024);
        let (mut b, mut server) = tokio::io::duplex(1024);
        let moved = Moved::default();
        let talk = async {
            client.write_all(b"question").await.unwrap();
            client.shutdown().await.unwrap();
            let mut got = String::new();
            server.read_to_string(&mut got).await.unwrap();
            assert_eq!(got, "question");
            server.write_all(b"answer!").await.unwrap();
            drop(server);
            got.clear();
            client.read_to_string(&mut got).await.unwrap();
            assert_eq!(got, "answer!");
        };
        let (end, ()) = tokio::join!(bidirectional(&mut a, &mut b, &moved, None), talk);
        assert!(matches!(end, End::Closed));
        assert_eq!((moved.a_to_b.get(), moved.b_to_a.get()), (8, 7));
    }

    #[tokio::test]
    async fn much_data_arrives_whole() {
        let (mut client, mut a) = tokio::io::duplex(7000);
        let (mut b, mut server) = tokio::io::duplex(5000);
        let data: Vec<u8> = (0..1_000_000u32).map(|n| n as u8).collect();
        let moved = Moved::default();
        let send = async {
            client.write_all(&data).await.unwrap();
            client.shutdown().await.unwrap();
        };
        let receive = async {
            let mut got = Vec::new();
            server.read_to_end(&mut got).await.unwrap();
            server.shutdown().await.unwrap();
            got
        };
        let (end, (), got) = tokio::join!(bidirectional(&mut a, &mut b, &moved, None), send, receive);
        assert!(matches!(end, End::Closed) && got == data);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_it_where_a_limit_is_set() {
        let (_client, mut a) = tokio::io::duplex(64);
        let (mut b, _server) = tokio::io::duplex(64);
        let end = bidirectional(&mut a, &mut b, &Moved::default(), Some(Duration::from_secs(10))).await;
        assert!(matches!(end, End::Idle));
    }
}
