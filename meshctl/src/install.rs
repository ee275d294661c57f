//! What is installed: components with their charts and values, from an IstioOperator's `spec`, values files and flags. Pure
//! from [`spec::Spec`] on.
//!
//! [`spec`]: what was asked for. [`gateway`] and [`kubernetes`]: its settings as values of charts. [`overlay`]: changes of
//! single values of objects. [`kind`]: the kinds of objects that charts make.

mod gateway;
pub(crate) mod kind;
mod kubernetes;
mod overlay;
pub(crate) mod spec;

use crate::chart::{Chart, Release, object::Object, values};
use anyhow::{Result, bail};
use mesh_config::name::of_revision;
use serde_json::{Value, json};
use spec::Spec;

/// Profiles and what each installs besides base and the control plane.
const PROFILES: [(&str, &[Kind]); 4] =
    [("default", &[Kind::Ingress]), ("demo", &[Kind::Ingress, Kind::Egress]), ("minimal", &[]), ("empty", &[])];

/// Which way a gateway leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Ingress,
    Egress,
}

impl Kind {
    const ALL: [Kind; 2] = [Kind::Ingress, Kind::Egress];

    /// Key of `components`.
    fn key(self) -> &'static str {
        match self {
            Kind::Ingress => "ingressGateways",
            Kind::Egress => "egressGateways",
        }
    }

    /// The gateway of profiles.
    fn usual(self) -> &'static str {
        match self {
            Kind::Ingress => "istio-ingressgateway",
            Kind::Egress => "istio-egressgateway",
        }
    }
}

/// One chart with its values.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Component {
    pub(crate) chart: Chart,
    /// Name of Helm's release, were it one.
    pub(crate) release: String,
    pub(crate) namespace: String,
    pub(crate) values: Value,
    overlays: Value,
}

impl Component {
    /// Its objects.
    ///
    /// # Errors
    /// What the chart or an overlay refuses.
    pub(crate) fn objects(&self, is_upgrade: bool) -> Result<Vec<Object>> {
        let release = Release { name: &self.release, namespace: &self.namespace, is_upgrade };
        let mut objects = self.chart.render(&release, &self.values)?;
        overlay::apply(&mut objects, &self.overlays)?;
        // Whoever writes them in this order writes nothing before what it needs.
        objects.sort_by_key(|object| kind::ORDER.iter().position(|kind| kind.name == object.kind()));
        Ok(objects)
    }

    /// Whether its objects are more than its chart makes of its values.
    pub(crate) fn has_overlays(&self) -> bool {
        self.overlays.as_array().is_some_and(|overlays| !overlays.is_empty())
    }
}

/// Everything that is installed, in the order of installing.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    /// Of the control plane.
    pub(crate) namespace: String,
    /// Empty for the default one.
    pub(crate) revision: String,
    pub(crate) components: Vec<Component>,
    /// What was asked for and has no effect.
    pub(crate) notes: Vec<String>,
}

impl Plan {
    /// Of what was asked for; `namespace` is that of the control plane where the values say none.
    ///
    /// # Errors
    /// What is not served, by its name.
    pub(crate) fn new(spec: &Spec, namespace: &str) -> Result<Self> {
        let tree = &spec.tree;
        let (profile, gateways, values) = settings(spec)?;
        let namespace = self::namespace(&values, namespace).to_owned();
        let revision = values["revision"].as_str().unwrap_or_default().to_owned();
        let mut plan = Plan { namespace, revision, components: Vec::new(), notes: spec.notes.clone() };
        plan.core(tree, &values, profile != "empty")?;
        for kind in Kind::ALL {
            plan.gateways(kind, tree, &values, gateways.contains(&kind))?;
        }
        Ok(plan)
    }

    /// base and the control plane, and what is refused beside them.
    fn core(&mut self, tree: &Value, values: &Value, by_profile: bool) -> Result<()> {
        let components = &tree["components"];
        for (name, is_asked) in
            [("cni", values["pilot"]["cni"]["enabled"] == true), ("ztunnel", components["ztunnel"]["enabled"] == true)]
        {
            if is_asked {
                bail!("components.{name} is not served yet: pods capture their calls by an init container");
            }
        }
        if components["istiodRemote"].is_object() {
            self.notes.push("components.istiodRemote has no effect".to_owned());
        }
        for (name, chart) in [("base", Chart::Base), ("pilot", Chart::Istiod)] {
            let component = &components[name];
            if !component["enabled"].as_bool().unwrap_or(by_profile) {
                continue;
            }
            let mut values = values.clone();
            if chart == Chart::Istiod {
                kubernetes::pilot(&mut values, component, &mut self.notes)?;
            }
            self.components.push(Component {
                chart,
                release: match chart {
                    Chart::Base => "istio-base".to_owned(),
                    _ => of_revision("istiod", &self.revision),
                },
                namespace: self.namespace.clone(),
                values,
                overlays: component["k8s"]["overlays"].clone(),
            });
        }
        Ok(())
    }

