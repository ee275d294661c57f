//! A call from outside at a gateway.

use super::{
    answer::Answer,
    case::{Call, CallTls},
    desk::Desk,
    inbound::verdict_answer,
    outbound::{forwarded, missing, port_of, ruled},
    request::{self, Proof, caller, refused_by},
};
use mesh_config::{
    model::gateway::ServerTls,
    name::{Port, host_of_authority},
};
use mesh_proxy::{
    decide::{
        self, Ask, Caller, Direction, Refused,
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
    let listener = listener_name(&snapshot, port.get());
    let refused =
        |reason, detail: String| Found::Answer(Box::new(at(listener.clone(), Answer::refuse(reason, detail))));
    let draw = desk.draw();
    let found = desk.proxy.arriving(port, &said(call), draw, |_, arriving| match arriving {
        Arriving::Requests(key) if call.tls() == CallTls::Plaintext => Ok((key, "http")),
        Arriving::Requests(_) => Err(refused("tls error", format!("port {port} speaks plain text"))),
        Arriving::Terminate { tls: ServerTls::Mesh, .. } if call.tls() != CallTls::Mtls => {
            Err(refused("mtls error", format!("port {port} asks for a certificate of the mesh")))
        }
        Arriving::Terminate { key, bytes: None, .. } => Ok((key, "https")),
        Arriving::Terminate { key, bytes: Some(bytes), .. } => Err(Found::Bytes { key, bytes, sealed: false }),
        Arriving::Opaque { key, bytes } => Err(Found::Bytes { key, bytes, sealed: true }),
        Arriving::Refuse(Refused::NoTls) | Arriving::Hear => {
            Err(refused("tls error", format!("port {port} expects TLS, but plain text arrived")))
        }
        Arriving::Refuse(Refused::NoRule) => {
            Err(refused("no filter chain", format!("no VirtualService says where bytes on port {port} go")))
        }
        Arriving::Refuse(why) => {
            let sni = server_name(call).unwrap_or_default();
            Err(refused("no filter chain", format!("no server of the port is for the name {sni:?} ({why})")))
        }
        Arriving::Ask(Ask::Details(service)) => {
            Err(refused("no route", format!("pilot gives no details of {service}, which the rules name")))
        }
    });
    let (key, scheme) = match found {
        Ok(found) => found,
        Err(Found::Answer(answer)) => return *answer,
        Err(Found::Bytes { key, bytes, sealed }) => {
            return at(listener, opaque(desk, call, port, &key, &bytes, sealed));
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

/// A connection on which no request is looked for.
enum Found {
    /// It is refused.
    Answer(Box<Answer>),
    /// Its bytes are carried; `sealed`: whatever they are.
    Bytes { key: DestinationKey, bytes: Bytes, sealed: bool },
}

/// A stream of bytes.
fn opaque(desk: &Desk<'_>, call: &Call, port: Port, key: &DestinationKey, bytes: &Bytes, sealed: bool) -> Answer {
    let snapshot = desk.snapshot();
    let proof = if sealed { Proof::none() } else { Proof::of(call, desk.who()) };
    let called = caller(call, &proof, Direction::Gateway, key, port);
    let name = server_name(call);
    let sni = if call.tls() == CallTls::Plaintext { None } else { name.as_deref() };
    let called = Caller { secured: !sealed, sni, ..called };
    let metadata = call.metadata.as_ref().filter(|m| !m.is_null());
    let (permit, verdict) = decide::opaque(&snapshot, &called, metadata);
    let said = verdict.as_ref().map(verdict_answer).unwrap_or_default();
    match permit {
        Err(Refused::Policy(_)) => return said,
        Err(why) => return refused_by(&why),
        Ok(_) => {}
    }
    let answer = match &bytes.to {
        Ok(cluster) => forwarded(&snapshot, cluster),
        Err(cluster) => missing(cluster),
    };
    let Answer { policy, asks_external, audited, shadow, detail, .. } = said;
    let answer = Answer { policy, asks_external, audited, shadow, detail: answer.detail.or(detail), ..answer };
    ruled(answer, Some(&bytes.rule))
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
