//! Ports of pods: a WebSocket with one channel for bytes and one for errors, and at its end pages that a test laid there.

use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::Full;
use hyper::{Request, Response, StatusCode, body::Bytes, body::Incoming, header};
use hyper_util::rt::TokioIo;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, handshake::derive_accept_key, protocol::Role},
};

/// The text of a page that never answers.
pub(crate) const NEVER: &str = "never";

#[derive(Default, Clone)]
pub(crate) struct Ports {
    /// By `NAMESPACE/POD:PORT METHOD /path`.
    pages: Arc<Mutex<BTreeMap<String, String>>>,
    called: Arc<Mutex<Vec<String>>>,
}

impl Ports {
    pub(crate) fn page(&self, port: &str, call: &str, answer: &str) {
        self.pages.lock().unwrap().insert(format!("{port} {call}"), answer.to_owned());
    }

    pub(crate) fn called(&self) -> Vec<String> {
        std::mem::take(&mut self.called.lock().unwrap())
    }

    /// Nothing where the page is one that never answers.
    fn answer(&self, port: &str, call: &str) -> Option<String> {
        let call = format!("{port} {call}");
        self.called.lock().unwrap().push(call.clone());
        let (code, body) = match self.pages.lock().unwrap().get(&call) {
            Some(body) if body == NEVER => return None,
            Some(body) => ("200 OK", body.clone()),
            None => ("404 Not Found", format!("no page at {call}\n")),
        };
        Some(format!("HTTP/1.1 {code}\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
    }
}

pub(crate) fn forward(request: &mut Request<Incoming>, pod: &str, port: &str, ports: &Ports) -> Response<Full<Bytes>> {
    let key = derive_accept_key(request.headers()[header::SEC_WEBSOCKET_KEY].as_bytes());
    let upgraded = hyper::upgrade::on(request);
    let (place, number, ports) = (format!("{pod}:{port}"), port.parse::<u16>().unwrap(), ports.clone());
    tokio::spawn(async move {
        let io = TokioIo::new(upgraded.await.unwrap());
        let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
        for channel in [0, 1] {
            let [low, high] = number.to_le_bytes();
            socket.send(Message::binary(vec![channel, low, high])).await.unwrap();
        }
        let mut request = Vec::new();
        while let Some(Ok(message)) = socket.next().await {
            let Message::Binary(bytes) = message else { continue };
            request.extend_from_slice(bytes.get(1..).unwrap_or_default());
            let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
            let head = String::from_utf8_lossy(&request[..end]).into_owned();
            let line = head.lines().next().unwrap().trim_end_matches(" HTTP/1.1");
            if let Some(text) = ports.answer(&place, line) {
                let _ = socket.send(Message::binary([&[0], text.as_bytes()].concat())).await;
            }
            request.clear();
        }
    });
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(header::UPGRADE, "websocket".parse().unwrap());
    headers.insert(header::CONNECTION, "Upgrade".parse().unwrap());
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, key.parse().unwrap());
    headers.insert(header::SEC_WEBSOCKET_PROTOCOL, "v4.channel.k8s.io".parse().unwrap());
    answer
}
