//! The only loop on the path: pick an endpoint, get a connection, send; and again, if that is safe or the route's
//! rules ask for it.

pub mod retry;

use crate::{
    body::{Held, RequestBody},
    decide::Permit,
    error::{Error, Reset},
    exchange::{Exchange, Flag},
    route::Routed,
    snapshot::Snapshot,
    upstream::{Lease, Upstreams, Want, WorkerCluster, endpoint::Host, lease::NotAnswered},
};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header, request::Parts};
use hyper::body::Incoming;
use mesh_runtime::clock;
use retry::Lost;
use smallvec::SmallVec;
use std::{
    future::Future,
    net::SocketAddr,
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

/// Header that counts tries.
pub const ATTEMPT_COUNT: &str = "x-envoy-attempt-count";

/// What is sent, ready but for what each try adds.
pub struct Outgoing<'a> {
    /// The head, in the form of the upstream's protocol. Headers and extensions leave it with the first try.
    pub head: &'a mut Parts,
    /// The body; `None`: empty.
    pub body: Option<Rc<Held>>,
    /// HTTP/2 to the upstream.
    pub http2: bool,
    /// Tries are counted in a header.
    pub counts_attempts: bool,
    /// Only this once: the client waits for a switch of protocols.
    pub upgrade: bool,
    /// For TLS that names the request's host.
    pub server_name: Option<Arc<str>>,
    /// Where the client wanted to go, for clusters that go there.
    pub original: Option<SocketAddr>,
}

/// What a request is tried with.
pub struct Attempt<'a> {
    /// The worker's live state.
    pub upstreams: &'a Upstreams,
    /// The request's configuration.
    pub snapshot: &'a Snapshot,
    /// What the route says.
    pub routed: &'a Routed,
    /// The live side of its cluster.
    pub cluster: &'a Rc<WorkerCluster>,
}

/// An answer and the connection that it comes on.
pub type Answered = (Response<Incoming>, Lease);

/// Tries until there is an answer to hand on. Needs the proof that the call is allowed.
///
/// # Errors
/// Why there is none.
pub async fn run(
    attempt: &Attempt<'_>,
    _permit: Permit,
    exchange: &mut Exchange,
    outgoing: &mut Outgoing<'_>,
) -> Result<Answered, Error> {
    let mut active = Some(attempt.cluster.enter()?);
    let mut tries = Tries::new(attempt, outgoing);
    loop {
        let error = match tries.one(exchange).await {
            Ok((response, mut lease)) => {
                if !tries.wants_another(exchange, &response, &lease).await {
                    if let Some(active) = active.take() {
                        lease.hold(active);
                    }
                    return Ok((response, lease));
                }
                continue;
            }
            Err(error) => error,
        };
        match tries.after(exchange, error).await {
            Next::Again => {}
            Next::Give(error) => return Err(error),
        }
    }
}

enum Next {
    Again,
    Give(Error),
}

/// A try that failed.
struct Failed {
    error: Error,
    lost: Option<Lost>,
    written: bool,
}

struct Tries<'a, 'h> {
    attempt: &'a Attempt<'a>,
    outgoing: &'a mut Outgoing<'h>,
    idempotent: bool,
    /// The request of the last try, if it was never taken.
    ready: Option<Box<Request<RequestBody>>>,
    /// The headers of the last try, in case of another. In a row: most copies are never used, and a table of them would cost
    /// more to make. Extensions are not kept: a replay writes header names in lower case.
    spare: Option<Vec<(HeaderName, HeaderValue)>>,
    count: u32,
    replays: u32,
    fresh: bool,
    tried: SmallVec<[Rc<Host>; 2]>,
    retrying: Option<crate::limit::Held<crate::limit::Retries>>,
}

impl<'a, 'h> Tries<'a, 'h> {
    fn new(attempt: &'a Attempt<'a>, outgoing: &'a mut Outgoing<'h>) -> Self {
        Tries {
            attempt,
            idempotent: retry::is_idempotent(&outgoing.head.method),
            outgoing,
            ready: None,
            spare: None,
            count: 0,
            replays: 0,
            fresh: false,
            tried: SmallVec::new(),
            retrying: None,
        }
    }

