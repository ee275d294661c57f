//! IstioOperator: how a mesh is installed. It is a file that commands read, and no object of a cluster.

use super::form::{Fact, Holds, forms};

const NUMBER: Holds = Holds::Whole(0, i32::MAX as i64);
const STRUCTS: Holds = Holds::List(&Holds::Struct);

forms! {
    /// `spec`.
    pub(super) ISTIO_OPERATOR {
        "profile": Holds::Text, "Named settings to begin with.", Fact::Default("default");
        "installPackagePath": Holds::Text, "Where charts are, other than in the command.";
        "hub": Holds::Text, "Registry and folder of the images.";
        "tag": Holds::Text, "Version of the images.";
        "namespace": Holds::Text, "It has no effect: `values.global.istioNamespace` says where the control plane is.";
        "revision": Holds::Text, "Name of this control plane beside others.";
        "compatibilityVersion": Holds::Text, "Version whose defaults hold.";
        "meshConfig": Holds::Struct, "MeshConfig, which is not checked here.";
        "components": Holds::Of(&COMPONENTS), "What is installed.";
        "values": Holds::Of(&VALUES), "Values of the charts.";
        "unvalidatedValues": Holds::Struct, "Further values, whatever they are.";
    };

    COMPONENTS {
        "base": Holds::Of(&COMPONENT), "Definitions of the kinds.";
        "pilot": Holds::Of(&COMPONENT), "The control plane.";
        "cni": Holds::Of(&COMPONENT), "What captures connections of pods, on each node.";
        "ztunnel": Holds::Of(&COMPONENT), "The proxy of each node.";
        "istiodRemote": Holds::Of(&COMPONENT), "It has no effect: use `values.istiodRemote`.";
        "ingressGateways": Holds::List(&Holds::Of(&GATEWAY)), "Gateways into the mesh.";
        "egressGateways": Holds::List(&Holds::Of(&GATEWAY)), "Gateways out of the mesh.";
    };

    COMPONENT {
        "enabled": Holds::Bool, "Whether it is installed.";
        "namespace": Holds::Text, "Where.";
        "hub": Holds::Text, "Registry and folder of its images.";
        "tag": Holds::Text, "Version of its images.";
        "spec": Holds::Struct, "It has no effect.";
        "k8s": Holds::Of(&KUBERNETES), "Changes of its objects.";
    };

    GATEWAY {
        "name": Holds::Filled, "Its name.";
        "label": Holds::Labels, "Labels of its pods.";
        "enabled": Holds::Bool, "Whether it is installed.";
        "namespace": Holds::Text, "Where.";
        "hub": Holds::Text, "Registry and folder of its images.";
        "tag": Holds::Text, "Version of its images.";
        "k8s": Holds::Of(&KUBERNETES), "Changes of its objects.";
    };

    KUBERNETES {
        "affinity": Holds::Struct, "Where its pods run.";
        "env": STRUCTS, "Environment.";
        "hpaSpec": Holds::Struct, "How it grows.";
        "imagePullPolicy": Holds::Text, "When images are fetched.";
        "nodeSelector": Holds::Labels, "Nodes of its pods.";
        "podDisruptionBudget": Holds::Struct, "How many pods may be away.";
        "podAnnotations": Holds::Map(&Holds::Text), "Annotations of its pods.";
        "priorityClassName": Holds::Text, "Priority of its pods.";
        "readinessProbe": Holds::Struct, "When a pod is ready.";
        "replicaCount": NUMBER, "How many pods.";
        "resources": Holds::Struct, "What a pod may use.";
        "service": Holds::Struct, "Its Service.";
        "serviceAnnotations": Holds::Map(&Holds::Text), "Annotations of its Service.";
        "securityContext": Holds::Struct, "What its processes may do.";
        "strategy": Holds::Struct, "How pods are replaced.";
        "tolerations": STRUCTS, "Nodes that its pods tolerate.";
        "volumes": STRUCTS, "They have no effect.";
        "volumeMounts": STRUCTS, "They have no effect.";
        "overlays": Holds::List(&Holds::Of(&OVERLAY)), "Changes of single values, after all others.";
    };

    OVERLAY {
        "apiVersion": Holds::Text, "It has no effect: kind and name find the object.";
        "kind": Holds::Text, "Kind of the object.";
        "name": Holds::Text, "Its name.";
        "patches": Holds::List(&Holds::Of(&PATCH)), "What is changed.";
    };

    PATCH {
        "path": Holds::Text, "As `a.b.[key:value].c`.";
        "value": Holds::Any, "What stands there then; null takes it away.";
    };

    VALUES {
        "global": Holds::Struct, "What several charts share.";
        "base": Holds::Struct, "Of the chart base.";
        "pilot": Holds::Struct, "Of the control plane.";
        "cni": Holds::Struct, "Of the chart cni.";
        "ztunnel": Holds::Struct, "Of the chart ztunnel.";
        "gateways": Holds::Struct, "Of gateways.";
        "istiodRemote": Holds::Struct, "Of a cluster whose control plane is elsewhere.";
        "sidecarInjectorWebhook": Holds::Struct, "How proxies come into pods.";
        "telemetry": Holds::Struct, "Metrics, logs and spans.";
        "meshConfig": Holds::Struct, "MeshConfig.";
        "profile": Holds::Text, "Named settings to begin with.";
        "platform": Holds::Text, "What the cluster runs on.";
        "compatibilityVersion": Holds::Text, "Version whose defaults hold.";
        "revision": Holds::Text, "Name of this control plane beside others.";
        "revisionTags": Holds::List(&Holds::Text), "Other names of this control plane.";
        "defaultRevision": Holds::Text, "Which control plane validates objects.";
        "ownerName": Holds::Text, "Who owns the objects.";
        "experimental": Holds::Struct, "What may change.";
    };
}
