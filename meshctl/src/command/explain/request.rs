//! A request at any of a proxy's doors: its decision, as an answer.

use super::{
    answer::{Answer, Outcome},
    case::{Call, CallTls},
    desk::Desk,
    inbound::verdict_answer,
    objects::Who,
    outbound::{forward, of_meta, refused},
};
use mesh_config::{identity::PeerIdentity, model::gateway::ServerTls, name::Port, path};
use mesh_proxy::{
    decide::{self, Ask, Caller, Decision, Direction, Refused, Request, Step},
    route,
    snapshot::{Snapshot, listener::DestinationKey},
};
use std::net::SocketAddr;

/// What both sides of a connection prove where it ends here.
pub(super) struct Proof {
    peer: Option<PeerIdentity>,
    own: Option<String>,
}

impl Proof {
    /// At a gateway's server for TLS: who is not asked for a certificate proves nothing, and only the mesh's own TLS holds
    /// trust domains against each other.
    pub(super) fn at_server(call: &Call, who: &Who, tls: &ServerTls) -> Self {
        let proof = if tls.asks_for_certificate() { Proof::of(call, who) } else { Proof::none() };
        match tls {
            ServerTls::Mesh => proof,
            ServerTls::Secret { .. } => Proof { own: None, ..proof },
        }
    }

    /// The identity that the caller of `call` proves to the workload of `who`, and that one's own.
    pub(super) fn of(call: &Call, who: &Who) -> Self {
        Proof { peer: call.principal().map(PeerIdentity::new), own: who.shows.as_ref().map(|identity| identity.uri()) }
    }

    /// Of bytes that this proxy does not decrypt.
    pub(super) fn none() -> Self {
        Proof { peer: None, own: None }
    }
}

/// The caller of a call.
pub(super) fn caller<'a>(
    call: &'a Call,
    proof: &'a Proof,
    direction: Direction,
    key: &'a DestinationKey,
    port: Port,
) -> Caller<'a> {
    Caller {
        direction,
        key,
        port,
        secured: call.tls() != CallTls::Plaintext,
        peer: proof.peer.as_ref(),
        own: proof.own.as_deref(),
        source: call.source.as_ref().and_then(|source| source.ip),
        destination: call.destination_ip.or(call.address),
        sni: call.sni.as_deref(),
    }
}

/// Decides on a request.
pub(super) fn decide(desk: &mut Desk<'_>, call: &Call, caller: &Caller<'_>, scheme: &str) -> Answer {
    let mode = desk.snapshot().settings.path_normalization;
    let path = match path::normalize(call.path.as_deref().unwrap_or("/"), mode) {
        Ok(path) => path,
        Err(rejected) => return unnormal(&rejected),
    };
    let request = Request {
        method: call.method.as_deref().unwrap_or("GET"),
        scheme,
        authority: call.host.as_deref(),
        path: &path,
        headers: &call.headers,
        client: call.source.as_ref().and_then(|source| source.remote_ip),
        metadata: call.metadata(),
        draw: desk.draw(),
    };
    let to = caller.wanted();
    let mut answer = desk.proxy.request(caller, &request, |snapshot, decision| {
        name_inbound(snapshot, caller, answer(snapshot, decision, &path, to))
    });
    answer.path = Some(path.into_owned());
    answer
}

fn answer(snapshot: &Snapshot, decision: Decision<'_>, path: &str, to: Option<SocketAddr>) -> Answer {
    let policies = decision.verdict.as_ref().map(verdict_answer);
    let answer = match decision.step {
        Step::Refuse(Refused::Policy(_)) => policies.clone().unwrap_or_default(),
        Step::Refuse(why) => refused_by(&why),
        Step::Answer(local) => own(&local),
        Step::Ask(ask) => not_had(&ask),
        Step::Forward(plan) => forward(snapshot, &plan.routed, path, to),
    };
    match policies {
        Some(said) => with_policies(answer, said),
        None => answer,
    }
}

