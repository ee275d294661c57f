//! The injector's configuration: keys `config` and `values` of its ConfigMap.

use super::{Environment, functions};
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
    pub(super) never: Vec<Selector>,
    pub(super) always: Vec<Selector>,
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

/// A selector of labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Selector(Vec<(String, Requirement)>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Requirement {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    DoesNotExist,
}

impl Selector {
    /// Whether labels satisfy all that is required; nothing required matches nothing.
    pub(super) fn matches(&self, labels: &Value) -> bool {
        let satisfied = |(key, requirement): &(String, Requirement)| {
            let value = labels.get(key).and_then(Value::as_str);
            match requirement {
                Requirement::In(values) => value.is_some_and(|value| values.iter().any(|v| v == value)),
                Requirement::NotIn(values) => value.is_none_or(|value| values.iter().all(|v| v != value)),
                Requirement::Exists => value.is_some(),
                Requirement::DoesNotExist => value.is_none(),
            }
        };
        !self.0.is_empty() && self.0.iter().all(satisfied)
    }
}

fn selectors(config: &Value, key: &str) -> Result<Vec<Selector>, String> {
    let Value::Array(list) = &config[key] else { return nothing(&config[key], key).map(|()| Vec::new()) };
    list.iter().map(|selector| read_selector(selector).map_err(|error| format!("config: {key}: {error}"))).collect()
}

fn read_selector(selector: &Value) -> Result<Selector, String> {
    let mut requirements = Vec::new();
    for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
        let value = value.as_str().ok_or_else(|| format!("matchLabels.{key} must be text"))?;
        requirements.push((key.clone(), Requirement::In(vec![value.to_owned()])));
    }
    for expression in selector["matchExpressions"].as_array().into_iter().flatten() {
        let key = expression["key"].as_str().ok_or("an expression without key")?;
        let values = names(&expression["values"], "values")?;
        let requirement = match expression["operator"].as_str().unwrap_or_default() {
            "In" if !values.is_empty() => Requirement::In(values),
            "NotIn" if !values.is_empty() => Requirement::NotIn(values),
            "Exists" if values.is_empty() => Requirement::Exists,
            "DoesNotExist" if values.is_empty() => Requirement::DoesNotExist,
            other => return Err(format!("operator {other:?} of {key} does not fit its values")),
        };
        requirements.push((key.to_owned(), requirement));
    }
    Ok(Selector(requirements))
}
