//! A call that comes in: mutual TLS mode, path, authorisation, the workload's port.

use super::{
    answer::{Answer, Outcome, PolicyName, Security, ShadowAnswer},
    case::{Call, CallTls},
    desk::Desk,
    outbound::port_of,
    request::{self, Proof, caller},
};
use mesh_config::{
    model::{authorization::Action, peer_authentication::MtlsMode},
    name::Port,
};
use mesh_proxy::{
    authz::{Decision, Denial, Verdict},
    decide::{
        Caller, Direction, Refused,
        inbound::{Admission, admit},
    },
    detect::{ClientHello, Detected},
    snapshot::{
        Snapshot,
        inbound::PortPolicy,
        listener::{DestinationKey, ListenerKind},
        policy::RuleId,
    },
};

/// Decides on a call that comes in.
pub(super) fn decide(desk: &mut Desk<'_>, call: &Call) -> Answer {
    let Some(port) = port_of(call) else {
        return Answer::refuse("no listener", "the call names no port between 1 and 65535");
    };
    let snapshot = desk.snapshot();
    let Some(local) = snapshot.local() else {
        return Answer::refuse("no configuration", "pilot does not know this workload, so its proxy carries nothing");
    };
    let policy = local.inbound.port(port);
    let mut answer = admitted(desk, call, port, &policy);
    answer.listener = Some(listener_name(&snapshot, port));
    answer.filter_chain = Some(if policy.declared { format!("0.0.0.0_{port}") } else { "virtualInbound".to_owned() });
    answer.security = Some(security(&policy, call));
    answer
}

/// The listener that the `Sidecar` binds for the port, else the one for all captured connections.
fn listener_name(snapshot: &Snapshot, port: Port) -> String {
    let bound = snapshot.listeners.iter().find(|spec| spec.kind == ListenerKind::Ingress { port });
    bound.map_or_else(|| "virtualInbound".to_owned(), |spec| spec.name.to_string())
}

/// The hello of a call, as a client of its kind sends it when the call does not say what it offers.
fn hello(call: &Call) -> Detected {
    let offered = |text: &str| text.split(',').map(|protocol| protocol.trim().as_bytes().to_vec()).collect();
    let alpn = match (call.alpn.as_deref(), call.tls()) {
        (Some(alpn), _) => offered(alpn),
        (None, CallTls::Mtls) if call.is_http() => offered("istio-http/1.1,istio,http/1.1"),
        (None, CallTls::Mtls) => offered("istio-peer-exchange,istio"),
        (None, _) => Vec::new(),
    };
    Detected::Tls(ClientHello { sni: call.sni.clone(), alpn })
}

/// What the first bytes of a call say.
fn said(call: &Call) -> Detected {
    match call.tls() {
        CallTls::Tls | CallTls::Mtls => hello(call),
        CallTls::Plaintext if call.is_http() => Detected::Http1,
        CallTls::Plaintext => Detected::Opaque,
    }
}

/// As the proxy does with what its first bytes say.
fn admitted(desk: &mut Desk<'_>, call: &Call, port: Port, policy: &PortPolicy) -> Answer {
    let by = match &policy.mtls.decided_by {
        Some(name) => format!("PeerAuthentication {name}"),
        None => "the built-in default".to_owned(),
    };
    let not_http = || Answer::refuse("protocol error", format!("port {port} carries HTTP, but something else arrived"));
    match admit(policy, &said(call)) {
        Admission::Refuse(Refused::PlainText) => {
            Answer::refuse("no filter chain", format!("plain text, and {by} requires mutual TLS (STRICT)"))
        }
        Admission::Refuse(_) => {
            Answer::refuse("no filter chain", "TLS that is not the mesh's, to a port that carries HTTP")
        }
        Admission::Terminate { .. } if call.tls() == CallTls::Tls => {
            Answer::refuse("mtls error", format!("TLS without a certificate of the mesh ({by} decides)"))
        }
        Admission::Requests | Admission::Terminate { requests: true } if call.is_http() => http(desk, call, port),
        Admission::Requests | Admission::Terminate { requests: true } if policy.protocol.is_http() => not_http(),
        Admission::Requests | Admission::Terminate { .. } | Admission::Opaque { sealed: false } => {
            opaque(desk, call, port, policy, false)
        }
        Admission::Opaque { sealed: true } => opaque(desk, call, port, policy, true),
    }
}

/// A stream of bytes.
fn opaque(desk: &Desk<'_>, call: &Call, port: Port, policy: &PortPolicy, sealed: bool) -> Answer {
    let (snapshot, key) = (desk.snapshot(), DestinationKey::Inbound(port));
    let proof = if sealed { Proof::none() } else { Proof::of(call, desk.who()) };
    let secured = call.tls() != CallTls::Plaintext && !sealed;
    let caller = Caller { secured, ..caller(call, &proof, Direction::Inbound, &key, port) };
    let cluster = Some(policy.cluster.name.to_string());
    let to = || Answer { outcome: Outcome::Forward, cluster, ..Answer::default() };
    let mut answer = request::carried(&snapshot, call, &caller, to);
    if sealed && answer.detail.is_none() {
        answer.detail = Some("TLS of the application's own: forwarded unchanged, checked against TCP rules".to_owned());
    }
    answer
}

/// A request.
fn http(desk: &mut Desk<'_>, call: &Call, port: Port) -> Answer {
    let (proof, key) = (Proof::of(call, desk.who()), DestinationKey::Inbound(port));
    let caller = caller(call, &proof, Direction::Inbound, &key, port);
    request::decide(desk, call, &caller, if caller.secured { "https" } else { "http" })
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
    let by = match &policy.mtls.decided_by {
        Some(name) => format!("PeerAuthentication {name}"),
        None => "no PeerAuthentication says otherwise".to_owned(),
    };
    let taken = match (policy.mtls.mode, call.tls()) {
        (MtlsMode::Disable, CallTls::Mtls) => ", and the mesh's own TLS is taken all the same",
        _ => "",
    };
    let because = format!("the port accepts {mode} ({by}){taken}");
    Security { transport: transport.to_owned(), because }
}

/// What policies say, as an answer.
pub(super) fn verdict_answer(verdict: &Verdict<'_>) -> Answer {
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
