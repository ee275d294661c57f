//! EndpointSlice: addresses behind a Service.

use crate::{
    crd::{
        Object,
        reader::{Fields, Item},
    },
    name::{NamespacedName, Port},
};
use std::{net::IpAddr, sync::Arc};

/// A Kubernetes EndpointSlice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointSlice {
    /// The object's name.
    pub name: NamespacedName,
    /// The Service that it belongs to (label `kubernetes.io/service-name`).
    pub service: NamespacedName,
    /// Ports that every endpoint has; UDP and such left out.
    pub ports: Vec<SlicePort>,
    /// In order.
    pub endpoints: Vec<SliceEndpoint>,
}

/// A port of a slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlicePort {
    /// The name of the Service's port; may be empty.
    pub name: Arc<str>,
    /// Where the endpoints listen.
    pub number: Port,
}

/// One endpoint of a slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SliceEndpoint {
    /// Never empty; all of one pod.
    pub addresses: Vec<IpAddr>,
    /// `conditions.ready`; not said is ready.
    pub ready: bool,
    /// `conditions.serving`; not said is as `ready`.
    pub serving: bool,
    /// `conditions.terminating`.
    pub terminating: bool,
    /// The pod behind it.
    pub pod: Option<NamespacedName>,
    /// The pod's host name in a headless Service.
    pub hostname: Option<Arc<str>>,
    /// The node it is on.
    pub node: Option<Arc<str>>,
    /// The zone it is in.
    pub zone: Option<Arc<str>>,
}

/// `None` without an error: it belongs to no Service, or holds no addresses.
pub(super) fn parse(object: &Object, f: &mut Fields<'_>) -> Option<EndpointSlice> {
    let service = object.meta.labels.get("kubernetes.io/service-name")?;
    if f.opt_string("addressType").as_deref() == Some("FQDN") {
        f.warn("field-not-acted-on", "slices of host names are not acted on yet: use a ServiceEntry");
        return None;
    }
    let namespace = object.meta.namespace.clone();
    Some(EndpointSlice {
        name: object.name(),
        service: NamespacedName::new(&namespace, service),
        ports: f.objects("ports", |f| port(f)).into_iter().flatten().collect(),
        endpoints: f.objects("endpoints", |f| endpoint(f, &namespace)),
    })
}

fn port(f: &mut Fields<'_>) -> Option<Option<SlicePort>> {
    f.ignore_rest();
    let name = f.opt_string("name").unwrap_or_default();
    let is_tcp = f.opt_string("protocol").is_none_or(|protocol| &*protocol == "TCP");
    let Some(item) = f.item("port").filter(|_| is_tcp) else { return Some(None) };
    Some(Some(SlicePort { name, number: item.port()? }))
}

fn endpoint(f: &mut Fields<'_>, namespace: &str) -> Option<SliceEndpoint> {
    f.ignore_rest();
    let address = |item: Item<'_>| {
        let text = item.string()?;
        text.parse().ok().or_else(|| item.invalid(format!("{text:.60?} is not an address")))
    };
    let addresses = f.list("addresses", address);
    if addresses.is_empty() && f.errors() == 0 {
        return f.invalid("an endpoint needs an address");
    }
    let (mut ready, mut serving, mut terminating) = (true, None, false);
    f.object("conditions", |f| {
        f.ignore_rest();
        ready = f.bool("ready").unwrap_or(true);
        serving = f.bool("serving");
        terminating = f.bool("terminating").unwrap_or(false);
        Some(())
    });
    let pod = f.object("targetRef", |f| {
        f.ignore_rest();
        let is_pod = f.opt_string("kind").as_deref() == Some("Pod");
        let name = f.opt_string("name").filter(|_| is_pod);
        let namespace = f.opt_string("namespace").unwrap_or_else(|| namespace.into());
        Some(name.map(|name| NamespacedName::new(&namespace, &name)))
    });
    Some(SliceEndpoint {
        addresses,
        ready,
        serving: serving.unwrap_or(ready),
        terminating,
        pod: pod.flatten(),
        hostname: f.opt_string("hostname"),
        node: f.opt_string("nodeName"),
        zone: f.opt_string("zone"),
    })
}
