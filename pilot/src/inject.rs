//! Injection: which pods get a sidecar, and what they look like with it.
//!
//! Pure: the webhook, `meshctl kube-inject` and tests say the same of the same pod. A pod is JSON throughout, so that a
//! field of a newer Kubernetes is never lost. What an annotation may say is checked first; a pod that cannot be
//! injected as it asks is refused, and never started without what it asked for.

mod annotations;
mod data;
mod decide;
mod functions;
mod merge;
mod mesh;
mod overrides;
mod probes;
mod prometheus;
mod render;
mod settings;
mod text;

pub use data::Workload;
pub use decide::{Decision, Reason, decide};
pub use render::Question;
pub use settings::Settings;

use crate::inject::mesh::Mesh;
use json_patch::Patch;
use serde_json::Value;

/// The ConfigMap by which pods are injected; that of a revision has [`-REVISION`](mesh_config::name::of_revision) behind it.
pub const CONFIG_MAP: &str = "istio-sidecar-injector";

/// What the process that injects says of itself and its cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Environment {
    /// Revision of the control plane; empty or `default`: the one without.
    pub revision: String,
    /// Whether the proxy is a sidecar in Kubernetes' own sense: an init container that keeps running. Kubelets can from 1.29
    /// on, and [`native_by_default`] says when.
    pub native_sidecars: bool,
    /// `COMPLIANCE_POLICY`.
    pub compliance_policy: String,
    /// The environment that templates may read, by name.
    pub variables: std::collections::BTreeMap<String, String>,
}

/// What becomes of a pod.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// What makes the injected pod of it.
    Patch(Patch),
    /// It stays as it is.
    Skip(Reason),
}

/// Injects pods by one configuration.
#[derive(Debug)]
pub struct Injector {
    settings: Settings,
    mesh: Mesh,
    environment: Environment,
}

impl Injector {
    /// Reads the configuration: keys `config` and `values` of ConfigMap `istio-sidecar-injector`, and MeshConfig as YAML.
    ///
    /// # Errors
    /// What is wrong with them; the configuration before stays in force then.
    pub fn new(config: &str, values: &str, mesh: &str, environment: Environment) -> Result<Self, String> {
        Ok(Injector { settings: Settings::read(config, values, &environment)?, mesh: Mesh::read(mesh)?, environment })
    }

    /// Whether a pod of a namespace gets a sidecar, as [`decide`] has it.
    pub fn decide(&self, pod: &Value, namespace: &str) -> Decision {
        decide(pod, namespace, &self.settings)
    }

    /// What becomes of a pod.
    ///
    /// # Errors
    /// It cannot be injected as it asks: it must be refused, with this message.
    pub fn inject(&self, question: &Question<'_>) -> Result<Outcome, String> {
        Ok(match self.injected(question)? {
            Ok(pod) => Outcome::Patch(json_patch::diff(question.pod, &pod)),
            Err(reason) => Outcome::Skip(reason),
        })
    }

    /// The pod with its sidecar, or why it has none.
    ///
    /// # Errors
    /// As [`Injector::inject`].
    pub fn injected(&self, question: &Question<'_>) -> Result<Result<Value, Reason>, String> {
        match self.decide(question.pod, question.namespace) {
            Decision { inject: false, reason } => Ok(Err(reason)),
            _ => render::render(question, self).map(Ok),
        }
    }
}

/// Whether sidecars are native where pods do not say it. `setting` is `ENABLE_NATIVE_SIDECARS`; `kubelets` are the versions
/// of the nodes' kubelets: all must be 1.33 or newer, one that cannot be read is not.
pub fn native_by_default<'a>(setting: Option<&str>, kubelets: impl IntoIterator<Item = &'a str>) -> bool {
    match setting {
        Some("true") => true,
        None | Some("" | "auto") => kubelets.into_iter().all(|version| minor(version).is_some_and(|minor| minor >= 33)),
        Some(_) => false,
    }
}

/// The second number of `v1.33.4+k3s1`.
fn minor(version: &str) -> Option<u32> {
    let mut numbers = version.strip_prefix('v').unwrap_or(version).split('.');
    (numbers.next() == Some("1")).then(|| numbers.next()?.parse().ok())?
}
