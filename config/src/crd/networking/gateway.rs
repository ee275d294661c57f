//! Gateway: the listeners of gateway proxies. Servers of a kind that is not served yet are left out, and named.

use super::names;
use crate::{
    crd::{
        Object, ParseContext,
        reader::{Fields, Item},
    },
    model::{
        Gateway, Protocol,
        gateway::{Server, ServerHost, ServerProtocol, ServerTls},
    },
    name::Port,
};
use std::{collections::BTreeSet, sync::Arc};

/// The whole Gateway.
pub(in crate::crd) fn gateway(object: &Object, f: &mut Fields<'_>, _context: &ParseContext) -> Option<Gateway> {
    let selector = f.selector("selector");
    let item = f.required("servers")?;
    let (mut names, before) = (BTreeSet::new(), f.errors());
    let servers = item.list(|entry| entry.object(|f| server(f, object, &mut names)));
    if servers.is_empty() && f.errors() == before {
        return item.invalid("at least one server is required");
    }
    let servers = servers.into_iter().flatten().collect();
    Some(Gateway { name: object.name(), selector, precedence: object.precedence(), servers })
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
    let port = f.required("port").and_then(|item| item.object(|f| port(f, names)));
    let hosts = f.required("hosts").and_then(|item| hosts(&item, object));
    let bind = f.item("bind").and_then(|item| match item.string()? {
        text if text.is_empty() => None,
        text if text.starts_with("unix://") => {
            item.not_acted_on("the server is left out");
            Some(None)
        }
        _ => item.parsed().map(Some),
    });
    // A server's name is for Istio's statistics alone; the default endpoint never had an effect.
    f.ignore(&["name"]);
    f.not_acted_on("defaultEndpoint");
    let tls_item = f.item("tls");
    let (port, hosts) = (port?, hosts?);
    let secured = match port.protocol {
        Protocol::Http | Protocol::Http2 | Protocol::Grpc | Protocol::GrpcWeb => match tls_item {
            Some(item) => item.object(plain_tls).map(|redirect| Some((ServerProtocol::Http, redirect))),
            None => Some(Some((ServerProtocol::Http, false))),
        },
        Protocol::Https => match tls_item {
            Some(item) => https(&item),
            None => f.one_is_required(&["tls"], "tls is required for protocol HTTPS"),
        },
        Protocol::Tls if tls_item.is_none() => f.one_is_required(&["tls"], "tls is required for protocol TLS"),
        Protocol::Udp => port.protocol_item.invalid("a gateway does not serve UDP"),
        _ => {
            port.protocol_item.warn("field-not-acted-on", "this protocol is not served yet: the server is left out");
            Some(None)
        }
    }?;
    if bind == Some(None) {
        return Some(None);
    }
    Some(secured.map(|(protocol, https_redirect)| Server {
        port: port.number,
        port_name: port.name,
        protocol,
        bind: bind.flatten(),
        hosts,
        https_redirect,
    }))
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
    // Deprecated, and without effect in Istio too.
    f.ignore(&["targetPort"]);
    let protocol_item = f.required("protocol")?;
    let protocol = names::protocol(&protocol_item)?;
    if protocol == Protocol::Auto {
        return protocol_item.invalid("must not be empty");
    }
    Some(ServerPort { number: number?, name: name.unwrap_or_default(), protocol, protocol_item })
}

fn hosts(item: &Item<'_>, object: &Object) -> Option<Vec<ServerHost>> {
    let hosts = item.list(|entry| {
        let text = entry.non_empty()?;
        let (namespace, name) = text.split_once('/').map_or((None, &*text), |(ns, name)| (Some(ns), name));
        let namespace = match namespace {
            None | Some("*") => None,
            Some(".") => Some((&*object.meta.namespace).into()),
            Some("") => return entry.invalid("the namespace before the slash is empty"),
            Some(other) => Some(other.into()),
        };
        Some(ServerHost { namespace, host: names::qualified_host(&entry, name)? })
    });
    if hosts.is_empty() { item.invalid("at least one host is required") } else { Some(hosts) }
}

