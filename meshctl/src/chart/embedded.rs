//! Files of the charts, as they were when this command was built; a test compares the list with the folder.

macro_rules! files {
    ($($path:literal)*) => {
        &[$(($path, include_str!(concat!("../../../charts/", $path)))),*]
    };
}

/// Path below `charts`, and text.
pub(super) const FILES: &[(&str, &str)] = files! {
    "base/Chart.yaml"
    "base/files/crds.yaml"
    "base/files/profile-demo.yaml"
    "base/files/profile-platform-oke.yaml"
    "base/files/profile-platform-rke2.yaml"
    "base/templates/_values.tpl"
    "base/templates/crds.yaml"
    "base/templates/validator.yaml"
    "base/values.schema.json"
    "base/values.yaml"
    "gateway/Chart.yaml"
    "gateway/files/profile-demo.yaml"
    "gateway/files/profile-platform-oke.yaml"
    "gateway/files/profile-platform-rke2.yaml"
    "gateway/templates/_gateway.tpl"
    "gateway/templates/_values.tpl"
    "gateway/templates/account.yaml"
    "gateway/templates/autoscale.yaml"
    "gateway/templates/service.yaml"
    "gateway/templates/workload.yaml"
    "gateway/values.schema.json"
    "gateway/values.yaml"
    "istiod/Chart.yaml"
    "istiod/files/injection-gateway.yaml"
    "istiod/files/injection-sidecar.yaml"
    "istiod/files/profile-demo.yaml"
    "istiod/files/profile-platform-oke.yaml"
    "istiod/files/profile-platform-rke2.yaml"
    "istiod/templates/_istiod.tpl"
    "istiod/templates/_values.tpl"
    "istiod/templates/_webhook.tpl"
    "istiod/templates/autoscale.yaml"
    "istiod/templates/deployment.yaml"
    "istiod/templates/injection.yaml"
    "istiod/templates/meshconfig.yaml"
    "istiod/templates/mutatingwebhook.yaml"
    "istiod/templates/networkpolicy.yaml"
    "istiod/templates/rbac.yaml"
    "istiod/templates/service.yaml"
    "istiod/templates/serviceaccount.yaml"
    "istiod/templates/validatingwebhook.yaml"
    "istiod/values.schema.json"
    "istiod/values.yaml"
};
