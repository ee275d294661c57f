//! Values of templates and JSON.
//!
//! Objects of Kubernetes are structs in Go: templates read `.Spec.Containers`, while `toYaml` of the same value writes
//! `containers`. Such a value is a map by Go's names that holds its original beside them, and is written as that.

use gotmpl::Value;
use serde_json::{Map, Number, Value as Json};
use std::{collections::BTreeMap, sync::Arc};

/// Where a struct keeps its original: no field of Go has this name.
const ORIGINAL: &str = "\0";

/// A value by JSON's names.
pub fn to_value(json: &Json) -> Value {
    match json {
        Json::Null => Value::Nil,
        Json::Bool(b) => Value::Bool(*b),
        Json::Number(n) => number(n),
        Json::String(s) => Value::from(s.as_str()),
        Json::Array(list) => list.iter().map(to_value).collect::<Vec<_>>().into(),
        Json::Object(map) => Value::from(
            map.iter().map(|(k, v)| (Arc::from(k.as_str()), to_value(v))).collect::<BTreeMap<Arc<str>, Value>>(),
        ),
    }
}

fn number(n: &Number) -> Value {
    match (n.as_i64(), n.as_u64()) {
        (Some(int), _) => Value::Int(int),
        (None, Some(uint)) => Value::Uint(uint),
        _ => Value::Float(n.as_f64().unwrap_or_default()),
    }
}

/// A struct: the map `fields` by Go's names, written as `original` by `toYaml`, `toJson` and their like.
pub fn structure(fields: impl IntoIterator<Item = (String, Value)>, original: &Json) -> Value {
    let mut map: BTreeMap<Arc<str>, Value> = fields.into_iter().map(|(k, v)| (Arc::from(k), v)).collect();
    map.insert(ORIGINAL.into(), to_value(original));
    Value::from(map)
}

/// A value as JSON; a struct as its original.
pub fn to_json(value: &Value) -> Json {
    match value {
        Value::Nil | Value::Function(_) => Json::Null,
        Value::Bool(b) => Json::Bool(*b),
        Value::Int(n) => Json::from(*n),
        Value::Uint(n) => Json::from(*n),
        Value::Float(n) => float(*n),
        Value::String(s) => Json::String(s.to_string()),
        Value::List(list) => Json::Array(list.iter().map(to_json).collect()),
        Value::Map(map) => match map.get(ORIGINAL) {
            Some(original) => to_json(original),
            None => Json::Object(map.iter().map(|(k, v)| (k.to_string(), to_json(v))).collect::<Map<_, _>>()),
        },
    }
}

/// Go writes a whole number as one, whatever type it has.
fn float(n: f64) -> Json {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if n.fract() == 0.0 && n.abs() < EXACT {
        return Json::from(n as i64);
    }
    Number::from_f64(n).map_or(Json::Null, Json::Number)
}
