//! What installing writes, without a cluster: the objects, or Helm's commands and values that make the same ones.

use crate::{
    chart::object::Object,
    cli::{ManifestCommand, SpecArgs},
    context::Context,
    install::{Component, Plan, spec::Spec},
};
use anyhow::{Context as _, Result};
use std::{fmt::Write as _, fs, path::Path};

/// What goes to standard output, and what is to be said besides.
#[derive(Debug, PartialEq)]
pub(crate) struct Made {
    pub(crate) out: String,
    pub(crate) notes: String,
}

/// Makes it; files are written where that was asked for.
pub(crate) fn run(what: &ManifestCommand, context: &Context) -> Result<Made> {
    match what {
        ManifestCommand::Generate { spec, output } => generate(&plan(spec, context)?, output.as_deref()),
        ManifestCommand::Translate { spec, output } => translate(&plan(spec, context)?, output),
    }
}

/// The plan of the flags.
pub(crate) fn plan(args: &SpecArgs, context: &Context) -> Result<Plan> {
    let spec = Spec::read(&args.filename, &args.set, args.revision.as_deref(), args.force)?;
    Plan::new(&spec, &context.kube.istio_namespace)
}

fn generate(plan: &Plan, output: Option<&Path>) -> Result<Made> {
    let mut out = String::new();
    for component in &plan.components {
        let text = text(&component.objects(false)?)?;
        match output {
            None => out.push_str(&text),
            Some(folder) => write(folder, &format!("{}.yaml", component.release), &text)?,
        }
    }
    Ok(Made { out, notes: notes(plan) })
}

fn translate(plan: &Plan, output: &Path) -> Result<Made> {
    let mut out = String::new();
    for component in &plan.components {
        let Component { chart, release, namespace, values, .. } = component;
        let name = format!("{release}-values.yaml");
        write(output, &name, &mesh_template::yaml::write(values).map_err(anyhow::Error::msg)?)?;
        let file = output.join(&name);
        let _ = writeln!(
            out,
            "helm upgrade --install {release} charts/{} --namespace {namespace} --create-namespace --values {}",
            chart.name(),
            file.display()
        );
    }
    let mut notes = notes(plan);
    for component in plan.components.iter().filter(|component| component.has_overlays()) {
        let _ = writeln!(
            notes,
            "k8s.overlays of {} stand in no values: Helm does not make these changes",
            component.release
        );
    }
    Ok(Made { out, notes })
}

/// Objects as documents, in the order in which they can be written.
pub(crate) fn text(objects: &[Object]) -> Result<String> {
    let mut text = String::new();
    for object in objects {
        text.push_str("---\n");
        text.push_str(&mesh_template::yaml::write(&object.0).map_err(anyhow::Error::msg)?);
    }
    Ok(text)
}

fn write(folder: &Path, name: &str, text: &str) -> Result<()> {
    let about = || format!("cannot write {}", folder.join(name).display());
    fs::create_dir_all(folder).with_context(about)?;
    fs::write(folder.join(name), text).with_context(about)
}

/// What is to be said, a line each.
pub(crate) fn notes(plan: &Plan) -> String {
    plan.notes.iter().fold(String::new(), |mut text, note| {
        let _ = writeln!(text, "Warning: {note}");
        text
    })
}
