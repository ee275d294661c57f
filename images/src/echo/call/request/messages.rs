//! A call of several messages: each is sent once the one before it has come back.

use super::super::{
    LONGEST, Target,
    connection::{Body, Whole},
};
use crate::echo::grpc;
use anyhow::{Context, bail, ensure};
use bytes::{Bytes, BytesMut};
use http::Response;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use std::convert::Infallible;
use tokio::sync::mpsc;

/// A body to which messages are added, and which ends when the sender does.
pub(super) fn body() -> (mpsc::Sender<Bytes>, Body) {
    let (feed, messages) = mpsc::channel::<Bytes>(1);
    let frames = futures_util::stream::unfold(messages, |mut messages| async move {
        let message = messages.recv().await?;
        Some((Ok::<_, Infallible>(Frame::data(message)), messages))
    });
    (feed, BodyExt::boxed(StreamBody::new(frames)))
}

/// Sends the messages of a call, with its pauses; gives the last one that came back.
pub(super) async fn talk(
    target: &Target,
    feed: mpsc::Sender<Bytes>,
    response: Response<Incoming>,
) -> anyhow::Result<Whole> {
    let (head, mut body) = response.into_parts();
    let sent = grpc::framed(&grpc::text(&target.body));
    let mut got = BytesMut::new();
    for message in 0..target.messages {
        if message > 0 {
            tokio::time::sleep(target.pause).await;
        }
        if feed.send(sent.clone()).await.is_err() {
            bail!("the call ended before message {}", message + 1);
        }
        got.clear();
        while got.len() < sent.len() {
            let frame = body.frame().await.with_context(|| format!("the call ended at message {}", message + 1))??;
            let Ok(data) = frame.into_data() else { bail!("the call ended at message {}", message + 1) };
            got.extend_from_slice(&data);
            ensure!(got.len() < LONGEST, "more than {LONGEST} bytes came back");
        }
        ensure!(got == sent, "another message came back than was sent");
    }
    drop(feed);
    let rest = body.collect().await.context("half an answer")?;
    let trailers = rest.trailers().cloned().unwrap_or_default();
    Ok((head, got.freeze(), trailers))
}
