//! The kinds of objects that charts make, in the order in which they are written.

use kube::core::ApiResource;

/// A kind, as an API server calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind {
    /// Its word.
    pub(crate) name: &'static str,
    pub(crate) group: &'static str,
    version: &'static str,
    pub(crate) plural: &'static str,
    /// Whether its objects stand in namespaces.
    pub(crate) is_namespaced: bool,
}

impl Kind {
    /// The kind with this word.
    pub(crate) fn of(name: &str) -> Option<&'static Kind> {
        ORDER.iter().find(|kind| kind.name == name)
    }

    /// The kinds of which installing makes objects; of the others pilot does, and uninstalling removes them.
    pub(crate) fn made() -> impl Iterator<Item = &'static Kind> {
        ORDER.iter().filter(|kind| !BY_PILOT.contains(&kind.name))
    }

    /// As the client needs it.
    pub(crate) fn resource(&self) -> ApiResource {
        let api_version = match self.group {
            "" => self.version.to_owned(),
            group => format!("{group}/{}", self.version),
        };
        ApiResource {
            group: self.group.to_owned(),
            version: self.version.to_owned(),
            api_version,
            kind: self.name.to_owned(),
            plural: self.plural.to_owned(),
        }
    }
}

const fn cluster(name: &'static str, group: &'static str, version: &'static str, plural: &'static str) -> Kind {
    Kind { name, group, version, plural, is_namespaced: false }
}

const fn namespaced(name: &'static str, group: &'static str, version: &'static str, plural: &'static str) -> Kind {
    Kind { name, group, version, plural, is_namespaced: true }
}

/// No chart makes any: the root's key, and who writes.
const BY_PILOT: [&str; 2] = ["Secret", "Lease"];

/// All; webhooks come last, so that none calls what is not there yet.
pub(crate) const ORDER: &[Kind] = &[
    cluster("Namespace", "", "v1", "namespaces"),
    cluster("CustomResourceDefinition", "apiextensions.k8s.io", "v1", "customresourcedefinitions"),
    namespaced("NetworkPolicy", "networking.k8s.io", "v1", "networkpolicies"),
    namespaced("ServiceAccount", "", "v1", "serviceaccounts"),
    namespaced("Secret", "", "v1", "secrets"),
    namespaced("ConfigMap", "", "v1", "configmaps"),
    cluster("ClusterRole", "rbac.authorization.k8s.io", "v1", "clusterroles"),
    cluster("ClusterRoleBinding", "rbac.authorization.k8s.io", "v1", "clusterrolebindings"),
    namespaced("Role", "rbac.authorization.k8s.io", "v1", "roles"),
    namespaced("RoleBinding", "rbac.authorization.k8s.io", "v1", "rolebindings"),
    namespaced("Service", "", "v1", "services"),
    namespaced("Deployment", "apps", "v1", "deployments"),
    namespaced("DaemonSet", "apps", "v1", "daemonsets"),
    namespaced("PodDisruptionBudget", "policy", "v1", "poddisruptionbudgets"),
    namespaced("HorizontalPodAutoscaler", "autoscaling", "v2", "horizontalpodautoscalers"),
    namespaced("Lease", "coordination.k8s.io", "v1", "leases"),
    cluster("MutatingWebhookConfiguration", "admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations"),
    cluster("ValidatingWebhookConfiguration", "admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations"),
];
