//! Sidecar: what a workload's proxy sees and listens on.

pub(super) mod form;

use form::{INGRESS, PORT, SIDECAR};

use super::{
    gateway::{form::SERVER_TLS, tls},
    http_action, names,
    workload_entry::form::labels,
};
use crate::{
    crd::{
        Object, ParseContext,
        node::Value,
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
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

/// The whole Sidecar.
pub(in crate::crd) fn sidecar(object: &Object, f: &mut Fields<'_>, context: &ParseContext) -> Option<Sidecar> {
    let workload_selector = f.object("workloadSelector", |f| Some(labels(f)));
    let mut taken = BTreeSet::new();
    let ingress = f.list("ingress", |item| unique(&item, item.object(ingress)?, |l| taken.insert(l.port)));
    let egress = egress_listeners(f);
    let outbound_policy = f.object("outboundTrafficPolicy", |f| outbound_policy(f, object, context)).flatten();
    SIDECAR.read_inert(f);
    let says = |name| f.item(name).is_some_and(|item| item.node().value != Value::Seq(Vec::new()));
    if !["ingress", "egress", "outboundTrafficPolicy", "inboundConnectionPool"].into_iter().any(says) {
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
        text if text.starts_with("unix://") => {
            if !text.strip_prefix("unix://").is_some_and(names::is_socket_path) {
                item.refuse(names::SOCKET_FORM);
            }
            item.not_served("a unix socket to bind")
        }
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
    let name = f.item("name").and_then(|item| {
        let name = item.string()?;
        if !name.is_empty() {
            names::check_port_name(&item, &name);
        }
        Some(name)
    });
    let name = name.unwrap_or_default();
    names::no_target_port(f, &PORT);
    Some((number?, protocol.unwrap_or(Protocol::Auto), name))
}

fn ingress(f: &mut Fields<'_>) -> Option<IngressListener> {
    if binds_socket(f) || number_of(f).is_some_and(|number| number == 0) {
        f.refuse("what comes in comes to a port: number is 1 to 65535, and bind an address");
    }
    let listener = f.required("port").and_then(|item| item.object(port));
    let (bind, capture) = (bind(f), capture(f));
    let default_endpoint = f.item("defaultEndpoint").map_or(Some(IngressEndpoint::Loopback), |item| endpoint(&item));
    INGRESS.read_inert_of(f, &["connectionPool"]);
    // Without it the port would take what the user wants refused.
    if let Some(item) = f.item("tls") {
        item.not_served::<()>("tls");
        item.leniently(ingress_tls);
        if listener.as_ref().is_some_and(|(_, protocol, _)| !matches!(protocol, Protocol::Https | Protocol::Tls)) {
            item.refuse("tls needs protocol HTTPS or TLS");
        }
    }
    let (port, protocol, name) = listener?;
    if bind.is_some() && capture != Capture::None {
        f.warn("no-effect", "bind only has an effect with captureMode NONE");
    }
    // Captured traffic arrives on the proxy's one inbound port; binding the address too would take the application's.
    let bind = (capture == Capture::None).then(|| bind.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)));
    Some(IngressListener { port, protocol, name, bind, default_endpoint: default_endpoint? })
}

/// Whether a listener is bound to a unix socket.
fn binds_socket(f: &mut Fields<'_>) -> bool {
    f.item("bind").is_some_and(|item| item.node().as_str().is_some_and(|bind| bind.starts_with("unix://")))
}

/// The number of a listener's port, where it has one that is a number.
fn number_of(f: &mut Fields<'_>) -> Option<i64> {
    match f.item("port")?.node().get("number")?.value {
        Value::Int(number) => Some(number),
        _ => None,
    }
}

/// A sidecar has certificates in files, one pair.
fn ingress_tls(item: &Item<'_>) {
    item.object(|f| {
        let mode = f.item("mode").and_then(|item| item.string()).unwrap_or_else(|| "PASSTHROUGH".into());
        if ["ISTIO_MUTUAL", "AUTO_PASSTHROUGH"].contains(&&*mode) {
            f.refuse("a sidecar's mode is PASSTHROUGH, SIMPLE, MUTUAL or OPTIONAL_MUTUAL");
        }
        for name in ["httpsRedirect", "credentialName", "credentialNames", "subjectAltNames", "tlsCertificates"] {
            if let Some(item) = f.item(name).filter(names::is_filled) {
                item.refuse("is for gateways alone");
            }
        }
        tls::certificates(f, &mode);
        SERVER_TLS.check(f);
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
        return match names::is_socket_path(path) {
            true => Some(IngressEndpoint::Unix(path.into())),
            false => item.invalid(names::SOCKET_FORM),
        };
    }
    let address: Option<SocketAddr> = match text.starts_with(':') {
        true => format!("127.0.0.1{text}").parse().ok(),
        false => text.parse().ok(),
    };
    match address.and_then(|a| Some((a, Port::new(a.port())?))) {
        Some((address, port)) if address.ip().is_unspecified() => Some(IngressEndpoint::InstancePort(port)),
        Some((address, _)) => {
            if ![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)].contains(&address.ip()) {
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
    let (mut taken, mut numbers, mut sockets) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let listeners = item.list(|entry| {
        let bind = entry.node().get("bind").and_then(|bind| bind.as_str()).filter(|bind| bind.starts_with("unix://"));
        if bind.is_some_and(|bind| !sockets.insert(bind)) {
            entry.refuse("another listener of this object is bound to the same socket");
        }
        let listener = entry.object(|f| egress(f))?;
        if listener.port.is_some_and(|port| !numbers.insert(port)) {
            entry.refuse("another listener of this object has the same port");
        }
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
    let on_socket = binds_socket(f);
    if on_socket && capture == Capture::Iptables {
        f.refuse("a unix socket is bound with captureMode DEFAULT or NONE");
    }
    if number_of(f).is_some_and(|number| (number == 0) != on_socket) {
        f.refuse("port 0 is for a unix socket, and such a socket has no other");
    }
    let hosts = f.required("hosts").and_then(|item| hosts(&item));
    let (number, protocol, name) = match listener {
        Some((number, protocol, name)) => (Some(number), protocol, name),
        None => (None, Protocol::Auto, "".into()),
    };
    if capture == Capture::None && number.is_none() {
        return f.item("captureMode")?.not_served("captureMode NONE without a port to bind");
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
        item.warn("no-effect", "*/* includes everything: the other hosts have no effect");
    }
    Some(hosts)
}

fn egress_host(item: &Item<'_>) -> Option<EgressHost> {
    let text = item.non_empty()?;
    let Some((namespace, name)) = text.split_once('/') else {
        return item.invalid(format!("{text:?} is not of the form namespace/host"));
    };
    let host = names::qualified_host(item, name)?;
    if host.as_str().parse::<IpAddr>().is_ok() {
        item.refuse(format!("{host} is an address; hosts are names"));
    }
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
    if item.node().get("port").is_none() {
        item.refuse("port is required");
    }
    let target = http_action::target(&item, object, context)?;
    Some(Some(OutboundPolicy::EgressProxy(target)))
}
