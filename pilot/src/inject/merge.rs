//! Strategic merge: a template's pod laid over a pod, as Kubernetes does it.
//!
//! Maps merge, `null` takes away, most lists take the place of others. Lists whose elements have a key merge by it, and
//! what the template names comes first, in its order.

use serde_json::{Map, Value};

/// The key of a list's elements, by the list's name.
fn key_of(list: &str) -> Option<&'static str> {
    Some(match list {
        "containers"
        | "initContainers"
        | "ephemeralContainers"
        | "volumes"
        | "env"
        | "imagePullSecrets"
        | "resourceClaims" => "name",
        "volumeMounts" => "mountPath",
        "volumeDevices" => "devicePath",
        "ports" => "containerPort",
        "hostAliases" => "ip",
        "topologySpreadConstraints" => "topologyKey",
        _ => return None,
    })
}

/// Fields of which an object has one: beside another the API server would refuse it.
const ONE_OF: [&[&str]; 2] = [&["value", "valueFrom"], &["httpGet", "tcpSocket", "grpc", "exec", "sleep"]];

/// Lays `over` over `base`.
pub(super) fn merge(base: &mut Value, over: &Value) {
    let Value::Object(over) = over else {
        *base = over.clone();
        return;
    };
    if over.get("$patch").and_then(Value::as_str) == Some("replace") {
        *base = stripped(over);
        return;
    }
    if !base.is_object() {
        *base = Value::Object(Map::new());
    }
    let base = base.as_object_mut().expect("made one above");
    for group in ONE_OF {
        if group.iter().any(|field| over.get(*field).is_some_and(|value| !value.is_null())) {
            base.retain(|field, _| !group.contains(&field.as_str()) || over.contains_key(field));
        }
    }
    for (field, value) in over {
        match value {
            Value::Null => {
                base.remove(field);
            }
            Value::Object(map) if map.get("$patch").and_then(Value::as_str) == Some("delete") => {
                base.remove(field);
            }
            Value::Object(_) => merge(base.entry(field).or_insert(Value::Null), value),
            Value::Array(list) => merge_list(base, field, list),
            _ if field == "$patch" || field.starts_with("$retainKeys") => {}
            _ => {
                base.insert(field.clone(), value.clone());
            }
        }
    }
}

/// A map without directives.
fn stripped(map: &Map<String, Value>) -> Value {
    Value::Object(map.iter().filter(|(key, _)| *key != "$patch").map(|(k, v)| (k.clone(), v.clone())).collect())
}

fn merge_list(base: &mut Map<String, Value>, field: &str, over: &[Value]) {
    let replaced = over.iter().any(|element| is_directive(element, "replace") && only_directive(element));
    match key_of(field) {
        Some(key) if !replaced && over.iter().all(Value::is_object) => {
            let old = base.get(field).and_then(Value::as_array).cloned().unwrap_or_default();
            let merged = merged_by_key(old, over, key);
            if !merged.is_empty() || base.contains_key(field) {
                base.insert(field.to_owned(), Value::Array(merged));
            }
        }
        _ if over.is_empty() => {}
        _ => {
            let kept = over.iter().filter(|element| !only_directive(element)).cloned();
            base.insert(field.to_owned(), Value::Array(kept.collect()));
        }
    }
}

fn is_directive(element: &Value, which: &str) -> bool {
    element.get("$patch").and_then(Value::as_str) == Some(which)
}

fn only_directive(element: &Value) -> bool {
    element.as_object().is_some_and(|map| map.len() == 1 && map.contains_key("$patch"))
}

fn merged_by_key(old: Vec<Value>, over: &[Value], key: &str) -> Vec<Value> {
    let place = |value: &Value| old.iter().position(|element| element.get(key) == Some(value));
    // What the template names, in its order, with the place that it had.
    let mut named: Vec<(Option<usize>, Value)> = Vec::new();
    let mut gone = Vec::new();
    for element in over {
        let Some(value) = element.get(key) else { continue };
        let was = place(value);
        if is_directive(element, "delete") {
            gone.extend(was);
            continue;
        }
        match named.iter_mut().find(|(_, other)| other.get(key) == Some(value)) {
            Some((_, other)) => merge(other, element),
            None => {
                let mut merged = was.map_or_else(|| Value::Object(Map::new()), |index| old[index].clone());
                merge(&mut merged, element);
                named.push((was, merged));
            }
        }
    }
    let taken: Vec<usize> = named.iter().filter_map(|(was, _)| *was).chain(gone).collect();
    let mut rest = old.iter().enumerate().filter(|(index, _)| !taken.contains(index)).peekable();
    let mut result = Vec::new();
    for (was, element) in named {
        // What the pod alone has stays before what was behind it.
        while let Some((_, own)) = rest.next_if(|(index, _)| was.is_some_and(|was| *index < was)) {
            result.push(own.clone());
        }
        result.push(element);
    }
    result.extend(rest.map(|(_, own)| own.clone()));
    result
}
