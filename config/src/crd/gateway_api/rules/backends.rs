//! How backends are reached.

use super::{are_apart, entries, filled, goes_with, own};
use crate::crd::node::Node;
use crate::crd::reader::Fields;
use crate::time::duration;
use std::time::Duration;

fn target(node: &Node) -> Vec<String> {
    ["group", "kind", "name"].map(|name| filled(node, name).to_owned()).to_vec()
}

pub(in super::super) fn backend_tls_policy(f: &mut Fields<'_>) {
    let part = |node: &Node| vec![filled(node, "sectionName").to_owned()];
    are_apart(f, "targetRefs", target, part, "sectionName");
}

pub(in super::super) fn x_traffic_policy(f: &mut Fields<'_>) {
    if super::repeated(entries(f.node("targetRefs")).iter().map(target)).is_some() {
        f.invalid::<()>("targetRefs name an object twice");
    }
}

pub(in super::super) fn validation(f: &mut Fields<'_>) {
    let has_refs = !entries(f.node("caCertificateRefs")).is_empty();
    match (has_refs, own(f, "wellKnownCACertificates").is_some_and(|word| !word.is_empty())) {
        (true, true) => drop(f.invalid::<()>("caCertificateRefs and wellKnownCACertificates exclude each other")),
        (false, false) => drop(f.invalid::<()>("needs caCertificateRefs or wellKnownCACertificates")),
        _ => {}
    }
}

pub(in super::super) fn alt_name(f: &mut Fields<'_>) {
    let is = own(f, "type").unwrap_or_default();
    goes_with(f, "hostname", "type", "Hostname", is);
    goes_with(f, "uri", "type", "URI", is);
}

pub(in super::super) fn x_backend(f: &mut Fields<'_>) {
    goes_with(f, "externalHostname", "type", "ExternalHostname", own(f, "type").unwrap_or_default());
}

pub(in super::super) fn external_host(f: &mut Fields<'_>) {
    if own(f, "hostname").is_some_and(|host| host.ends_with(".cluster.local")) {
        f.invalid::<()>("hostname must be outside of the cluster");
    }
}

pub(in super::super) fn x_tls(f: &mut Fields<'_>) {
    goes_with(f, "clientCertificateRef", "mode", "ClientAndServer", own(f, "mode").unwrap_or_default());
}

pub(in super::super) fn budget(f: &mut Fields<'_>) {
    is_within(f, Duration::from_secs(1));
}

pub(in super::super) fn rate(f: &mut Fields<'_>) {
    is_within(f, Duration::from_nanos(1));
}

/// An interval of at least this and at most an hour.
fn is_within(f: &Fields<'_>, least: Duration) {
    if let Some(interval) = own(f, "interval").and_then(duration)
        && !(least..=Duration::from_secs(3600)).contains(&interval)
    {
        f.invalid::<()>("interval must be longer than 0s, at least 1s for a budget, and at most 1h");
    }
}
