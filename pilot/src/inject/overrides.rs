//! What a user wrote into a container that a template has too: it stays, and is remembered, so that a second injection
//! still knows it.

use super::{
    merge::merge,
    text::{CONTAINERS, PROXY, STATUS, annotation, list, list_mut, name},
};
use serde_json::{Map, Value, json};

/// Where it is remembered.
pub(super) const OVERRIDES: &str = "proxy.istio.io/overrides";

/// Names of what an earlier injection put into a pod, by list. `None`: it was never injected.
fn injected_before(pod: &Value) -> Option<Value> {
    serde_json::from_str::<Value>(annotation(pod, STATUS)?).ok().filter(Value::is_object)
}

fn names_in(status: &Value, field: &str, container: &str) -> bool {
    list(status, field).iter().any(|name| name == container)
}

/// The pod as it was before it was injected, as far as its annotations say.
///
/// # Errors
/// What it remembers cannot be read.
pub(super) fn original(pod: &Value, status_port: u16) -> Result<Value, String> {
    let mut pod = pod.clone();
    let Some(status) = injected_before(&pod) else { return Ok(pod) };
    for field in CONTAINERS {
        if let Some(containers) = pod["spec"].get_mut(field).and_then(Value::as_array_mut) {
            containers.retain(|container| !names_in(&status, field, name(container)));
        }
    }
    for (field, elements) in [("volumes", "volumes"), ("imagePullSecrets", "imagePullSecrets")] {
        if let Some(list) = pod["spec"].get_mut(field).and_then(Value::as_array_mut) {
            list.retain(|element| !names_in(&status, elements, name(element)));
        }
    }
    if let Some(text) = annotation(&pod, OVERRIDES) {
        let kept: Value =
            serde_json::from_str(text).map_err(|error| format!("annotation {OVERRIDES} cannot be read: {error}"))?;
        for field in CONTAINERS {
            let containers = list(&kept, field).to_vec();
            if !containers.is_empty() {
                list_mut(&mut pod["spec"], field).extend(containers);
            }
        }
    }
    let port = status_port.to_string();
    if let Some(annotations) = pod["metadata"].get_mut("annotations").and_then(Value::as_object_mut)
        && annotations.get("prometheus.io/port").and_then(Value::as_str) == Some(&port)
    {
        for key in ["prometheus.io/port", "prometheus.io/path", "prometheus.io/scrape"] {
            annotations.remove(key);
        }
    }
    Ok(pod)
}

/// What a user said of a container of this name, in either list of the pod as it was before it was injected.
pub(super) fn of_user<'a>(original: &'a Value, container: &str) -> Option<&'a Value> {
    CONTAINERS.into_iter().find_map(|field| list(&original["spec"], field).iter().find(|own| name(own) == container))
}

/// Lays what the user said over the containers that templates put in, and remembers it.
pub(super) fn reapply(result: &mut Value, original: &Value, rendered: &Value) {
    let mut kept = Map::new();
    for field in CONTAINERS {
        for template in list(&rendered["spec"], field) {
            let Some(user) = of_user(original, name(template)) else { continue };
            let said = said(user);
            let place = result["spec"][field].as_array_mut().into_iter().flatten();
            if let Some(container) = place.into_iter().find(|container| name(container) == name(template)) {
                merge(container, &said);
                kept.entry(field).or_insert_with(|| json!([])).as_array_mut().expect("made a list").push(said);
            }
        }
    }
    if !kept.is_empty() && annotation(result, OVERRIDES).is_none() {
        let ordered: Map<_, _> =
            ["containers", "initContainers"].into_iter().filter_map(|field| kept.remove_entry(field)).collect();
        let annotations = super::text::map_mut(&mut result["metadata"], "annotations");
        annotations.insert(OVERRIDES.to_owned(), Value::Object(ordered).to_string().into());
    }
}

/// A container without what says nothing: nulls, and the image that stands for the template's.
fn said(container: &Value) -> Value {
    let mut container = container.clone();
    if container["image"] == "auto"
        && let Some(map) = container.as_object_mut()
    {
        map.remove("image");
    }
    without_nulls(&mut container);
    container
}

/// Takes back what an API server added to containers whose image stands for the template's: it sees no tag, and would
/// have the image pulled at each start.
pub(super) fn forget_default_policy(pod: &mut Value) {
    for field in CONTAINERS {
        for container in pod["spec"].get_mut(field).and_then(Value::as_array_mut).into_iter().flatten() {
            if container["image"] == "auto"
                && container["imagePullPolicy"] == "Always"
                && let Some(map) = container.as_object_mut()
            {
                map.remove("imagePullPolicy");
            }
        }
    }
}

fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(without_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(without_nulls),
        _ => {}
    }
}

/// Puts the proxy's container where the templates have it: a user writes it among the containers, native or not, and
/// what an earlier injection put elsewhere must not be there twice. Returns whether it stood elsewhere.
pub(super) fn place_proxy(pod: &mut Value, rendered: &Value) -> bool {
    let has = |pod: &Value, field| list(&pod["spec"], field).iter().any(|container| name(container) == PROXY);
    let (from, to) = match (has(rendered, "initContainers"), has(rendered, "containers")) {
        (true, false) if has(pod, "containers") => ("containers", "initContainers"),
        (false, true) if injected_before(pod).is_some_and(|status| names_in(&status, "initContainers", PROXY)) => {
            ("initContainers", "containers")
        }
        _ => return false,
    };
    let containers = list_mut(&mut pod["spec"], from);
    let Some(index) = containers.iter().position(|container| name(container) == PROXY) else { return false };
    let mut proxy = containers.remove(index);
    if let (Some(map), "containers") = (proxy.as_object_mut(), to) {
        map.remove("restartPolicy");
    }
    list_mut(&mut pod["spec"], to).push(proxy);
    true
}
