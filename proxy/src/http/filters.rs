//! Header operations of rules and destinations, compiled once a rule and worker.

use crate::{
    conn::Connection,
    exchange::Exchange,
    route::{Routed, RuleEntry},
};
use http::{HeaderMap, HeaderName, HeaderValue, Version};
use mesh_config::model::route::{HeaderChange, HeaderOps, RouteAction};
use std::{cell::RefCell, collections::HashMap, fmt::Write as _, rc::Rc, sync::Arc};

/// The operations of one backend of one rule.
#[derive(Debug, Default)]
pub struct Ops {
    request: Vec<Level>,
    response: Vec<Level>,
}

/// Removes, then sets, then adds; all values are made from the headers left after the removes.
#[derive(Debug)]
struct Level {
    remove: Vec<HeaderName>,
    set: Vec<(HeaderName, Template)>,
    add: Vec<(HeaderName, Template)>,
}

#[derive(Debug)]
enum Template {
    Fixed(HeaderValue),
    Pieces(Vec<Piece>),
}

#[derive(Debug, PartialEq)]
enum Piece {
    Text(String),
    Request { name: HeaderName, other: Option<HeaderName>, most: Option<usize> },
    Response { name: HeaderName, most: Option<usize> },
    DownstreamRemote { port: bool },
    DownstreamLocal { port: bool },
    Protocol,
    UpstreamHost,
    UpstreamCluster,
    RouteName,
    ServerName,
    PeerUri,
    StartTime,
    ResponseCode,
}

/// What templates may ask about.
pub struct Context<'a> {
    /// The request's own headers; on answers too.
    pub request: &'a HeaderMap,
    /// The answer's; on requests none.
    pub response: Option<&'a HeaderMap>,
    /// The record so far.
    pub exchange: &'a Exchange,
}

/// Compiled operations by rule and backend; a rule is kept alive as long as its entry.
#[derive(Debug, Default)]
pub struct Cache {
    entries: RefCell<HashMap<(usize, usize), (Arc<RuleEntry>, Rc<Ops>)>>,
}

/// Entries are dropped together when there are more: most are of old snapshots then.
const MOST: usize = 1024;

impl Cache {
    /// The operations for a routed request; `None`: there are none.
    pub fn of(&self, rule: Option<&Arc<RuleEntry>>, backend: usize) -> Option<Rc<Ops>> {
        let rule = rule?;
        let own = &rule.rule().headers;
        let theirs = rule.backend(backend).map(|backend| &backend.headers);
        if is_empty(own) && theirs.is_none_or(is_empty) {
            return None;
        }
        let key = (Arc::as_ptr(rule) as usize, backend);
        let mut entries = self.entries.borrow_mut();
        if entries.len() >= MOST && !entries.contains_key(&key) {
            entries.clear();
        }
        let entry = entries.entry(key).or_insert_with(|| (rule.clone(), Rc::new(compile(rule, theirs))));
        Some(entry.1.clone())
    }

    /// As [`Cache::of`].
    pub fn of_routed(&self, routed: &Routed) -> Option<Rc<Ops>> {
        self.of(routed.rule.as_ref(), routed.backend)
    }
}

fn is_empty(ops: &HeaderOps) -> bool {
    ops.request.is_empty() && ops.response.is_empty()
}

/// With several destinations theirs are a level of their own, applied first, so that the rule's win.
fn compile(rule: &RuleEntry, theirs: Option<&HeaderOps>) -> Ops {
    let own = &rule.rule().headers;
    let several = matches!(&rule.rule().action, RouteAction::Forward(backends) if backends.len() > 1);
    let levels = |pick: fn(&HeaderOps) -> &HeaderChange| match (theirs.map(pick), several) {
        (Some(theirs), true) => vec![level(&[theirs]), level(&[pick(own)])],
        (Some(theirs), false) => vec![level(&[pick(own), theirs])],
        (None, _) => vec![level(&[pick(own)])],
    };
    Ops { request: levels(|ops| &ops.request), response: levels(|ops| &ops.response) }
}

