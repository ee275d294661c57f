//! What is injected: the charts' defaults, with what files and `--set` say over them.

use crate::cli::KubeInjectArgs;
use anyhow::{Context as _, Result, anyhow, bail};
use mesh_pilot::inject::{self, Environment, Injector};
use mesh_template::yaml;
use serde_json::{Map, Value, json};
use std::{fs, path::Path};

/// The injector that the arguments and the environment describe.
pub(super) fn injector(args: &KubeInjectArgs) -> Result<Injector> {
    let mut values = inject::default_values();
    let mut mesh = json!({});
    if let Some(path) = &args.mesh_config_file {
        lay(&mut mesh, read(path)?);
    }
    if let Some(path) = &args.operator_file_name {
        operator(&read(path)?, &mut values, &mut mesh).with_context(|| format!("{}", path.display()))?;
    }
    for setting in &args.set {
        set(setting, &mut values, &mut mesh)?;
    }
    let revision = args.revision.clone().unwrap_or_default();
    let (mut config, mut given) = inject::config_of_values(&values);
    if let Some(path) = &args.inject_config_file {
        config["templates"] = templates(path)?;
    }
    if let Some(path) = &args.values_file {
        given = read(path)?;
    }
    // What decides in a cluster is not asked here: whoever names a workload wants it injected.
    config["policy"] = json!("enabled");
    let variables: std::collections::BTreeMap<_, _> = std::env::vars().collect();
    let native = inject::native_by_default(variables.get("ENABLE_NATIVE_SIDECARS").map(String::as_str), []);
    let compliance_policy = variables.get("COMPLIANCE_POLICY").cloned().unwrap_or_default();
    let environment = Environment { revision, native_sidecars: native, compliance_policy, variables };
    Injector::new(&config.to_string(), &given.to_string(), &mesh.to_string(), environment)
        .map_err(|error| anyhow!("the configuration cannot be used: {error}"))
}

fn read(path: &Path) -> Result<Value> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    yaml::read(&text).map_err(|error| anyhow!("{}: {error}", path.display()))
}

/// Templates of a whole configuration; anything else is itself the template `sidecar`.
fn templates(path: &Path) -> Result<Value> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(match yaml::read(&text) {
        Ok(config) if config["templates"].is_object() => config["templates"].clone(),
        _ => json!({ "sidecar": text }),
    })
}

/// What an IstioOperator document says of injection.
fn operator(document: &Value, values: &mut Value, mesh: &mut Value) -> Result<()> {
    let Some(spec) = document.get("spec") else { bail!("it is no IstioOperator: it has no spec") };
    for key in ["hub", "tag"] {
        if let Some(value) = spec.get(key).filter(|value| !value.is_null()) {
            values["global"][key] = value.clone();
        }
    }
    if let Some(enabled) = spec.pointer("/components/cni/enabled") {
        values["cni"]["enabled"] = enabled.clone();
    }
    for key in ["values", "unvalidatedValues"] {
        lay_values(values, spec.get(key).cloned().unwrap_or_default());
    }
    lay(mesh, spec.get("meshConfig").cloned().unwrap_or_default());
    Ok(())
}

/// `--set KEY=VALUE`, with the keys of an IstioOperator's spec.
fn set(setting: &str, values: &mut Value, mesh: &mut Value) -> Result<()> {
    let Some((key, value)) = setting.split_once('=') else { bail!("--set {setting}: must be KEY=VALUE") };
    let value = match yaml::read(value) {
        Ok(scalar @ (Value::Bool(_) | Value::Number(_) | Value::Null)) => scalar,
        _ => Value::from(value),
    };
    let mut keys: Vec<&str> = key.split('.').collect();
    if keys.iter().any(|key| key.is_empty() || key.contains('[')) {
        bail!("--set {setting}: keys are names with dots between; lists are set with --operatorFileName");
    }
    let first = keys.remove(0);
    let nested = keys.iter().rev().fold(value, |inner, key| json!({ *key: inner }));
    match (first, keys.as_slice()) {
        ("values", [_, ..]) => lay_values(values, nested),
        ("meshConfig", [_, ..]) => lay(mesh, nested),
        ("components", ["cni", "enabled"]) => values["cni"]["enabled"] = nested["cni"]["enabled"].clone(),
        ("hub" | "tag", []) => values["global"][first] = nested,
        _ => bail!(
            "--set {setting}: of an IstioOperator, only values, meshConfig, hub, tag and components.cni.enabled bear on injection"
        ),
    }
    Ok(())
}

/// Values of the control plane stand at the top, or below `pilot`.
fn lay_values(values: &mut Value, mut over: Value) {
    if let Some(pilot) = over.as_object_mut().and_then(|map| map.remove("pilot")) {
        lay(values, pilot);
    }
    lay(values, over);
}

/// Lays maps over maps; all else takes the other's place.
fn lay(base: &mut Value, over: Value) {
    let Value::Object(over) = over else { return };
    if !base.is_object() {
        *base = Value::Object(Map::new());
    }
    for (key, value) in over {
        match (&mut base[&key], value) {
            (inner, value @ Value::Object(_)) => lay(inner, value),
            (inner, value) => *inner = value,
        }
    }
}
