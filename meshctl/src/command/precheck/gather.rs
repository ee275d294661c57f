//! What the cluster says of itself.

use super::Facts;
use crate::{
    cluster::{self, Cluster},
    context::Context,
    install::kind::Kind,
};
use anyhow::Result;
use k8s_openapi::{
    api::{
        admissionregistration::v1::MutatingWebhookConfiguration,
        authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec},
        core::v1::Namespace,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, ResourceExt,
    api::{ListParams, PartialObjectMeta, PostParams},
};

/// Most objects of a kind that are looked at.
const MOST: u32 = 5000;

pub(super) async fn facts(workloads_alone: bool, context: &Context) -> Result<Facts> {
    let cluster = Cluster::open(&context.kube).await?;
    let mut facts = Facts { namespaces: namespaces(&cluster).await?, ..Facts::default() };
    if workloads_alone {
        return Ok(facts);
    }
    let version = cluster.client.apiserver_version().await;
    let version = version.map_err(|error| cluster.told(error, "ask for the version of Kubernetes"))?;
    let number = |text: &str| text.trim_end_matches(|c: char| !c.is_ascii_digit()).parse().ok();
    facts.version = number(&version.major).zip(number(&version.minor));
    facts.forbidden = forbidden(&cluster).await?;
    facts.webhooks = webhooks(&cluster).await?;
    facts.definitions = definitions(&cluster).await?;
    Ok(facts)
}

/// Those that ask for injection, with the pod security that they enforce.
async fn namespaces(cluster: &Cluster) -> Result<Vec<(String, Option<String>)>> {
    let of_namespace = |(namespace, _): &(Namespace, String)| {
        let enforced = namespace.labels().get("pod-security.kubernetes.io/enforce").cloned();
        (namespace.name_any(), enforced)
    };
    Ok(cluster.asking().await?.iter().map(of_namespace).collect())
}

async fn forbidden(cluster: &Cluster) -> Result<Vec<String>> {
    let api: Api<SelfSubjectAccessReview> = Api::all(cluster.client.clone());
    let mut forbidden = Vec::new();
    for kind in Kind::made() {
        let attributes = ResourceAttributes {
            group: Some(kind.group.to_owned()),
            resource: Some(kind.plural.to_owned()),
            verb: Some("create".to_owned()),
            namespace: kind.is_namespaced.then(|| cluster.mesh_namespace.clone()),
            ..ResourceAttributes::default()
        };
        let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() };
        let review = SelfSubjectAccessReview { spec, ..Default::default() };
        let answer = api.create(&PostParams::default(), &review).await;
        let answer = answer.map_err(|error| cluster.told(error, "ask what the user may do"))?;
        if !answer.status.is_some_and(|status| status.allowed) {
            forbidden.push(format!("create {}", kind.plural));
        }
    }
    Ok(forbidden)
}

async fn webhooks(cluster: &Cluster) -> Result<Vec<(String, String, String)>> {
    let of_hook = |hook: &MutatingWebhookConfiguration| {
        (hook.name_any(), cluster::revision(hook), cluster::served_from(hook).unwrap_or("?").to_owned())
    };
    Ok(cluster.injecting().await?.iter().map(of_hook).collect())
}

async fn definitions(cluster: &Cluster) -> Result<Vec<(String, Option<String>)>> {
    let api: Api<CustomResourceDefinition> = Api::all(cluster.client.clone());
    let list = api.list_metadata(&ListParams::default().limit(MOST)).await;
    let list = list.map_err(|error| cluster.told(error, "list CustomResourceDefinitions"))?;
    let ours = list.items.iter().filter(|definition| definition.name_any().ends_with(".istio.io"));
    let owner = |definition: &PartialObjectMeta<CustomResourceDefinition>| {
        let annotations = definition.annotations();
        let namespace = annotations.get("meta.helm.sh/release-namespace")?;
        Some(format!("{namespace}/{}", annotations.get("meta.helm.sh/release-name")?))
    };
    Ok(ours.map(|definition| (definition.name_any(), owner(definition))).collect())
}
