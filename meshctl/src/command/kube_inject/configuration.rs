//! What is injected: as the chart of the control plane says it of an installation by the same settings, with what files say
//! over it.

use crate::{
    chart::{Chart, Release, object::Object, values},
    cli::KubeInjectArgs,
    install::{self, spec::Spec},
};
use anyhow::{Context as _, Result, anyhow, bail};
use mesh_pilot::inject::{Environment, Injector, native_by_default};
use mesh_template::yaml;
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, path::Path};

/// The injector that the arguments and the environment describe.
pub(super) fn injector(args: &KubeInjectArgs, namespace: &str) -> Result<Injector> {
    let files: Vec<_> = args.operator_file_name.iter().cloned().collect();
    bearing(&args.set)?;
    let spec = Spec::read(&files, &args.set, args.revision.as_deref(), false)?;
    let maps = config_maps(&spec, namespace)?;
    let mut config = read_of(&maps, "config")?;
    let mut given = read_of(&maps, "values")?;
    let mut mesh = read_of(&maps, "mesh")?;
    if let Some(path) = &args.mesh_config_file {
        mesh = read(path)?;
        if spec.tree["meshConfig"].is_object() {
            values::merge(&mut mesh, &spec.tree["meshConfig"]);
        }
    }
    if let Some(path) = &args.inject_config_file {
        config["templates"] = templates(path)?;
    }
    if let Some(path) = &args.values_file {
        given = read(path)?;
    }
    // What decides in a cluster is not asked here: whoever names a workload wants it injected.
    config["policy"] = json!("enabled");
    let variables: BTreeMap<_, _> = std::env::vars().collect();
    let native = native_by_default(variables.get("ENABLE_NATIVE_SIDECARS").map(String::as_str), []);
    let compliance_policy = variables.get("COMPLIANCE_POLICY").cloned().unwrap_or_default();
    let revision = args.revision.clone().unwrap_or_default();
    let environment = Environment { revision, native_sidecars: native, compliance_policy, variables };
    Injector::new(&config.to_string(), &given.to_string(), &mesh.to_string(), environment)
        .map_err(|error| anyhow!("the configuration cannot be used: {error}"))
}

/// Refuses a setting that does not bear on injection.
fn bearing(settings: &[String]) -> Result<()> {
    for setting in settings {
        let mut tree = json!({});
        values::set(&mut tree, setting)?;
        let keys = tree.as_object().into_iter().flatten();
        let (mut bears, mut has_list) = (true, false);
        for (key, value) in keys {
            bears &= match key.as_str() {
                "components" => *value == json!({"cni": {"enabled": value["cni"]["enabled"]}}),
                "values" | "unvalidatedValues" | "meshConfig" => value.is_object(),
                "hub" | "tag" => true,
                _ => false,
            };
            has_list |= holds_list(value);
        }
        if has_list {
            bail!("--set {setting}: keys are names with dots between; lists are set with --operatorFileName");
        }
        if !bears {
            bail!(
                "--set {setting}: of an IstioOperator, only values, meshConfig, hub, tag and components.cni.enabled bear on injection"
            );
        }
    }
    Ok(())
}

fn holds_list(value: &Value) -> bool {
    match value {
        Value::Array(_) => true,
        Value::Object(map) => map.values().any(holds_list),
        _ => false,
    }
}

/// What the chart of the control plane makes for injection, were it installed in this namespace.
fn config_maps(spec: &Spec, namespace: &str) -> Result<Vec<Object>> {
    let values = install::values(spec)?;
    let namespace = install::namespace(&values, namespace);
    let release = Release { name: "istiod", namespace, is_upgrade: false };
    let mut objects = Chart::Istiod.render(&release, &values)?;
    objects.retain(|object| object.kind() == "ConfigMap");
    Ok(objects)
}

/// A key, which one ConfigMap alone has.
fn read_of(maps: &[Object], key: &str) -> Result<Value> {
    let text = maps.iter().find_map(|map| map.0["data"][key].as_str());
    let text = text.with_context(|| format!("with these values the chart makes no ConfigMap with key {key}"))?;
    yaml::read(text).map_err(|error| anyhow!("{key}: {error}"))
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
