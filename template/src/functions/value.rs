//! Functions of any value: defaults, forms, kinds, and refusals.

use super::{Table, arguments as arg};
use crate::{to_json, to_value, yaml};
use gotmpl::{Result, Value};
use serde_json::Value as Json;

pub(super) const TABLE: Table = &[
    ("default", |a| {
        let given = a.get(1).filter(|value| value.is_truthy());
        Ok(given.unwrap_or(arg::at(a, 0, "default")?).clone())
    }),
    ("empty", |a| Ok(Value::Bool(!arg::at(a, 0, "empty")?.is_truthy()))),
    ("coalesce", |a| Ok(a.iter().find(|value| value.is_truthy()).cloned().unwrap_or(Value::Nil))),
    ("ternary", |a| {
        let index = usize::from(!arg::at(a, 2, "ternary")?.is_truthy());
        Ok(a[index].clone())
    }),
    ("fail", |a| Err(gotmpl::TemplateError::Exec(arg::text(a, 0, "fail")?.to_string()))),
    ("required", |a| match arg::at(a, 1, "required")? {
        Value::Nil => Err(gotmpl::TemplateError::Exec(arg::text(a, 0, "required")?.to_string())),
        Value::String(text) if text.is_empty() => {
            Err(gotmpl::TemplateError::Exec(arg::text(a, 0, "required")?.to_string()))
        }
        value => Ok(value.clone()),
    }),
    ("toJson", |a| json(a, "toJson")),
    ("mustToJson", |a| json(a, "mustToJson")),
    ("toPrettyJson", |a| pretty(a, "toPrettyJson")),
    ("mustToPrettyJson", |a| pretty(a, "mustToPrettyJson")),
    ("fromJson", |a| from_json(a, "fromJson")),
    ("mustFromJson", |a| from_json(a, "mustFromJson")),
    ("toYaml", |a| to_yaml(a, "toYaml")),
    ("mustToYaml", |a| to_yaml(a, "mustToYaml")),
    ("fromYaml", |a| from_yaml(a, "fromYaml")),
    ("fromYamlArray", |a| from_yaml(a, "fromYamlArray")),
    ("kindOf", |a| Ok(Value::from(kind(arg::at(a, 0, "kindOf")?)))),
    ("typeOf", |a| Ok(Value::from(kind(arg::at(a, 0, "typeOf")?)))),
    ("kindIs", |a| Ok(Value::Bool(*arg::text(a, 0, "kindIs")? == *kind(arg::at(a, 1, "kindIs")?)))),
];

/// Go's name of a kind.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Nil => "invalid",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int",
        Value::Uint(_) => "uint64",
        Value::Float(_) => "float64",
        Value::String(_) => "string",
        Value::List(_) => "slice",
        Value::Map(_) => "map",
        Value::Function(_) => "func",
    }
}

fn json(args: &[Value], name: &str) -> Result<Value> {
    arg::bounded(name, to_json(arg::at(args, 0, name)?).to_string())
}

fn pretty(args: &[Value], name: &str) -> Result<Value> {
    let value = to_json(arg::at(args, 0, name)?);
    arg::bounded(name, serde_json::to_string_pretty(&value).map_err(|error| arg::error(name, error))?)
}

fn from_json(args: &[Value], name: &str) -> Result<Value> {
    let value: Json = serde_json::from_str(&arg::text(args, 0, name)?).map_err(|error| arg::error(name, error))?;
    Ok(to_value(&value))
}

/// Without the newline at the end, as Helm has it.
fn to_yaml(args: &[Value], name: &str) -> Result<Value> {
    let text = yaml::write(&to_json(arg::at(args, 0, name)?)).map_err(|error| arg::error(name, error))?;
    arg::bounded(name, text.trim_end_matches('\n').to_owned())
}

fn from_yaml(args: &[Value], name: &str) -> Result<Value> {
    let value = yaml::read(&arg::text(args, 0, name)?).map_err(|error| arg::error(name, error))?;
    Ok(to_value(&value))
}
