//! An API server for tests, in memory: objects by path, versions and conflicts, and what a test lets it say instead.

use kube::{Client, client::Body};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

type Answer = (u16, String);
/// Answers a call of (method, path, body) in the server's place.
type Instead = Arc<dyn Fn(&str, &str, &Value) -> Option<Answer> + Send + Sync>;

/// Clones are the same server.
#[derive(Clone, Default)]
pub(crate) struct FakeServer(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Value>,
    version: u64,
    instead: Option<Instead>,
    hangs: bool,
    calls: Vec<String>,
}

impl FakeServer {
    pub(crate) fn client(&self) -> Client {
        Client::new(self.clone(), "default")
    }

    /// Answers everything with this, or as an API server does.
    pub(crate) fn say(&self, answer: Option<(u16, &str)>) {
        let answer = answer.map(|(code, text)| (code, text.to_owned()));
        self.0.lock().instead = answer.map(|answer| -> Instead { Arc::new(move |_, _, _| Some(answer.clone())) });
    }

    /// Answers what this function answers.
    pub(crate) fn answer(&self, with: impl Fn(&str, &str, &Value) -> Option<Answer> + Send + Sync + 'static) {
        self.0.lock().instead = Some(Arc::new(with));
    }

    /// Answers nothing any more.
    pub(crate) fn hang(&self) {
        self.0.lock().hangs = true;
    }

    /// Every call since the last time, as `METHOD path`.
    pub(crate) fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().calls)
    }

    /// What is there.
    pub(crate) fn object(&self, path: &str) -> Option<Value> {
        self.0.lock().objects.get(path).cloned()
    }

    /// Changes what is there, as somebody else would.
    pub(crate) fn put(&self, path: &str, object: Option<Value>) {
        let mut state = self.0.lock();
        match object {
            Some(object) => drop(state.store(path.to_owned(), object)),
            None => drop(state.objects.remove(path)),
        }
    }
}

impl State {
    fn store(&mut self, path: String, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        if let Some((_, rest)) = path.split_once("/namespaces/")
            && let Some((namespace, _)) = rest.split_once('/')
        {
            object["metadata"]["namespace"] = json!(namespace);
        }
        self.objects.insert(path, object.clone());
        object
    }

    fn answer(&mut self, method: &str, path: &str, body: Value) -> Answer {
        let none = |code: u16| (code, json!({"kind": "Status", "message": "as the fake says"}).to_string());
        match method {
            "GET" => self.objects.get(path).map_or(none(404), |object| (200, object.to_string())),
            "POST" => {
                let path = format!("{path}/{}", body["metadata"]["name"].as_str().unwrap_or_default());
                if self.objects.contains_key(&path) {
                    return none(409);
                }
                (201, self.store(path, body).to_string())
            }
            "PUT" => match self.objects.get(path) {
                None => none(404),
                Some(there) if there["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"] => none(409),
                Some(_) => (200, self.store(path.to_owned(), body).to_string()),
            },
            _ => none(405),
        }
    }
}

impl tower_service::Service<http::Request<Body>> for FakeServer {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let state = self.0.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let bytes = body.collect_bytes().await.unwrap();
            let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
            let (method, path) = (parts.method.as_str(), parts.uri.path());
            let (hangs, instead) = {
                let mut state = state.lock();
                state.calls.push(format!("{method} {path}"));
                (state.hangs, state.instead.clone())
            };
            if hangs {
                std::future::pending::<()>().await;
            }
            let (code, text) = match instead.and_then(|instead| instead(method, path, &body)) {
                Some(answer) => answer,
                None => state.lock().answer(method, path, body),
            };
            Ok(http::Response::builder().status(code).body(Body::from(text.into_bytes())).unwrap())
        })
    }
}
