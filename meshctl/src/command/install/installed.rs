//! The control planes that are there, whoever installed them, and whether they may go to this command's version.

use super::{
    owner::{self, Owner},
    version::{Version, against},
    write,
};
use crate::{cluster::Cluster, install::Plan};
use anyhow::{Context as _, Result, bail};
use std::fmt::Write as _;

/// A control plane of these charts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Installed {
    pub(super) namespace: String,
    /// `default` for the one without a name.
    pub(super) revision: String,
    /// As its labels say it; empty where they do not.
    pub(super) version: String,
    pub(super) owner: Owner,
}

/// All of the cluster.
pub(super) async fn all(cluster: &Cluster) -> Result<Vec<Installed>> {
    let selector = format!("app=istiod,{}={}", owner::PART_OF.0, owner::PART_OF.1);
    let deployments = write::of_kind(cluster, "Deployment", &selector).await?;
    let label = |object: &crate::chart::object::Object, key: &str| {
        object.0["metadata"]["labels"][key].as_str().unwrap_or_default().to_owned()
    };
    let mut all: Vec<Installed> = deployments
        .iter()
        .map(|object| Installed {
            namespace: object.namespace().unwrap_or_default().to_owned(),
            revision: owner::name(&label(object, "istio.io/rev")).to_owned(),
            version: label(object, "app.kubernetes.io/version"),
            owner: Owner::of(&object.0),
        })
        .collect();
    all.sort_by(|a, b| (&a.namespace, &a.revision).cmp(&(&b.namespace, &b.revision)));
    Ok(all)
}

impl Installed {
    /// Whether a plan installs over it.
    pub(super) fn is_of(&self, plan: &Plan) -> bool {
        self.namespace == plan.namespace && self.revision == owner::name(&plan.revision)
    }
}

/// This command's version, which is that of its charts.
pub(super) fn this() -> Result<Version> {
    Version::read(env!("CARGO_PKG_VERSION")).context("this command has a version of three numbers")
}

/// Refuses what is too far: of the revision itself, and of others that share the definitions with it.
pub(super) fn check(all: &[Installed], plan: &Plan, force: bool) -> Result<String> {
    let to = this()?;
    let mut told = String::new();
    for one in all {
        let its = format!("revision {} in namespace {}", one.revision, one.namespace);
        let Some(against) = against(&one.version, to) else {
            if one.is_of(plan) && Version::read(&one.version) != Some(to) {
                let _ = writeln!(told, "{its} goes from version {} to {to}.", one.version);
            }
            continue;
        };
        let how = if one.is_of(plan) { "" } else { ", which shares the definitions of the kinds," };
        let said = format!("{its}{how} has version {:?}, and this command is of {to}: {against}", one.version);
        match force {
            true => drop(writeln!(told, "Warning: {said}")),
            false => bail!("{said}; --force goes all the same"),
        }
    }
    Ok(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installed(revision: &str, version: &str) -> Installed {
        let (namespace, revision) = ("istio-system".to_owned(), revision.to_owned());
        Installed { namespace, revision, version: version.to_owned(), owner: Owner::Command }
    }

    fn plan(revision: &str) -> Plan {
        Plan { namespace: "istio-system".into(), revision: revision.into(), components: Vec::new(), notes: Vec::new() }
    }

    #[test]
    fn what_goes_from_which_version_to_which_is_told() {
        let to = this().unwrap();
        let all = [installed("default", "0.0.9"), installed("canary", "0.1.7")];
        let told = format!("revision default in namespace istio-system goes from version 0.0.9 to {to}.\n");
        assert_eq!(check(&all, &plan(""), false).unwrap(), told);
        assert_eq!(check(&[installed("default", &to.to_string())], &plan(""), false).unwrap(), "");
        assert_eq!(check(&[], &plan(""), false).unwrap(), "");
    }

    #[test]
    fn what_is_too_far_is_refused_also_beside_and_with_force_said() {
        for (version, revision) in [("0.9.0", ""), ("0.9.0", "canary"), ("", ""), ("3.0.0", "")] {
            let all = [installed("default", version)];
            let error = check(&all, &plan(revision), false).unwrap_err().to_string();
            assert!(error.contains("revision default") && error.contains("--force"), "{error}");
            assert!(check(&all, &plan(revision), true).unwrap().starts_with("Warning: "));
        }
    }
}
