//! A call from outside at a gateway.

use super::{
    answer::Answer,
    case::{Call, CallTls},
    desk::Desk,
    outbound::{forwarded, missing, port_of, ruled},
    request::{self, Proof, caller, not_had},
};
use mesh_config::{model::gateway::ServerTls, name::host_of_authority};
use mesh_proxy::{
    decide::{
        Caller, Direction, Refused,
        gateway::{Arriving, Bytes},
    },
    detect::{ClientHello, Detected},
    snapshot::{
        Snapshot,
        listener::{DestinationKey, ListenerKind},
    },
};
use std::net::IpAddr;

/// Decides on a call that comes in from outside.
pub(super) fn decide(desk: &mut Desk<'_>, call: &Call) -> Answer {
    let Some(port) = port_of(call) else {
        return Answer::refuse("no listener", "the call names no port between 1 and 65535");
    };
    let snapshot = desk.snapshot();
    let Some(gateway) = snapshot.outbound.gateway(port) else {
        return Answer::refuse("no listener", format!("no Gateway that selects this workload has port {port}"));
    };
    let has_routes = gateway.requests().is_some_and(|table| table.iter().next().is_some());
    let listener = listener_name(&snapshot, port.get());
    let draw = desk.draw();
    let found = match desk.proxy.arriving(port, &said(call), draw) {
        Arriving::Requests(key) if call.tls() == CallTls::Plaintext => {
            Ok((key, "http", Proof::of(call, desk.who()), None))
        }
        Arriving::Requests(_) => Err(Answer::refuse("tls error", format!("port {port} speaks plain text"))),
        Arriving::Terminate { tls, .. } if tls.asks_for_certificate() && call.tls() != CallTls::Mtls => {
            let whose = if tls == ServerTls::Mesh { "of the mesh" } else { "that its authority vouches for" };
            Err(Answer::refuse("mtls error", format!("port {port} asks for a certificate {whose}")))
        }
        Arriving::Terminate { tls, key, bytes } => {
            Ok((key, "https", Proof::at_server(call, desk.who(), &tls), bytes.map(|bytes| (bytes, false))))
        }
        Arriving::Opaque { key, bytes } => Ok((key, "", Proof::none(), Some((bytes, true)))),
        Arriving::Refuse(Refused::NoTls) | Arriving::Hear => {
            Err(Answer::refuse("tls error", format!("port {port} expects TLS, but plain text arrived")))
        }
        Arriving::Refuse(Refused::NoRule) => {
            Err(Answer::refuse("no filter chain", format!("no VirtualService says where bytes on port {port} go")))
        }
        Arriving::Refuse(why) => {
            let sni = server_name(call).unwrap_or_default();
            Err(Answer::refuse("no filter chain", format!("no server of the port is for the name {sni:?} ({why})")))
        }
        Arriving::Ask(ask) => Err(not_had(&ask)),
    };
    let (key, scheme, proof, bytes) = match found {
        Ok(found) => found,
        Err(answer) => return at(listener, answer),
    };
    let name = server_name(call).filter(|_| call.tls() != CallTls::Plaintext);
    let caller = Caller { sni: name.as_deref(), ..caller(call, &proof, Direction::Gateway, &key, port) };
    if let Some((bytes, sealed)) = bytes {
        return at(listener, opaque(desk, call, &Caller { secured: !sealed, ..caller }, &bytes));
    }
    if !call.is_http() {
        return at(
            listener,
            Answer::refuse("protocol error", format!("port {port} carries HTTP, but something else arrived")),
        );
    }
    let mut answer = request::decide(desk, call, &caller, scheme);
    if answer.route_config.is_none() {
        answer.route_config = Some(match &key {
            DestinationKey::GatewayTls { server, .. } => server.to_string(),
            _ => format!("http.{port}"),
        });
    }
    if answer.reason == Some("no virtual host") && answer.virtual_host.is_none() && !has_routes {
        // Servers without any route: whatever the host, there is nothing to match.
        answer.reason = Some("no route");
        answer.virtual_host = Some(format!("blackhole:{port}"));
    }
    at(listener, answer)
}

/// A stream of bytes.
fn opaque(desk: &Desk<'_>, call: &Call, caller: &Caller<'_>, bytes: &Bytes) -> Answer {
    let snapshot = desk.snapshot();
    let to = || match &bytes.to {
        Ok(cluster) => ruled(forwarded(&snapshot, cluster, None), Some(&bytes.rule)),
        Err(cluster) => ruled(missing(cluster), Some(&bytes.rule)),
    };
    request::carried(&snapshot, call, caller, to)
}

/// The name in the hello of a call, which is its host when the call does not say; addresses are no names.
fn server_name(call: &Call) -> Option<String> {
    let of_host = || Some(host_of_authority(call.host.as_deref()?).into_owned());
    let name = call.sni.as_ref().map(|sni| sni.to_ascii_lowercase()).or_else(of_host)?;
    name.parse::<IpAddr>().is_err().then_some(name)
}

/// What the first bytes of a call say.
fn said(call: &Call) -> Detected {
    match call.tls() {
        CallTls::Plaintext if call.is_http() => Detected::Http1,
        CallTls::Plaintext => Detected::Opaque,
        CallTls::Tls | CallTls::Mtls => Detected::Tls(ClientHello { sni: server_name(call), alpn: Vec::new() }),
    }
}

fn at(listener: Option<String>, answer: Answer) -> Answer {
    Answer { listener, ..answer }
}

fn listener_name(snapshot: &Snapshot, port: u16) -> Option<String> {
    let here = |kind: &ListenerKind| matches!(kind, ListenerKind::Gateway { port: own, .. } if own.get() == port);
    snapshot.listeners.iter().find(|spec| here(&spec.kind)).map(|spec| spec.name.to_string())
}
