//! An HTTP/1 server written by hand, so that tests see heads as they came, byte for byte.

use super::Seen;
use crate::client::head::{Framing, Head, read_body, read_head};
use bytes::BytesMut;
use std::{fmt::Write as _, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Answers requests until the client ends, or is idle for too long.
pub(super) async fn serve(mut stream: TcpStream, name: Arc<str>, seen: Seen, idle: Option<Duration>) {
    let mut buffer = BytesMut::new();
    loop {
        let head = match idle {
            Some(idle) if buffer.is_empty() => {
                match tokio::time::timeout(idle, read_head(&mut stream, &mut buffer)).await {
                    Ok(head) => head,
                    Err(_) => return,
                }
            }
            _ => read_head(&mut stream, &mut buffer).await,
        };
        let Ok(Some(head)) = head else { return };
        if let Some(id) = head.header("x-request-id") {
            seen.request(id);
        }
        let framing = Framing::of_request(&head);
        let Ok(body) = read_body(&mut stream, &mut buffer, framing).await else { return };
        if head.header("upgrade").is_some() {
            return upgraded(stream, &head, &buffer).await;
        }
        let closes = head.closes();
        if stream.write_all(answer(&head, &body, &name, closes).await.as_bytes()).await.is_err() || closes {
            return;
        }
    }
}

async fn answer(head: &Head, body: &[u8], name: &str, closes: bool) -> String {
    let path = head.target().split('?').next().unwrap_or_default();
    let argument = |prefix: &str| path.strip_prefix(prefix).and_then(|rest| rest.parse::<u64>().ok());
    if let Some(milliseconds) = argument("/slow/") {
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    }
    let status = argument("/status/").unwrap_or(200);
    let mut text = format!("HTTP/1.1 {status} Whatever\r\nX-Served-By: {name}\r\nX-Body-Bytes: {}\r\n", body.len());
    let answer = if head.method() == "HEAD" { "" } else { head.text.as_str() };
    let _ = write!(text, "Content-Length: {}\r\n", answer.len());
    if closes {
        text.push_str("Connection: close\r\n");
    }
    text.push_str("\r\n");
    text.push_str(answer);
    text
}

/// Grants the upgrade and echoes.
async fn upgraded(mut stream: TcpStream, head: &Head, first: &[u8]) {
    let protocol = head.header("upgrade").unwrap_or_default();
    let granted = format!("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n");
    if stream.write_all(granted.as_bytes()).await.is_err() || stream.write_all(first).await.is_err() {
        return;
    }
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
