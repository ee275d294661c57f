//! The injector's configuration: keys `config` and `values` of its ConfigMap.

use super::{Environment, functions};
use mesh_config::model::selector::{Condition, LabelSelector, Operator};
use mesh_template::{Template, yaml};
use serde_json::Value;
use std::collections::BTreeMap;

/// What pods without a word of their own get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Policy {
    Enabled,
    Disabled,
    /// Neither: nothing is injected, not even what asks for it.
    Illegal(String),
}

/// What is injected into which pods.
#[derive(Debug)]
pub struct Settings {
    pub(super) policy: Policy,
    pub(super) never: Vec<LabelSelector>,
    pub(super) always: Vec<LabelSelector>,
    default_templates: Vec<String>,
    templates: BTreeMap<String, Template>,
    aliases: BTreeMap<String, Vec<String>>,
    /// Annotations of every injected pod.
    pub(super) injected_annotations: BTreeMap<String, String>,
    /// What templates read as `.Values`.
    pub(super) values: Value,
}

impl Settings {
    pub(super) fn read(config: &str, values: &str, environment: &Environment) -> Result<Self, String> {
        let config = yaml::read(config).map_err(|error| format!("config: {error}"))?;
        let values = yaml::read(values).map_err(|error| format!("values: {error}"))?;
        if !config.is_object() || !values.is_object() {
            return Err("config and values must be maps".to_owned());
        }
        let functions = functions::functions(&environment.variables);
        let mut templates = BTreeMap::new();
        for (name, text) in texts(&config, "templates")? {
            templates.insert(name.clone(), Template::parse(&name, &text, &functions).map_err(|e| e.to_string())?);
        }
        let default_templates = names(&config["defaultTemplates"], "defaultTemplates")?;
        let mut aliases = BTreeMap::new();
        for (name, list) in config["aliases"].as_object().into_iter().flatten() {
            aliases.insert(name.clone(), names(list, "aliases")?);
        }
        Ok(Settings {
            policy: match config["policy"].as_str().unwrap_or_default() {
                "enabled" => Policy::Enabled,
                "disabled" => Policy::Disabled,
                other => Policy::Illegal(other.to_owned()),
            },
            never: selectors(&config, "neverInjectSelector")?,
            always: selectors(&config, "alwaysInjectSelector")?,
            default_templates: if default_templates.is_empty() {
                vec!["sidecar".to_owned()]
            } else {
                default_templates
            },
            templates,
            aliases,
            injected_annotations: texts(&config, "injectedAnnotations")?,
            values,
        })
    }

    /// The templates that a pod asks for by annotation, or those that all others get.
    pub(super) fn templates(&self, asked: Option<&str>) -> Result<Vec<&Template>, String> {
        let asked: Vec<&str> = match asked {
            Some(names) => names.split(',').map(str::trim).collect(),
            None => self.default_templates.iter().map(String::as_str).collect(),
        };
        let expanded = asked.into_iter().flat_map(|name| match self.aliases.get(name) {
            Some(names) => names.iter().map(String::as_str).collect(),
            None => vec![name],
        });
        let known = || self.templates.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        expanded
            .map(|name| {
                let template = self.templates.get(name);
                template.ok_or_else(|| format!("requested template {name:?} not found; have {}", known()))
            })
            .collect()
    }
}

fn texts(config: &Value, key: &str) -> Result<BTreeMap<String, String>, String> {
    let Value::Object(map) = &config[key] else { return nothing(&config[key], key).map(|()| BTreeMap::new()) };
    let text = |(name, value): (&String, &Value)| match value {
        Value::String(text) => Ok((name.clone(), text.clone())),
        _ => Err(format!("config: {key}.{name} must be text")),
    };
    map.iter().map(text).collect()
}

fn names(list: &Value, key: &str) -> Result<Vec<String>, String> {
    let Value::Array(list) = list else { return nothing(list, key).map(|()| Vec::new()) };
    let name = |value: &Value| value.as_str().map(str::to_owned);
    list.iter().map(|value| name(value).ok_or_else(|| format!("config: {key} must be a list of names"))).collect()
}

fn nothing(value: &Value, key: &str) -> Result<(), String> {
    if value.is_null() { Ok(()) } else { Err(format!("config: {key} has the wrong type")) }
}

/// Those that require something: one that does not would select every pod, and selects none.
fn selectors(config: &Value, key: &str) -> Result<Vec<LabelSelector>, String> {
    let Value::Array(list) = &config[key] else { return nothing(&config[key], key).map(|()| Vec::new()) };
    let read = |selector| read_selector(selector).map_err(|error| format!("config: {key}: {error}"));
    let mut selectors = list.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    selectors.retain(|selector| *selector != LabelSelector::default());
    Ok(selectors)
}

fn read_selector(selector: &Value) -> Result<LabelSelector, String> {
    let mut read = LabelSelector::default();
    for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
        let value = value.as_str().ok_or_else(|| format!("matchLabels.{key} must be text"))?;
        read.labels.extend([(key.as_str().into(), value.into())]);
    }
    for expression in selector["matchExpressions"].as_array().into_iter().flatten() {
        let key = expression["key"].as_str().ok_or("an expression without key")?;
        let values = names(&expression["values"], "values")?;
        let operator = match expression["operator"].as_str().unwrap_or_default() {
            "In" if !values.is_empty() => Operator::In,
            "NotIn" if !values.is_empty() => Operator::NotIn,
            "Exists" if values.is_empty() => Operator::Exists,
            "DoesNotExist" if values.is_empty() => Operator::DoesNotExist,
            other => return Err(format!("operator {other:?} of {key} does not fit its values")),
        };
        let values = values.into_iter().map(Into::into).collect();
        read.conditions.push(Condition { key: key.into(), operator, values });
    }
    Ok(read)
}
