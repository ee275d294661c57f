//! An API server that holds objects in memory, as far as the command asks one: get, list, apply, merge, delete, logs of
//! containers, ports of pods. What is applied is ready at once. It judges nothing; what a real one refuses is for tests of
//! a cluster.

use crate::port::{self, Ports};
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, Response, StatusCode, body::Bytes, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::TcpListener,
    process::Command,
    sync::{Arc, Mutex},
};

/// What is held, by the path that the API server has it at.
type Objects = BTreeMap<String, Value>;

#[derive(Default)]
struct State {
    objects: Mutex<Objects>,
    logs: Mutex<BTreeMap<String, String>>,
    ports: Ports,
    /// Method and path of what changed something, in order.
    written: Mutex<Vec<String>>,
}

/// Serves until the test's process ends.
pub(crate) struct Api {
    state: Arc<State>,
    folder: tempfile::TempDir,
}

/// What a run of the command left: exit code, standard output, standard error.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Api {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let state = Arc::new(State::default());
        let served = state.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { serve(tokio::net::TcpListener::from_std(listener).unwrap(), served).await });
        });
        let folder = tempfile::tempdir().unwrap();
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "fake",
            "clusters": [{"name": "fake", "cluster": {"server": format!("http://{address}")}}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
            "users": [{"name": "fake", "user": {"token": "token-of-the-user"}}],
        });
        std::fs::write(folder.path().join("kubeconfig"), config.to_string()).unwrap();
        Api { state, folder }
    }

    /// Runs the command against it, in a folder of its own.
    pub(crate) fn meshctl(&self, line: &str) -> Ran {
        self.answering(line, "")
    }

    /// The same, with an answer to what is asked.
    pub(crate) fn answering(&self, line: &str, answer: &str) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meshctl"));
        command.args(line.split_whitespace()).env_clear().current_dir(self.folder.path());
        command.arg("--kubeconfig").arg(self.folder.path().join("kubeconfig"));
        command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        let mut child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), answer.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        Ran { code: output.status.code().unwrap(), out, err }
    }

    /// Holds an object at a path below the server's root.
    pub(crate) fn hold(&self, path: &str, object: Value) {
        self.state.objects.lock().unwrap().insert(path.to_owned(), object);
    }

    /// Holds a pod at its path.
    pub(crate) fn hold_pod(&self, pod: Value) {
        let [namespace, name] = ["namespace", "name"].map(|key| pod["metadata"][key].as_str().unwrap());
        self.hold(&format!("/api/v1/namespaces/{namespace}/pods/{name}"), pod.clone());
    }

    /// What is held at a path.
    pub(crate) fn held(&self, path: &str) -> Option<Value> {
        self.state.objects.lock().unwrap().get(path).cloned()
    }

    /// Paths of everything that is held and contains this.
    pub(crate) fn paths(&self, part: &str) -> Vec<String> {
        self.state.objects.lock().unwrap().keys().filter(|path| path.contains(part)).cloned().collect()
    }

    /// Changes what is held at a path.
    pub(crate) fn change(&self, path: &str, change: impl FnOnce(&mut Value)) {
        change(self.state.objects.lock().unwrap().get_mut(path).expect("it is held"));
    }

    /// The log of a container, `NAMESPACE/POD/CONTAINER`, with `#previous` that of the one before.
    pub(crate) fn log(&self, container: &str, text: &str) {
        self.state.logs.lock().unwrap().insert(container.to_owned(), text.to_owned());
    }

    /// Where the command runs.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// A page of a port of a pod, `NAMESPACE/POD:PORT`; a call of it answers this.
    pub(crate) fn page(&self, port: &str, call: &str, answer: &str) {
        self.state.ports.page(port, call, answer);
    }

    /// Calls of pages, with their port and body.
    pub(crate) fn called(&self) -> Vec<String> {
        self.state.ports.called()
    }

    /// What changed something, since it was asked last.
    pub(crate) fn written(&self) -> Vec<String> {
        std::mem::take(&mut self.state.written.lock().unwrap())
    }
}

