//! Removes what was installed: the objects of a revision, or with `--purge` everything of the mesh, also what uninstalling
//! a Helm release leaves: the kinds with all objects of them, and the key of the root.

use super::install::{
    ask::{self, Progress},
    owner,
    write::{delete, listed, of_kind, one},
};
use crate::{
    chart::object::Object,
    cli::UninstallArgs,
    cluster::{self, Cluster},
    context::Context,
    usage::Usage,
};
use anyhow::{Result, bail};
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use kube::ResourceExt;
use mesh_config::root_rotation::SECRET;
use std::{fmt::Write as _, time::Duration};

/// How long it may take.
const LIMIT: Duration = Duration::from_secs(600);
/// The root that signs for the mesh, with its key.
const ROOT: &str = "istio-ca-secret";

/// Removes.
///
/// # Errors
/// Where nothing is found, and what cannot be removed.
pub(crate) fn run(args: &UninstallArgs, context: &Context) -> Result<()> {
    let selector = match &args.revision {
        Some(revision) => owner::of_revision(revision),
        None if args.purge => owner::of_all(),
        None => bail!(Usage::new(
            "say what is removed: --revision NAME (default is the one without a name), or --purge for everything"
        )),
    };
    crate::remote::carried_out(LIMIT, async {
        let cluster = Cluster::open(&context.kube).await?;
        remove(args, &selector, &cluster).await
    })
}

async fn remove(args: &UninstallArgs, selector: &str, cluster: &Cluster) -> Result<()> {
    let mut objects = listed(cluster, selector).await?;
    if args.purge {
        let is_there =
            |objects: &[Object], name: &str| objects.iter().any(|o| o.kind() == "Secret" && o.name() == name);
        for name in [ROOT, SECRET] {
            if !is_there(&objects, name) {
                objects.extend(one(cluster, "Secret", Some(&cluster.mesh_namespace), name).await?);
            }
        }
        objects.extend(left_by_pilot(cluster).await?);
    } else {
        // The kinds serve every revision.
        objects.retain(|object| object.kind() != "CustomResourceDefinition");
    }
    if objects.is_empty() {
        bail!("nothing of the mesh is found{}", if args.purge { "" } else { "; what Helm installed, helm uninstalls" });
    }
    // What calls others goes first: webhooks, then workloads, then what they need.
    objects.reverse();
    let list = told(&objects);
    if args.dry_run {
        return crate::report::write(&list);
    }
    ask::confirm(&format!("This removes:\n{list}"), args.yes)?;
    let progress = Progress::begin("mesh");
    for object in &objects {
        delete(cluster, object).await?;
    }
    progress.end("removed");
    Ok(())
}

/// What pilot wrote: its leases, and the roots in every namespace. Under the usual name another control plane may keep its own.
async fn left_by_pilot(cluster: &Cluster) -> Result<Vec<Object>> {
    let mut left = of_kind(cluster, "Lease", "").await?;
    left.retain(|lease| lease.namespace() == Some(&cluster.mesh_namespace) && lease.name().starts_with("ferromesh-"));
    let mut names = cluster.names_of_roots().await?;
    if cluster.injecting().await?.iter().any(is_foreign) {
        names.remove(cluster::ROOTS);
    }
    let roots = of_kind(cluster, "ConfigMap", "istio.io/config=true").await?;
    left.extend(roots.into_iter().filter(|map| names.contains(map.name())));
    Ok(left)
}

/// Whether it is of no chart of ours.
fn is_foreign(webhook: &MutatingWebhookConfiguration) -> bool {
    webhook.labels().get(owner::PART_OF.0).is_none_or(|whole| whole != owner::PART_OF.1)
}

/// One line an object; of a kind, that its objects go with it.
fn told(objects: &[Object]) -> String {
    objects.iter().fold(String::new(), |mut text, object| {
        let more = match (object.kind(), object.name()) {
            ("CustomResourceDefinition", _) => " with all objects of it",
            ("Secret", ROOT) => {
                " with the key of the mesh's root: certificates of a later mesh are not trusted by this one's"
            }
            _ => "",
        };
        let _ = writeln!(text, "  {}{more}", object.title());
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn another_control_plane_is_seen_by_its_webhook() {
        let of = |labels: serde_json::Value| {
            is_foreign(&serde_json::from_value(json!({"metadata": {"name": "a", "labels": labels}})).unwrap())
        };
        assert!(!of(json!({"app.kubernetes.io/part-of": "ferromesh"})));
        assert!(of(json!({"app.kubernetes.io/part-of": "istio"})));
        assert!(of(json!({})));
    }

    #[test]
    fn what_goes_with_an_object_is_said() {
        let object = |kind: &str, name: &str| Object(json!({"kind": kind, "metadata": {"name": name}}));
        let text =
            told(&[object("CustomResourceDefinition", "a.b"), object("Secret", ROOT), object("Service", "istiod")]);
        assert_eq!(
            text,
            "  CustomResourceDefinition a.b with all objects of it\n  Secret istio-ca-secret with the key of the mesh's root: \
             certificates of a later mesh are not trusted by this one's\n  Service istiod\n"
        );
    }
}
