//! Sidecar: what a workload's proxy sees and listens on.

pub(super) mod form;

use super::{forms, gateway::tls, http_action, names};
use crate::{
    crd::{
        Object, ParseContext,
        reader::{Fields, Item},
    },
    model::{
        Protocol, Sidecar,
        settings::OutboundPolicy,
        sidecar::{EgressHost, EgressListener, EgressNamespace, IngressEndpoint, IngressListener},
    },
    name::Port,
};
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

/// The whole Sidecar.
pub(in crate::crd) fn sidecar(object: &Object, f: &mut Fields<'_>, context: &ParseContext) -> Option<Sidecar> {
    let workload_selector = f.object("workloadSelector", |f| Some(f.selector("labels")));
    let mut taken = BTreeSet::new();
    let ingress = f.list("ingress", |item| unique(&item, item.object(ingress)?, |l| taken.insert(l.port)));
    let egress = egress_listeners(f);
    let outbound_policy = f.object("outboundTrafficPolicy", |f| outbound_policy(f, object, context)).flatten();
    f.not_acted_on_as("inboundConnectionPool", &forms::POOL, "");
    if !["ingress", "egress", "outboundTrafficPolicy", "inboundConnectionPool"].into_iter().any(|name| f.has(name)) {
        f.refuse("says nothing: give ingress, egress or outboundTrafficPolicy");
    }
    Some(Sidecar { name: object.name(), workload_selector, ingress, egress: egress?, outbound_policy })
}

/// The listener, when `first` says that it is the first of its kind.
fn unique<T>(item: &Item<'_>, listener: T, first: impl FnOnce(&T) -> bool) -> Option<T> {
    if first(&listener) { Some(listener) } else { item.invalid("another listener of this object has the same port") }
}

#[derive(Clone, Copy, PartialEq)]
enum Capture {
    Default,
    Iptables,
    None,
}

fn capture(f: &mut Fields<'_>) -> Capture {
    let modes = [("DEFAULT", Capture::Default), ("IPTABLES", Capture::Iptables), ("NONE", Capture::None)];
    f.enum_of("captureMode", &modes).unwrap_or(Capture::Default)
}

fn bind(f: &mut Fields<'_>) -> Option<IpAddr> {
    let item = f.item("bind")?;
    match item.string()? {
        text if text.is_empty() => None,
        text if text.starts_with("unix://") => item.not_served("a unix socket to bind"),
        _ => item.parsed(),
    }
}

/// Number, protocol, name.
fn port(f: &mut Fields<'_>) -> Option<(Port, Protocol, Arc<str>)> {
    let number = f.required("number").and_then(|item| match item.i64()? {
        // Sockets that are files have no port.
        0 => item.not_served("port 0, for a unix socket"),
        _ => item.port(),
    });
    let protocol = f.item("protocol").and_then(|item| {
        if item.node().as_str().is_some_and(|text| text.eq_ignore_ascii_case("HTTP_PROXY")) {
            item.not_acted_on("the port is served as HTTP");
        }
        names::protocol(&item)
    });
    let name = f.opt_string("name").unwrap_or_default();
    f.not_acted_on_because("targetPort", "it never had an effect");
    Some((number?, protocol.unwrap_or(Protocol::Auto), name))
}

fn ingress(f: &mut Fields<'_>) -> Option<IngressListener> {
    let listener = f.required("port").and_then(|item| item.object(port));
    let (bind, capture) = (bind(f), capture(f));
    let default_endpoint = f.item("defaultEndpoint").map_or(Some(IngressEndpoint::Loopback), |item| endpoint(&item));
    f.not_acted_on_as("connectionPool", &forms::POOL, "");
    // Without it the port would take what the user wants refused.
    if let Some(item) = f.item("tls") {
        item.not_served::<()>("tls");
        item.leniently(ingress_tls);
    }
    let (port, protocol, name) = listener?;
    if bind.is_some() && capture != Capture::None {
        f.warn("no-effect", "bind only has an effect with captureMode NONE");
    }
    // Captured traffic arrives on the proxy's one inbound port; binding the address too would take the application's.
    let bind = (capture == Capture::None).then(|| bind.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)));
    Some(IngressListener { port, protocol, name, bind, default_endpoint: default_endpoint? })
}

/// A sidecar has certificates in files, one pair.
fn ingress_tls(item: &Item<'_>) {
    item.object(|f| {
        let mode = f.item("mode").and_then(|item| item.string()).unwrap_or_default();
        if !["SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL"].contains(&&*mode) {
            f.refuse("a sidecar's mode is SIMPLE, MUTUAL or OPTIONAL_MUTUAL");
        }
        let gateways = ["httpsRedirect", "credentialName", "credentialNames", "subjectAltNames", "tlsCertificates"];
        for name in gateways.into_iter().filter(|name| f.has(name)) {
            f.refuse(format!("{name} is for gateways alone"));
        }
        tls::certificates(f, &mode);
        f.ignore_rest();
        Some(())
    });
}

