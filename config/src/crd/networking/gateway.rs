//! Gateway: the listeners of gateway proxies. Servers of a kind that is not served yet are left out, and named.

pub(super) mod form;
pub(super) mod tls;

use super::names;
use crate::kind::ObjectKind;
use crate::{
    crd::{
        Object, ParseContext,
        node::Value,
        reader::{Fields, Item},
    },
    model::{
        Gateway, Protocol,
        gateway::{Server, ServerHost, ServerProtocol},
    },
    name::Port,
};
use form::{PORT, SERVER};
use std::{collections::BTreeSet, sync::Arc};

/// The whole Gateway.
pub(in crate::crd) fn gateway(object: &Object, f: &mut Fields<'_>, _context: &ParseContext) -> Option<Gateway> {
    if !names::is_label(&object.meta.name) {
        f.refuse(format!(
            "{:.80?} is no name of a Gateway: lower-case letters, digits and - between them",
            object.meta.name
        ));
    }
    let selector = f.selector("selector");
    let item = f.required("servers")?;
    let (mut names, before) = (BTreeSet::new(), f.errors());
    let servers = item.list(|entry| entry.apart(|entry| entry.object(|f| server(f, object, &mut names))));
    if servers.is_empty() && f.errors() == before {
        return item.invalid("at least one server is required");
    }
    let servers = servers.into_iter().flatten().collect();
    Some(Gateway {
        object: ObjectKind::Gateway,
        name: object.name(),
        selector,
        precedence: object.precedence(),
        servers,
    })
}

/// What the `port` of a server says.
struct ServerPort<'a> {
    number: Port,
    name: Arc<str>,
    protocol: Protocol,
    protocol_item: Item<'a>,
}

/// Inner `None`: left out, which has been reported.
fn server(f: &mut Fields<'_>, object: &Object, names: &mut BTreeSet<Arc<str>>) -> Option<Option<Server>> {
    let socket = f.item("bind").filter(|item| item.node().as_str().is_some_and(|bind| bind.starts_with("unix://")));
    if let Some(item) = socket {
        on_socket(f, &item);
        return Some(None);
    }
    let port = f.required("port").and_then(|item| item.object(|f| port(f, names)));
    let hosts = f.required("hosts").and_then(|item| hosts(&item, object));
    let bind = f.item("bind").filter(names::is_filled).and_then(|item| item.parsed());
    SERVER.read_inert(f);
    let tls_item = f.item("tls");
    let (port, hosts) = (port?, hosts?);
    let secured = match port.protocol {
        Protocol::Http | Protocol::Http2 | Protocol::Grpc | Protocol::GrpcWeb => match tls_item {
            Some(item) => item.object(plain_tls).map(|redirect| Some((ServerProtocol::Http, redirect))),
            None => Some(Some((ServerProtocol::Http, false))),
        },
        Protocol::Https | Protocol::Tls => match tls_item {
            Some(item) => tls::settings(&item).map(|settings| settings.map(|s| (protocol(s, port.protocol), false))),
            None => f.one_is_required(&["tls"], "tls is required for protocols HTTPS and TLS"),
        },
        Protocol::Tcp | Protocol::Auto => match tls_item {
            Some(item) => item.invalid("opaque bytes in TLS are protocol TLS"),
            None => Some(Some((ServerProtocol::Tcp, false))),
        },
        Protocol::Udp => port.protocol_item.invalid("a gateway does not serve UDP"),
    }?;
    Some(secured.map(|(protocol, https_redirect)| Server {
        port: port.number,
        port_name: port.name,
        protocol,
        bind,
        hosts,
        https_redirect,
    }))
}

/// A server on a unix socket: it has no port, and is left out.
fn on_socket(f: &mut Fields<'_>, bind: &Item<'_>) {
    bind.not_acted_on("the server is left out");
    if !bind.node().as_str().and_then(|bind| bind.strip_prefix("unix://")).is_some_and(names::is_socket_path) {
        bind.refuse(names::SOCKET_FORM);
    }
    if let Some(port) = f.required("port")
        && port.node().get("number").is_some_and(|number| number.value != Value::Int(0))
    {
        port.refuse("number must be 0 for a unix socket");
    }
    f.required("hosts");
    f.ignore_rest();
}

fn protocol(settings: tls::Settings, declared: Protocol) -> ServerProtocol {
    match settings {
        tls::Settings::Passthrough => ServerProtocol::Passthrough,
        tls::Settings::Ends(tls) if declared == Protocol::Https => ServerProtocol::Https(tls),
        tls::Settings::Ends(tls) => ServerProtocol::Tls(tls),
    }
}

fn port<'a>(f: &mut Fields<'a>, names: &mut BTreeSet<Arc<str>>) -> Option<ServerPort<'a>> {
    let number = f.required("number").and_then(|item| item.port());
    let name = f.item("name").and_then(|item| {
        let name = item.string()?;
        if !name.is_empty() && !names.insert(name.clone()) {
            return item.invalid(format!("port name {name} is used twice; names must be unique within a Gateway"));
        }
        Some(name)
    });
    if !f.item("name").is_some_and(|item| names::is_filled(&item)) {
        f.refuse("name is required: what the port is called");
    }
    names::no_target_port(f, &PORT);
    let protocol_item = f.required("protocol")?;
    let protocol = names::protocol(&protocol_item)?;
    if protocol == Protocol::Auto {
        return protocol_item.invalid("must not be empty");
    }
    Some(ServerPort { number: number?, name: name.unwrap_or_default(), protocol, protocol_item })
}

fn hosts(item: &Item<'_>, object: &Object) -> Option<Vec<ServerHost>> {
    let read = |entry: &Item<'_>| {
        let text = entry.non_empty()?;
        let (namespace, name) = text.split_once('/').map_or((None, &*text), |(ns, name)| (Some(ns), name));
        let namespace = match namespace {
            None | Some("*") => None,
            Some(".") => Some((&*object.meta.namespace).into()),
            Some("") => return entry.invalid("the namespace before the slash is empty"),
            Some(other) => {
                if !names::is_label(other) {
                    entry.refuse(format!("{other:?} is no name of a namespace, so the server has no hosts by it"));
                }
                Some(other.into())
            }
        };
        Some(ServerHost { namespace, host: names::qualified_host(entry, name)? })
    };
    let hosts = item.list(|entry| entry.apart(read));
    if hosts.is_empty() { item.invalid("at least one host is required") } else { Some(hosts) }
}

/// `tls` of a plain-text server: it may redirect, and no more. The value says whether it does.
fn plain_tls(f: &mut Fields<'_>) -> Option<bool> {
    let redirect = f.bool("httpsRedirect").unwrap_or(false);
    let mode = f.item("mode").map_or(Some("PASSTHROUGH".into()), |item| item.string())?;
    let terminates = ["serverCertificate", "privateKey", "caCertificates"]
        .into_iter()
        .any(|name| f.item(name).is_some_and(|item| names::is_filled(&item)));
    if terminates || !matches!(&*mode, "PASSTHROUGH" | "AUTO_PASSTHROUGH") {
        return f.invalid("a plain-text server has no TLS; only httpsRedirect may be given");
    }
    tls::certificates(f, &mode);
    tls::without_effect(f, "has no effect on a plain-text server");
    Some(redirect)
}
