//! Removes what was installed: the objects of a revision, or with `--purge` everything of the mesh, also what uninstalling
//! a Helm release leaves: the kinds with all objects of them, and the key of the root.

use super::install::{
    ask::{self, Progress},
    owner,
    write::{delete, listed, of_kind, one},
};
use crate::{chart::object::Object, cli::UninstallArgs, cluster::Cluster, context::Context, usage::Usage};
use anyhow::{Result, bail};
use std::{fmt::Write as _, time::Duration};

/// How long it may take.
const LIMIT: Duration = Duration::from_secs(600);
/// The root that signs for the mesh, with its key.
const ROOT: &str = "istio-ca-secret";

/// The roots that sidecars trust, in every namespace.
const ROOTS: &str = "istio-ca-root-cert";

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
        if !is_there(&objects, ROOT) {
            objects.extend(one(cluster, "Secret", Some(&cluster.mesh_namespace), ROOT).await?);
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

/// What pilot wrote: its leases, and the roots in every namespace unless another control plane keeps those as well.
async fn left_by_pilot(cluster: &Cluster) -> Result<Vec<Object>> {
    let mut left = of_kind(cluster, "Lease", "").await?;
    left.retain(|lease| lease.namespace() == Some(&cluster.mesh_namespace) && lease.name().starts_with("ferromesh-"));
    let webhooks = of_kind(cluster, "MutatingWebhookConfiguration", "").await?;
    if !webhooks.iter().any(is_foreign_injector) {
        let roots = of_kind(cluster, "ConfigMap", "istio.io/config=true").await?;
        left.extend(roots.into_iter().filter(|map| map.name() == ROOTS));
    }
    Ok(left)
}

/// Whether another control plane injects.
fn is_foreign_injector(webhook: &Object) -> bool {
    let is_ours = webhook.0["metadata"]["labels"]["app.kubernetes.io/part-of"] == "ferromesh";
    let mut names = webhook.0["webhooks"].as_array().into_iter().flatten().filter_map(|one| one["name"].as_str());
    !is_ours && names.any(|name| name.ends_with("sidecar-injector.istio.io"))
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
        let webhook = |labels: serde_json::Value, name: &str| {
            is_foreign_injector(&Object(json!({"metadata": {"labels": labels}, "webhooks": [{"name": name}]})))
        };
        let ours = json!({"app.kubernetes.io/part-of": "ferromesh"});
        assert!(!webhook(ours, "rev.namespace.sidecar-injector.istio.io"));
        assert!(webhook(json!({}), "rev.namespace.sidecar-injector.istio.io"));
        assert!(!webhook(json!({}), "other.example.com"));
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
