//! Where the objects come from: an API server or a directory, read whole before anything serves, and what was good in a
//! process before this one.

use super::keep::Keep;
use crate::{
    error::SourceError,
    kubernetes::client,
    settings::Settings,
    settle::Pace,
    source::{self, Batch, SourceId},
    world::World,
};
use anyhow::Context;
use mesh_config::{
    crd::mesh_config::MeshConfig,
    name::{NamespacedName, of_revision},
};
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
    /// How soon what has changed is compiled.
    pub(super) pace: Pace,
    /// The API server, when the objects are its own.
    pub(super) cluster: Option<kube::Client>,
}

impl Objects {
    /// Begins to follow them; waits until everything that is there has been read, however long an API server is away.
    pub(super) async fn read(settings: &Settings) -> anyhow::Result<Self> {
        let (keep, kept) = match &settings.state_dir {
            None => (None, Vec::new()),
            Some(dir) => Keep::open(dir).map(|(keep, kept)| (Some(keep), kept))?,
        };
        let (send, batches) = mpsc::channel(BATCHES);
        let world = world(settings);
        let (cluster, id, pace, watched) = match &settings.config_dir {
            Some(dir) => {
                let watched = tokio::spawn(source::file::watch::follow(dir.clone(), send));
                (None, SourceId::Files, Pace::FILES, watched)
            }
            None => {
                let client = client::open(settings.kubeconfig.as_deref()).await?;
                let mesh_config = world.context().mesh_config.clone();
                let watched = tokio::spawn(source::kubernetes::follow(client.clone(), mesh_config, send));
                (Some(client), SourceId::ApiServer, Pace::CLUSTER, watched)
            }
        };
        let mut objects = Objects { world, batches, watched, keep, pace, cluster };
        objects.world.restore(id, kept);
        objects.until_synced().await?;
        Ok(objects)
    }

    /// Those that the caller hands in, in the manner of an API server.
    pub(super) async fn fed(settings: &Settings, batches: mpsc::Receiver<Batch>) -> anyhow::Result<Self> {
        let watched = tokio::spawn(std::future::pending());
        let (world, pace) = (world(settings), Pace::CLUSTER);
        let mut objects = Objects { world, batches, watched, keep: None, pace, cluster: None };
        objects.world.register(SourceId::ApiServer);
        objects.until_synced().await?;
        Ok(objects)
    }

    async fn until_synced(&mut self) -> anyhow::Result<()> {
        while !self.world.is_synced() {
            let Some(batch) = self.batches.recv().await else {
                (&mut self.watched).await.context("reading the objects ended")??;
                anyhow::bail!("reading the objects ended early");
            };
            self.world.apply(batch);
        }
        if let Some(keep) = &mut self.keep {
            keep.save(&self.world);
        }
        Ok(())
    }
}

/// Without objects.
fn world(settings: &Settings) -> World {
    World::with_mesh_config(base_mesh_config(settings)).of_revision(settings.named_revision().unwrap_or("default"))
}

/// Waits for the end of watching. A directory that is no longer watched ends nothing else: the objects stay as they were
/// last seen. A watch of an API server ends by a mistake alone, and pilot with it, to be started again.
pub(super) async fn watched(task: JoinHandle<Result<(), SourceError>>) -> anyhow::Result<()> {
    match task.await {
        Ok(Ok(())) => {}
        Ok(Err(error @ SourceError::Stopped { .. })) => return Err(error.into()),
        Ok(Err(error)) => tracing::error!(%error, "the objects are no longer watched"),
        Err(error) => tracing::error!(%error, "the objects are no longer watched"),
    }
    Ok(())
}

/// In force where no object says otherwise.
fn base_mesh_config(settings: &Settings) -> MeshConfig {
    let mut base = MeshConfig::of_namespace(&settings.namespace.as_str().into());
    base.settings.cluster_domain = settings.domain.as_str().into();
    if let Some(namespace) = settings.ingress_namespace.as_deref().filter(|namespace| !namespace.is_empty()) {
        base.ingress.namespace = namespace.into();
    }
    if let Some(trust_domain) = &settings.trust_domain {
        base.settings.trust_domain = trust_domain.clone();
    }
    let name = of_revision("istio", settings.named_revision().unwrap_or_default());
    base.context.mesh_config = NamespacedName::new(&settings.namespace, &name);
    base.context.cluster_domain = base.settings.cluster_domain.clone();
    base.context.trust_domain = base.settings.trust_domain.clone();
    base
}