fn level(changes: &[&HeaderChange]) -> Level {
    let name = |text: &Arc<str>| {
        // Host and pseudo-headers are changed by rewrites.
        let allowed = !text.starts_with(':') && !text.eq_ignore_ascii_case("host");
        HeaderName::from_bytes(text.as_bytes()).ok().filter(|_| allowed)
    };
    let valued = |pairs: &[(Arc<str>, Arc<str>)]| -> Vec<(HeaderName, Template)> {
        pairs.iter().filter_map(|(n, value)| Some((name(n)?, template(value)))).collect()
    };
    Level {
        remove: changes.iter().flat_map(|c| &c.remove).filter_map(name).collect(),
        set: changes.iter().flat_map(|c| valued(&c.set)).collect(),
        add: changes.iter().flat_map(|c| valued(&c.add)).collect(),
    }
}

impl Ops {
    /// Changes a request's headers.
    pub fn on_request(&self, headers: &mut HeaderMap, exchange: &Exchange) {
        for level in &self.request {
            level.removes(headers);
            let values = level.values(&Context { request: headers, response: None, exchange });
            level.apply(headers, values);
        }
    }

    /// Changes an answer's headers. Request headers are gone by then: what asks for them adds nothing.
    pub fn on_response(&self, headers: &mut HeaderMap, exchange: &Exchange) {
        let none = HeaderMap::new();
        for level in &self.response {
            level.removes(headers);
            let values = level.values(&Context { request: &none, response: Some(headers), exchange });
            level.apply(headers, values);
        }
    }
}

impl Level {
    fn removes(&self, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove(name);
        }
    }

    fn values(&self, context: &Context<'_>) -> Vec<Option<HeaderValue>> {
        self.set.iter().chain(&self.add).map(|(_, template)| template.value(context)).collect()
    }

    fn apply(&self, headers: &mut HeaderMap, values: Vec<Option<HeaderValue>>) {
        let mut values = values.into_iter();
        for ((name, _), value) in self.set.iter().zip(values.by_ref()) {
            if let Some(value) = value {
                headers.insert(name.clone(), value);
            }
        }
        for ((name, _), value) in self.add.iter().zip(values) {
            if let Some(value) = value {
                headers.append(name.clone(), value);
            }
        }
    }
}

/// Reads `%COMMAND%` and `%%`; what is not understood adds nothing (pilot warns about it).
fn template(text: &str) -> Template {
    let mut pieces: Vec<Piece> = Vec::new();
    let push_text = |pieces: &mut Vec<Piece>, text: &str| match pieces.last_mut() {
        Some(Piece::Text(last)) => last.push_str(text),
        _ => pieces.push(Piece::Text(text.to_owned())),
    };
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        if at > 0 {
            push_text(&mut pieces, &rest[..at]);
        }
        rest = &rest[at + 1..];
        let Some(end) = rest.find('%') else {
            push_text(&mut pieces, "%");
            continue;
        };
        if end == 0 {
            push_text(&mut pieces, "%");
        } else if let Some(piece) = command(&rest[..end]) {
            pieces.push(piece);
        }
        rest = &rest[end + 1..];
    }
    if !rest.is_empty() {
        push_text(&mut pieces, rest);
    }
    match pieces.as_slice() {
        [] => Template::Pieces(pieces),
        [Piece::Text(fixed)] => match HeaderValue::try_from(fixed) {
            Ok(value) => Template::Fixed(value),
            Err(_) => Template::Pieces(Vec::new()),
        },
        _ => Template::Pieces(pieces),
    }
}

fn command(text: &str) -> Option<Piece> {
    let (text, most) = match text.rsplit_once("):") {
        Some((head, most)) => (format!("{head})"), Some(most.parse().ok()?)),
        None => (text.to_owned(), None),
    };
    let argument = |prefix: &str| text.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(')'));
    if let Some(names) = argument("REQ(") {
        let (name, other) = match names.split_once('?') {
            Some((name, other)) => (name, Some(other)),
            None => (names, None),
        };
        let parse = |name: &str| match name.to_ascii_lowercase().as_str() {
            ":authority" => Some(http::header::HOST),
            name => HeaderName::from_bytes(name.as_bytes()).ok(),
        };
        return Some(Piece::Request { name: parse(name)?, other: other.and_then(parse), most });
    }
    if let Some(name) = argument("RESP(") {
        return Some(Piece::Response { name: HeaderName::from_bytes(name.as_bytes()).ok()?, most });
    }
    Some(match text.as_str() {
        "DOWNSTREAM_REMOTE_ADDRESS" | "DOWNSTREAM_DIRECT_REMOTE_ADDRESS" => Piece::DownstreamRemote { port: true },
        "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT" | "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT" => {
            Piece::DownstreamRemote { port: false }
        }
        "DOWNSTREAM_LOCAL_ADDRESS" => Piece::DownstreamLocal { port: true },
        "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT" => Piece::DownstreamLocal { port: false },
        "PROTOCOL" => Piece::Protocol,
        "UPSTREAM_HOST" | "UPSTREAM_REMOTE_ADDRESS" => Piece::UpstreamHost,
        "UPSTREAM_CLUSTER" => Piece::UpstreamCluster,
        "ROUTE_NAME" => Piece::RouteName,
        "REQUESTED_SERVER_NAME" => Piece::ServerName,
        "DOWNSTREAM_PEER_URI_SAN" => Piece::PeerUri,
        "START_TIME" => Piece::StartTime,
        "RESPONSE_CODE" => Piece::ResponseCode,
        _ => return None,
    })
}

