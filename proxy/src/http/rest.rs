//! HTTP/1 connections between requests. hyper keeps two buffers and the room of a request as long as it has a
//! connection; one that has been quiet for a moment is taken from it, and is only its socket until bytes come.
//!
//! What hyper does with the bytes is watched here, so that it is never taken from it half-way; in the end hyper
//! itself decides: it gives up a connection only when no request is on it.

use super::unread::KEPT;
use crate::{
    connections::{Entry, Wish},
    net::prefix::Prefixed,
};
use bytes::Bytes;
use std::{
    future::poll_fn,
    io,
    mem::MaybeUninit,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Room for the first bytes after a rest; on the stack, and only while they are read. Most heads fit.
const FIRST: usize = 1024;

/// A connection that tells its entry what is read and what is not flushed.
pub(super) struct Watched<IO> {
    io: Prefixed<IO>,
    entry: Rc<Entry>,
    shut: bool,
    /// The beginning of the last head, to say what it was should it not be one.
    first: [u8; KEPT],
    kept: usize,
}

impl<IO> Watched<IO> {
    /// Reads see `seen` first.
    pub(super) fn new(seen: Bytes, io: IO, entry: Rc<Entry>) -> Self {
        Watched { io: Prefixed::new(seen, io), entry, shut: false, first: [0; KEPT], kept: 0 }
    }

    /// The first bytes of the last head.
    pub(super) fn first(&self) -> &[u8] {
        &self.first[..self.kept]
    }

    fn keep(&mut self, bytes: &[u8]) {
        if !self.entry.is_idle() {
            return;
        }
        if !self.entry.has_heard() {
            self.kept = 0;
        }
        let room = &mut self.first[self.kept..];
        let n = room.len().min(bytes.len());
        room[..n].copy_from_slice(&bytes[..n]);
        self.kept += n;
    }

    /// Whether it was shut down.
    pub(super) fn is_shut(&self) -> bool {
        self.shut
    }

    /// The connection, and all that was read but not used: `unused` by hyper, and what hyper has not seen.
    pub(super) fn into_parts(self, unused: Bytes) -> (Bytes, IO) {
        let (unseen, io) = self.io.into_parts();
        let seen = match (unused.is_empty(), unseen.is_empty()) {
            // Not `unused`: empty as it is, it holds its buffer.
            (true, _) => unseen,
            (false, true) => unused,
            (false, false) => [unused, unseen].concat().into(),
        };
        (seen, io)
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Watched<IO> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.keep(&buf.filled()[before..]);
            self.entry.heard();
        }
        read
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Watched<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.entry.flushed(false);
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.entry.flushed(false);
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    // hyper flushes the connection only after it has written all that it had.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        self.entry.flushed(true);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.io).poll_shutdown(cx))?;
        self.shut = true;
        Poll::Ready(Ok(()))
    }
}

/// How a rest ended.
pub(super) enum Woken {
    /// These bytes came.
    Bytes(Bytes),
    /// The client is gone, or nothing new is to be taken from it.
    Finished,
    /// End now.
    Ended,
}

/// Waits until something comes, or the connection is asked to end. A connection that is to close with its next answer
/// goes on resting: its client may be sending a request right now.
pub(super) async fn rest<IO: AsyncRead + Unpin>(io: &mut IO, entry: &Entry) -> Woken {
    entry.rests();
    poll_fn(|cx| {
        match entry.due() {
            Wish::Serve | Wish::Last => {}
            Wish::Finish => return Poll::Ready(Woken::Finished),
            Wish::End => return Poll::Ready(Woken::Ended),
        }
        entry.wake_with(cx.waker());
        let mut room = [MaybeUninit::uninit(); FIRST];
        let mut buf = ReadBuf::uninit(&mut room);
        match ready!(Pin::new(&mut *io).poll_read(cx, &mut buf)) {
            Ok(()) if !buf.filled().is_empty() => Poll::Ready(Woken::Bytes(Bytes::copy_from_slice(buf.filled()))),
            Ok(()) | Err(_) => Poll::Ready(Woken::Finished),
        }
    })
    .await
}
