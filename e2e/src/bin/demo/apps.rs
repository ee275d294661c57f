//! The four small services. They know nothing of a mesh: they listen on loopback, and call each other by name at
//! the address where their sidecar listens.

use crate::call;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{convert::Infallible, net::SocketAddr, rc::Rc};
use tokio::{net::TcpListener, task::JoinHandle};

/// One service.
#[derive(Debug, Clone)]
pub(crate) struct App {
    /// Its name, as it answers.
    pub(crate) name: &'static str,
    /// Where it listens.
    pub(crate) listen: SocketAddr,
    /// Host of the service that it calls, and where its sidecar takes calls.
    pub(crate) calls: Option<(&'static str, SocketAddr)>,
}

/// Serves until the handle is aborted.
pub(crate) async fn serve(app: App) -> anyhow::Result<JoinHandle<()>> {
    let listener = TcpListener::bind(app.listen).await?;
    let app = Rc::new(app);
    Ok(tokio::task::spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let app = app.clone();
            let service = service_fn(move |request| answer(app.clone(), request));
            tokio::task::spawn_local(async move {
                let _ =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    }))
}

/// `name` and what the service below answered; `/who` says who called, as the sidecar proved it.
async fn answer(app: Rc<App>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let header = |name| request.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or("-");
    let mut text = match request.uri().path() {
        "/who" => format!("{} was called; its sidecar says: {}", app.name, header("x-forwarded-client-cert")),
        _ => app.name.to_owned(),
    };
    let mut status = 200;
    if let Some((host, sidecar)) = app.calls {
        match call::get(sidecar, host, request.uri().path()).await {
            Ok(below) if below.status == 200 => text = format!("{text} -> {}", below.body),
            Ok(below) => (status, text) = (below.status, format!("{text} -> {} {}", below.status, below.body)),
            Err(error) => (status, text) = (502, format!("{text} -> {error:#}")),
        }
    }
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or(hyper::StatusCode::BAD_GATEWAY);
    Ok(response)
}
