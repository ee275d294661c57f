//! What becomes of one request. [`stages`] is the one place where their order stands, for a sidecar and a gateway.

use super::{Ask, Asking, Caller, Permit, Refused, authorise, whose};
use crate::{
    authz::{HttpAttributes, Verdict},
    lookup::HeaderLookup,
    route::{Answer, RequestView, Routed, Selection, select},
    snapshot::{Local, Snapshot},
};
use serde_json::Value;
use std::net::IpAddr;

/// What is known about a request, in its canonical form.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    pub method: &'a str,
    /// The connection's, `http` or `https`; never the client's word for it.
    pub scheme: &'a str,
    /// Host as sent, with its port; `None`: the request had none.
    pub authority: Option<&'a str>,
    /// The normalised path, with its query.
    pub path: &'a str,
    pub headers: &'a dyn HeaderLookup,
    /// The original client; `None`: the peer.
    pub client: Option<IpAddr>,
    /// What earlier filters found, by filter name.
    pub metadata: Option<&'a Value>,
    /// A random number that decides between weighted backends; the same when the request is decided again.
    pub draw: u64,
}

/// What was decided, and what policies said on the way.
#[derive(Debug)]
pub struct Decision<'s> {
    /// What to do.
    pub step: Step<'s>,
    /// What the policies said; `None`: they were not asked.
    pub verdict: Option<Verdict<'s>>,
}

/// What to do with a request.
#[derive(Debug)]
pub enum Step<'s> {
    /// Fetch this, and decide again.
    Ask(Ask),
    /// 403.
    Refuse(Refused<'s>),
    /// The proxy answers by itself.
    Answer(Answer),
    /// It is sent on.
    Forward(Plan),
}

impl Step<'_> {
    /// What has to be fetched first.
    pub fn asks(&self) -> Option<Ask> {
        match self {
            Step::Ask(ask) => Some(ask.clone()),
            Step::Refuse(_) | Step::Answer(_) | Step::Forward(_) => None,
        }
    }
}

/// How a request is sent on.
#[derive(Debug)]
pub struct Plan {
    /// The proof that it may be.
    pub permit: Permit,
    /// Where to, with the rule's limits, header operations and rewrites.
    pub routed: Routed,
}

/// Decides on a request.
pub fn request<'s>(snapshot: &'s Snapshot, caller: &Caller<'_>, request: &Request<'_>, asking: Asking) -> Decision<'s> {
    let mut verdict = None;
    let step = match stages(snapshot, caller, request, asking, &mut verdict) {
        Ok(plan) => Step::Forward(plan),
        Err(step) => step,
    };
    Decision { step, verdict }
}

/// The stages in the order of Envoy's filters: what comes first decides, so a refusal wins over every answer of a route.
fn stages<'s>(
    snapshot: &'s Snapshot,
    caller: &Caller<'_>,
    request: &Request<'_>,
    asking: Asking,
    verdict: &mut Option<Verdict<'s>>,
) -> Result<Plan, Step<'s>> {
    let local = authorise::stands(snapshot, caller).map_err(Step::Refuse)?;
    policies(local, caller, request, verdict)?;
    let routed = route(snapshot, caller, request, asking)?;
    Ok(Plan { permit: Permit(()), routed })
}

fn policies<'s>(
    local: &'s Local,
    caller: &Caller<'_>,
    request: &Request<'_>,
    verdict: &mut Option<Verdict<'s>>,
) -> Result<(), Step<'s>> {
    let http = HttpAttributes {
        method: request.method.as_bytes(),
        path: request.path.as_bytes(),
        authority: request.authority.map(str::as_bytes),
        headers: request.headers,
    };
    *verdict = authorise::authorise(local, caller, Some(http), request.client, request.metadata);
    match verdict {
        Some(verdict) => verdict.allowed().map_err(|denial| Step::Refuse(Refused::Policy(denial))),
        None => Ok(()),
    }
}

fn route<'s>(
    snapshot: &Snapshot,
    caller: &Caller<'_>,
    request: &Request<'_>,
    asking: Asking,
) -> Result<Routed, Step<'s>> {
    if request.path.is_empty() {
        return Err(Step::Answer(Answer::NotFound { meta: None }));
    }
    let view = RequestView {
        method: request.method,
        scheme: request.scheme,
        authority: request.authority.unwrap_or(""),
        path: request.path,
        headers: request.headers,
        listener_port: caller.port,
    };
    match select(snapshot, caller.key, &view, request.draw) {
        Selection::Forward(routed) => match whose(snapshot, &routed.cluster, caller.wanted(), asking) {
            Some(ask) => Err(Step::Ask(ask)),
            None => Ok(routed),
        },
        Selection::Answer(answer) => Err(Step::Answer(answer)),
        Selection::Pending { service } => Err(Step::Ask(Ask::Details(service))),
    }
}
