//! The objects of a tag, made by the control plane's chart from what is known of the revision: its webhook, which has the address
//! and the settings, and its Service. Pure.

use super::owner;
use crate::{
    chart::{Chart, Release, object::Object},
    cli::TagArgs,
};
use anyhow::{Context as _, Result};
use mesh_config::name::of_revision;
use serde_json::{Map, Value, json};

/// Longest name of a tag: with what stands before it the name of a Service has 63.
const LONGEST: usize = 40;

/// What names of tags are made of, so that names of objects can have them inside.
pub(super) fn is_label(tag: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let ends = !tag.starts_with('-') && !tag.ends_with('-');
    (1..=LONGEST).contains(&tag.len()) && tag.chars().all(inner) && ends
}

/// The objects, with the labels of what this command writes.
pub(super) fn objects(args: &TagArgs, hook: &Object, service: Option<&Object>, namespace: &str) -> Result<Vec<Object>> {
    let revision = unnamed(&args.revision);
    let mut values = values(hook, service);
    values["revision"] = revision.into();
    values["revisionTags"] = json!([args.tag]);
    if args.auto_inject_namespaces {
        values["sidecarInjectorWebhook"]["enableNamespacesByDefault"] = true.into();
    }
    let release = Release { name: &of_revision("istiod", revision), namespace, is_upgrade: true };
    let mut objects = Chart::Istiod.render(&release, &values)?;
    objects.retain(|object| object.0["metadata"]["labels"]["istio.io/tag"] == args.tag.as_str());
    // What it calls stands before it.
    objects.sort_by_key(|object| object.kind() != "Service");
    for object in &mut objects {
        owner::labels(owner::TAGS, revision).iter().for_each(|(key, value)| object.label(key, value));
        if let Some(name) = args.webhook_name.as_ref().filter(|_| object.kind() != "Service") {
            object.0["metadata"]["name"] = name.as_str().into();
        }
    }
    Ok(objects)
}

/// The webhooks of the revision without a name, as its chart makes them.
pub(super) fn of_default(hook: &Object, namespace: &str) -> Result<Object> {
    let release = Release { name: "istiod", namespace, is_upgrade: true };
    let objects = Chart::Istiod.render(&release, &values(hook, None))?;
    let made = objects.into_iter().find(|object| object.kind() == "MutatingWebhookConfiguration");
    made.context("the chart makes webhooks")
}

/// Values that make the same webhooks and the same Service again.
fn values(hook: &Object, service: Option<&Object>) -> Value {
    let entries = entries(hook);
    let call = &entries.first().unwrap_or(&Value::Null)["clientConfig"];
    let mut remote = Map::new();
    for (key, value) in [
        ("injectionURL", &call["url"]),
        ("injectionPath", &call["service"]["path"]),
        ("injectionCABundle", &call["caBundle"]),
    ] {
        if !value.is_null() {
            remote.insert(key.to_owned(), value.clone());
        }
    }
    let mut injector =
        json!({ "enableNamespacesByDefault": entries.iter().any(|entry| named(entry).starts_with("auto.")) });
    if let Some(policy) = entries.first().and_then(|entry| entry["reinvocationPolicy"].as_str()) {
        injector["reinvocationPolicy"] = policy.into();
    }
    let mut values = json!({ "istiodRemote": remote, "sidecarInjectorWebhook": injector });
    let spec = service.map_or(&Value::Null, |service| &service.0["spec"]);
    for key in ["ipFamilyPolicy", "ipFamilies"] {
        if !spec[key].is_null() {
            values[key] = spec[key].clone();
        }
    }
    values
}

/// Whether it is of webhooks that inject sidecars.
pub(super) fn injects(hook: &Object) -> bool {
    entries(hook).iter().any(|entry| named(entry).ends_with("sidecar-injector.istio.io"))
}

pub(super) fn entries(hook: &Object) -> &[Value] {
    hook.0["webhooks"].as_array().map_or(&[][..], Vec::as_slice)
}

fn named(entry: &Value) -> &str {
    entry["name"].as_str().unwrap_or_default()
}

/// The tag that it is of, where it is of one.
pub(super) fn tag(object: &Object) -> Option<&str> {
    object.0["metadata"]["labels"]["istio.io/tag"].as_str()
}

/// Its revision; `default` is the one without.
pub(super) fn revision(object: &Object) -> &str {
    object.0["metadata"]["labels"]["istio.io/rev"].as_str().unwrap_or("default")
}

/// The namespace of the Service that answers for it, where one does.
pub(super) fn served_from(hook: &Object) -> Option<&str> {
    entries(hook).iter().find_map(|entry| entry["clientConfig"]["service"]["namespace"].as_str())
}

/// A revision as values name it: nothing for `default`.
pub(super) fn unnamed(revision: &str) -> &str {
    match revision {
        "default" => "",
        revision => revision,
    }
}
