//! The roots of the mesh as a ConfigMap in every namespace, where sidecars mount it. The leader among pilots writes
//! them, and puts right what somebody else edits or deletes.

mod desk;

use super::{
    call::{self, CallError},
    owner::{Owner, is_written_by_pilot},
};
use desk::Desk;
use futures_util::StreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::{
    Api, Client, Resource,
    core::PartialObjectMeta,
    runtime::{WatchStreamExt, watcher},
};
use mesh_config::name::SYSTEM_NAMESPACES;
use mesh_runtime::{clock, drain};
use serde_json::{Value, json};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::sync::watch;

/// The key that holds the roots.
const ROOTS: &str = "root-cert.pem";
/// Says that a control plane keeps the object.
const LABEL: (&str, &str) = ("istio.io/config", "true");
/// The one namespace of the cluster's own that gets them: what runs there may read them, though it is never injected.
const SERVED: &str = "kube-system";
/// The watches are begun anew so often, should one have died without a word.
const ANEW: Duration = Duration::from_secs(600);

/// Keeps the ConfigMaps.
pub(crate) struct TrustBundles {
    pub(crate) client: Client,
    /// Of those that pilot alone writes.
    pub(crate) owner: Arc<Owner>,
    /// Of the ConfigMaps.
    pub(crate) name: String,
    /// In PEM.
    pub(crate) roots: watch::Receiver<Arc<str>>,
    /// Namespaces that the mesh is in; `None`: all.
    pub(crate) chosen: watch::Receiver<Option<BTreeSet<Arc<str>>>>,
    /// Whether this pilot is the one that writes.
    pub(crate) leads: watch::Receiver<bool>,
    /// How far it is, for who waits for it.
    pub(crate) standing: watch::Sender<Standing>,
}

/// How far the ConfigMaps are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// What they are to say.
    pub(crate) roots: Arc<str>,
    /// Some of the namespaces whose ConfigMap does not say it; `None`: that is not known here.
    pub(crate) owed: Option<Vec<String>>,
}

/// What became of writing.
#[derive(Debug, PartialEq, Eq)]
enum Written {
    /// It is as it should be.
    Right,
    /// The namespace goes or is gone: nothing is owed to it.
    NoNamespace,
}

impl TrustBundles {
    /// Keeps them until drained, while leading.
    pub(crate) async fn run(mut self, drain: drain::Watch) {
        let drained = drain.signaled();
        tokio::pin!(drained);
        loop {
            tokio::select! {
                () = &mut drained => return,
                led = self.leads.wait_for(|leads| *leads) => if led.is_err() { return },
            }
            let mut leads = self.leads.clone();
            self.standing.send_replace(Standing::default());
            tokio::select! {
                () = &mut drained => return,
                _ = leads.wait_for(|leads| !*leads) => {}
                () = tokio::time::sleep(ANEW) => {}
                () = self.keep() => {}
            }
            self.standing.send_replace(Standing::default());
        }
    }

    async fn keep(&mut self) {
        let namespaces = Api::<PartialObjectMeta<Namespace>>::all(self.client.clone());
        let maps = Api::<ConfigMap>::all(self.client.clone());
        let named = watcher::Config::default().fields(&format!("metadata.name={}", self.name));
        let mut namespaces = watcher(namespaces, watcher::Config::default()).default_backoff().boxed();
        let mut maps = watcher(maps, named).default_backoff().boxed();
        let mut desk = Desk::default();
        loop {
            let due = {
                let chosen = self.chosen.borrow_and_update();
                let is_chosen = |name: &str| chosen.as_ref().is_none_or(|chosen| chosen.contains(name));
                let now = Standing { roots: self.roots.borrow().clone(), owed: desk.some_owed(is_chosen) };
                // A change of the roots that the desk has not heard of: nothing is known of those.
                if !self.roots.has_changed().unwrap_or(true) {
                    self.standing.send_if_modified(|before| {
                        *before != now && {
                            *before = now;
                            true
                        }
                    });
                }
                desk.due(clock::now(), is_chosen)
            };
            let wake = due.as_ref().map(|(_, at)| *at);
            tokio::select! {
                biased;
                changed = self.roots.changed() => match changed {
                    Ok(()) => desk.all_are_wrong(),
                    Err(_) => return,
                },
                changed = self.chosen.changed() => if changed.is_err() { return },
                event = namespaces.next() => match event {
                    Some(Ok(event)) => desk.namespace(event, is_served),
                    Some(Err(error)) => tracing::warn!(%error, "namespaces cannot be watched"),
                    None => return,
                },
                event = maps.next() => match event {
                    Some(Ok(event)) => {
                        let roots = self.roots.borrow().clone();
                        desk.map(event, |map| is_right(map, &roots));
                    }
                    Some(Err(error)) => tracing::warn!(%error, name = self.name, "ConfigMaps cannot be watched"),
                    None => return,
                },
                () = tokio::time::sleep_until(wake.unwrap_or_else(clock::now)), if wake.is_some() => {
                    if let Some((namespace, _)) = due {
                        self.put_right(&mut desk, &namespace).await;
                    }
                }
            }
        }
    }