/// A running pod.
pub(crate) fn pod(namespace: &str, name: &str, labels: Value) -> Value {
    json!({
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"containers": [{"name": "main"}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    })
}

async fn serve(listener: tokio::net::TcpListener, state: Arc<State>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let state = state.clone();
        let service = service_fn(move |request| answer(request, state.clone()));
        let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        tokio::spawn(connection.with_upgrades());
    }
}

type Answer = Response<Full<Bytes>>;

fn said(code: StatusCode, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = code;
    answer
}

fn status(code: u16, reason: &str, message: &str) -> Answer {
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": reason, "code": code});
    said(StatusCode::from_u16(code).unwrap(), body.to_string())
}

async fn answer(mut request: Request<Incoming>, state: Arc<State>) -> Result<Answer, Infallible> {
    let path = request.uri().path().to_owned();
    let query: BTreeMap<String, String> =
        form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes()).into_owned().collect();
    if let Some(pod) = path.strip_suffix("/portforward") {
        return Ok(port::forward(&mut request, &named(pod), &query["ports"], &state.ports));
    }
    if let Some(pod) = path.strip_suffix("/log") {
        let end = if query.contains_key("previous") { "#previous" } else { "" };
        let container = format!("{}/{}{end}", named(pod), query["container"]);
        return Ok(match state.logs.lock().unwrap().get(&container) {
            Some(text) => said(StatusCode::OK, text.clone()),
            None => status(400, "BadRequest", &format!("no log of {container}")),
        });
    }
    let metadata_alone =
        request.headers().get("accept").is_some_and(|v| v.to_str().unwrap_or("").contains("as=PartialObjectMetadata"));
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Ok(match parts.method {
        Method::GET => got(&state, &path, &query, metadata_alone),
        Method::PATCH => {
            let is_apply = parts.headers["content-type"].to_str().unwrap().contains("apply");
            patched(&state, &path, &serde_json::from_slice(&body).unwrap(), is_apply, query.contains_key("dryRun"))
        }
        Method::DELETE if query.contains_key("labelSelector") => {
            let (prefix, labels) = (format!("{path}/"), &query["labelSelector"]);
            state.written.lock().unwrap().push(format!("DELETE {path}?{labels}"));
            state
                .objects
                .lock()
                .unwrap()
                .retain(|at, object| !at.starts_with(&prefix) || !selected(object, labels, ""));
            said(StatusCode::OK, json!({"kind": "Status", "apiVersion": "v1", "status": "Success"}).to_string())
        }
        Method::DELETE => {
            state.written.lock().unwrap().push(format!("DELETE {path}"));
            match state.objects.lock().unwrap().remove(&path) {
                Some(object) => said(StatusCode::OK, object.to_string()),
                None => status(404, "NotFound", &format!("{path} is not there")),
            }
        }
        other => status(405, "MethodNotAllowed", &format!("{other} {path}")),
    })
}

/// `NAMESPACE/POD` of a pod's path.
fn named(path: &str) -> String {
    let steps: Vec<&str> = path.split('/').collect();
    format!("{}/{}", steps[4], steps[6])
}

fn got(state: &State, path: &str, query: &BTreeMap<String, String>, metadata_alone: bool) -> Answer {
    let objects = state.objects.lock().unwrap();
    if let Some(object) = objects.get(path) {
        return said(StatusCode::OK, object.to_string());
    }
    // A name of an object follows the word of its kind, which is the third step after a group, or the fifth in a namespace.
    let steps: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let start = if steps[0] == "api" { 2 } else { 3 };
    let rest = &steps[start.min(steps.len())..];
    let kind = match rest {
        [kind] | ["namespaces", _, kind] => *kind,
        _ => return status(404, "NotFound", &format!("{path} is not there")),
    };
    if query.contains_key("watch") {
        return said(StatusCode::OK, "");
    }
    let root = steps[..start].join("/");
    let is_of = |at: &str| {
        let at: Vec<&str> = at.trim_start_matches('/').split('/').collect();
        let (its_root, its_rest) = at.split_at(start.min(at.len()));
        its_root.join("/") == root
            && match (rest, its_rest) {
                ([_], [k, _]) => *k == kind,
                ([_], ["namespaces", _, k, _]) => *k == kind,
                (["namespaces", ns, _], ["namespaces", its, k, _]) => its == ns && *k == kind,
                _ => false,
            }
    };
    let labels = query.get("labelSelector").map_or("", String::as_str);
    let fields = query.get("fieldSelector").map_or("", String::as_str);
    let items: Vec<Value> = objects
        .iter()
        .filter(|(at, object)| is_of(at) && selected(object, labels, fields))
        .map(|(_, object)| match metadata_alone {
            true => {
                json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": object["metadata"]})
            }
            false => object.clone(),
        })
        .collect();
    let list = json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": items});
    said(StatusCode::OK, list.to_string())
}

