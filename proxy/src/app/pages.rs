//! Pages of a running proxy, by port: for operators, for the kubelet, for Prometheus, and for the pod's hooks.

use super::{Common, Sockets, ending::Asked};
use crate::{beside::probe::Prober, debug, snapshot::Snapshot};
use bytes::Bytes;
use http::{Request, StatusCode};
use mesh_runtime::{
    admin::{self, Admin, Reply},
    drain, snapshot,
    tls::material::Identity,
};
use std::{
    future::{Ready, ready},
    sync::Arc,
};
use tokio::net::TcpListener;

/// Serves all of them until the proxy ends.
pub(super) fn serve(
    common: &Arc<Common>,
    sockets: Sockets,
    snapshots: &snapshot::Reader<Snapshot>,
    identity: snapshot::Reader<Option<Arc<Identity>>>,
) {
    let Sockets { admin, status, metrics, prometheus, .. } = sockets;
    let readiness = || Admin::new().with_readiness("/healthz/ready", common.ready.clone());
    listen(admin, operators(common, snapshots, identity), &common.ending);
    listen(status, readiness(), &common.ending);
    let port = metrics.as_ref().and_then(|socket| socket.local_addr().ok()).map_or(0, |address| address.port());
    listen(metrics, hooks(application(readiness(), common, port), common), &common.ending);
    listen(prometheus, with_metrics(Admin::new(), common), &common.ending);
}

/// What is asked of the proxy about the application: its health, and its metrics behind the proxy's own.
fn application(pages: Admin, common: &Arc<Common>, port: u16) -> Admin {
    let prober = Arc::new(Prober::new(common.settings.clone(), port));
    let probe = move |request: Request<Bytes>| {
        let prober = prober.clone();
        async move { prober.answer(request.uri().path(), request.headers()).await }
    };
    let scraper = common.scraper.clone();
    let scrape = move |request: Request<Bytes>| {
        let scraper = scraper.clone();
        async move { scraper.page(request.headers()).await }
    };
    pages
        .get_prefix("/app-health/", probe.clone())
        .get_prefix("/app-lifecycle/", probe)
        .get("/stats/prometheus", scrape.clone())
        .get("/metrics", scrape)
}

fn with_metrics(pages: Admin, common: &Common) -> Admin {
    let registry = || common.registry.clone();
    pages.with_metrics("/stats/prometheus", registry()).with_metrics("/metrics", registry())
}

fn operators(
    common: &Arc<Common>,
    snapshots: &snapshot::Reader<Snapshot>,
    identity: snapshot::Reader<Option<Arc<Identity>>>,
) -> Admin {
    let dump = {
        let (common, snapshots) = (common.clone(), snapshots.clone());
        move |_| {
            let node = common.settings.node_id();
            let text = match &*identity.get() {
                Some(identity) => {
                    debug::config_dump(&node, &snapshots.get(), &common.bound.get(), identity).to_string()
                }
                None => r#"{"error":"no certificate yet"}"#.to_owned(),
            };
            async move { admin::json(StatusCode::OK, text) }
        }
    };
    let info =
        serde_json::json!({ "version": env!("CARGO_PKG_VERSION"), "node": common.settings.node_id() }).to_string();
    let pages = hooks(with_metrics(Admin::new().with_liveness(), common), common)
        .with_readiness("/ready", common.ready.clone())
        .get("/debug/config_dump", dump)
        .get("/server_info", move |_| {
            let info = info.clone();
            async move { admin::json(StatusCode::OK, info) }
        });
    match common.log.clone() {
        Some(log) => pages.with_log_level(log),
        None => pages,
    }
}

/// What the pod's own containers may ask for.
fn hooks(pages: Admin, common: &Arc<Common>) -> Admin {
    ["/drain", "/quitquitquit"]
        .into_iter()
        .fold(pages, |pages, path| pages.gated(path, admin::from_loopback()))
        .post("/drain", order(common, Asked::Drain))
        .post("/quitquitquit", order(common, Asked::Quit))
}

fn order(common: &Arc<Common>, wanted: Asked) -> impl Fn(Request<Bytes>) -> Ready<Reply> + Send + Sync + 'static {
    let common = common.clone();
    move |_| {
        tracing::info!(?wanted, "asked for by a container of the pod");
        // What ends everything is not taken back.
        common.asked.send_if_modified(|asked| {
            let more = *asked != Asked::Quit && *asked != wanted;
            if more {
                *asked = wanted;
            }
            more
        });
        ready(admin::text(StatusCode::OK, "OK"))
    }
}

fn listen(socket: Option<std::net::TcpListener>, pages: Admin, ending: &drain::Watch) {
    let Some(socket) = socket else { return };
    match TcpListener::from_std(socket) {
        Ok(listener) => {
            tokio::spawn(pages.serve(listener, ending.clone()));
        }
        Err(error) => tracing::error!(%error, "a page is not served"),
    }
}
