//! A connection whose two proxies tell each other about their workloads: our announcement goes out with the first
//! bytes that we write, the peer's is taken off the first bytes that we read. Nothing waits for either.

use super::peer_exchange::{self, Decoded};
use crate::worker::Worker;
use bytes::{Buf, Bytes, BytesMut};
use mesh_config::model::workload::WorkloadInfo;
use std::{
    cell::RefCell,
    io,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What the peer said, once it has.
pub type Said = Rc<RefCell<Option<Arc<WorkloadInfo>>>>;

/// See the module.
pub struct Introduced<IO> {
    io: IO,
    /// Of our announcement, what is still to be written; empty: nothing.
    ours: Bytes,
    theirs: Theirs,
    said: Said,
}

enum Theirs {
    /// Bytes seen so far.
    Expected(BytesMut),
    /// Payload that came with the announcement.
    Over(Bytes),
}

/// What we tell peers about our workload on TCP.
pub fn announcement(worker: &Worker, own: &Arc<WorkloadInfo>) -> Bytes {
    let mut announced = worker.announced.borrow_mut();
    match &*announced {
        Some((known, bytes)) if Arc::ptr_eq(known, own) => bytes.clone(),
        _ => {
            let bytes = peer_exchange::encode(own, &worker.node_id);
            *announced = Some((own.clone(), bytes.clone()));
            bytes
        }
    }
}

impl<IO> Introduced<IO> {
    /// `announcement` empty: this connection is not one that introduces itself.
    pub fn new(io: IO, announcement: Bytes, said: Said) -> Self {
        let theirs = match announcement.is_empty() {
            true => Theirs::Over(Bytes::new()),
            false => Theirs::Expected(BytesMut::new()),
        };
        Introduced { io, ours: announcement, theirs, said }
    }
}

impl<IO: AsyncRead + Unpin> Introduced<IO> {
    /// Reads until the announcement is whole, or it is clear that there is none.
    fn poll_announcement(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Theirs::Expected(seen) = &mut self.theirs {
            match peer_exchange::decode(seen) {
                Decoded::Payload => self.theirs = Theirs::Over(seen.split().freeze()),
                Decoded::Announcement(peer, length) => {
                    *self.said.borrow_mut() = peer;
                    seen.advance(length);
                    self.theirs = Theirs::Over(seen.split().freeze());
                }
                Decoded::More => {
                    let mut chunk = [0; 1024];
                    let mut buffer = ReadBuf::new(&mut chunk);
                    ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer))?;
                    match buffer.filled() {
                        [] => self.theirs = Theirs::Over(seen.split().freeze()),
                        more => seen.extend_from_slice(more),
                    }
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Introduced<IO> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_announcement(cx))?;
        let this = &mut *self;
        if let Theirs::Over(payload) = &mut this.theirs
            && !payload.is_empty()
        {
            let n = payload.len().min(buf.remaining());
            buf.put_slice(&payload.split_to(n));
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.io).poll_read(cx, buf)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Introduced<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        while !this.ours.is_empty() {
            let both = [io::IoSlice::new(&this.ours), io::IoSlice::new(buf)];
            let n = ready!(Pin::new(&mut this.io).poll_write_vectored(cx, &both))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let payload = n.saturating_sub(this.ours.len());
            this.ours.advance(n.min(this.ours.len()));
            if payload > 0 {
                return Poll::Ready(Ok(payload));
            }
        }
        Pin::new(&mut this.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn info(name: &str) -> WorkloadInfo {
        WorkloadInfo {
            workload: name.into(),
            namespace: "shop".into(),
            canonical_name: name.into(),
            canonical_revision: "v1".into(),
            app: name.into(),
            version: "v1".into(),
            cluster: "Kubernetes".into(),
        }
    }

    #[tokio::test]
    async fn both_introduce_themselves_with_their_first_bytes() {
        let (a, b) = tokio::io::duplex(64);
        let (said_a, said_b) = (Said::default(), Said::default());
        let mut a = Introduced::new(a, peer_exchange::encode(&info("a"), "node-a"), said_a.clone());
        let mut b = Introduced::new(b, peer_exchange::encode(&info("b"), "node-b"), said_b.clone());
        let mut got = [0; 4];
        let (wrote, read) = tokio::join!(a.write_all(b"ping"), b.read_exact(&mut got));
        wrote.unwrap();
        read.unwrap();
        assert_eq!((&got, said_b.borrow().as_deref()), (b"ping", Some(&info("a"))));
        let (wrote, read) = tokio::join!(b.write_all(b"pong"), a.read_exact(&mut got));
        wrote.unwrap();
        read.unwrap();
        assert_eq!((&got, said_a.borrow().as_deref()), (b"pong", Some(&info("b"))));
    }

    #[tokio::test]
    async fn a_peer_that_says_nothing_of_itself_is_carried() {
        let (mut peer, b) = tokio::io::duplex(1024);
        let said = Said::default();
        let mut b = Introduced::new(b, peer_exchange::encode(&info("b"), "node-b"), said.clone());
        peer.write_all(b"+OK ready\r\n").await.unwrap();
        drop(peer);
        let mut got = String::new();
        b.read_to_string(&mut got).await.unwrap();
        assert_eq!((got.as_str(), said.borrow().is_none()), ("+OK ready\r\n", true));
    }
}