impl Template {
    /// `None`: nothing came of it, so nothing is added.
    fn value(&self, context: &Context<'_>) -> Option<HeaderValue> {
        let pieces = match self {
            Template::Fixed(value) => return Some(value.clone()),
            Template::Pieces(pieces) => pieces,
        };
        let mut out = String::new();
        for piece in pieces {
            piece.write(&mut out, context);
        }
        if out.is_empty() { None } else { HeaderValue::try_from(out).ok() }
    }
}

impl Piece {
    fn write(&self, out: &mut String, context: &Context<'_>) {
        let conn: &Connection = &context.exchange.conn;
        let header = |headers: &HeaderMap, name: &HeaderName| {
            headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let cut = |text: String, most: Option<usize>| match most {
            Some(most) if most < text.len() => text.chars().take(most).collect(),
            _ => text,
        };
        match self {
            Piece::Text(text) => out.push_str(text),
            Piece::Request { name, other, most } => {
                let value = header(context.request, name)
                    .or_else(|| other.as_ref().and_then(|other| header(context.request, other)));
                out.push_str(&cut(value.unwrap_or_default(), *most));
            }
            Piece::Response { name, most } => {
                let value = context.response.and_then(|headers| header(headers, name));
                out.push_str(&cut(value.unwrap_or_default(), *most));
            }
            Piece::DownstreamRemote { port: true } => drop(write!(out, "{}", conn.remote)),
            Piece::DownstreamRemote { port: false } => drop(write!(out, "{}", conn.remote.ip())),
            Piece::DownstreamLocal { port: true } => drop(write!(out, "{}", conn.local)),
            Piece::DownstreamLocal { port: false } => drop(write!(out, "{}", conn.local.ip())),
            Piece::Protocol => out.push_str(match context.exchange.protocol {
                Some(Version::HTTP_2) => "HTTP/2",
                Some(Version::HTTP_10) => "HTTP/1.0",
                _ => "HTTP/1.1",
            }),
            Piece::UpstreamHost => {
                if let Some(upstream) = &context.exchange.upstream {
                    let _ = write!(out, "{}", upstream.address);
                }
            }
            Piece::UpstreamCluster => {
                out.push_str(context.exchange.cluster.as_ref().map_or("", |cluster| &cluster.name));
            }
            Piece::RouteName => out.push_str(context.exchange.route.as_ref().map_or("", |route| &route.route)),
            Piece::ServerName => out.push_str(conn.sni().unwrap_or("")),
            Piece::PeerUri => out.push_str(conn.peer_uri().unwrap_or("")),
            Piece::StartTime => {
                let _ = write!(out, "{}", mesh_config::time::Utc::of_millis(mesh_runtime::clock::system_now()));
            }
            Piece::ResponseCode => drop(write!(out, "{}", context.exchange.code())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_read() {
        let pieces = |text: &str| match template(text) {
            Template::Fixed(value) => vec![Piece::Text(value.to_str().unwrap().to_owned())],
            Template::Pieces(pieces) => pieces,
        };
        let text = |text: &str| Piece::Text(text.to_owned());
        assert_eq!(pieces("plain"), [text("plain")]);
        assert_eq!(pieces("100%%"), [text("100%")]);
        assert_eq!(pieces("a %PROTOCOL% b"), [text("a "), Piece::Protocol, text(" b")]);
        assert_eq!(pieces("%NO_SUCH_THING%"), []);
        let name = |name| HeaderName::from_static(name);
        assert_eq!(
            pieces("%REQ(X-A?X-B):3%"),
            [Piece::Request { name: name("x-a"), other: Some(name("x-b")), most: Some(3) }]
        );
    }
}
