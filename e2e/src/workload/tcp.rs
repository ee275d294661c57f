//! Opaque bytes.

use super::Seen;
use std::sync::Arc;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Greets, if it has a name to say, and echoes until the client has ended. The first bytes count as the exchange's id.
pub(super) async fn echo(mut stream: TcpStream, seen: Seen, greeting: Option<Arc<str>>) {
    if let Some(name) = greeting {
        let text = format!("220 {name}\r\n");
        if stream.write_all(text.as_bytes()).await.is_err() {
            return;
        }
    }
    let (mut buffer, mut first) = ([0; 4096], true);
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        if std::mem::take(&mut first) {
            seen.request(&String::from_utf8_lossy(&buffer[..read]));
        }
        if stream.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
    let _ = stream.shutdown().await;
}
