//! A call that comes in: mutual TLS mode, path, authorisation, the workload's port.

use super::{
    answer::{Answer, Outcome, PolicyName, Security, ShadowAnswer},
    case::{Call, CallTls},
    outbound::{port_of, unnormal},
};
use mesh_config::{
    identity::PeerIdentity,
    model::{Protocol, authorization::Action, peer_authentication::MtlsMode},
    name::Port,
    path,
};
use mesh_proxy::{
    authz::{Attributes, Decision, Denial, HttpAttributes, Verdict, decide as authorise},
    route::{self, RequestView, Selection},
    snapshot::{
        Local, Snapshot,
        inbound::PortPolicy,
        listener::{DestinationKey, ListenerKind},
        policy::RuleId,
    },
};

/// Decides on a call that comes in.
pub(super) fn decide(snapshot: &Snapshot, call: &Call) -> Answer {
    let Some(port) = port_of(call) else {
        return Answer::refuse("no listener", "the call names no port between 1 and 65535");
    };
    let Some(local) = snapshot.local() else {
        return Answer::refuse("no configuration", "pilot does not know this workload, so its proxy carries nothing");
    };
    let policy = local.inbound.port(port);
    let mut answer = match handshake(&policy, call) {
        Err(refusal) => *refusal,
        Ok(stream) => within(snapshot, local, call, port, &policy, stream),
    };
    answer.listener = Some(listener_name(snapshot, port));
    answer.filter_chain = Some(if policy.declared { format!("0.0.0.0_{port}") } else { "virtualInbound".to_owned() });
    answer.security = Some(security(&policy, call));
    answer
}

/// The listener that the `Sidecar` binds for the port, else the one for all captured connections.
fn listener_name(snapshot: &Snapshot, port: Port) -> String {
    let bound = snapshot.listeners.iter().find(|spec| spec.kind == ListenerKind::Ingress { port });
    bound.map_or_else(|| "virtualInbound".to_owned(), |spec| spec.name.to_string())
}

/// What is left of a connection once its TLS is dealt with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stream {
    /// Plain text.
    Open,
    /// What was inside the mesh's TLS.
    Unsealed,
    /// TLS between the client and the application.
    Sealed,
}

/// As the proxy does: a mesh client's hello is known by what it offers to speak inside, and answered in every mode.
fn handshake(policy: &PortPolicy, call: &Call) -> Result<Stream, Box<Answer>> {
    let by = match &policy.mtls.decided_by {
        Some(name) => format!("PeerAuthentication {name}"),
        None => "the built-in default".to_owned(),
    };
    let refuse = |reason, detail: String| Err(Box::new(Answer::refuse(reason, detail)));
    let strict = policy.mtls.mode == MtlsMode::Strict;
    match call.tls() {
        CallTls::Plaintext if strict => {
            refuse("no filter chain", format!("plain text, and {by} requires mutual TLS (STRICT)"))
        }
        CallTls::Plaintext => Ok(Stream::Open),
        CallTls::Mtls if strict || offers_mesh(call) => Ok(Stream::Unsealed),
        CallTls::Tls if strict || (call.alpn.is_some() && offers_mesh(call)) => {
            refuse("mtls error", format!("TLS without a certificate of the mesh ({by} decides)"))
        }
        CallTls::Tls | CallTls::Mtls if policy.protocol.is_http() => {
            refuse("no filter chain", "TLS that is not the mesh's, to a port that carries HTTP".to_owned())
        }
        // What this proxy does not terminate is the application's own.
        CallTls::Tls | CallTls::Mtls => Ok(Stream::Sealed),
    }
}

/// Whether the client offers a protocol of the mesh; one that says nothing about it does.
fn offers_mesh(call: &Call) -> bool {
    offers(call, |protocol| protocol.starts_with("istio"))
}

fn offers(call: &Call, wanted: impl Fn(&str) -> bool) -> bool {
    call.alpn.as_deref().is_none_or(|alpn| alpn.split(',').any(|protocol| wanted(protocol.trim())))
}

fn security(policy: &PortPolicy, call: &Call) -> Security {
    let mode = match policy.mtls.mode {
        MtlsMode::Disable => "DISABLE",
        MtlsMode::Permissive => "PERMISSIVE",
        MtlsMode::Strict => "STRICT",
    };
    let transport = match call.tls() {
        CallTls::Plaintext => "plain text",
        CallTls::Tls => "TLS",
        CallTls::Mtls => "mutual TLS",
    };
    let because = match &policy.mtls.decided_by {
        Some(name) => format!("the port accepts {mode} (PeerAuthentication {name})"),
        None => format!("the port accepts {mode} (no PeerAuthentication says otherwise)"),
    };
    Security { transport: transport.to_owned(), because }
}

