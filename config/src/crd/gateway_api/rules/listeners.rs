//! Listeners, and the gateways that have them.

use super::{entries, filled, own, repeated, text};
use crate::crd::form::is_label_word;
use crate::crd::node::{Node, Value};
use crate::crd::reader::Fields;
use std::net::IpAddr;

pub(in super::super) fn gateway(f: &mut Fields<'_>) {
    are_distinct(f);
    let addresses = entries(f.node("addresses"));
    let named = addresses.iter().filter_map(|address| {
        let value = text(address, "value")?;
        let is = text(address, "type").unwrap_or("IPAddress");
        matches!(is, "IPAddress" | "Hostname").then_some((is, value))
    });
    if let Some((_, value)) = repeated(named) {
        f.invalid::<()>(format!("addresses repeat {value}"));
    }
}

pub(in super::super) fn listener_set(f: &mut Fields<'_>) {
    are_distinct(f);
}

/// Listeners differ in port, protocol and hostname together; in their names too, which the form says.
fn are_distinct(f: &Fields<'_>) {
    let port = |node: &Node| match node.get("port").map(|port| &port.value) {
        Some(Value::Int(port)) => Some(*port),
        _ => None,
    };
    let all = entries(f.node("listeners"));
    let keys = all.iter().filter_map(|node| Some((port(node)?, filled(node, "protocol"), text(node, "hostname"))));
    if let Some((port, protocol, hostname)) = repeated(keys) {
        let host = hostname.map(|host| format!(" and host {host}")).unwrap_or_default();
        f.invalid::<()>(format!("two listeners have port {port}, protocol {protocol}{host}"));
    }
}

pub(in super::super) fn listener(f: &mut Fields<'_>) {
    let protocol = own(f, "protocol").unwrap_or_default();
    let tls = f.node("tls").filter(|node| node.value != Value::Null);
    let mode = tls.map(|tls| text(tls, "mode").unwrap_or("Terminate"));
    match protocol {
        "HTTP" | "TCP" | "UDP" if tls.is_some() => drop(f.invalid::<()>(format!("tls is not for protocol {protocol}"))),
        "HTTPS" if mode.is_some_and(|mode| mode != "Terminate") => {
            f.invalid::<()>("protocol HTTPS needs tls.mode Terminate");
        }
        "TLS" if tls.is_none() => drop(f.invalid::<()>("protocol TLS needs tls")),
        _ => {}
    }
    if matches!(protocol, "TCP" | "UDP") && !own(f, "hostname").unwrap_or_default().is_empty() {
        f.invalid::<()>(format!("hostname is not for protocol {protocol}"));
    }
}

pub(in super::super) fn listener_tls(f: &mut Fields<'_>) {
    let has_options = matches!(f.node("options").map(|node| &node.value), Some(Value::Map(all)) if !all.is_empty());
    let terminates = own(f, "mode").is_none_or(|mode| mode == "Terminate");
    if terminates && entries(f.node("certificateRefs")).is_empty() && !has_options {
        f.invalid::<()>("mode Terminate needs certificateRefs or options");
    }
}

pub(in super::super) fn address(f: &mut Fields<'_>) {
    let Some(value) = own(f, "value") else { return };
    match own(f, "type").unwrap_or("IPAddress") {
        "IPAddress" if value.parse::<IpAddr>().is_err() => drop(f.invalid::<()>(format!("{value} is no IP address"))),
        "Hostname" if !value.is_empty() && !super::routes::is_host(value.strip_prefix("*.").unwrap_or(value)) => {
            f.invalid::<()>(format!("{value} is no host name"));
        }
        _ => {}
    }
}

/// Keys of labels and annotations.
pub(in super::super) fn infrastructure(f: &mut Fields<'_>) {
    for name in ["annotations", "labels"] {
        let Some(Value::Map(all)) = f.node(name).map(|node| &node.value) else { continue };
        for (key, _) in all {
            let (prefix, word) =
                key.split_once('/').map_or((None, key.as_str()), |(prefix, word)| (Some(prefix), word));
            if !is_label_word(word)
                || prefix.is_some_and(|prefix| prefix.len() >= 253 || !super::routes::is_host(prefix))
            {
                f.invalid::<()>(format!(
                    "{name} have {key}, which is no key: [DNS name/]name of at most 63 characters"
                ));
            }
        }
    }
}
