//! Short words for reading JSON objects of Kubernetes.

use serde_json::{Map, Value};

/// Text at a JSON pointer; empty where there is none.
pub(super) fn at<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// An annotation, if its key is there.
pub(super) fn annotation<'a>(pod: &'a Value, name: &str) -> Option<&'a str> {
    pod["metadata"]["annotations"].get(name)?.as_str()
}

/// A label, if its key is there.
pub(super) fn label<'a>(pod: &'a Value, name: &str) -> Option<&'a str> {
    pod["metadata"]["labels"].get(name)?.as_str()
}

/// The elements of a list; none where it is none.
pub(super) fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// A map to write into, made where there is none.
pub(super) fn map_mut<'a>(value: &'a mut Value, key: &str) -> &'a mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    let inner = &mut value[key];
    if !inner.is_object() {
        *inner = Value::Object(Map::new());
    }
    inner.as_object_mut().expect("made an object above")
}

/// A list to write into, made where there is none.
pub(super) fn list_mut<'a>(value: &'a mut Value, key: &str) -> &'a mut Vec<Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    let inner = &mut value[key];
    if !inner.is_array() {
        *inner = Value::Array(Vec::new());
    }
    inner.as_array_mut().expect("made a list above")
}

/// Name of a container, volume or variable.
pub(super) fn name(value: &Value) -> &str {
    at(value, "/name")
}

/// Both lists of containers.
pub(super) const CONTAINERS: [&str; 2] = ["initContainers", "containers"];
/// The proxy's container.
pub(super) const PROXY: &str = "istio-proxy";
/// What an injected pod says of its injection, as JSON.
pub(super) const STATUS: &str = "sidecar.istio.io/status";