    /// The gateways of one kind: those of the profile, with what is said about them, and others that are named.
    fn gateways(&mut self, kind: Kind, tree: &Value, values: &Value, by_profile: bool) -> Result<()> {
        let listed = tree["components"][kind.key()].as_array().cloned().unwrap_or_default();
        let mut named: Vec<Value> = Vec::new();
        let is_usual_listed = listed.iter().any(|one| one["name"] == kind.usual());
        if !is_usual_listed {
            named.push(json!({ "name": kind.usual(), "enabled": by_profile }));
        }
        named.extend(listed);
        for one in named {
            let name = one["name"].as_str().unwrap_or_default().to_owned();
            let is_usual = name == kind.usual();
            let of_values = &values["gateways"][name.as_str()];
            let enabled = of_values["enabled"].as_bool().or(one["enabled"].as_bool()).unwrap_or(is_usual && by_profile);
            if !enabled {
                continue;
            }
            self.components.push(Component {
                chart: Chart::Gateway,
                release: name.clone(),
                namespace: one["namespace"].as_str().unwrap_or(&self.namespace).to_owned(),
                values: gateway::values(kind, &name, &one, values, &mut self.notes)?,
                overlays: one["k8s"]["overlays"].clone(),
            });
        }
        Ok(())
    }
}

/// The profile that is asked for, what it installs besides base and the control plane, and the values of all charts.
fn settings(spec: &Spec) -> Result<(String, &'static [Kind], Value)> {
    let (tree, mut values) = (&spec.tree, spec.values.clone());
    let named = [&tree["profile"], &values["profile"], &values["global"]["profile"]];
    let profile = named.into_iter().find_map(Value::as_str).unwrap_or("default").to_owned();
    let Some((_, gateways)) = PROFILES.iter().find(|(name, _)| *name == profile) else {
        bail!("profile {profile} is not served; there are default, demo, minimal and empty");
    };
    // The charts know those that change values, and are told in one place.
    for place in ["", "/global"] {
        values.pointer_mut(place).and_then(Value::as_object_mut).map(|values| values.remove("profile"));
    }
    if profile == "demo" {
        values::merge(&mut values, &json!({ "profile": profile }));
    }
    // In Istio the component is a chart of its own, and pods are injected as the value says.
    if let Some(enabled) = tree.pointer("/components/cni/enabled") {
        put(&mut values, "pilot.cni.enabled", enabled.clone());
    }
    for (key, at) in [
        ("hub", "global.hub"),
        ("tag", "global.tag"),
        ("revision", "revision"),
        ("compatibilityVersion", "compatibilityVersion"),
    ] {
        if let Some(text) = tree[key].as_str() {
            put(&mut values, at, text.into());
        }
    }
    if tree["meshConfig"].is_object() {
        values::merge(&mut values, &json!({ "meshConfig": tree["meshConfig"] }));
    }
    Ok((profile, gateways, values))
}

/// The control plane's namespace, as the values say it; where they say none, `otherwise`.
pub(crate) fn namespace<'a>(values: &'a Value, otherwise: &'a str) -> &'a str {
    values["global"]["istioNamespace"].as_str().filter(|text| !text.is_empty()).unwrap_or(otherwise)
}

/// The values of the control plane's chart.
///
/// # Errors
/// When a profile is asked for that is not served.
pub(crate) fn values(spec: &Spec) -> Result<Value> {
    settings(spec).map(|(_, _, values)| values)
}

/// Sets a value by a path of plain names.
fn put(values: &mut Value, path: &str, value: Value) {
    let pointer = path.split('.').fold(values, |at, key| {
        if !at.is_object() {
            *at = json!({});
        }
        &mut at[key]
    });
    *pointer = value;
}

#[cfg(test)]
mod tests;