    /// One try: endpoint, connection, request.
    async fn one(&mut self, exchange: &mut Exchange) -> Result<Answered, Failed> {
        let (attempt, outgoing) = (self.attempt, &self.outgoing);
        let picked = attempt.cluster.pick(attempt.upstreams, outgoing.original, attempt.snapshot, &self.tried).await;
        let host = picked.map_err(Failed::unsent)?;
        let want = Want {
            now: if self.count == 0 { exchange.started } else { clock::now() },
            settings: &attempt.snapshot.settings,
            http2: outgoing.http2,
            fresh: self.fresh,
            server_name: outgoing.server_name.as_ref(),
        };
        let acquired = attempt.cluster.acquire(attempt.upstreams, &host, want).await;
        if self.may_try_again() {
            self.tried.push(host);
        }
        let mut lease = acquired.map_err(|(error, upstream)| {
            if let Some(upstream) = upstream {
                exchange.upstream = Some(upstream);
            }
            exchange.transport_failure = error.transport_failure();
            Failed::unsent(error)
        })?;
        exchange.upstream = Some(lease.upstream().clone());

        let request = self.request(lease.is_reused() || lease.upstream().in_mesh);
        let sent = {
            let send = pin!(lease.send(request));
            within(self.per_try_timeout(), self.outgoing.body.as_ref(), send).await
        };
        let Some(sent) = sent else {
            return Err(Failed { error: Error::PerTryTimeout, lost: None, written: true });
        };
        match sent {
            Ok(response) if !self.may_say(&response) => {
                Err(Failed { error: Error::Reset(Reset::Protocol), lost: None, written: true })
            }
            Ok(response) => Ok((response, lease)),
            Err(not) => Err(self.not_answered(not, lease.is_reused())),
        }
    }

    /// The request of this try; a copy of its head is kept where another try may follow. `may_be_lost`: the connection may have
    /// ended, or its peer may be a proxy whose application has.
    fn request(&mut self, may_be_lost: bool) -> Request<RequestBody> {
        self.count += 1;
        let mut request = match self.ready.take() {
            Some(request) => *request,
            None => self.next_request(),
        };
        if self.outgoing.counts_attempts {
            let count = match self.count - self.replays {
                0 | 1 => HeaderValue::from_static("1"),
                more => HeaderValue::from(more),
            };
            request.headers_mut().insert(ATTEMPT_COUNT, count);
        }
        if self.spare.is_none() && (may_be_lost || self.outgoing.http2 || self.may_retry()) {
            self.spare = Some(request.headers().iter().map(|(name, value)| (name.clone(), value.clone())).collect());
        }
        request
    }

    fn next_request(&mut self) -> Request<RequestBody> {
        let body = self.outgoing.body.as_ref().map_or(RequestBody::Empty, |held| RequestBody::Held(held.reader()));
        let mut request = Request::new(body);
        let head = &mut *self.outgoing.head;
        request.method_mut().clone_from(&head.method);
        request.uri_mut().clone_from(&head.uri);
        *request.version_mut() = head.version;
        match &self.spare {
            None => {
                std::mem::swap(request.headers_mut(), &mut head.headers);
                std::mem::swap(request.extensions_mut(), &mut head.extensions);
            }
            Some(fields) => {
                let headers = request.headers_mut();
                headers.reserve(fields.len());
                for (name, value) in fields {
                    headers.append(name.clone(), value.clone());
                }
            }
        }
        request
    }

    fn not_answered(&mut self, not: NotAnswered, reused: bool) -> Failed {
        let written = !not.never_begun || self.outgoing.http2;
        let untaken = not.request.is_some();
        let held = untaken || self.is_held();
        self.ready = not.request;
        let lost = Lost {
            never_begun: not.never_begun,
            reused,
            reset: not.reset,
            answered: not.answered,
            idempotent: self.idempotent,
            held,
            replays: self.replays,
        };
        Failed { error: Error::Reset(lost.told()), lost: Some(lost), written: written && !untaken }
    }

    /// What follows a try that failed.
    async fn after(&mut self, exchange: &mut Exchange, failed: Failed) -> Next {
        exchange.sent |= failed.written;
        self.retrying = None;
        if let Some(fault) = self.outgoing.body.as_ref().and_then(|body| body.fault()) {
            // The upstream only saw what became of it.
            return Next::Give(fault.into());
        }
        if failed.lost.is_some_and(|lost| lost.is_safe_to_replay()) && !self.outgoing.upgrade {
            // On a new connection: whatever ended this one may have ended the other idle ones too.
            self.fresh = true;
            self.replays += 1;
            exchange.replays += 1;
            self.tried.pop();
            return Next::Again;
        }
        let asked = self.attempt.routed.retries.as_ref().filter(|policy| policy.attempts > 0);
        let Some(policy) = asked.filter(|p| retry::after_error(&p.on, &failed.error, exchange.sent)) else {
            return Next::Give(failed.error);
        };
        if exchange.retries >= policy.attempts {
            exchange.flags.set(Flag::UpstreamRetryLimit);
            return Next::Give(failed.error);
        }
        let held = self.ready.is_some() || self.untouched() || self.is_held();
        if !held || !Box::pin(self.wait(exchange, policy.backoff)).await {
            return Next::Give(failed.error);
        }
        Next::Again
    }

