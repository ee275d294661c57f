//! Opaque bytes.

use std::sync::Arc;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Greets, if it has a name to say, and echoes until the client has ended.
pub(super) async fn echo(mut stream: TcpStream, greeting: Option<Arc<str>>) {
    if let Some(name) = greeting {
        let text = format!("220 {name}\r\n");
        if stream.write_all(text.as_bytes()).await.is_err() {
            return;
        }
    }
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
    let _ = stream.shutdown().await;
}
