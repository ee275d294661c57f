//! A call from outside at a gateway.

use super::{
    answer::Answer,
    case::{Call, CallTls},
    desk::Desk,
    outbound::{port_of, unnormal},
    request::{self, caller},
};
use mesh_config::path;
use mesh_proxy::{
    decide::{Caller, Direction},
    snapshot::{
        Snapshot,
        listener::{DestinationKey, ListenerKind},
    },
};

/// Decides on a call that comes in from outside.
pub(super) fn decide(desk: &mut Desk<'_>, call: &Call) -> Answer {
    let Some(port) = port_of(call) else {
        return Answer::refuse("no listener", "the call names no port between 1 and 65535");
    };
    let snapshot = desk.snapshot();
    let Some(gateway) = snapshot.outbound.gateway(port).cloned() else {
        return Answer::refuse("no listener", format!("no Gateway that selects this workload has port {port}"));
    };
    let listener = listener_name(&snapshot, port.get());
    let sni = call.sni.clone().or_else(|| call.host.clone().filter(|_| call.tls() != CallTls::Plaintext));
    let (key, scheme) = match (gateway.tls.is_empty(), call.tls()) {
        (true, CallTls::Plaintext) => (DestinationKey::Gateway(port), "http"),
        (true, _) => return at(listener, Answer::refuse("tls error", format!("port {port} speaks plain text"))),
        (false, CallTls::Plaintext) => {
            return at(
                listener,
                Answer::refuse("tls error", format!("port {port} expects TLS, but plain text arrived")),
            );
        }
        (false, _) => match gateway.tls_server(sni.as_deref()) {
            Some(server) => (DestinationKey::GatewayTls { port, server: server.route_config.clone() }, "https"),
            None => {
                let detail = format!("no server of the port is for the name {:?}", sni.unwrap_or_default());
                return at(listener, Answer::refuse("no filter chain", detail));
            }
        },
    };
    if !call.is_http() {
        return at(
            listener,
            Answer::refuse("protocol error", format!("port {port} carries HTTP, but something else arrived")),
        );
    }
    let mut answer = match path::normalize(call.path.as_deref().unwrap_or("/"), snapshot.settings.path_normalization) {
        Ok(path) => {
            let peer = request::peer(call);
            let caller = Caller { peer: peer.as_ref(), ..caller(call, Direction::Gateway, &key, port) };
            request::decide(desk, call, &caller, path, scheme)
        }
        Err(rejected) => unnormal(&rejected),
    };
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

fn at(listener: Option<String>, answer: Answer) -> Answer {
    Answer { listener, ..answer }
}

fn listener_name(snapshot: &Snapshot, port: u16) -> Option<String> {
    let here = |kind: &ListenerKind| matches!(kind, ListenerKind::Gateway { port: own, .. } if own.get() == port);
    snapshot.listeners.iter().find(|spec| here(&spec.kind)).map(|spec| spec.name.to_string())
}
