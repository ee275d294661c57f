//! Objects in a cluster: looked for, written, listed, deleted.

use super::owner::Owner;
use crate::{
    chart::object::Object,
    cluster::Cluster,
    install::kind::{self, Kind},
};
use anyhow::{Context as _, Result};
use kube::{
    Api,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PropagationPolicy},
};
use serde_json::{Value, json};

/// Who writes, for the API server's record of fields.
const MANAGER: &str = "meshctl";

/// What was found of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    Absent,
    There(Owner),
}

/// Looks for the object of this kind, namespace and name.
pub(crate) async fn find(cluster: &Cluster, object: &Object) -> Result<Found> {
    let there = one(cluster, object.kind(), object.namespace(), object.name()).await?;
    Ok(there.map_or(Found::Absent, |there| Found::There(Owner::of(&there.0))))
}

/// Writes it; fields that others set and this one does not say stay.
pub(crate) async fn apply(cluster: &Cluster, object: &Object) -> Result<()> {
    let api = api(cluster, kind_of(object)?, object.namespace());
    let written = api.patch(object.name(), &PatchParams::apply(MANAGER).force(), &Patch::Apply(&object.0)).await;
    written.map_err(|error| cluster.told(error, &format!("write {}", object.title())))?;
    Ok(())
}

/// What the object would be if it were written, where it is there already.
pub(crate) async fn tried(cluster: &Cluster, object: &Object) -> Result<Object> {
    let api = api(cluster, kind_of(object)?, object.namespace());
    let parameters = PatchParams::apply(MANAGER).force().dry_run();
    let tried = api.patch(object.name(), &parameters, &Patch::Apply(&object.0)).await;
    let tried = tried.map_err(|error| cluster.told(error, &format!("write {}", object.title())))?;
    Ok(Object(serde_json::to_value(tried).context("what the API server has is no object")?))
}

/// Changes some fields of an object that is there; null takes one away.
pub(crate) async fn merge(cluster: &Cluster, object: &Object, change: &Value) -> Result<()> {
    let api = api(cluster, kind_of(object)?, object.namespace());
    let parameters = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    let changed = api.patch(object.name(), &parameters, &Patch::Merge(change)).await;
    changed.map_err(|error| cluster.told(error, &format!("change {}", object.title())))?;
    Ok(())
}

/// Makes a namespace, where it is not there.
pub(crate) async fn namespace(cluster: &Cluster, name: &str) -> Result<()> {
    let kind = Kind::of("Namespace").context("namespaces are a kind")?;
    let api = api(cluster, kind, None);
    let what = format!("make namespace {name}");
    if api.get_opt(name).await.map_err(|error| cluster.told(error, &what))?.is_some() {
        return Ok(());
    }
    let made = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
    let made = api.patch(name, &PatchParams::apply(MANAGER), &Patch::Apply(&made)).await;
    made.map_err(|error| cluster.told(error, &what))?;
    Ok(())
}

/// The objects with these labels, of every kind of [`kind::ORDER`] and every namespace.
pub(crate) async fn listed(cluster: &Cluster, selector: &str) -> Result<Vec<Object>> {
    let mut objects = Vec::new();
    for kind in kind::ORDER {
        objects.extend(of_kind(cluster, kind.name, selector).await?);
    }
    Ok(objects)
}

/// The objects of a kind with these labels, of every namespace.
pub(crate) async fn of_kind(cluster: &Cluster, kind: &str, selector: &str) -> Result<Vec<Object>> {
    let kind = Kind::of(kind).with_context(|| format!("{kind} is no kind of the charts"))?;
    let api = api(cluster, kind, None);
    let items = cluster.list(&api, ListParams::default().labels(selector), &format!("{}s", kind.name)).await?;
    let object = |item| {
        let mut object = serde_json::to_value(item).context("what the API server has is no object")?;
        // Items of lists leave out what they are.
        object["apiVersion"] = kind.resource().api_version.into();
        object["kind"] = kind.name.into();
        Ok(Object(object))
    };
    items.into_iter().map(object).collect()
}

/// Deletes it, and what belongs to it; that it is gone already is no failure.
pub(crate) async fn delete(cluster: &Cluster, object: &Object) -> Result<()> {
    let api = api(cluster, kind_of(object)?, object.namespace());
    let parameters =
        DeleteParams { propagation_policy: Some(PropagationPolicy::Background), ..DeleteParams::default() };
    match api.delete(object.name(), &parameters).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(cluster.told(error, &format!("delete {}", object.title()))),
    }
}

/// One object, if it is there.
pub(crate) async fn one(cluster: &Cluster, kind: &str, namespace: Option<&str>, name: &str) -> Result<Option<Object>> {
    let kind = Kind::of(kind).with_context(|| format!("{kind} is no kind of the charts"))?;
    let there = api(cluster, kind, namespace).get_opt(name).await;
    let place = namespace.map(|namespace| format!("{namespace}/")).unwrap_or_default();
    let there = there.map_err(|error| cluster.told(error, &format!("read {} {place}{name}", kind.name)))?;
    let Some(there) = there else { return Ok(None) };
    let mut object = serde_json::to_value(there).context("what the API server has is no object")?;
    object["kind"] = Value::from(kind.name);
    object["apiVersion"] = kind.resource().api_version.into();
    Ok(Some(Object(object)))
}

fn kind_of(object: &Object) -> Result<&'static Kind> {
    Kind::of(object.kind()).with_context(|| format!("{} is of no kind that the charts make", object.title()))
}

/// Where objects of a kind are; without a namespace those of all.
fn api(cluster: &Cluster, kind: &Kind, namespace: Option<&str>) -> Api<DynamicObject> {
    match namespace.filter(|_| kind.is_namespaced) {
        Some(namespace) => Api::namespaced_with(cluster.client.clone(), namespace, &kind.resource()),
        None => Api::all_with(cluster.client.clone(), &kind.resource()),
    }
}