fn within(snapshot: &Snapshot, local: &Local, call: &Call, port: Port, policy: &PortPolicy, stream: Stream) -> Answer {
    let declared = policy.protocol;
    let readable = match (stream, declared) {
        (Stream::Sealed, _) => false,
        // Inside the mesh's TLS the client's proxy has said what follows.
        (Stream::Unsealed, Protocol::Auto) => {
            offers(call, |p| matches!(p, "istio-http/1.0" | "istio-http/1.1" | "istio-h2"))
        }
        (Stream::Open, Protocol::Auto) => true,
        (Stream::Open | Stream::Unsealed, declared) => declared.is_http(),
    };
    if call.is_http() && readable {
        return http(snapshot, local, call, port);
    }
    if !call.is_http() && declared.is_http() {
        return Answer::refuse("protocol error", format!("port {port} carries HTTP, but something else arrived"));
    }
    let verdict = authorise(&local.policies, &attributes(call, port, None, peer(call, stream).as_ref()));
    let mut answer = verdict_answer(&verdict);
    answer.cluster = forwarded_to(&answer, policy);
    if stream == Stream::Sealed && answer.detail.is_none() {
        answer.detail = Some("TLS of the application's own: forwarded unchanged, checked against TCP rules".to_owned());
    }
    answer
}

fn peer(call: &Call, stream: Stream) -> Option<PeerIdentity> {
    call.principal().filter(|_| stream != Stream::Sealed).map(PeerIdentity::new)
}

fn http(snapshot: &Snapshot, local: &Local, call: &Call, port: Port) -> Answer {
    let target = call.path.as_deref().unwrap_or("/");
    let path = match path::normalize(target, snapshot.settings.path_normalization) {
        Ok(path) => path,
        Err(rejected) => return unnormal(&rejected),
    };
    let method = call.method.as_deref().unwrap_or("GET");
    let request = HttpAttributes {
        method: method.as_bytes(),
        path: path.as_bytes(),
        authority: call.host.as_deref().map(str::as_bytes),
        headers: &call.headers,
    };
    let peer = peer(call, Stream::Open);
    let verdict = authorise(&local.policies, &attributes(call, port, Some(request), peer.as_ref()));
    let mut answer = verdict_answer(&verdict);
    let view = RequestView {
        method,
        scheme: "http",
        authority: call.host.as_deref().unwrap_or(""),
        path: &path,
        headers: &call.headers,
        listener_port: port,
    };
    if let Selection::Forward(routed) = route::select(snapshot, &DestinationKey::Inbound(port), &view, 0) {
        answer.route_config = Some(routed.meta.route_config.to_string());
        answer.virtual_host = Some(routed.meta.virtual_host.to_string());
        answer.route = Some(routed.meta.route.to_string());
        if answer.outcome == Outcome::Forward {
            answer.cluster = Some(routed.cluster.name.to_string());
        }
    }
    answer.path = Some(path.into_owned());
    answer
}

fn forwarded_to(answer: &Answer, policy: &PortPolicy) -> Option<String> {
    (answer.outcome == Outcome::Forward).then(|| policy.cluster.name.to_string())
}

fn attributes<'a>(
    call: &'a Call,
    port: Port,
    http: Option<HttpAttributes<'a>>,
    peer: Option<&'a PeerIdentity>,
) -> Attributes<'a> {
    let source = call.source.as_ref();
    let source_ip = source.and_then(|s| s.ip);
    Attributes {
        http,
        peer,
        source_ip,
        remote_ip: source.and_then(|s| s.remote_ip).or(source_ip),
        destination_ip: call.destination_ip.or(call.address),
        destination_port: port.get(),
        sni: call.sni.as_deref(),
        metadata: call.metadata.as_ref().filter(|m| !m.is_null()),
    }
}

fn verdict_answer(verdict: &Verdict<'_>) -> Answer {
    let policy = verdict.decided_by().map(policy_name);
    let answer = Answer {
        policy,
        asks_external: verdict.asks_external.is_some(),
        audited: verdict.audited.iter().map(|id| policy_name(id)).collect(),
        shadow: verdict.shadow.map(|s| ShadowAnswer { allow: s.allow, deny: s.deny }),
        ..Answer::default()
    };
    match verdict.decision {
        Decision::Allow(_) => Answer {
            outcome: Outcome::Forward,
            detail: verdict
                .asks_external
                .map(|provider| format!("allowed, if the external authoriser {provider:?} agrees")),
            ..answer
        },
        Decision::Deny(denial) => {
            let why = match denial {
                Denial::Rule(rule) if rule.unusable => {
                    format!("the provider that AuthorizationPolicy {} names cannot be used", rule.policy)
                }
                Denial::Rule(rule) => format!("rule {} of AuthorizationPolicy {} denies", rule.rule, rule.policy),
                Denial::NoRuleAllows => {
                    "ALLOW policies apply to this workload and none of their rules matches".to_owned()
                }
                Denial::NotAsked(provider) => format!("the external authoriser {provider:?} was not asked"),
            };
            Answer {
                outcome: Outcome::Refuse,
                reason: Some("denied"),
                status: Some(403),
                detail: Some(format!("{why} ({denial})")),
                ..answer
            }
        }
    }
}

fn policy_name(id: &RuleId) -> PolicyName {
    PolicyName {
        action: match &id.action {
            Action::Allow => "ALLOW",
            Action::Deny => "DENY",
            Action::Audit => "AUDIT",
            Action::Custom(_) => "CUSTOM",
        },
        namespace: id.policy.namespace.to_string(),
        name: id.policy.name.to_string(),
        rule: id.rule,
    }
}
