//! `extensionProviders`: whom policies may ask.
//!
//! A provider whose definition is wrong is kept, marked as unusable: what names it is refused rather than let through.

use crate::{
    crd::reader::{Fields, Item},
    model::settings::ExternalAuthorizer,
    name::{Host, Port},
};
use std::sync::Arc;

/// Those of the external authorisation kinds.
pub(super) fn external_authorizers(list: &Item<'_>) -> Vec<ExternalAuthorizer> {
    let mut authorizers: Vec<ExternalAuthorizer> = Vec::new();
    for found in list.list(|item| item.object(provider)).into_iter().flatten() {
        match authorizers.iter_mut().find(|known| known.name == found.name) {
            Some(known) => {
                list.warn("invalid-provider", format!("provider {:?} is defined twice; neither is used", found.name));
                known.invalid = Some("it is defined twice".into());
            }
            None => authorizers.push(found),
        }
    }
    authorizers
}

/// `Some(None)`: a provider of another kind.
fn provider(f: &mut Fields<'_>) -> Option<Option<ExternalAuthorizer>> {
    let name = f.required("name")?.non_empty()?;
    let mut authorizer = None;
    for (kind, grpc) in [("envoyExtAuthzHttp", false), ("envoyExtAuthzGrpc", true)] {
        if let Some(item) = f.item(kind) {
            item.not_acted_on("requests that need its answer are refused");
            authorizer = item.object(|f| {
                let authorizer = external_authorizer(f, name.clone(), grpc);
                f.finish_leniently();
                Some(authorizer)
            });
            if let Some(reason) = authorizer.as_ref().and_then(|a| a.invalid.as_deref()) {
                item.warn("invalid-provider", format!("provider {name:?} cannot be used: {reason}"));
            }
        }
    }
    OTHER_KINDS.iter().for_each(|kind| f.not_acted_on(kind));
    // Those of logs are read beside Telemetry, which names them.
    f.ignore(&["envoyFileAccessLog"]);
    Some(authorizer)
}

const OTHER_KINDS: &[&str] = &[
    "zipkin",
    "lightstep",
    "datadog",
    "stackdriver",
    "opencensus",
    "skywalking",
    "opentelemetry",
    "prometheus",
    "envoyHttpAls",
    "envoyTcpAls",
    "envoyOtelAls",
    "sds",
];

fn external_authorizer(f: &mut Fields<'_>, name: Arc<str>, grpc: bool) -> ExternalAuthorizer {
    let mut wrong: Vec<String> = Vec::new();
    let port = f.item("port").and_then(|item| item.i64()).unwrap_or(0);
    let port = u16::try_from(port).ok().and_then(Port::new).unwrap_or_else(|| {
        wrong.push(format!("port {port} is not within 1 to 65535"));
        placeholder_port()
    });
    let service = f.opt_string("service").unwrap_or_default();
    let host = service.split_once('/').map_or(&*service, |(_, host)| host);
    let service = host.parse::<Host>().ok().filter(|host| !host.is_wildcard()).unwrap_or_else(|| {
        wrong.push(format!("service {service:?} is not of the form [namespace/]host"));
        placeholder_host()
    });
    if let Some(status) = f.opt_string("statusOnError").filter(|status| !is_status(status)) {
        wrong.push(format!("statusOnError {status:?} is not an HTTP status"));
    }
    if let Some(prefix) = f.opt_string("pathPrefix").filter(|prefix| !prefix.is_empty() && !prefix.starts_with('/')) {
        wrong.push(format!("pathPrefix {prefix:?} does not begin with a slash"));
    }
    // How to ask: read when somebody asks.
    f.ignore(&[
        "timeout",
        "failOpen",
        "clearRouteCache",
        "includeHeadersInCheck",
        "includeRequestHeadersInCheck",
        "includeAdditionalHeadersInCheck",
        "includeRequestBodyInCheck",
        "headersToUpstreamOnAllow",
        "headersToDownstreamOnDeny",
        "headersToDownstreamOnAllow",
    ]);
    let invalid = (!wrong.is_empty()).then(|| wrong.join("; ").into());
    ExternalAuthorizer { name, grpc, service, port, invalid }
}

/// Stands where an unusable provider has no port; nobody dials it.
fn placeholder_port() -> Port {
    Port::new(1).expect("1 is a port")
}

fn placeholder_host() -> Host {
    "unknown.invalid".parse().expect("a well-formed host")
}

/// The statuses that Envoy knows by name.
fn is_status(text: &str) -> bool {
    let known = |code: u16| {
        matches!(code, 0 | 100 | 200..=208 | 226 | 300..=305 | 307 | 308 | 400..=417 | 421..=424 | 426 | 428 | 429 | 431)
            || matches!(code, 500..=508 | 510 | 511)
    };
    text.is_empty() || text.parse().is_ok_and(known)
}
