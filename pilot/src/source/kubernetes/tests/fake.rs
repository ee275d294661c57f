//! An API server in memory: lists in pages, watches with and without a beginning, and what may go wrong with them.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, StreamBody, combinators::BoxBody};
use hyper::body::Frame;
use kube::client::Body;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};
use tokio::sync::mpsc;
use tokio_stream::{StreamExt, wrappers::UnboundedReceiverStream};

/// The server; clones are the same one.
#[derive(Clone, Default)]
pub(super) struct Fake(Arc<Mutex<State>>);

#[derive(Default)]
pub(super) struct State {
    version: u64,
    /// Changes before this one are forgotten.
    oldest: u64,
    /// By path, then by `namespace/name`.
    objects: BTreeMap<String, BTreeMap<String, Value>>,
    log: Vec<(u64, String, String)>,
    watches: Vec<(String, mpsc::UnboundedSender<Bytes>)>,
    /// Paths that nobody serves.
    pub(super) missing: BTreeSet<String>,
    /// Paths that may not be asked for.
    pub(super) forbidden: BTreeSet<String>,
    /// Watches do not begin with what is there.
    pub(super) no_streaming: bool,
    /// Paths whose watches do not say that all has been sent.
    pub(super) unfinished: BTreeSet<String>,
    /// Marks of pages are forgotten at once.
    pub(super) pages_expire: bool,
    /// Nothing is answered.
    pub(super) down: bool,
    /// What was asked for: path and query.
    pub(super) asked: Vec<String>,
}

impl Fake {
    pub(super) fn client(&self) -> kube::Client {
        kube::Client::new(self.clone(), "default")
    }

    pub(super) fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.0.lock().unwrap())
    }

    /// Writes an object; `name` is `namespace/name`, or a name alone.
    pub(super) fn put(&self, path: &str, name: &str, mut object: Value) {
        self.with(|state| {
            state.version += 1;
            let (namespace, own) = name.split_once('/').unwrap_or(("", name));
            object["metadata"]["name"] = own.into();
            if !namespace.is_empty() {
                object["metadata"]["namespace"] = namespace.into();
            }
            object["metadata"]["resourceVersion"] = state.version.to_string().into();
            let before = state.objects.entry(path.to_owned()).or_default().insert(name.to_owned(), object.clone());
            let kind = if before.is_some() { "MODIFIED" } else { "ADDED" };
            state.tell(path, json!({"type": kind, "object": object}));
        });
    }

    pub(super) fn delete(&self, path: &str, name: &str) {
        self.with(|state| {
            state.version += 1;
            let mut object = state.objects.get_mut(path).unwrap().remove(name).unwrap();
            object["metadata"]["resourceVersion"] = state.version.to_string().into();
            state.tell(path, json!({"type": "DELETED", "object": object}));
        });
    }

    /// Sends this to who watches the path.
    pub(super) fn say(&self, path: &str, line: &str) {
        self.with(|state| state.send(path, line.to_owned()));
    }

    /// Ends all watches.
    pub(super) fn hang_up(&self) {
        self.with(|state| state.watches.clear());
    }

    /// Forgets what has changed until now.
    pub(super) fn compact(&self) {
        self.with(|state| state.oldest = state.version);
    }

    /// Says that all has been sent to those to whom it was not.
    pub(super) fn finish(&self, path: &str) {
        self.with(|state| {
            state.unfinished.remove(path);
            let line = bookmark(state.version, true);
            state.send(path, line);
        });
    }

    /// How often something was asked for whose path and query have these two words.
    pub(super) fn asked(&self, path: &str, word: &str) -> usize {
        let has = |asked: &&String| asked.split('?').next() == Some(path) && asked.contains(word);
        self.with(|state| state.asked.iter().filter(has).count())
    }
}

fn bookmark(version: u64, all_sent: bool) -> String {
    let annotations = if all_sent { json!({"k8s.io/initial-events-end": "true"}) } else { json!({}) };
    let metadata = json!({"resourceVersion": version.to_string(), "annotations": annotations});
    json!({"type": "BOOKMARK", "object": {"metadata": metadata}}).to_string()
}

