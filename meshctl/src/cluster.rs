//! A cluster, as the command's user may reach it: by kubeconfig, with istioctl's flags. Everything that asks a cluster goes
//! through here, so that each such command takes the same flags and gives the same errors.
//!
//! [`target`]: which pod is meant by `[TYPE/]NAME[.NAMESPACE]`. [`forward`]: a port of a pod, on loopback.

pub(crate) mod forward;
pub(crate) mod target;

use crate::{cli::KubeArgs, usage::Usage};
use anyhow::{Context as _, Result, anyhow, bail};
use forward::Forward;
use k8s_openapi::api::{
    admissionregistration::v1::MutatingWebhookConfiguration,
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::{ConfigMap, Namespace, Pod},
};
use kube::{
    Api, Client, Config, ResourceExt,
    api::{ListParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use serde::de::DeserializeOwned;
use std::{collections::BTreeSet, env, fmt::Debug, path::PathBuf};

/// ConfigMap with the mesh's root certificates, in every namespace that the mesh serves, where value
/// `global.trustBundleName` says no other.
pub(crate) const ROOTS: &str = "istio-ca-root-cert";
/// The variable that tells pilot its name.
const ROOTS_VARIABLE: &str = "PILOT_CA_CERT_CONFIGMAP";
/// Objects that are asked for at once.
const PAGE: u32 = 500;

/// A cluster that answers to a user.
#[derive(Clone)]
pub(crate) struct Cluster {
    /// Its API server.
    pub(crate) client: Client,
    /// Where the control plane is: `--istioNamespace`.
    pub(crate) mesh_namespace: String,
    /// The namespace of the kubeconfig's context.
    pub(crate) namespace: String,
}

/// A pod of the control plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PilotPod {
    pub(crate) name: String,
    /// `default` is the one without a name.
    pub(crate) revision: String,
}

impl Cluster {
    /// The cluster of the kubeconfig. Nothing is asked of it yet.
    ///
    /// # Errors
    /// When there is no kubeconfig, or it cannot be used; [`Usage`] when the flags make no sense.
    pub(crate) async fn open(args: &KubeArgs) -> Result<Self> {
        mesh_runtime::tls::provider::install();
        let mut config = config(args).await?;
        config.connect_timeout = Some(args.kubeclient_timeout);
        config.auth_info.impersonate = args.impersonate.clone().or(config.auth_info.impersonate);
        config.auth_info.impersonate_uid = args.impersonate_uid.clone().or(config.auth_info.impersonate_uid);
        if !args.impersonate_group.is_empty() {
            config.auth_info.impersonate_groups = Some(args.impersonate_group.clone());
        }
        let namespace = config.default_namespace.clone();
        let client = Client::try_from(config).context("the kubeconfig cannot be used")?;
        Ok(Cluster { client, mesh_namespace: args.istio_namespace.clone(), namespace })
    }

    /// The control plane's running pods, in the order of their names: those with these labels, `app=istiod` by default, of
    /// one revision, where it is given.
    ///
    /// # Errors
    /// When the cluster does not answer, or there is none.
    pub(crate) async fn pilots(&self, labels: Option<&str>, revision: Option<&str>) -> Result<Vec<PilotPod>> {
        let mut selector = labels.unwrap_or("app=istiod").to_owned();
        if let Some(revision) = revision {
            selector.push_str(",istio.io/rev=");
            selector.push_str(revision);
        }
        let pods = self.running_pods(&self.mesh_namespace, &selector).await?;
        let of_pod = |pod: &Pod| PilotPod {
            name: pod.name_any(),
            revision: pod.labels().get("istio.io/rev").cloned().unwrap_or_else(|| "default".to_owned()),
        };
        let pods: Vec<PilotPod> = pods.iter().map(of_pod).collect();
        match pods.is_empty() {
            false => Ok(pods),
            true => bail!(
                "no running pod of the control plane in namespace {} (labels {selector}); give its namespace with -i, or install it with meshctl install",
                self.mesh_namespace
            ),
        }
    }

    /// Names of the running pods with these labels, in order.
    pub(crate) async fn running(&self, namespace: &str, selector: &str) -> Result<Vec<String>> {
        Ok(self.running_pods(namespace, selector).await?.iter().map(ResourceExt::name_any).collect())
    }

    /// Running pods with these labels, in the order of their names.
    async fn running_pods(&self, namespace: &str, selector: &str) -> Result<Vec<Pod>> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let what = format!("pods in namespace {namespace}");
        let mut list = self.list(&pods, ListParams::default().labels(selector), &what).await?;
        list.retain(|pod| pod.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Running"));
        list.sort_by_key(ResourceExt::name_any);
        Ok(list)
    }

    /// Everything that is there of a kind; `what` says in a user's words what it is.
    ///
    /// # Errors
    /// When the cluster does not answer, or the user may not list it.
    pub(crate) async fn list<K>(&self, api: &Api<K>, params: ListParams, what: &str) -> Result<Vec<K>>
    where
        K: Clone + DeserializeOwned + Debug,
    {
        let (mut params, mut objects) = (params.limit(PAGE), Vec::new());
        loop {
            let page = api.list(&params).await.map_err(|error| self.told(error, &format!("list {what}")))?;
            objects.extend(page.items);
            params.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
            if params.continue_token.is_none() {
                return Ok(objects);
            }
        }
    }

    /// Configurations of webhooks that inject sidecars, whosever.
    ///
    /// # Errors
    /// As [`Cluster::list`].
    pub(crate) async fn injecting(&self) -> Result<Vec<MutatingWebhookConfiguration>> {
        let api = Api::all(self.client.clone());
        let mut hooks = self.list(&api, ListParams::default(), "MutatingWebhookConfigurations").await?;
        hooks.retain(injects);
        Ok(hooks)
    }

    /// Namespaces that ask for injection, each with the revision or tag that it asks.
    ///
    /// # Errors
    /// As [`Cluster::list`].
    pub(crate) async fn asking(&self) -> Result<Vec<(Namespace, String)>> {
        let namespaces = self.list(&Api::all(self.client.clone()), ListParams::default(), "namespaces").await?;
        let with_revision = |namespace: Namespace| asked(&namespace).map(|revision| (namespace, revision));
        Ok(namespaces.into_iter().filter_map(with_revision).collect())
    }

    /// A port of a pod, on loopback.
    ///
    /// # Errors
    /// When loopback gives no port. What the pod says is told by the connections.
    pub(crate) async fn forward(&self, namespace: &str, pod: &str, port: u16) -> Result<Forward> {
        Forward::open(self.client.clone(), namespace, pod, port).await
    }

    /// A short-lived token of a service account.
    ///
    /// # Errors
    /// When the user may not make one.
    pub(crate) async fn token(&self, namespace: &str, account: &str, audience: &str) -> Result<String> {
        let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> = Api::namespaced(self.client.clone(), namespace);
        let spec = TokenRequestSpec {
            audiences: vec![audience.to_owned()],
            expiration_seconds: Some(600),
            bound_object_ref: None,
        };
        let wanted = TokenRequest { spec, ..TokenRequest::default() };
        let made = accounts.create_token_request(account, &PostParams::default(), &wanted).await;
        let made = made.map_err(|error| {
            self.told(error, &format!("make a token of service account {account} in namespace {namespace}"))
        })?;
        made.status.map(|status| status.token).context("the API server made no token")
    }

    /// Names of the ConfigMaps in which the control plane's pods tell the mesh's roots; the usual one where no pod is there.
    ///
    /// # Errors
    /// As [`Cluster::list`].
    pub(crate) async fn names_of_roots(&self) -> Result<BTreeSet<String>> {
        let namespace = &self.mesh_namespace;
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let what = format!("pods in namespace {namespace}");
        let pods = self.list(&pods, ListParams::default().labels("app=istiod"), &what).await?;
        let names: BTreeSet<String> = pods.iter().map(|pod| name_of_roots(pod).to_owned()).collect();
        Ok(if names.is_empty() { BTreeSet::from([ROOTS.to_owned()]) } else { names })
    }

    /// The roots that sign for the mesh, in PEM: revisions of one namespace share them.
    ///
    /// # Errors
    /// When they are not there, or may not be read.
    pub(crate) async fn roots(&self) -> Result<String> {
        let namespace = &self.mesh_namespace;
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        let names = self.names_of_roots().await?;
        for name in &names {
            let what = format!("read ConfigMap {name} of namespace {namespace}");
            let map = maps.get_opt(name).await.map_err(|error| self.told(error, &what))?;
            if let Some(pem) = map.and_then(|map| map.data?.remove("root-cert.pem")) {
                return Ok(pem);
            }
        }
        let names: Vec<String> = names.into_iter().collect();
        bail!("no ConfigMap {} with root-cert.pem in namespace {namespace}", names.join(" or "))
    }

    /// An error of the API server in a user's words: what could not be done, and why.
    pub(crate) fn told(&self, error: kube::Error, what: &str) -> anyhow::Error {
        match error {
            kube::Error::Api(status) if status.code == 403 => {
                anyhow!("not allowed to {what}: {}", status.message)
            }
            kube::Error::Api(status) => anyhow!("cannot {what}: {}", status.message),
            error => anyhow!(error).context(format!("cannot {what}: the API server does not answer")),
        }
    }
}

/// Whether an object's webhooks inject sidecars: by their names, which every control plane of this kind gives them.
pub(crate) fn injects(hook: &MutatingWebhookConfiguration) -> bool {
    let entries = hook.webhooks.as_deref().unwrap_or_default();
    entries.iter().any(|entry| entry.name.ends_with("sidecar-injector.istio.io"))
}

/// The revision of an object's webhooks; `default` is the one without.
pub(crate) fn revision(hook: &MutatingWebhookConfiguration) -> String {
    hook.labels().get("istio.io/rev").cloned().unwrap_or_else(|| "default".to_owned())
}

/// Whether an object's webhooks are answered by a control plane of another namespace.
pub(crate) fn is_of_another(hook: &MutatingWebhookConfiguration, namespace: &str) -> bool {
    served_from(hook).is_some_and(|other| other != namespace)
}

/// The namespace of the service that answers for an object's webhooks, if one does.
pub(crate) fn served_from(hook: &MutatingWebhookConfiguration) -> Option<&str> {
    let entries = hook.webhooks.as_deref().unwrap_or_default();
    entries.iter().find_map(|entry| Some(&*entry.client_config.service.as_ref()?.namespace))
}

/// Where a pod of the control plane tells the roots.
fn name_of_roots(pod: &Pod) -> &str {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let mut variables = containers.flat_map(|container| container.env.iter().flatten());
    let said = variables.find(|variable| variable.name == ROOTS_VARIABLE);
    said.and_then(|variable| variable.value.as_deref()).filter(|name| !name.is_empty()).unwrap_or(ROOTS)
}

/// The revision or tag that a namespace asks to inject its pods; `default` is the one without.
fn asked(namespace: &Namespace) -> Option<String> {
    let labels = namespace.labels();
    match labels.get("istio-injection").map(String::as_str) {
        Some(word) => (word == "enabled").then(|| "default".to_owned()),
        None => labels.get("istio.io/rev").cloned(),
    }
}

/// From the flag, from `KUBECONFIG` or the home folder, or from the pod that this runs in.
async fn config(args: &KubeArgs) -> Result<Config> {
    let options = KubeConfigOptions { context: args.context.clone(), ..KubeConfigOptions::default() };
    let Some(file) = &args.kubeconfig else {
        if is_named(args) {
            return Config::from_kubeconfig(&options).await.context("the kubeconfig cannot be used");
        }
        return Config::incluster().map_err(|_| {
            anyhow!(Usage::new("no cluster to ask: give --kubeconfig FILE, or set KUBECONFIG".to_owned()))
        });
    };
    let read = Kubeconfig::read_from(file).with_context(|| format!("cannot read the kubeconfig {}", file.display()))?;
    let config = Config::from_custom_kubeconfig(read, &options).await;
    config.with_context(|| format!("the kubeconfig {} cannot be used", file.display()))
}

/// Whether the flags, the environment or the home folder name a cluster.
pub(crate) fn is_named(args: &KubeArgs) -> bool {
    args.kubeconfig.is_some()
        || args.context.is_some()
        || env::var_os("KUBECONFIG").is_some_and(|file| !file.is_empty())
        || usual_file().is_some_and(|file| file.exists())
}

fn usual_file() -> Option<PathBuf> {
    Some(PathBuf::from(env::var_os("HOME")?).join(".kube/config"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_name_of_the_roots_is_what_pilot_was_told() {
        let of = |env: serde_json::Value| {
            let pod = json!({"spec": {"containers": [{"name": "other"}, {"name": "discovery", "env": env}]}});
            name_of_roots(&serde_json::from_value(pod).unwrap()).to_owned()
        };
        assert_eq!(
            of(json!([{"name": "A", "value": "b"}, {"name": ROOTS_VARIABLE, "value": "other-roots"}])),
            "other-roots"
        );
        assert_eq!(of(json!([{"name": ROOTS_VARIABLE, "value": ""}])), ROOTS);
        assert_eq!(of(json!([])), ROOTS);
    }
}