fn selected(object: &Value, labels: &str, fields: &str) -> bool {
    let of_labels = |pair: &str| match pair.split_once('=') {
        Some((key, value)) => object["metadata"]["labels"][key] == value,
        None => !object["metadata"]["labels"][pair].is_null(),
    };
    let of_fields = |pair: &str| {
        let (path, value) = pair.split_once('=').unwrap();
        object.pointer(&format!("/{}", path.replace('.', "/"))).is_some_and(|found| found == value)
    };
    labels.split(',').filter(|pair| !pair.is_empty()).all(of_labels)
        && fields.split(',').filter(|pair| !pair.is_empty()).all(of_fields)
}

fn patched(state: &State, path: &str, change: &Value, is_apply: bool, is_dry: bool) -> Answer {
    let mut objects = state.objects.lock().unwrap();
    let old = objects.get(path).cloned();
    if old.is_none() && !is_apply {
        return status(404, "NotFound", &format!("{path} is not there"));
    }
    let mut new = old.unwrap_or_else(|| json!({"metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"}}));
    merge(&mut new, change);
    match new["kind"].as_str() {
        Some("Deployment") => {
            let wanted = new["spec"]["replicas"].as_i64().unwrap_or(1);
            new["status"] = json!({"replicas": wanted, "updatedReplicas": wanted, "availableReplicas": wanted});
        }
        Some("CustomResourceDefinition") => {
            new["status"] = json!({"conditions": [{"type": "Established", "status": "True"}]});
        }
        _ => {}
    }
    if !is_dry {
        state.written.lock().unwrap().push(format!("{} {path}", if is_apply { "APPLY" } else { "PATCH" }));
        objects.insert(path.to_owned(), new.clone());
    }
    said(StatusCode::OK, new.to_string())
}

/// A merge: maps are merged, null takes away, everything else replaces. Entries of webhooks keep what is not said, by name.
fn merge(old: &mut Value, new: &Value) {
    let (Some(map), Some(more)) = (old.as_object_mut(), new.as_object()) else {
        *old = new.clone();
        return;
    };
    for (key, value) in more {
        match map.get_mut(key) {
            _ if value.is_null() => drop(map.remove(key)),
            Some(Value::Array(list)) if key == "webhooks" => {
                let mut entries = value.clone();
                for entry in entries.as_array_mut().unwrap() {
                    let before = list.iter().find(|before| before["name"] == entry["name"]);
                    for path in ["/clientConfig/caBundle", "/failurePolicy"] {
                        let kept = before.and_then(|before| before.pointer(path)).cloned();
                        let (parent, key) = path.rsplit_once('/').unwrap();
                        if let Some(kept) = kept {
                            let parent = entry.pointer_mut(parent).unwrap().as_object_mut().unwrap();
                            parent.entry(key).or_insert(kept);
                        }
                    }
                }
                *list = entries.as_array().unwrap().clone();
            }
            // Selectors are replaced as a whole.
            Some(before) if !matches!(&**key, "namespaceSelector" | "objectSelector") => merge(before, value),
            _ => {
                let mut made = value.clone();
                if made.is_object() {
                    made = json!({});
                    merge(&mut made, value);
                }
                map.insert(key.clone(), made);
            }
        }
    }
}