    /// Whether an answer is dropped for another try. Flags say why not, where rules asked for one.
    async fn wants_another(&mut self, exchange: &mut Exchange, response: &Response<Incoming>, lease: &Lease) -> bool {
        self.retrying = None;
        let undelivered = retry::is_undelivered(response) && lease.upstream().in_mesh;
        if undelivered {
            lease.host().pass_over();
            if retry::is_safe_when_never_begun(!self.outgoing.upgrade && self.is_held(), self.replays) {
                self.replays += 1;
                exchange.replays += 1;
                return true;
            }
        }
        let Some(policy) = self.attempt.routed.retries.as_ref().filter(|p| p.attempts > 0) else { return false };
        let asked = retry::after_answer(&policy.on, response.status(), response.headers())
            || (undelivered && policy.on.connect_failure);
        if self.outgoing.upgrade || !asked {
            return false;
        }
        if exchange.retries >= policy.attempts {
            exchange.flags.set(Flag::UpstreamRetryLimit);
            return false;
        }
        exchange.sent |= !undelivered;
        self.is_held() && Box::pin(self.wait(exchange, policy.backoff)).await
    }

    /// Takes a share of the retry budget and waits a little.
    async fn wait(&mut self, exchange: &mut Exchange, base: Duration) -> bool {
        let Some(share) = self.attempt.cluster.enter_retry() else {
            exchange.flags.set(Flag::UpstreamOverflow);
            return false;
        };
        self.retrying = Some(share);
        exchange.retries += 1;
        let draw = (self.attempt.upstreams.draw() >> 11) as f64 / (1_u64 << 53) as f64;
        let base = if base.is_zero() { Duration::from_millis(25) } else { base };
        tokio::time::sleep(retry::backoff(base, exchange.retries, draw)).await;
        true
    }

    fn may_retry(&self) -> bool {
        self.attempt.routed.retries.as_ref().is_some_and(|policy| policy.attempts > 0)
    }

    fn may_try_again(&self) -> bool {
        self.attempt.routed.retries.as_ref().is_some_and(|policy| policy.attempts > 0 && policy.avoid_previous)
    }

    /// A connection becomes something else only if it was asked to, and only that; and an answer has no coding that would
    /// be lost with this hop's framing.
    fn may_say(&self, response: &Response<Incoming>) -> bool {
        let mut codings = response.headers().get_all(header::TRANSFER_ENCODING).iter();
        let chunked = |coding: &HeaderValue| coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
        if !codings.next().is_none_or(chunked) || codings.next().is_some() {
            return false;
        }
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return true;
        }
        let mut named = response.headers().get_all(header::UPGRADE).iter();
        let first = named.next().is_some_and(|name| name.as_bytes().trim_ascii().eq_ignore_ascii_case(b"websocket"));
        self.outgoing.upgrade && first && named.next().is_none()
    }

    /// Nothing was handed to a connection yet.
    fn untouched(&self) -> bool {
        self.count == 0
    }

    /// The whole request can be sent again.
    fn is_held(&self) -> bool {
        self.spare.is_some() && self.body_is_whole()
    }

    fn body_is_whole(&self) -> bool {
        self.outgoing.body.as_ref().is_none_or(|body| body.is_whole())
    }

    fn per_try_timeout(&self) -> Option<Duration> {
        let limit = self.attempt.routed.retries.as_ref()?.per_try_timeout.filter(|limit| !limit.is_zero())?;
        let shorter = self.attempt.routed.timeout.is_none_or(|whole| whole.is_zero() || limit < whole);
        shorter.then_some(limit)
    }
}

impl Failed {
    fn unsent(error: Error) -> Self {
        Failed { error, lost: None, written: false }
    }
}

/// The outcome of `work`, if it comes within `limit` from the end of the request's body.
pub async fn within<F: Future>(
    limit: Option<Duration>,
    body: Option<&Rc<Held>>,
    work: Pin<&mut F>,
) -> Option<F::Output> {
    let Some(limit) = limit else { return Some(work.await) };
    // In a box: most requests have no limit, and would have the room of its timer.
    let expired = Box::pin(async {
        if let Some(body) = body {
            body.ended().await;
        }
        tokio::time::sleep_until(clock::now() + limit).await;
    });
    tokio::select! {
        biased;
        outcome = work => Some(outcome),
        () = expired => None,
    }
}
