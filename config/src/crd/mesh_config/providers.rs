//! `extensionProviders`: whom policies may ask, and where logs go.
//!
//! A provider whose definition is wrong is kept, marked as unusable: what names it is refused rather than let through.

use super::forms::{FILE_LOG, PROVIDER};
use crate::{
    crd::{
        reader::{Fields, Item},
        telemetry,
    },
    model::{
        settings::{AccessLog, ExternalAuthorizer},
        telemetry::LogOutlet,
    },
    name::{Host, Port},
};
use std::sync::Arc;

/// Those that decide on requests, and those that logs go to.
pub(super) fn read(list: &Item<'_>, mesh: &AccessLog) -> (Vec<ExternalAuthorizer>, Vec<LogOutlet>) {
    let (mut authorizers, mut outlets) = (Vec::<ExternalAuthorizer>::new(), Vec::new());
    for (authorizer, outlet) in list.list(|item| item.object(|f| provider(f, mesh))) {
        outlets.extend(outlet);
        let Some(found) = authorizer else { continue };
        match authorizers.iter_mut().find(|known| known.name == found.name) {
            Some(known) => {
                list.warn("invalid-provider", format!("provider {:?} is defined twice; neither is used", found.name));
                known.invalid = Some("it is defined twice".into());
            }
            None => authorizers.push(found),
        }
    }
    (authorizers, outlets)
}

fn provider(f: &mut Fields<'_>, mesh: &AccessLog) -> Option<(Option<ExternalAuthorizer>, Option<LogOutlet>)> {
    PROVIDER.read_inert(f);
    let name = f.required("name")?.non_empty()?;
    let mut authorizer = None;
    for (kind, grpc) in [("envoyExtAuthzHttp", false), ("envoyExtAuthzGrpc", true)] {
        let Some(item) = f.item(kind) else { continue };
        authorizer = item.object(|f| {
            let authorizer = external_authorizer(f, name.clone(), grpc);
            // The form has looked at the rest.
            f.ignore_rest();
            Some(authorizer)
        });
        if let Some(reason) = authorizer.as_ref().and_then(|a| a.invalid.as_deref()) {
            item.warn("invalid-provider", format!("provider {name:?} cannot be used: {reason}"));
        }
    }
    let outlet = f.object("envoyFileAccessLog", |f| {
        FILE_LOG.read_inert(f);
        Some(telemetry::outlet(f, &name, mesh))
    });
    f.finish_leniently();
    Some((authorizer, outlet))
}

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