fn status(code: u16, message: &str) -> Response<BoxBody<Bytes, Infallible>> {
    let said = json!({"kind": "Status", "code": code, "message": message});
    answer(code, said.to_string().into())
}

fn answer(code: u16, body: Bytes) -> Response<BoxBody<Bytes, Infallible>> {
    Response::builder().status(code).body(http_body_util::Full::new(body).boxed()).unwrap()
}

impl State {
    fn tell(&mut self, path: &str, event: Value) {
        let line = event.to_string();
        self.log.push((self.version, path.to_owned(), line.clone()));
        self.send(path, line);
    }

    fn send(&mut self, path: &str, line: String) {
        let line = Bytes::from(line + "\n");
        self.watches.retain(|(watched, to)| watched != path || to.send(line.clone()).is_ok());
    }

    fn answer(&mut self, path_and_query: &str) -> Response<BoxBody<Bytes, Infallible>> {
        self.asked.push(path_and_query.to_owned());
        let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
        let query: BTreeMap<_, _> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        if self.forbidden.contains(path) {
            return status(403, "it is forbidden");
        }
        if self.missing.contains(path) {
            return status(404, "the server could not find the requested resource");
        }
        if query.contains_key("watch") { self.watch(path, &query) } else { self.list(path, &query) }
    }

    fn list(&self, path: &str, query: &BTreeMap<String, String>) -> Response<BoxBody<Bytes, Infallible>> {
        let objects = self.objects.get(path).cloned().unwrap_or_default();
        let after = query.get("continue");
        if after.is_some() && self.pages_expire {
            return status(410, "the mark is too old");
        }
        let limit = query.get("limit").map_or(usize::MAX, |limit| limit.parse().unwrap());
        let rest: Vec<_> = objects.iter().filter(|(name, _)| after.is_none_or(|after| *name > after)).collect();
        let page = &rest[..rest.len().min(limit)];
        let mut metadata = json!({"resourceVersion": self.version.to_string()});
        if page.len() < rest.len() {
            metadata["continue"] = page.last().unwrap().0.as_str().into();
        }
        let items: Vec<_> = page.iter().map(|(_, object)| object).collect();
        answer(200, json!({"kind": "List", "metadata": metadata, "items": items}).to_string().into())
    }

    fn watch(&mut self, path: &str, query: &BTreeMap<String, String>) -> Response<BoxBody<Bytes, Infallible>> {
        let (to, lines) = mpsc::unbounded_channel();
        let send = |line: &str| to.send(Bytes::from(format!("{line}\n"))).unwrap();
        match query.get("resourceVersion").map(|version| version.parse::<u64>().unwrap()) {
            Some(from) if from < self.oldest => {
                let error = json!({"kind": "Status", "code": 410, "message": "too old"});
                send(&json!({"type": "ERROR", "object": error}).to_string());
            }
            Some(from) => {
                let since = self.log.iter().filter(|(version, at, _)| at == path && *version > from);
                since.for_each(|(_, _, line)| send(line));
            }
            None if self.no_streaming => return status(422, "sendInitialEvents is forbidden"),
            None => {
                let objects = self.objects.get(path).into_iter().flat_map(BTreeMap::values);
                objects.for_each(|object| send(&json!({"type": "ADDED", "object": object}).to_string()));
                if !self.unfinished.contains(path) {
                    send(&bookmark(self.version, true));
                }
            }
        }
        self.watches.push((path.to_owned(), to));
        let frames = UnboundedReceiverStream::new(lines).map(|line| Ok(Frame::data(line)));
        Response::new(BodyExt::boxed(StreamBody::new(frames)))
    }
}

impl tower_service::Service<Request<Body>> for Fake {
    type Response = Response<BoxBody<Bytes, Infallible>>;
    type Error = std::io::Error;
    type Future = std::future::Ready<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let asked = request.uri().path_and_query().unwrap().as_str().to_owned();
        std::future::ready(self.with(|state| match state.down {
            true => Err(std::io::Error::from(std::io::ErrorKind::ConnectionRefused)),
            false => Ok(state.answer(&asked)),
        }))
    }
}
