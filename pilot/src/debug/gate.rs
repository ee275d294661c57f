//! Who may see debug pages over HTTP: callers on this machine everything, others what their token entitles to.

use super::Reports;
use crate::discovery::authn::Authenticate;
use futures_util::FutureExt;
use http::{Request, StatusCode};
use mesh_config::name::Namespace;
use mesh_runtime::admin::{self, Gate, Peer, Reply};
use tonic::{Extensions, metadata::MetadataMap};

/// Pages about one proxy, which show callers of other namespaces the proxies of their own.
const OF_ONE_PROXY: [&str; 5] =
    ["/debug/config", "/debug/config_dump", "/debug/edsz", "/debug/ndsz", "/debug/sidecarz"];

/// What a caller may see; among the extensions of every request that comes through the gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum MaySee {
    All,
    /// Proxies of one namespace.
    Proxies(Namespace),
}

impl MaySee {
    /// What the gate found out; nobody may see anything without it.
    pub(super) fn proxies_of<B>(request: &Request<B>, namespace: &str) -> bool {
        match request.extensions().get::<MaySee>() {
            Some(MaySee::All) => true,
            Some(MaySee::Proxies(own)) => own.as_str() == namespace,
            None => false,
        }
    }
}

pub(super) fn gate(reports: Reports, authenticate: Authenticate) -> Gate {
    std::sync::Arc::new(move |request| {
        let (reports, authenticate) = (reports.clone(), authenticate.clone());
        through(request, reports, authenticate).boxed()
    })
}

async fn through(mut request: Request<()>, reports: Reports, authenticate: Authenticate) -> Result<Request<()>, Reply> {
    if Peer::is_local(&request) {
        request.extensions_mut().insert(MaySee::All);
        return Ok(request);
    }
    let metadata = MetadataMap::from_headers(request.headers().clone());
    let proved = authenticate(&metadata, &Extensions::new()).await.map_err(|status| {
        let hint = "callers from elsewhere prove a service account: Authorization: Bearer TOKEN";
        admin::text(StatusCode::UNAUTHORIZED, format!("{}; {hint}\n", status.message()))
    })?;
    let root = reports.root_namespace();
    let may_see = match (proved.namespace == root, OF_ONE_PROXY.contains(&request.uri().path())) {
        (true, _) => MaySee::All,
        (false, true) => MaySee::Proxies(proved.namespace),
        (false, false) => {
            let own = proved.namespace;
            let message = format!("only callers of namespace {root} may read this page, not callers of {own}\n");
            return Err(admin::text(StatusCode::FORBIDDEN, message));
        }
    };
    request.extensions_mut().insert(may_see);
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        discovery::{authn::Proved, clients::Clients},
        mesh::Mesh,
        metrics::Metrics,
    };
    use mesh_runtime::{snapshot, telemetry::metrics::Registry};
    use std::{net::SocketAddr, sync::Arc};

    async fn asked(from: &str, path: &str, token: Option<&str>) -> Result<MaySee, StatusCode> {
        let (_mesh, reader) = snapshot::publisher(Arc::new(Mesh::default()));
        let clients = Clients::new(Metrics::new(&Registry::new()).unwrap());
        // Who says a namespace is believed.
        let authenticate: Authenticate = Arc::new(|metadata, _| {
            let said = metadata.get("authorization").and_then(|value| value.to_str().ok()).map(str::to_owned);
            Box::pin(async move {
                let namespace = said.ok_or_else(|| tonic::Status::unauthenticated("no token"))?;
                Ok(Proved {
                    namespace: (&*namespace).into(),
                    service_account: "a".into(),
                    proof: "token",
                    until: std::time::SystemTime::UNIX_EPOCH,
                })
            })
        });
        let authority: crate::rotation::Own = Arc::new(Default::default);
        let reports = Reports { mesh: reader, clients, authority, namespace: "istio-system".into() };
        let mut request = Request::builder().uri(path).body(()).unwrap();
        request.extensions_mut().insert(Peer(from.parse::<SocketAddr>().unwrap()));
        if let Some(token) = token {
            request.headers_mut().insert("authorization", token.parse().unwrap());
        }
        let through = through(request, reports, authenticate).await;
        through.map(|request| request.extensions().get::<MaySee>().unwrap().clone()).map_err(|reply| reply.status())
    }

    #[tokio::test]
    async fn this_machine_sees_everything_and_others_what_they_prove() {
        assert_eq!(asked("127.0.0.1:7", "/debug/syncz", None).await, Ok(MaySee::All));
        assert_eq!(asked("10.0.0.1:7", "/debug/syncz", None).await, Err(StatusCode::UNAUTHORIZED));
        // A proxy carries by this address what others have sent.
        assert_eq!(asked("127.0.0.6:7", "/debug/syncz", None).await, Err(StatusCode::UNAUTHORIZED));
        assert_eq!(asked("10.0.0.1:7", "/debug/syncz", Some("istio-system")).await, Ok(MaySee::All));
        assert_eq!(asked("10.0.0.1:7", "/debug/syncz", Some("shop")).await, Err(StatusCode::FORBIDDEN));
        for page in ["config", "config_dump", "edsz", "ndsz", "sidecarz"] {
            let own = asked("10.0.0.1:7", &format!("/debug/{page}"), Some("shop")).await;
            assert_eq!(own, Ok(MaySee::Proxies("shop".into())), "{page}");
        }
    }
}
