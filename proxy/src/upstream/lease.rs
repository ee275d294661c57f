//! A connection in use by one request, with everything that counts it: given back or closed when dropped.

use super::{
    endpoint::Host,
    failure::reset_of,
    pool::{H1, H2},
};
use crate::{
    body::RequestBody,
    conn::Upstream,
    error::Reset,
    limit::{Active, Held, Load},
};
use futures_util::{FutureExt, future::Either};
use http::{HeaderMap, Request, Response, Version, header};
use hyper::{body::Incoming, client::conn::TrySendError};
use std::{future::Future, rc::Rc, time::Duration};
use tokio::time::Instant;

/// See the module.
pub struct Lease {
    host: Rc<Host>,
    connection: Connection,
    reused: bool,
    /// The connection may serve another request: the answer was read whole and nobody asked to close.
    reusable: bool,
    _active: Option<Held<Active>>,
    _load: Held<Load>,
}

enum Connection {
    H1(Option<Box<H1>>),
    H2(Rc<H2>),
}

/// A request that got no answer.
pub struct NotAnswered {
    /// How it ended.
    pub reset: Reset,
    /// Nothing of it reached the upstream, or the upstream said that it was not begun.
    pub never_begun: bool,
    /// A byte of an answer was read.
    pub answered: bool,
    /// The request, if it was never taken.
    pub request: Option<Box<Request<RequestBody>>>,
}

impl Lease {
    pub(super) fn h1(host: Rc<Host>, connection: Box<H1>, reused: bool, load: Held<Load>) -> Self {
        let connection = Connection::H1(Some(connection));
        Lease { host, connection, reused, reusable: false, _active: None, _load: load }
    }

    pub(super) fn h2(host: Rc<Host>, connection: Rc<H2>, reused: bool, load: Held<Load>) -> Self {
        connection.enter();
        let connection = Connection::H2(connection);
        Lease { host, connection, reused, reusable: false, _active: None, _load: load }
    }

    /// Keeps the request counted as active until the lease ends.
    pub fn hold(&mut self, active: Held<Active>) {
        self._active = Some(active);
    }

    /// Whether the connection served a request before.
    pub fn is_reused(&self) -> bool {
        self.reused
    }

    /// The endpoint.
    pub fn host(&self) -> &Rc<Host> {
        &self.host
    }

    /// The facts of the connection.
    pub fn upstream(&self) -> &Rc<Upstream> {
        match &self.connection {
            Connection::H1(Some(h1)) => &h1.upstream,
            Connection::H1(None) => unreachable!("a lease loses its connection only when dropped"),
            Connection::H2(h2) => &h2.upstream,
        }
    }

    /// Sends a request and waits for the head of the answer. The request is handed over at once: the future would be
    /// twice as large with it.
    pub fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Result<Response<Incoming>, NotAnswered>> {
        let (sent, before) = match &mut self.connection {
            Connection::H1(Some(h1)) => {
                let before = (h1.meter.written(), h1.meter.read());
                (Either::Left(h1.sender.try_send_request(request)), before)
            }
            Connection::H1(None) => unreachable!("a lease loses its connection only when dropped"),
            Connection::H2(h2) => (Either::Right(h2.sender.borrow_mut().try_send_request(request)), (0, 0)),
        };
        sent.map(move |outcome| match (outcome, &self.connection) {
            (Ok(response), Connection::H1(_)) => {
                self.reusable = keeps_alive(&response);
                if self.reusable
                    && let Some(timeout) = announced_timeout(response.headers())
                {
                    self.host.idle_announced(timeout);
                }
                Ok(response)
            }
            (Err(error), Connection::H1(Some(h1))) => {
                let (written, read) = before;
                Err(not_answered(error, h1.meter.written() == written, h1.meter.read() > read))
            }
            (outcome, _) => outcome.map_err(|error| not_answered(error, false, false)),
        })
    }

    /// The last byte of the answer was read: an HTTP/1 connection may be used again.
    pub(crate) fn finished(&mut self, now: Instant) {
        if !self.reusable {
            return;
        }
        if let Connection::H1(connection) = &mut self.connection
            && let Some(h1) = connection.take()
        {
            self.host.put_back(h1, now);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Connection::H2(h2) = &self.connection {
            h2.leave();
        }
    }
}

fn not_answered(mut error: TrySendError<Request<RequestBody>>, unwritten: bool, answered: bool) -> NotAnswered {
    let request = error.take_message().map(Box::new);
    let reset = reset_of(&error.into_error());
    let never_begun = request.is_some() || unwritten || reset == Reset::Refused;
    NotAnswered { reset, never_begun, answered, request }
}

fn keeps_alive(response: &Response<Incoming>) -> bool {
    let says = |token: &str| {
        response.headers().get_all(header::CONNECTION).iter().any(|value| {
            value.as_bytes().split(|b| *b == b',').any(|t| t.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
        })
    };
    match response.version() {
        Version::HTTP_10 => says("keep-alive"),
        _ => !response.headers().contains_key(header::CONNECTION) || !says("close"),
    }
}

/// `Keep-Alive: timeout=5, max=100`
fn announced_timeout(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get("keep-alive")?.to_str().ok()?;
    let timeout = value.split(',').find_map(|part| part.trim().strip_prefix("timeout="))?;
    timeout.trim().parse().ok().map(Duration::from_secs)
}
