//! Clients that want Envoy's resources: another mesh's proxies and tools that were led here. They are told why they get
//! nothing, as from silence they would conclude that there is nothing, and each is logged once.

use http::{Request, Response};
use mesh_runtime::tls::grpc::Caller;
use std::{
    collections::BTreeSet,
    convert::Infallible,
    future::{Ready, ready},
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};
use tonic::{Status, body::Body, server::NamedService};
use tower_service::Service;

/// The form of discovery that resends everything.
const WHOLE_STATE: &str = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources";
/// Most clients that are remembered; others are told and not logged.
const MOST_CLIENTS: usize = 1024;

/// Why a client of such a type gets nothing; `None`: it is not of Envoy's or Istio's own.
pub(super) fn refusal(type_url: &str) -> Option<Status> {
    let is_foreign = ["type.googleapis.com/envoy.", "type.googleapis.com/istio.", "istio.io/"];
    is_foreign.iter().any(|prefix| type_url.starts_with(prefix)).then(|| {
        let debug = match type_url.starts_with("istio.io/debug") {
            true => "; ask meshctl proxy-status and meshctl proxy-config",
            false => "",
        };
        Status::unimplemented(format!(
            "this control plane serves ferromesh.v1 resources to its own proxy, and not {type_url:.200}{debug}; a pod \
             with another proxy is injected again when it is restarted"
        ))
    })
}

fn whole_state() -> Status {
    Status::unimplemented(
        "this control plane serves the incremental form of discovery to its own proxy, and not \
         StreamAggregatedResources, as Envoy, gRPC and istioctl ask for; for istioctl's questions there is meshctl",
    )
}

/// Who was told already.
#[derive(Debug, Clone, Default)]
pub struct Told(Arc<Mutex<BTreeSet<String>>>);

impl Told {
    /// Logs a refusal, unless this client has had one.
    pub(super) fn log(&self, client: &str, refusal: &Status) {
        // What is lost with a panic is that somebody was told.
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() < MOST_CLIENTS && told.insert(client.to_owned()) {
            tracing::warn!(client, reason = refusal.message(), "discovery call of a foreign client refused");
        }
    }
}

/// Answers calls of the form that is not served, before the service that would know nothing of them.
#[derive(Clone)]
pub struct Foreign<S> {
    pub(super) inner: S,
    pub(super) told: Told,
}

impl<S: NamedService> NamedService for Foreign<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Foreign<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = futures_util::future::Either<Ready<Result<Response<Body>, Infallible>>, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if request.uri().path() != WHOLE_STATE {
            return futures_util::future::Either::Right(self.inner.call(request));
        }
        let status = whole_state();
        let address = address(&request).map_or("unknown".to_owned(), |address| address.ip().to_string());
        self.told.log(&address, &status);
        futures_util::future::Either::Left(ready(Ok(status.into_http())))
    }
}

fn address(request: &Request<Body>) -> Option<SocketAddr> {
    request.extensions().get::<Caller>().map(|caller| caller.address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_envoy_and_istio_are_refused_with_a_reason() {
        for foreign in [
            "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            "istio.io/debug",
            "type.googleapis.com/istio.workload.Address",
        ] {
            let status = refusal(foreign).unwrap();
            assert_eq!(status.code(), tonic::Code::Unimplemented);
            assert!(status.message().contains(foreign), "{status}");
        }
        assert!(refusal("istio.io/debug/syncz").unwrap().message().contains("meshctl proxy-status"));
        assert!(refusal("type.googleapis.com/ferromesh.v1.Service").is_none());
        assert!(refusal("type.googleapis.com/ferromesh.v1.OfTomorrow").is_none());
    }

    /// Answers everything with success.
    #[derive(Clone)]
    struct Inner;

    impl Service<Request<Body>> for Inner {
        type Response = Response<Body>;
        type Error = Infallible;
        type Future = Ready<Result<Response<Body>, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<Body>) -> Self::Future {
            ready(Ok(Response::new(Body::empty())))
        }
    }

    #[tokio::test]
    async fn the_form_that_resends_everything_is_refused_and_the_other_served() {
        let mut service = Foreign { inner: Inner, told: Told::default() };
        let mut status = async |path: &str| {
            let answer = service.call(Request::builder().uri(path).body(Body::empty()).unwrap()).await.unwrap();
            answer.headers().get("grpc-status").map(|status| status.to_str().unwrap().to_owned())
        };
        assert_eq!(status(WHOLE_STATE).await.as_deref(), Some("12"));
        assert_eq!(status(&WHOLE_STATE.replace("Stream", "Delta")).await, None);
    }

    #[test]
    fn each_client_is_remembered_once_and_not_too_many_are() {
        let told = Told::default();
        for i in 0..2 * MOST_CLIENTS {
            told.log(&format!("client {}", i / 2), &whole_state());
            told.log(&format!("more {i}"), &whole_state());
        }
        assert_eq!(told.0.lock().unwrap().len(), MOST_CLIENTS);
    }
}