/// Where the application listens.
fn endpoint(item: &Item<'_>) -> Option<IngressEndpoint> {
    let text = item.string()?;
    if text.is_empty() {
        return Some(IngressEndpoint::Loopback);
    }
    if let Some(path) = text.strip_prefix("unix://") {
        return match path.starts_with(['/', '@']) && path.len() > 1 {
            true => Some(IngressEndpoint::Unix(path.into())),
            false => item.invalid("a unix socket is written unix:///absolute/path or unix://@name"),
        };
    }
    let address: Option<SocketAddr> = text.parse().ok();
    match address.and_then(|a| Some((a, Port::new(a.port())?))) {
        Some((address, port)) if address.ip().is_unspecified() => Some(IngressEndpoint::InstancePort(port)),
        Some((address, _)) => {
            if !address.ip().is_loopback() {
                item.refuse("the application listens on 127.0.0.1, [::1], or wherever it is called (0.0.0.0, [::])");
            }
            Some(IngressEndpoint::Address(address))
        }
        None => {
            item.invalid(format!("{text:?} is not 127.0.0.1:PORT, [::1]:PORT, 0.0.0.0:PORT, [::]:PORT or unix:///path"))
        }
    }
}

fn egress_listeners(f: &mut Fields<'_>) -> Option<Vec<EgressListener>> {
    let Some(item) = f.item("egress") else { return Some(Vec::new()) };
    let mut taken = BTreeSet::new();
    let listeners = item.list(|entry| {
        let listener = entry.object(|f| egress(f))?;
        unique(&entry, listener, |l| l.port.is_none() || taken.insert((l.port, l.bind)))
    });
    let catch_all = |l: &EgressListener| l.port.is_none();
    if listeners.iter().rev().skip(1).any(catch_all) {
        return item.invalid(
            "a listener without a port catches everything else, so there can be only one and it must come last",
        );
    }
    Some(listeners)
}

fn egress(f: &mut Fields<'_>) -> Option<EgressListener> {
    let listener = f.object("port", port);
    let (bind, capture) = (bind(f), capture(f));
    let on_file = f.item("bind").is_some_and(|item| item.node().as_str().is_some_and(|bind| bind.starts_with("unix:")));
    if on_file && capture == Capture::Iptables {
        f.refuse("a unix socket is bound with captureMode DEFAULT or NONE");
    }
    let hosts = f.required("hosts").and_then(|item| hosts(&item));
    let (number, protocol, name) = match listener {
        Some((number, protocol, name)) => (Some(number), protocol, name),
        None => (None, Protocol::Auto, "".into()),
    };
    if capture == Capture::None && number.is_none() {
        return f.invalid("captureMode NONE needs a port to bind");
    }
    let bind = match capture {
        Capture::None => Some(bind.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))),
        Capture::Iptables => None,
        Capture::Default => bind.filter(|_| number.is_some()),
    };
    Some(EgressListener { port: number, protocol, name, bind, hosts: hosts? })
}

/// `namespace/host` entries; `~/*` adds nothing.
fn hosts(item: &Item<'_>) -> Option<Vec<EgressHost>> {
    let mut count = 0;
    let hosts = item.list(|entry| {
        count += 1;
        egress_host(&entry)
    });
    if count == 0 {
        return item.invalid("at least one host is required");
    }
    let all = |h: &EgressHost| !h.exclude && h.namespace == EgressNamespace::Any && h.host.as_str() == "*";
    if hosts.iter().any(all) && hosts.iter().filter(|h| !h.exclude).count() > 1 {
        return item.invalid("*/* includes everything: it must be the only host");
    }
    Some(hosts)
}

fn egress_host(item: &Item<'_>) -> Option<EgressHost> {
    let text = item.non_empty()?;
    let Some((namespace, name)) = text.split_once('/') else {
        return item.invalid(format!("{text:?} is not of the form namespace/host"));
    };
    let host = names::qualified_host(item, name)?;
    let (namespace, exclude) = match namespace {
        "~" => return None,
        _ => namespace.strip_prefix('~').map_or((namespace, false), |ns| (ns, true)),
    };
    let namespace = match namespace {
        "" => return item.invalid("the namespace before the slash is empty"),
        "*" => EgressNamespace::Any,
        "." => EgressNamespace::OfWorkload,
        other => {
            if !names::is_label(other) {
                item.refuse(format!("{other:?} is no name of a namespace"));
            }
            EgressNamespace::Named(other.into())
        }
    };
    Some(EgressHost { namespace, host, exclude })
}

/// Inner `None`: the mesh's.
fn outbound_policy(f: &mut Fields<'_>, object: &Object, context: &ParseContext) -> Option<Option<OutboundPolicy>> {
    let modes = [("REGISTRY_ONLY", OutboundPolicy::RegistryOnly), ("ALLOW_ANY", OutboundPolicy::AllowAny)];
    // A block without a mode is the field's default on the wire.
    let mode = match f.item("mode") {
        Some(item) => item.enum_of(&modes)?,
        None => OutboundPolicy::RegistryOnly,
    };
    let Some(item) = f.item("egressProxy") else { return Some(Some(mode)) };
    if mode != OutboundPolicy::AllowAny {
        return item.invalid("egressProxy needs mode ALLOW_ANY");
    }
    let target = http_action::target(&item, object, context)?;
    Some(Some(OutboundPolicy::EgressProxy(target)))
}
