//! A message over TCP, with or without TLS, and over UDP.

use super::{Answer, LONGEST, Target};
use anyhow::{Context, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UdpSocket,
};

/// What is sent when nothing else was asked for.
const MESSAGE: &str = "hello";

fn message(target: &Target) -> &str {
    if target.body.is_empty() { MESSAGE } else { &target.body }
}

/// Sends the message, ends its own half, and reads until the server ends the other.
pub(super) async fn tcp(target: &Target) -> anyhow::Result<Answer> {
    let (mut stream, _) = target.stream(&[]).await?;
    let message = format!("{}\n", message(target));
    stream.write_all(message.as_bytes()).await?;
    stream.shutdown().await?;
    let mut bytes = Vec::new();
    (&mut stream).take(LONGEST as u64).read_to_end(&mut bytes).await.context("half an answer")?;
    let body = String::from_utf8_lossy(&bytes).into_owned();
    // Where the other end was refused, a connection opens and closes with nothing in it.
    ensure!(body.contains(&message), "closed without sending back what it got");
    Ok(Answer { status: 200, proto: "TCP".to_owned(), body, ..Answer::default() })
}

pub(super) async fn udp(target: &Target) -> anyhow::Result<Answer> {
    let address = target.addresses().await?.into_iter().next().context("the name has no address")?;
    let any: std::net::SocketAddr = if address.is_ipv6() { "[::]:0".parse()? } else { "0.0.0.0:0".parse()? };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(address).await?;
    socket.send(message(target).as_bytes()).await?;
    let mut buffer = vec![0; 64 << 10];
    let got = socket.recv(&mut buffer).await?;
    let body = String::from_utf8_lossy(&buffer[..got]).into_owned();
    Ok(Answer { status: 200, proto: "UDP".to_owned(), body, ..Answer::default() })
}