/// `tls` of a plain-text server: it may redirect, and no more. The value says whether it does.
fn plain_tls(f: &mut Fields<'_>) -> Option<bool> {
    let redirect = f.bool("httpsRedirect").unwrap_or(false);
    let terminates = CERTIFICATES.iter().chain(&["credentialName"]).any(|name| f.has(name));
    if terminates || f.has("mode") && !redirect {
        return f.invalid("a plain-text server has no TLS; only httpsRedirect may be given");
    }
    f.ignore(&["mode", "minProtocolVersion", "maxProtocolVersion", "cipherSuites", "ecdhCurves"]);
    Some(redirect)
}

/// Ways to give certificates besides `credentialName`.
const CERTIFICATES: [&str; 5] =
    ["serverCertificate", "privateKey", "caCertificates", "credentialNames", "tlsCertificates"];

/// Fields that narrow who may connect: without them the server would be wider than meant.
const NARROWING: [&str; 6] = [
    "caCertCredentialName",
    "caCrl",
    "subjectAltNames",
    "verifyCertificateSpki",
    "verifyCertificateHash",
    "insecureSkipVerify",
];

/// TLS ended here. Inner `None`: left out, which has been reported.
fn https(item: &Item<'_>) -> Option<Option<(ServerProtocol, bool)>> {
    item.object(|f| {
        if f.bool("httpsRedirect") == Some(true) {
            return f.invalid("httpsRedirect is only allowed on plain-text servers");
        }
        let mut left_out = false;
        for name in CERTIFICATES.iter().chain(&NARROWING) {
            if let Some(item) = f.item(name) {
                item.not_acted_on("the server is left out");
                left_out = true;
            }
        }
        versions(f);
        f.not_acted_on("cipherSuites");
        f.not_acted_on("ecdhCurves");
        let credential = f.item("credentialName").and_then(|item| item.non_empty());
        let modes = [
            ("PASSTHROUGH", None),
            ("SIMPLE", Some(false)),
            ("MUTUAL", Some(true)),
            ("AUTO_PASSTHROUGH", None),
            ("ISTIO_MUTUAL", None),
            ("OPTIONAL_MUTUAL", None),
        ];
        let mode = f.item("mode");
        // The field's default on the wire is PASSTHROUGH.
        let Some(require_client_certificate) = mode.as_ref().map_or(Some(None), |item| item.enum_of(&modes))? else {
            let left_out = "only SIMPLE and MUTUAL are served yet: the server is left out";
            match &mode {
                Some(item) => item.warn("field-not-acted-on", left_out),
                None => f.warn("field-not-acted-on", format!("mode is not given and means PASSTHROUGH; {left_out}")),
            }
            return Some(None);
        };
        if left_out {
            return Some(None);
        }
        let Some(credential_name) = credential else {
            return f.one_is_required(&["credentialName"], "credentialName is required");
        };
        Some(Some((ServerProtocol::Https(ServerTls { credential_name, require_client_certificate }), false)))
    })
}

/// Versions from TLS 1.2 to 1.3 are served, whatever is asked for.
fn versions(f: &mut Fields<'_>) {
    let known = [
        ("TLS_AUTO", None),
        ("TLSV1_0", Some(10)),
        ("TLSV1_1", Some(11)),
        ("TLSV1_2", Some(12)),
        ("TLSV1_3", Some(13)),
    ];
    for (name, served) in [("minProtocolVersion", 12), ("maxProtocolVersion", 13)] {
        let Some(item) = f.item(name) else { continue };
        if item.enum_of(&known).flatten().is_some_and(|v| v != served) {
            item.not_acted_on("TLS 1.2 and 1.3 are served");
        }
    }
}
