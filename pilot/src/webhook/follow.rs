//! By what pods are decided about, followed in an API server: ConfigMap `istio-sidecar-injector` and MeshConfig of this
//! control plane, and the versions of the kubelets.
//!
//! One that cannot be used leaves the last good one in force. Before there is a good one, every pod is refused with the
//! reason.

use crate::inject::{CONFIG_MAP as INJECTOR, Environment, Injector, native_by_default};
use futures_util::{StreamExt, stream};
use k8s_openapi::api::core::v1::{ConfigMap, Node};
use kube::{
    Api, Client,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event},
    },
};
use mesh_config::name::of_revision;
use mesh_runtime::{drain, ready};
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::watch;

/// What decides about pods, or why nothing does.
pub(crate) type Standing = Result<Arc<Injector>, String>;

/// Whose configuration is followed.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The control plane's own.
    pub(crate) namespace: String,
    /// `None`: the unnamed one.
    pub(crate) revision: Option<String>,
    /// The environment of the process, by name.
    pub(crate) variables: BTreeMap<String, String>,
}

/// Keeps [`Standing`] up to date; see [`Follow::run`].
pub(crate) struct Follow {
    client: Client,
    place: Place,
    standing: watch::Sender<Standing>,
    seen: Seen,
    /// Dropped once everything has been looked at.
    not_ready: Option<ready::Guard>,
}

/// What was seen last; outer `None`: not looked at yet.
#[derive(Default)]
struct Seen {
    injector: Option<Option<ConfigMap>>,
    mesh: Option<Option<ConfigMap>>,
    kubelets: BTreeMap<String, String>,
    all_kubelets: bool,
}

enum News {
    Injector(Option<ConfigMap>),
    Mesh(Option<ConfigMap>),
    Node(Box<Event<Node>>),
}

impl Follow {
    /// `not_ready` is held until it is known what decides about pods, be it that nothing does.
    pub(crate) fn new(client: Client, place: Place, not_ready: ready::Guard) -> (Self, watch::Receiver<Standing>) {
        let nothing = Err("it is not known yet how pods are injected; try again in a moment".to_owned());
        let (standing, reader) = watch::channel(nothing);
        (Follow { client, place, standing, seen: Seen::default(), not_ready: Some(not_ready) }, reader)
    }

    /// Follows until drained.
    ///
    /// # Errors
    /// None; what fails is said and tried again.
    pub(crate) async fn run(mut self, drain: drain::Watch) -> anyhow::Result<()> {
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.place.namespace);
        let follow = |name: &str| watcher::watch_object(maps.clone(), name).default_backoff();
        let injector = follow(&self.place.config_map(INJECTOR)).map(|map| map.map(News::Injector));
        let mesh = follow(&self.place.config_map("istio")).map(|map| map.map(News::Mesh));
        let nodes: Api<Node> = Api::all(self.client.clone());
        let nodes = watcher::watcher(nodes, watcher::Config::default())
            .default_backoff()
            .map(|node| node.map(|event| News::Node(Box::new(event))));
        let mut news = stream::select_all([injector.boxed(), mesh.boxed(), nodes.boxed()]);
        let mut signaled = std::pin::pin!(drain.signaled());
        loop {
            let news = tokio::select! {
                () = &mut signaled => return Ok(()),
                Some(news) = news.next() => news,
            };
            match news {
                Ok(news) => {
                    if self.seen.take(news) {
                        self.decide_anew();
                    }
                }
                Err(error) => tracing::warn!(%error, "what decides about injection cannot be watched"),
            }
        }
    }

    fn decide_anew(&mut self) {
        let standing = self.seen.standing(&self.place);
        match (&standing, &*self.standing.borrow()) {
            (Ok(_), _) => tracing::info!("pods are injected as ConfigMap istio-sidecar-injector says now"),
            (Err(error), Ok(_)) => {
                tracing::error!(error, "the new configuration of injection cannot be used; the one before stays");
            }
            (Err(error), Err(_)) => tracing::error!(error, "pods cannot be injected"),
        }
        self.standing.send_if_modified(|now| {
            let is_used = standing.is_ok() || now.is_err();
            if is_used {
                *now = standing;
            }
            is_used
        });
        self.not_ready = None;
    }
}

impl Place {
    fn config_map(&self, name: &str) -> String {
        of_revision(name, self.revision.as_deref().unwrap_or_default())
    }
}

impl Seen {
    /// Whether something is different, and everything has been looked at.
    fn take(&mut self, news: News) -> bool {
        let changed = match news {
            News::Injector(map) => replace(&mut self.injector, map),
            News::Mesh(map) => replace(&mut self.mesh, map),
            News::Node(event) => self.take_node(*event),
        };
        changed && self.all_kubelets && self.injector.is_some() && self.mesh.is_some()
    }

