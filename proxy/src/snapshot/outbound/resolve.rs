//! A route's destination by name.

use super::ServiceInUse;
use crate::snapshot::{build::Named, virtual_host::Resolved};
use mesh_config::{
    model::{ServiceKey, index::IndexKind, route::Target},
    name::Port,
};
use std::{collections::HashMap, sync::Arc};

/// What `target` is, named in a rule for `listener_port`: the client's own namespace comes first where several
/// services have the host. Without a port it is the service's only one, else the listener's.
pub(in crate::snapshot) fn resolve(
    named: &Named,
    services: &HashMap<ServiceKey, Arc<ServiceInUse>>,
    target: &Target,
    listener_port: Port,
) -> Resolved {
    let entry = named.by_host(&target.host).iter().find(|e| e.kind == IndexKind::Service);
    let Some(entry) = entry else { return missing(target, target.port.unwrap_or(listener_port)) };
    let port = target.port.unwrap_or_else(|| match &entry.ports[..] {
        [only] => only.number,
        _ => listener_port,
    });
    let Some(service) = services.get(&entry.key) else { return Resolved::Pending(entry.key.clone()) };
    match service.port(port).and_then(|p| p.subset(target.subset.as_deref())) {
        Some(cluster) => Resolved::Ready(cluster.clone()),
        None => missing(target, port),
    }
}

fn missing(target: &Target, port: Port) -> Resolved {
    Resolved::Missing(cluster_name(port, target.subset.as_deref(), target.host.as_str()))
}

/// The name that users know a service's cluster by.
pub(in crate::snapshot) fn cluster_name(port: Port, subset: Option<&str>, host: &str) -> Arc<str> {
    format!("outbound|{port}|{}|{host}", subset.unwrap_or("")).into()
}