/// Pilot does not say what is needed for a decision.
pub(super) fn not_had(ask: &Ask) -> Answer {
    let detail = match ask {
        Ask::Details(service) => format!("pilot gives no details of {service}, which the rules name"),
        Ask::Workload(address) => format!("pilot does not say whose {address} is"),
    };
    Answer::refuse("no route", detail)
}

/// An answer, with what policies said on the way.
fn with_policies(answer: Answer, said: Answer) -> Answer {
    let Answer { policy, asks_external, audited, shadow, detail, .. } = said;
    Answer { policy, asks_external, audited, shadow, detail: answer.detail.or(detail), ..answer }
}

/// Decides on a stream of bytes; `to`: where it goes if it may.
pub(super) fn carried(snapshot: &Snapshot, call: &Call, caller: &Caller<'_>, to: impl FnOnce() -> Answer) -> Answer {
    let (permit, verdict) = decide::opaque(snapshot, caller, call.metadata());
    let said = verdict.as_ref().map(verdict_answer).unwrap_or_default();
    match permit {
        Err(Refused::Policy(_)) => said,
        Err(why) => refused_by(&why),
        Ok(_) => with_policies(to(), said),
    }
}

/// A path without canonical form.
fn unnormal(rejected: &path::Rejected) -> Answer {
    Answer {
        outcome: Outcome::Answer,
        status: Some(400),
        reason: Some("protocol error"),
        detail: Some(format!("path_normalization_failed: {rejected}")),
        ..Answer::default()
    }
}

/// Refused before any policy was asked.
fn refused_by(why: &Refused<'_>) -> Answer {
    match why {
        Refused::TrustDomain => Answer::refuse(
            "mtls error",
            "the caller's trust domain is neither this workload's nor one of trustDomainAliases",
        ),
        why => Answer::refuse("denied", why.to_string()),
    }
}

/// An application has one route, which names itself whatever policies say; what would be asked an external authoriser
/// goes there if it agrees.
fn name_inbound(snapshot: &Snapshot, caller: &Caller<'_>, answer: Answer) -> Answer {
    let (Direction::Inbound, Some(local)) = (caller.direction, snapshot.local()) else { return answer };
    let policy = local.inbound.port(caller.port);
    let names = of_meta(&policy.meta);
    let cluster = (answer.outcome == Outcome::Forward).then(|| policy.cluster.name.to_string());
    // What stands behind the application's port is not asked about here.
    let (endpoints, security) = (Vec::new(), None);
    Answer {
        route_config: names.route_config,
        virtual_host: names.virtual_host,
        route: names.route,
        cluster,
        endpoints,
        security,
        ..answer
    }
}

/// An answer of the proxy's own.
fn own(local: &route::Answer) -> Answer {
    match local {
        route::Answer::Redirect { meta, rule, status, location } => Answer {
            outcome: Outcome::Redirect,
            reason: rule.is_none().then_some("redirect to https"),
            status: Some(*status),
            location: Some(location.clone()),
            ..of_meta(meta)
        },
        route::Answer::Respond { meta, status, body, .. } => Answer {
            outcome: Outcome::Answer,
            status: Some(*status),
            detail: Some(format!("the rule answers by itself, with {} bytes", body.len())),
            ..of_meta(meta)
        },
        route::Answer::NotFound { meta: Some(meta) } => refused(
            "no route",
            meta,
            "no rule of the virtual host matches this request (404, route_not_found)".to_owned(),
        ),
        route::Answer::NotFound { meta: None } => {
            Answer::refuse("no virtual host", "nothing here answers to this host (404, route_not_found)")
        }
        route::Answer::Blocked { meta } => refused(
            "no virtual host",
            meta,
            "the mesh knows no such host, and unknown ones may not be reached from here (502)".to_owned(),
        ),
        route::Answer::ClusterNotFound { meta, cluster, .. } => Answer {
            cluster: Some(cluster.to_string()),
            ..refused("no route", meta, format!("the rule leads to {cluster}, which does not exist (503, NC)"))
        },
    }
}
