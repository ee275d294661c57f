//! Where the objects come from: the directory, read whole before anything serves, and what was good in a process
//! before this one.

use super::keep::Keep;
use crate::{
    error::SourceError,
    settings::Settings,
    source::{Batch, SourceId, file::watch},
    world::World,
};
use anyhow::Context;
use mesh_config::{crd::mesh_config::MeshConfig, name::NamespacedName};
use tokio::{sync::mpsc, task::JoinHandle};

/// Batches of changes that may wait.
const BATCHES: usize = 16;

/// The objects, and what is to come of them.
pub(super) struct Objects {
    pub(super) world: World,
    pub(super) batches: mpsc::Receiver<Batch>,
    /// Ends when nobody receives any more.
    pub(super) watched: JoinHandle<Result<(), SourceError>>,
    pub(super) keep: Option<Keep>,
}

impl Objects {
    /// Begins to follow the directory; waits until everything that is there has been read.
    pub(super) async fn read(settings: &Settings) -> anyhow::Result<Self> {
        let (mut keep, kept) = match &settings.state_dir {
            None => (None, Vec::new()),
            Some(dir) => Keep::open(dir).map(|(keep, kept)| (Some(keep), kept))?,
        };
        let (send, mut batches) = mpsc::channel(BATCHES);
        let watched = tokio::spawn(watch::follow(settings.config_dir.clone(), send));
        let mut world = World::with_mesh_config(base_mesh_config(settings));
        world.restore(SourceId::Files, kept);
        while !world.is_synced() {
            let Some(batch) = batches.recv().await else {
                watched.await.context("reading the objects ended")??;
                anyhow::bail!("reading the objects in {} ended early", settings.config_dir.display());
            };
            world.apply(batch);
        }
        if let Some(keep) = &mut keep {
            keep.save(&world);
        }
        Ok(Objects { world, batches, watched, keep })
    }
}

/// Waits for the end of watching. One that comes too early ends nothing else: the objects stay as they were last seen.
pub(super) async fn watched(task: JoinHandle<Result<(), SourceError>>) -> anyhow::Result<()> {
    match task.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "the objects are no longer watched"),
        Err(error) => tracing::error!(%error, "the objects are no longer watched"),
    }
    Ok(())
}

/// In force where no object says otherwise.
fn base_mesh_config(settings: &Settings) -> MeshConfig {
    let mut base = MeshConfig::of_namespace(&settings.namespace.as_str().into());
    base.settings.cluster_domain = settings.domain.as_str().into();
    if let Some(trust_domain) = &settings.trust_domain {
        base.settings.trust_domain = trust_domain.clone();
    }
    let revision = settings.revision.as_deref().filter(|revision| !matches!(*revision, "" | "default"));
    let name = revision.map_or("istio".to_owned(), |revision| format!("istio-{revision}"));
    base.context.mesh_config = NamespacedName::new(&settings.namespace, &name);
    base.context.cluster_domain = base.settings.cluster_domain.clone();
    base.context.trust_domain = base.settings.trust_domain.clone();
    base
}
