//! A call from outside at a gateway.

use super::{
    answer::Answer,
    case::{Call, CallTls},
    desk::Desk,
    outbound::port_of,
    request::{self, Proof, caller},
};
use mesh_config::name::host_of_authority;
use mesh_proxy::{
    decide::{
        Direction, Refused,
        gateway::{Arriving, arriving},
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
    let listener = listener_name(&snapshot, port.get());
    let refused = |reason, detail: String| at(listener.clone(), Answer::refuse(reason, detail));
    let (key, scheme) = match arriving(&snapshot, port, Some(&said(call))) {
        Arriving::Requests(key) if call.tls() == CallTls::Plaintext => (key, "http"),
        Arriving::Requests(_) => return refused("tls error", format!("port {port} speaks plain text")),
        Arriving::Terminate { key, .. } => (key, "https"),
        Arriving::Refuse(Refused::NoTls) | Arriving::Hear => {
            return refused("tls error", format!("port {port} expects TLS, but plain text arrived"));
        }
        Arriving::Refuse(why) => {
            let sni = server_name(call).unwrap_or_default();
            return refused("no filter chain", format!("no server of the port is for the name {sni:?} ({why})"));
        }
    };
    if !call.is_http() {
        return at(
            listener,
            Answer::refuse("protocol error", format!("port {port} carries HTTP, but something else arrived")),
        );
    }
    let proof = Proof::of(call, desk.who());
    let mut answer = request::decide(desk, call, &caller(call, &proof, Direction::Gateway, &key, port), scheme);
    if answer.route_config.is_none() {
        answer.route_config = Some(match &key {
            DestinationKey::GatewayTls { server, .. } => server.to_string(),
            _ => format!("http.{port}"),
        });
    }
    if answer.reason == Some("no virtual host") && answer.virtual_host.is_none() && gateway.http.iter().next().is_none()
    {
        // Servers without any route: whatever the host, there is nothing to match.
        answer.reason = Some("no route");
        answer.virtual_host = Some(format!("blackhole:{port}"));
    }
    at(listener, answer)
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