    fn take_node(&mut self, event: Event<Node>) -> bool {
        match event {
            Event::Apply(node) | Event::InitApply(node) => {
                let version = node.status.and_then(|status| status.node_info).map(|info| info.kubelet_version);
                let (name, version) = (node.metadata.name.unwrap_or_default(), version.unwrap_or_default());
                self.kubelets.insert(name, version.clone()) != Some(version)
            }
            Event::Delete(node) => self.kubelets.remove(&node.metadata.name.unwrap_or_default()).is_some(),
            Event::Init => {
                self.kubelets.clear();
                self.all_kubelets = false;
                false
            }
            Event::InitDone => {
                self.all_kubelets = true;
                true
            }
        }
    }

    fn standing(&self, place: &Place) -> Standing {
        let (name, namespace) = (place.config_map(INJECTOR), &place.namespace);
        let map = self.injector.as_ref().and_then(Option::as_ref);
        let map = map.ok_or_else(|| format!("there is no ConfigMap {namespace}/{name}; install chart istiod"))?;
        let key = |key: &str| {
            let text = text(map, key);
            text.ok_or_else(|| format!("ConfigMap {namespace}/{name} has no key {key}; install chart istiod again"))
        };
        let mesh = self.mesh.as_ref().and_then(Option::as_ref).and_then(|map| text(map, "mesh")).unwrap_or_default();
        let setting = place.variables.get("ENABLE_NATIVE_SIDECARS").map(String::as_str);
        let environment = Environment {
            revision: place.revision.clone().unwrap_or_default(),
            native_sidecars: native_by_default(setting, self.kubelets.values().map(String::as_str)),
            compliance_policy: place.variables.get("COMPLIANCE_POLICY").cloned().unwrap_or_default(),
            variables: place.variables.clone(),
        };
        Injector::new(key("config")?, key("values")?, mesh, environment)
            .map(Arc::new)
            .map_err(|error| format!("ConfigMap {namespace}/{name}: {error}"))
    }
}

/// Whether it says something else than before.
fn replace(seen: &mut Option<Option<ConfigMap>>, map: Option<ConfigMap>) -> bool {
    let data = |map: &Option<ConfigMap>| map.as_ref().and_then(|map| map.data.clone());
    let changed = seen.as_ref().is_none_or(|before| data(before) != data(&map));
    *seen = Some(map);
    changed
}

fn text<'m>(map: &'m ConfigMap, key: &str) -> Option<&'m str> {
    map.data.as_ref()?.get(key).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn map(data: Value) -> Option<ConfigMap> {
        Some(serde_json::from_value(json!({ "data": data })).unwrap())
    }

    fn node(version: &str) -> News {
        let node = json!({"metadata": {"name": "n"}, "status": {"nodeInfo": {
            "architecture": "", "bootID": "", "containerRuntimeVersion": "", "kernelVersion": "", "kubeProxyVersion": "",
            "machineID": "", "operatingSystem": "", "osImage": "", "systemUUID": "", "kubeletVersion": version,
        }}});
        News::Node(Box::new(Event::InitApply(serde_json::from_value(node).unwrap())))
    }

    fn done() -> News {
        News::Node(Box::new(Event::InitDone))
    }

    fn place() -> Place {
        let variables = BTreeMap::new();
        Place { namespace: "istio-system".to_owned(), revision: Some("canary".to_owned()), variables }
    }

    #[test]
    fn nothing_decides_before_everything_has_been_looked_at() {
        let mut seen = Seen::default();
        assert!(!seen.take(News::Injector(map(json!({"config": "policy: enabled", "values": "{}"})))));
        assert!(!seen.take(node("v1.35.0")));
        assert!(!seen.take(News::Mesh(None)));
        assert!(seen.take(done()));
        assert!(seen.standing(&place()).is_ok());
        let same = map(json!({"config": "policy: enabled", "values": "{}"}));
        assert!(!seen.take(News::Injector(same)), "it says the same");
        assert!(seen.take(node("v1.36.0")), "templates may say something else");
    }

    #[test]
    fn what_is_missing_is_named() {
        let mut seen = Seen { all_kubelets: true, mesh: Some(None), ..Seen::default() };
        assert!(seen.take(News::Injector(None)));
        let missing = "there is no ConfigMap istio-system/istio-sidecar-injector-canary; install chart istiod";
        assert_eq!(seen.standing(&place()).unwrap_err(), missing);
        assert!(seen.take(News::Injector(map(json!({"config": ""})))));
        let error = seen.standing(&place()).unwrap_err();
        assert!(error.contains("no key values"), "{error}");
    }
}
