//! Kubernetes' own objects, as far as the mesh needs them. What they hold besides is none of its business and is
//! not reported.

mod endpoint_slice;
mod ingress;
mod pod;
mod secret;
mod service;

pub use endpoint_slice::{EndpointSlice, SliceEndpoint, SlicePort};
pub use ingress::{Ingress, IngressBackend, IngressClass, IngressPath, IngressPort, IngressRule, IngressTls, PathRule};
pub use pod::{ContainerPort, Pod, PodPhase};
pub use secret::Secret;
pub use service::{KubePort, Service, ServiceKind, TargetPort};

pub(super) use ingress::form::{INGRESS, INGRESS_CLASS};
pub(super) use ingress::{ingress, ingress_class};

use super::{Object, ParseContext, reader::Fields};
use crate::model::{Labels, workload::Locality};
use std::sync::Arc;

/// A Kubernetes Namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace {
    /// Its name.
    pub name: Arc<str>,
    /// Its labels.
    pub labels: Labels,
}

/// A Kubernetes Node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: Arc<str>,
    /// Where it is, as its labels say.
    pub locality: Locality,
}

/// Reads a Service (all its fields, `apiVersion`, `kind`, `metadata` are marked as read).
pub(super) fn service(object: &Object, fields: &mut Fields<'_>, context: &ParseContext) -> Option<Service> {
    fields.ignore_rest();
    service::parse(object, fields, context)
}

/// Reads an EndpointSlice (all its fields, `apiVersion`, `kind`, `metadata` are marked as read).
pub(super) fn endpoint_slice(
    object: &Object,
    fields: &mut Fields<'_>,
    _context: &ParseContext,
) -> Option<EndpointSlice> {
    fields.ignore_rest();
    endpoint_slice::parse(object, fields)
}

/// Reads a Pod (all its fields, `apiVersion`, `kind`, `metadata` are marked as read).
pub(super) fn pod(object: &Object, fields: &mut Fields<'_>, _context: &ParseContext) -> Option<Pod> {
    fields.ignore_rest();
    pod::parse(object, fields)
}

/// Reads a Node (all its fields, `apiVersion`, `kind`, `metadata` are marked as read).
pub(super) fn node(object: &Object, fields: &mut Fields<'_>, _context: &ParseContext) -> Option<Node> {
    fields.ignore_rest();
    // The second names are those of clusters that are long out of support.
    let label =
        |names: &[&str]| names.iter().find_map(|name| object.meta.labels.get(name)).cloned().unwrap_or_default();
    let locality = Locality {
        region: label(&["topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"]),
        zone: label(&["topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"]),
        subzone: label(&["topology.istio.io/subzone"]),
    };
    Some(Node { name: object.meta.name.clone(), locality })
}

/// Reads a Namespace (all its fields, `apiVersion`, `kind`, `metadata` are marked as read).
pub(super) fn namespace(object: &Object, fields: &mut Fields<'_>, _context: &ParseContext) -> Option<Namespace> {
    fields.ignore_rest();
    Some(Namespace { name: object.meta.name.clone(), labels: object.meta.labels.clone() })
}

/// Reads a Secret (all its fields, `apiVersion`, `kind`, `metadata` are marked as read). `None` without an error: it
/// holds nothing for TLS.
pub(super) fn secret(object: &Object, fields: &mut Fields<'_>, _context: &ParseContext) -> Option<Secret> {
    fields.ignore_rest();
    secret::parse(object, fields)
}

#[cfg(test)]
mod tests;
