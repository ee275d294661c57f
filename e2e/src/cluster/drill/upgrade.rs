//! From one version of the mesh to the next and back, under load: in place, and by a revision beside the other.
//!
//! Both versions are of one tree: the next one's images are the same under another tag, so that what is told apart is what
//! an upgrade does, not what versions do.

use super::{Stage, rollouts::roll};
use anyhow::{Result, ensure};

/// The next version's tag.
const NEXT: &str = "next";
const IMAGES: [&str; 3] = ["pilot", "proxy", "proxy-init"];

/// Gives the nodes the next version.
///
/// # Errors
/// When they are not ours.
pub fn prepare(stage: &Stage<'_>) -> Result<()> {
    let local = stage.mesh.cluster.local()?;
    IMAGES.iter().try_for_each(|image| {
        let named = |tag: &str| format!("ferromesh.local/{image}:{tag}");
        local.name_image(&named("dev"), &named(NEXT))
    })
}

/// Up by `helm upgrade`, pods and gateway after pilot, and down again by `helm rollback`.
///
/// # Errors
/// When a step fails, or pods do not have the version that they should.
pub fn in_place(stage: &Stage<'_>) -> Result<()> {
    let cluster = &stage.mesh.cluster;
    let tag = format!("global.tag={NEXT}");
    let words = ["upgrade", "istiod", "charts/istiod", "--namespace=istio-system", "--reuse-values", "--set", &tag];
    cluster.helm(&[&words[..], &["--wait", "--timeout=3m"]].concat())?;
    renew(stage)?;
    are_of(stage, NEXT)?;
    cluster.helm(&["rollback", "istiod", "--namespace=istio-system", "--wait", "--timeout=3m"])?;
    renew(stage)?;
    are_of(stage, "dev")
}

/// A second revision comes, the pods go over to it and back, and it goes.
///
/// # Errors
/// When a step fails, or pods do not have the version that they should.
pub fn by_revision(stage: &Stage<'_>) -> Result<()> {
    let cluster = &stage.mesh.cluster;
    let tag = format!("global.tag={NEXT}");
    let words =
        ["install", "istiod-next", "charts/istiod", "--namespace=istio-system", "--set", "revision=next", "--set"];
    cluster.helm(&[&words[..], &[&tag, "--wait", "--timeout=3m"]].concat())?;
    let label = |labels: &[&str]| {
        cluster.kubectl(&[&["label", "--overwrite", "namespace", stage.inside.name()], labels].concat())
    };
    label(&["istio-injection-", "istio.io/rev=next"])?;
    roll(&stage.inside, "server")?;
    are_of(stage, NEXT)?;
    label(&["istio.io/rev-", "istio-injection=enabled"])?;
    roll(&stage.inside, "server")?;
    are_of(stage, "dev")?;
    cluster.helm(&["uninstall", "istiod-next", "--namespace=istio-system", "--wait"]).map(drop)
}

/// The pods and the gateway are made anew.
fn renew(stage: &Stage<'_>) -> Result<()> {
    roll(&stage.inside, "server")?;
    let cluster = &stage.mesh.cluster;
    let gateway = ["--namespace=istio-ingress", "rollout"];
    cluster.kubectl(&[&gateway[..], &["restart", "deployment/istio-ingressgateway"]].concat())?;
    let status = ["status", "deployment/istio-ingressgateway", "--timeout=180s"];
    cluster.kubectl(&[&gateway[..], &status].concat()).map(drop)
}

fn are_of(stage: &Stage<'_>, tag: &str) -> Result<()> {
    let query = "--output=jsonpath={.items[*].spec.initContainers[?(@.name==\"istio-proxy\")].image}";
    let images = stage.inside.kubectl(&["get", "pods", "--selector=app=server", query])?;
    let wanted = format!("ferromesh.local/proxy:{tag}");
    // Those that are on their way out may still be listed.
    ensure!(images.split(' ').any(|image| image == wanted), "pods have {images:?}, not {wanted}");
    Ok(())
}
