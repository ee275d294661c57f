//! Proxies of another version than the control plane that they are connected to, by what has to be started again for them to be
//! injected anew. Pure but for [`proxies`].

use crate::{
    cluster::Cluster,
    remote::{self, FromPilot},
};
use anyhow::Result;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use std::collections::{BTreeMap, BTreeSet};

/// A proxy as a pilot tells of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Running {
    /// `NAME.NAMESPACE`.
    pub(crate) name: String,
    pub(crate) version: String,
    /// Of the pilot that it is connected to, where that says so.
    pub(crate) pilot: Option<String>,
    pub(crate) is_gateway: bool,
}

/// All that are connected.
pub(crate) async fn proxies(cluster: &Cluster) -> Result<Vec<Running>> {
    Ok(remote::clients_in(cluster).await?.iter().flat_map(of_pilot).collect())
}

/// Those that one pilot tells of.
pub(crate) fn of_pilot(answer: &FromPilot) -> impl Iterator<Item = Running> {
    answer.value.as_array().into_iter().flatten().map(|client| {
        let text = |name: &str| client[name].as_str().unwrap_or_default().to_owned();
        Running {
            name: text("proxy"),
            version: text("version"),
            pilot: answer.version.clone(),
            is_gateway: client["role"] == "router",
        }
    })
}

/// What makes a pod anew when it is started again, as kubectl names it; `pod/NAME` where nothing does.
pub(crate) fn workload(pod: &Pod) -> String {
    let owner = pod.owner_references().iter().find(|owner| owner.controller == Some(true));
    let Some(owner) = owner else { return format!("pod/{}", pod.name_any()) };
    let of_deployment =
        pod.labels().get("pod-template-hash").and_then(|hash| owner.name.strip_suffix(&format!("-{hash}")));
    match (owner.kind.as_str(), of_deployment) {
        ("ReplicaSet", Some(name)) => format!("deployment/{name}"),
        (kind, _) => format!("{}/{}", kind.to_ascii_lowercase(), owner.name),
    }
}

/// Proxies of one namespace and one version that is not the wanted one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Behind {
    pub(crate) namespace: String,
    pub(crate) version: String,
    pub(crate) wanted: String,
    pub(crate) pods: Vec<String>,
    pub(crate) workloads: BTreeSet<String>,
}

/// Those whose version is not the wanted one, by namespace and version. `workloads` is by `NAME.NAMESPACE` of pods.
pub(crate) fn behind<'a>(
    proxies: impl Iterator<Item = (&'a str, &'a str, &'a str)>,
    workloads: &BTreeMap<String, String>,
) -> Vec<Behind> {
    let mut found: BTreeMap<(&str, &str, &str), Behind> = BTreeMap::new();
    for (name, version, wanted) in proxies.filter(|(_, version, wanted)| version != wanted) {
        let (pod, namespace) = name.rsplit_once('.').unwrap_or((name, "default"));
        let group = found.entry((namespace, version, wanted)).or_insert_with(|| Behind {
            namespace: namespace.to_owned(),
            version: version.to_owned(),
            wanted: wanted.to_owned(),
            pods: Vec::new(),
            workloads: BTreeSet::new(),
        });
        group.pods.push(pod.to_owned());
        group.workloads.insert(workloads.get(name).cloned().unwrap_or_else(|| format!("pod/{pod}")));
    }
    found.into_values().collect()
}

impl Behind {
    /// What is so.
    pub(crate) fn what(&self) -> String {
        let (version, wanted) = (or_unknown(&self.version), &self.wanted);
        let whose: Vec<&str> = self.workloads.iter().map(String::as_str).collect();
        let (count, namespace) = (self.pods.len(), &self.namespace);
        let verb = if count == 1 { "1 proxy of namespace" } else { &format!("{count} proxies of namespace") };
        let has = if count == 1 { "has" } else { "have" };
        format!("{verb} {namespace} {has} version {version}, and the control plane {wanted}: {}", shortened(&whose))
    }

