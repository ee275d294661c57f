//! The loop from changes to meshes: the one owner of the world.

use super::keep::Keep;
use crate::{
    compile::{Compiler, ingress::reached},
    mesh::Mesh,
    metrics::Metrics,
    object::{ObjectId, Reached},
    settle::{Decision, Pace, Settle},
    source::Batch,
    world::{STANDS_IN, Touched, TrustRoots, World},
};
use mesh_config::{
    crd::ParseContext,
    diagnostic::{Diagnostic, Severity},
    kind::{GroupKind, ObjectKind},
    model::Kind,
};
use mesh_runtime::{clock, drain, snapshot::Publisher};
use std::{collections::BTreeSet, sync::Arc};
use tokio::sync::{mpsc, watch};

/// What the loop owns.
pub(super) struct Loop {
    pub(super) world: World,
    pub(super) batches: mpsc::Receiver<Batch>,
    pub(super) roots: watch::Receiver<TrustRoots>,
    /// What objects are read with, for who asks before one is stored.
    pub(super) context: watch::Sender<Arc<ParseContext>>,
    /// Made the mesh that the publisher has.
    pub(super) compiler: Compiler,
    pub(super) publisher: Publisher<Mesh>,
    pub(super) metrics: Metrics,
    pub(super) keep: Option<Keep>,
    pub(super) pace: Pace,
    /// [`World::chosen_namespaces`].
    pub(super) chosen: watch::Sender<Option<BTreeSet<Arc<str>>>>,
    /// Where Ingresses are reached.
    pub(super) reached: watch::Sender<Arc<Reached>>,
}

impl Loop {
    /// Takes changes in and publishes meshes until drained.
    pub(super) async fn run(mut self, drain: drain::Watch) -> anyhow::Result<()> {
        let mut settle = Settle::new(self.pace);
        let mut decision = Decision::Idle;
        loop {
            let due = match decision {
                Decision::Go(touched) => {
                    let keep = !touched.endpoints_only();
                    self = self.compile(touched).await?;
                    if let Some(saved) = self.keep.as_mut().filter(|_| keep) {
                        saved.save(&self.world);
                    }
                    None
                }
                Decision::Wait(due) => Some(due),
                Decision::Idle => None,
            };
            decision = tokio::select! {
                () = drain.signaled() => return Ok(()),
                () = clock::until(due.map(Into::into)) => settle.poll(clock::now().into_std()),
                batch = self.batches.recv() => match batch {
                    Some(batch) => settle.offer(self.take(batch), clock::now().into_std()),
                    None => {
                        tracing::error!("the objects are no longer watched; the last mesh stays in force");
                        drain.signaled().await;
                        return Ok(());
                    }
                },
                Ok(()) = self.roots.changed() => {
                    let roots = self.roots.borrow_and_update().clone();
                    settle.offer(self.world.set_roots(roots), clock::now().into_std())
                }
            };
        }
    }

    /// Takes in a batch and those that wait behind it: many pods that change one by one are one compile.
    fn take(&mut self, batch: Batch) -> Touched {
        let mut touched = self.world.apply(batch);
        for _ in 0..self.batches.len() {
            let Ok(more) = self.batches.try_recv() else { break };
            touched.merge(self.world.apply(more));
        }
        touched
    }

    /// On a thread of its own, as long as it takes; clients are served meanwhile.
    async fn compile(mut self, touched: Touched) -> anyhow::Result<Self> {
        let compiled = tokio::task::spawn_blocking(move || {
            self.publish(&touched);
            self
        });
        Ok(compiled.await?)
    }

    fn publish(&mut self, touched: &Touched) {
        if touched.everything {
            self.context.send_if_modified(|context| {
                let changed = **context != *self.world.context();
                if changed {
                    *context = Arc::new(self.world.context().clone());
                }
                changed
            });
        }
        let before = self.publisher.current();
        let begin = clock::now();
        let mesh = self.compiler.compile(&self.world, touched, Some(&before));
        if !touched.endpoints_only() {
            send(&self.chosen, self.world.chosen_namespaces());
            send(&self.reached, Arc::new(reached(&self.world)));
        }
        self.metrics.compile.observe(clock::since(begin).as_secs_f64());
        let says_the_same = mesh.says_the_same(&before);
        match (mesh.version() != before.version(), touched.endpoints_only()) {
            (true, true) => tracing::debug!(version = %mesh.version(), took = ?clock::since(begin), "endpoints moved"),
            (true, false) => tracing::info!(version = %mesh.version(), took = ?clock::since(begin), "mesh changed"),
            (false, _) if says_the_same => return,
            (false, _) => {}
        }
        if !says_the_same {
            report_new(&mesh, &before);
        }
        if !says_the_same || !touched.endpoints_only() {
            count(&mesh, &self.metrics);
        }
        self.metrics.mesh_version.set(mesh.version().0 as i64);
        self.publisher.publish(Arc::new(mesh));
    }
}

/// Tells whoever looks, if it is anything new.
fn send<T: PartialEq>(to: &watch::Sender<T>, value: T) {
    to.send_if_modified(|before| {
        let is_news = *before != value;
        if is_news {
            *before = value;
        }
        is_news
    });
}

/// Logs every finding about the first mesh.
pub(super) fn report(mesh: &Mesh, metrics: &Metrics) {
    report_new(mesh, &Mesh::default());
    count(mesh, metrics);
    metrics.mesh_version.set(mesh.version().0 as i64);
}

fn count(mesh: &Mesh, metrics: &Metrics) {
    let is_route = |id: &&ObjectId| id.kind == GroupKind::Of(ObjectKind::VirtualService);
    metrics.services.set(mesh.parts(Kind::Service).count() as i64);
    metrics.virtual_services.set(mesh.holds().keys().filter(is_route).count() as i64);
    metrics.findings(mesh.diagnostics(), STANDS_IN);
}

/// Logs findings that were not there before.
fn report_new(mesh: &Mesh, before: &Mesh) {
    let known: BTreeSet<&Diagnostic> = before.diagnostics().iter().collect();
    for finding in mesh.diagnostics().iter().filter(|finding| !known.contains(finding)) {
        match finding.severity {
            Severity::Error | Severity::Warning => tracing::warn!("{finding}"),
            Severity::Info => tracing::info!("{finding}"),
        }
    }
}
