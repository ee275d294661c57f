//! What becomes of one request. [`stages`] is the one place where their order stands, for a sidecar and a gateway.

use super::{Ask, Caller, Permit, Refused, authorise};
use crate::{
    authz::{HttpAttributes, Verdict},
    lookup::HeaderLookup,
    route::{RequestView, RouteMeta, Routed, RuleEntry, Selection, select},
    snapshot::{Local as Workload, Snapshot},
};
use bytes::Bytes;
use serde_json::Value;
use std::{net::IpAddr, sync::Arc};

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
    /// The proxy answers by itself.
    Answer(Local<'s>),
    /// It is sent on.
    Forward(Plan),
}

impl Step<'_> {
    /// What has to be fetched first.
    pub fn asks(&self) -> Option<Ask> {
        match self {
            Step::Ask(ask) => Some(ask.clone()),
            Step::Answer(_) | Step::Forward(_) => None,
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

/// An answer of the proxy's own.
#[derive(Debug)]
pub enum Local<'s> {
    /// 403.
    Refused(Refused<'s>),
    /// A rule sends the client elsewhere.
    Redirect {
        /// Names of what was selected.
        meta: Arc<RouteMeta>,
        /// The rule; `None`: a gateway's `httpsRedirect`.
        rule: Option<Arc<RuleEntry>>,
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// Absolute.
        location: String,
    },
    /// A rule answers.
    Respond {
        /// Names of what was selected.
        meta: Arc<RouteMeta>,
        rule: Arc<RuleEntry>,
        status: u16,
        /// May be empty.
        body: Bytes,
    },
    /// 404, flag NR, `route_not_found`.
    NotFound {
        /// Names of the virtual host, if the host was known.
        meta: Option<Arc<RouteMeta>>,
    },
    /// 502: the host is unknown and unknown hosts may not be reached.
    Blocked {
        /// Names: `block_all`.
        meta: Arc<RouteMeta>,
    },
    /// 503, flag NC: the rule's destination does not exist.
    ClusterNotFound {
        /// Names of what was selected.
        meta: Arc<RouteMeta>,
        /// The rule; `None` for a service without rules whose port is gone.
        rule: Option<Arc<RuleEntry>>,
        /// Name of the cluster that is missing.
        cluster: Arc<str>,
    },
}

/// Decides on a request.
pub fn request<'s>(snapshot: &'s Snapshot, caller: &Caller<'_>, request: &Request<'_>) -> Decision<'s> {
    let mut verdict = None;
    let step = match stages(snapshot, caller, request, &mut verdict) {
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
    verdict: &mut Option<Verdict<'s>>,
) -> Result<Plan, Step<'s>> {
    let local = authorise::known(snapshot).map_err(refused)?;
    authorise::stands(snapshot, caller).map_err(refused)?;
    policies(local, caller, request, verdict)?;
    let routed = route(snapshot, caller, request)?;
    Ok(Plan { permit: Permit(()), routed })
}

fn refused(why: Refused<'_>) -> Step<'_> {
    Step::Answer(Local::Refused(why))
}

fn policies<'s>(
    local: &'s Workload,
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
        Some(verdict) => verdict.allowed().map_err(|denial| refused(Refused::Policy(denial))),
        None => Ok(()),
    }
}

fn route<'s>(snapshot: &Snapshot, caller: &Caller<'_>, request: &Request<'_>) -> Result<Routed, Step<'s>> {
    if request.path.is_empty() {
        return Err(Step::Answer(Local::NotFound { meta: None }));
    }
    let view = RequestView {
        method: request.method,
        scheme: request.scheme,
        authority: request.authority.unwrap_or(""),
        path: request.path,
        headers: request.headers,
        listener_port: caller.port,
    };
    let local = match select(snapshot, caller.key, &view, request.draw) {
        Selection::Forward(routed) => return Ok(routed),
        Selection::Pending { service } => return Err(Step::Ask(Ask::Details(service))),
        Selection::Redirect { meta, rule, status, location } => {
            Local::Redirect { meta, rule: Some(rule), status, location }
        }
        Selection::HttpsRedirect { meta, location } => Local::Redirect { meta, rule: None, status: 301, location },
        Selection::Respond { meta, rule, status, body } => Local::Respond { meta, rule, status, body },
        Selection::NotFound { meta } => Local::NotFound { meta },
        Selection::Blocked { meta } => Local::Blocked { meta },
        Selection::ClusterNotFound { meta, rule, cluster } => Local::ClusterNotFound { meta, rule, cluster },
    };
    Err(Step::Answer(local))
}
