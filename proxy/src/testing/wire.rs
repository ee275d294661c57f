//! Raw HTTP/1 on a pipe: what is written is what is sent, what is read is shown as text.

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// One end of a connection.
pub struct Wire {
    /// The pipe.
    pub io: DuplexStream,
    seen: Vec<u8>,
}

impl Wire {
    /// With nothing read yet.
    pub fn new(io: DuplexStream) -> Self {
        Wire { io, seen: Vec::new() }
    }

    /// Sends text. A broken pipe is no error: the reader will see it.
    pub async fn write(&mut self, text: &str) {
        let _ = self.io.write_all(text.as_bytes()).await;
        let _ = self.io.flush().await;
    }

    /// The next message whole, body decoded; `None`: the connection ended first.
    pub async fn message(&mut self) -> Option<String> {
        let head_end = loop {
            if let Some(at) = self.seen.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            if !self.more().await {
                return None;
            }
        };
        let head = String::from_utf8_lossy(&self.seen[..head_end]).into_owned();
        self.seen.drain(..head_end);
        let body = match field(&head, "transfer-encoding").as_deref() {
            Some("chunked") => self.chunks().await?,
            _ => {
                let length = field(&head, "content-length").and_then(|n| n.parse().ok()).unwrap_or(0);
                self.bytes(length).await?
            }
        };
        Some(head + &String::from_utf8_lossy(&body))
    }

    /// Sends a request and gives the answer.
    pub async fn call(&mut self, request: &str) -> String {
        self.write(request).await;
        self.message().await.unwrap_or_else(|| "closed".to_owned())
    }

    /// `GET` of a path at a host.
    pub async fn get(&mut self, host: &str, path: &str) -> String {
        self.call(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await
    }

    /// Reads so many bytes.
    pub async fn bytes(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.seen.len() < length {
            if !self.more().await {
                return None;
            }
        }
        Some(self.seen.drain(..length).collect())
    }

    /// Whether the other side closed.
    pub async fn ended(&mut self) -> bool {
        !self.more().await
    }

    async fn chunks(&mut self) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line().await?;
            let length = usize::from_str_radix(line.trim(), 16).ok()?;
            if length == 0 {
                while !self.line().await?.is_empty() {}
                return Some(body);
            }
            body.extend(self.bytes(length).await?);
            self.line().await?;
        }
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.seen.windows(2).position(|w| w == b"\r\n") {
                let line = self.seen.drain(..at + 2).collect::<Vec<u8>>();
                return Some(String::from_utf8_lossy(&line[..at]).into_owned());
            }
            if !self.more().await {
                return None;
            }
        }
    }

    async fn more(&mut self) -> bool {
        self.io.read_buf(&mut self.seen).await.is_ok_and(|n| n > 0)
    }
}

/// The value of a header in a head, name without case.
pub fn field(head: &str, name: &str) -> Option<String> {
    head.split("\r\n").skip(1).take_while(|line| !line.is_empty()).find_map(|line| {
        let (field, value) = line.split_once(':')?;
        field.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}

/// The status of an answer.
pub fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or(answer)
}

/// What follows the head.
pub fn body(message: &str) -> &str {
    message.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

/// An answer with a body.
pub fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}