    /// What mends it.
    pub(crate) fn mend(&self) -> String {
        let namespace = &self.namespace;
        let (pods, others): (Vec<&String>, Vec<&String>) =
            self.workloads.iter().partition(|name| !can_be_restarted(name));
        let mut mends = Vec::new();
        if !others.is_empty() {
            let others: Vec<&str> = others.into_iter().map(String::as_str).collect();
            mends.push(format!("kubectl -n {namespace} rollout restart {}", others.join(" ")));
        }
        if !pods.is_empty() {
            let pods: Vec<&str> = pods.into_iter().map(String::as_str).collect();
            mends.push(format!("make {} anew, which nothing restarts by itself", pods.join(", ")));
        }
        mends.join("; ")
    }
}

/// What `kubectl rollout restart` takes.
fn can_be_restarted(workload: &str) -> bool {
    let kind = workload.split('/').next();
    matches!(kind, Some("deployment" | "statefulset" | "daemonset"))
}

fn or_unknown(version: &str) -> &str {
    if version.is_empty() { "unknown" } else { version }
}

/// Names, as far as a line takes them.
fn shortened(names: &[&str]) -> String {
    const MOST: usize = 10;
    match names.len() > MOST {
        true => format!("{} and {} more", names[..MOST].join(", "), names.len() - MOST),
        false => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_pod_is_of_what_makes_it_anew() {
        let of = |metadata: Value| workload(&serde_json::from_value(json!({ "metadata": metadata })).unwrap());
        let owned = |kind: &str, name: &str| json!([{"apiVersion": "v1", "kind": kind, "name": name, "uid": "1", "controller": true}]);
        assert_eq!(
            of(
                json!({"name": "cart-1-x", "labels": {"pod-template-hash": "1"}, "ownerReferences": owned("ReplicaSet", "cart-1")})
            ),
            "deployment/cart"
        );
        assert_eq!(of(json!({"name": "a", "ownerReferences": owned("ReplicaSet", "set")})), "replicaset/set");
        assert_eq!(of(json!({"name": "db-0", "ownerReferences": owned("StatefulSet", "db")})), "statefulset/db");
        assert_eq!(of(json!({"name": "alone"})), "pod/alone");
    }

    #[test]
    fn proxies_of_another_version_come_by_namespace_with_what_restarts_them() {
        let workloads =
            [("cart-1.shop", "deployment/cart"), ("cart-2.shop", "deployment/cart"), ("db-0.shop", "statefulset/db")];
        let workloads = workloads.map(|(pod, workload)| (pod.to_owned(), workload.to_owned())).into();
        let proxies = [
            ("cart-1.shop", "0.0.9", "0.1.0"),
            ("cart-2.shop", "0.0.9", "0.1.0"),
            ("db-0.shop", "0.0.9", "0.1.0"),
            ("alone.shop", "0.0.9", "0.1.0"),
            ("web-1.web", "0.1.0", "0.1.0"),
            ("new-1.web", "0.2.0", "0.1.0"),
        ];
        let said: Vec<(String, String)> =
            behind(proxies.into_iter(), &workloads).iter().map(|one| (one.what(), one.mend())).collect();
        assert_eq!(
            said,
            [
                (
                    "4 proxies of namespace shop have version 0.0.9, and the control plane 0.1.0: deployment/cart, pod/alone, \
                     statefulset/db"
                        .to_owned(),
                    "kubectl -n shop rollout restart deployment/cart statefulset/db; make pod/alone anew, which nothing restarts \
                     by itself"
                        .to_owned()
                ),
                (
                    "1 proxy of namespace web has version 0.2.0, and the control plane 0.1.0: pod/new-1".to_owned(),
                    "make pod/new-1 anew, which nothing restarts by itself".to_owned()
                ),
            ]
        );
    }
}
