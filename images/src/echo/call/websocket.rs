//! A message over WebSocket, and the one that comes back.

use super::{Answer, Target};
use anyhow::{Context, bail};
use futures_util::{SinkExt, StreamExt};
use http::header;
use tokio_tungstenite::{
    client_async,
    tungstenite::{Error, Message, client::IntoClientRequest},
};

pub(super) async fn message(target: &Target) -> anyhow::Result<Answer> {
    let (stream, _) = target.stream(&[b"http/1.1"]).await?;
    let scheme = if target.secure() { "wss" } else { "ws" };
    let mut request = format!("{scheme}://{}{}", target.authority()?, target.path()).into_client_request()?;
    for (name, value) in target.headers.iter().filter(|(name, _)| *name != header::HOST) {
        request.headers_mut().append(name.clone(), value.clone());
    }
    let (mut stream, response) = match client_async(request, stream).await {
        Ok(open) => open,
        // The server answered, and did not switch.
        Err(Error::Http(response)) => {
            let body = String::from_utf8_lossy(response.body().as_deref().unwrap_or_default()).into_owned();
            return Ok(Answer {
                status: response.status().as_u16(),
                proto: "HTTP/1.1".into(),
                body,
                ..Answer::default()
            });
        }
        Err(e) => return Err(e.into()),
    };
    let text = if target.body.is_empty() { "hello" } else { &target.body };
    stream.send(Message::text(text)).await?;
    let body = loop {
        match stream.next().await.context("closed without sending back what it got")?? {
            Message::Text(text) => break text.to_string(),
            Message::Binary(bytes) => break String::from_utf8_lossy(&bytes).into_owned(),
            Message::Close(_) => bail!("closed without sending back what it got"),
            _ => {}
        }
    };
    let _ = stream.close(None).await;
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    Ok(Answer {
        status: response.status().as_u16(),
        grpc_status: None,
        proto: "WebSocket".to_owned(),
        headers: response.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
        body,
    })
}
