//! Heads and bodies of HTTP/1, as they are on the wire.

use anyhow::{Context, bail, ensure};
use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// A head of a request or an answer.
#[derive(Debug, Clone)]
pub struct Head {
    /// All of it, with its empty line.
    pub text: String,
    /// Names and values as they came.
    pub headers: Vec<(String, String)>,
}

impl Head {
    /// A header's first value, its name without case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// The first line's first word: the method of a request, the version of an answer.
    pub fn method(&self) -> &str {
        self.word(0)
    }

    /// The first line's second word: the target of a request, the status of an answer.
    pub fn target(&self) -> &str {
        self.word(1)
    }

    /// Whether the connection ends after this message.
    pub fn closes(&self) -> bool {
        let has = |token: &str| self.header("connection").is_some_and(|v| v.to_ascii_lowercase().contains(token));
        let old = self.text.lines().next().unwrap_or_default().contains("HTTP/1.0");
        has("close") || old && !has("keep-alive")
    }

    fn word(&self, index: usize) -> &str {
        self.text.lines().next().unwrap_or_default().split(' ').nth(index).unwrap_or_default()
    }
}

/// Where a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// After so many bytes.
    Length(usize),
    /// In chunks.
    Chunked,
    /// With the connection.
    ToEnd,
}

impl Framing {
    /// Of a request.
    pub fn of_request(head: &Head) -> Framing {
        Framing::declared(head).unwrap_or(Framing::None)
    }

    /// Of an answer.
    pub fn of_answer(head: &Head, status: u16) -> Framing {
        match status {
            100..200 | 204 | 304 => Framing::None,
            _ => Framing::declared(head).unwrap_or(Framing::ToEnd),
        }
    }

    fn declared(head: &Head) -> Option<Framing> {
        if head.header("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked")) {
            return Some(Framing::Chunked);
        }
        head.header("content-length")?.parse().ok().map(Framing::Length)
    }
}

/// Reads a head; `None`: the peer ended before it began one.
///
/// # Errors
/// When the connection breaks within it.
pub async fn read_head<IO: AsyncRead + Unpin>(io: &mut IO, buffer: &mut BytesMut) -> anyhow::Result<Option<Head>> {
    let mut searched = 0;
    let end = loop {
        if let Some(at) = buffer[searched..].windows(4).position(|w| w == b"\r\n\r\n") {
            break searched + at + 4;
        }
        searched = buffer.len().saturating_sub(3);
        let read = io.read_buf(buffer).await.context("broken while reading a head")?;
        if read == 0 {
            ensure!(buffer.is_empty(), "ended within a head: {:?}", String::from_utf8_lossy(buffer));
            return Ok(None);
        }
    };
    let text = String::from_utf8_lossy(&buffer.split_to(end)).into_owned();
    let line = |line: &str| line.split_once(':').map(|(n, v)| (n.to_owned(), v.trim().to_owned()));
    let headers = text.lines().skip(1).filter_map(line).collect();
    Ok(Some(Head { text, headers }))
}

/// Reads a body.
///
/// # Errors
/// When the connection breaks within it.
pub async fn read_body<IO: AsyncRead + Unpin>(
    io: &mut IO,
    buffer: &mut BytesMut,
    framing: Framing,
) -> anyhow::Result<Vec<u8>> {
    match framing {
        Framing::None => Ok(Vec::new()),
        Framing::Length(length) => take(io, buffer, length).await,
        Framing::ToEnd => {
            while io.read_buf(buffer).await.context("broken while reading a body")? > 0 {}
            Ok(buffer.split().to_vec())
        }
        Framing::Chunked => {
            let mut body = Vec::new();
            loop {
                let line = line(io, buffer).await?;
                let size = line.split(';').next().unwrap_or_default().trim();
                let size = usize::from_str_radix(size, 16).with_context(|| format!("chunk size {line:?}"))?;
                if size == 0 {
                    while !self::line(io, buffer).await?.is_empty() {}
                    return Ok(body);
                }
                body.extend(take(io, buffer, size).await?);
                take(io, buffer, 2).await?;
            }
        }
    }
}

async fn take<IO: AsyncRead + Unpin>(io: &mut IO, buffer: &mut BytesMut, length: usize) -> anyhow::Result<Vec<u8>> {
    while buffer.len() < length {
        if io.read_buf(buffer).await.context("broken while reading a body")? == 0 {
            bail!("ended after {} of {length} bytes of a body", buffer.len());
        }
    }
    Ok(buffer.split_to(length).to_vec())
}

async fn line<IO: AsyncRead + Unpin>(io: &mut IO, buffer: &mut BytesMut) -> anyhow::Result<String> {
    loop {
        if let Some(at) = buffer.windows(2).position(|w| w == b"\r\n") {
            let line = String::from_utf8_lossy(&buffer[..at]).into_owned();
            buffer.advance(at + 2);
            return Ok(line);
        }
        if io.read_buf(buffer).await.context("broken within chunks")? == 0 {
            bail!("ended within chunks");
        }
    }
}
