//! Bytes and datagrams, sent back.

use super::{
    serve::ended,
    who::{Over, Signature, Who, line},
};
use std::sync::Arc;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::UdpSocket,
    sync::watch,
};

/// Sends back what it gets; when the client ends its half, says who did so, and ends. A server that speaks `first` says
/// its name before all that.
pub(super) async fn echo<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    who: &Who,
    over: &Over,
    first: bool,
    mut ending: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    if first {
        stream.write_all(format!("220 {}\r\n", who.pod).as_bytes()).await?;
    }
    let mut buffer = vec![0; 16 << 10];
    loop {
        let got = tokio::select! {
            got = stream.read(&mut buffer) => got?,
            () = ended(&mut ending) => 0,
        };
        if got == 0 {
            break;
        }
        stream.write_all(&buffer[..got]).await?;
    }
    stream.write_all(line(&Signature { proto: "TCP", who, over }).as_bytes()).await?;
    stream.shutdown().await?;
    Ok(())
}

/// Sends each datagram back, with a line about who did so behind it.
pub(super) async fn datagrams(socket: UdpSocket, who: Arc<Who>) {
    let mut buffer = vec![0; 64 << 10];
    let Ok(local) = socket.local_addr() else { return };
    loop {
        // What fails belongs to one peer, say one that has gone.
        let Ok((got, peer)) = socket.recv_from(&mut buffer).await else { continue };
        let mut answer = buffer[..got].to_vec();
        answer.push(b'\n');
        let over = Over { local, peer, tls: None };
        answer.extend_from_slice(line(&Signature { proto: "UDP", who: &who, over: &over }).as_bytes());
        let _ = socket.send_to(&answer, peer).await;
    }
}
