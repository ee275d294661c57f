//! Bytes read ahead, seen again by later reads.
//!
//! Detection reads into a buffer instead of peeking at the socket: a peek spins on half a hello, because the socket
//! stays readable.

use bytes::{Buf, Bytes, BytesMut};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// A stream whose first bytes were read already.
#[derive(Debug)]
pub struct Prefixed<IO> {
    prefix: Bytes,
    io: IO,
}

impl<IO> Prefixed<IO> {
    /// Reads will see `prefix` first.
    pub fn new(prefix: Bytes, io: IO) -> Self {
        Prefixed { prefix, io }
    }

    /// The stream below.
    pub fn get_ref(&self) -> &IO {
        &self.io
    }

    /// What was not read again yet, and the stream.
    pub fn into_parts(self) -> (Bytes, IO) {
        (self.prefix, self.io)
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Prefixed<IO> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.prefix.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let n = self.prefix.len().min(buf.remaining());
        buf.put_slice(&self.prefix[..n]);
        self.prefix.advance(n);
        if self.prefix.is_empty() {
            self.prefix = Bytes::new(); // gives the buffer back
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Prefixed<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// Reads once more into `seen`; `Ok(false)` at the end of the stream. Never reads more than `most` bytes in all.
pub async fn read_more<IO: AsyncRead + Unpin>(io: &mut IO, seen: &mut BytesMut, most: usize) -> io::Result<bool> {
    let room = most.saturating_sub(seen.len());
    if room == 0 {
        return Err(io::Error::other("more bytes than detection may look at"));
    }
    seen.reserve(room.min(2048));
    Ok((&mut *io).take(room as u64).read_buf(seen).await? > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bytes_read_ahead_are_seen_again() {
        let (mut client, mut server) = tokio::io::duplex(64);
        tokio::io::AsyncWriteExt::write_all(&mut client, b"hello world").await.unwrap();
        let mut seen = BytesMut::new();
        assert!(read_more(&mut server, &mut seen, 5).await.unwrap());
        assert_eq!(&seen[..], b"hello");
        assert!(read_more(&mut server, &mut seen, 5).await.is_err(), "the bound holds");
        drop(client);
        let mut all = Vec::new();
        Prefixed::new(seen.freeze(), server).read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"hello world");
    }
}