    async fn put_right(&self, desk: &mut Desk, namespace: &str) {
        let roots = self.roots.borrow().clone();
        match self.write(namespace, &roots).await {
            Ok(written) => {
                if desk.written(namespace, written == Written::Right, clock::now()) {
                    tracing::warn!(
                        namespace,
                        name = self.name,
                        "somebody else writes this ConfigMap again and again: give one of them another name \
                         (PILOT_CA_CERT_CONFIGMAP)"
                    );
                }
            }
            Err(error) => {
                tracing::warn!(%error, namespace, name = self.name, "the ConfigMap of the roots cannot be written");
                desk.failed(namespace, clock::now());
            }
        }
    }

    /// Makes the ConfigMap of a namespace say what it should, and leaves all else in it alone.
    async fn write(&self, namespace: &str, roots: &str) -> Result<Written, CallError> {
        let maps = format!("/api/v1/namespaces/{namespace}/configmaps");
        let path = format!("{maps}/{}", self.name);
        let written = match call::get::<Value>(&self.client, &path).await {
            Ok(there) if says(&there, roots) => return Ok(Written::Right),
            Ok(there) if is_written_by_pilot(&there, ROOTS) => self.owner.replace(&path, corrected(there, roots)).await,
            Ok(there) => call::replace::<Value>(&self.client, &path, &corrected(there, roots)).await.map(drop),
            Err(CallError::Missing) => {
                let new = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": self.name}});
                self.owner.create(&maps, corrected(new, roots)).await
            }
            Err(error) => return Err(error),
        };
        match written {
            Ok(()) => {
                tracing::debug!(namespace, name = self.name, "wrote the ConfigMap of the roots");
                Ok(Written::Right)
            }
            Err(CallError::Missing) => Ok(Written::NoNamespace),
            Err(CallError::Forbidden(reason)) if reason.contains("being terminated") => Ok(Written::NoNamespace),
            Err(error) => Err(error),
        }
    }
}

fn is_served(namespace: &PartialObjectMeta<Namespace>) -> bool {
    let meta = namespace.meta();
    let left_out = meta.name.as_deref().is_none_or(|name| SYSTEM_NAMESPACES.contains(&name) && name != SERVED);
    !left_out && meta.deletion_timestamp.is_none()
}

fn is_right(map: &ConfigMap, roots: &str) -> bool {
    let said = map.data.as_ref().and_then(|data| data.get(ROOTS));
    let label = map.metadata.labels.as_ref().and_then(|labels| labels.get(LABEL.0));
    said.is_some_and(|said| said == roots) && label.is_some_and(|label| label == LABEL.1)
}

/// [`is_right`] of an object as it came.
fn says(map: &Value, roots: &str) -> bool {
    map["data"][ROOTS].as_str() == Some(roots) && map["metadata"]["labels"][LABEL.0].as_str() == Some(LABEL.1)
}

fn corrected(mut map: Value, roots: &str) -> Value {
    for (section, key, value) in [("data", ROOTS, roots), ("labels", LABEL.0, LABEL.1)] {
        let within = if section == "labels" { &mut map["metadata"] } else { &mut map };
        if !within[section].is_object() {
            within[section] = json!({});
        }
        within[section][key] = json!(value);
    }
    map
}

#[cfg(test)]
mod tests;
