//! The objects of an API server: one watch for each kind that pilot reads.
//!
//! Kinds that Kubernetes does not have by itself are watched while their definition is there, and their objects are gone
//! with it. The source is synced once everything that is there has been handed over; until then it says why not.

mod kinds;
mod reflect;
mod resource;
mod wire;

use super::{Batch, Change, SourceId};
use crate::error::SourceError;
use kinds::{Definitions, Objects, Report};
use kube::Client;
use mesh_config::{
    diagnostic::{Diagnostic, ObjectRef, Origin, Severity},
    kind::ObjectKind,
    name::NamespacedName,
};
use reflect::Reflector;
use resource::Resource;
use std::collections::{BTreeMap, BTreeSet};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

/// Reports of kinds that may wait.
const REPORTS: usize = 64;

/// Follows the objects until nobody receives any more. `mesh_config`: the ConfigMap that holds MeshConfig, the only one
/// that is read.
///
/// # Errors
/// When a watch ends, which is a mistake in it: its objects would stay as they are for good.
pub async fn follow(
    client: Client,
    mesh_config: NamespacedName,
    batches: mpsc::Sender<Batch>,
) -> Result<(), SourceError> {
    let (report, mut reports) = mpsc::channel(REPORTS);
    let (define, defined) = watch::channel(None);
    let mut watches = JoinSet::new();
    let definitions = Definitions::new(define, report.clone());
    let mut definitions = Reflector::new(client.clone(), resource::DEFINITIONS, definitions);
    watches.spawn(async move { definitions.run().await });
    let mut state = State::default();
    for kind in ObjectKind::ALL {
        let Some(resource) = Resource::of(kind, &mesh_config) else { continue };
        state.unlisted.insert(kind);
        let definition = resource.definition();
        let output = Objects::new(kind, batches.clone(), report.clone());
        let reflector = Reflector::new(client.clone(), resource, output);
        match definition {
            None => watches.spawn(kinds::always(reflector)),
            Some(definition) => watches.spawn(kinds::while_defined(reflector, definition, defined.clone())),
        };
    }
    loop {
        let report = tokio::select! {
            () = batches.closed() => return Ok(()),
            ended = watches.join_next() => {
                let reason = ended.and_then(Result::err).map_or_else(String::new, |error| error.to_string());
                return Err(SourceError::Stopped { reason });
            }
            Some(report) = reports.recv() => report,
        };
        let changes = state.take(report);
        if !changes.is_empty() && batches.send(Batch { source: SourceId::ApiServer, changes }).await.is_err() {
            return Ok(());
        }
    }
}

/// How far all kinds are.
#[derive(Default)]
struct State {
    unlisted: BTreeSet<ObjectKind>,
    synced: bool,
    /// Kinds (their words, as definitions are none of the table) that are not seen, and why.
    troubles: BTreeMap<&'static str, String>,
    unreadable: BTreeMap<ObjectKind, Vec<Diagnostic>>,
    notes: Vec<Diagnostic>,
}

impl State {
    fn take(&mut self, report: Report) -> Vec<Change> {
        let mut changes = Vec::new();
        match report {
            Report::Listed(kind) => {
                self.unlisted.remove(&kind);
            }
            Report::Trouble(kind, Some(trouble)) => {
                if !self.synced && self.troubles.get(kind) != Some(&trouble) {
                    // Findings are not looked at before the first mesh.
                    tracing::warn!(kind, trouble, "waiting for the objects of the API server");
                }
                self.troubles.insert(kind, trouble);
            }
            Report::Trouble(kind, None) => {
                self.troubles.remove(kind);
            }
            Report::Unreadable(kind, found) => {
                self.unreadable.insert(kind, found);
            }
        }
        let notes: Vec<Diagnostic> = self.unseen().chain(self.unreadable.values().flatten().cloned()).collect();
        if notes != self.notes {
            self.notes.clone_from(&notes);
            changes.push(Change::Notes(notes));
        }
        if !self.synced && self.unlisted.is_empty() {
            self.synced = true;
            changes.push(Change::Synced);
        }
        changes
    }

    /// One finding for each reason.
    fn unseen(&self) -> impl Iterator<Item = Diagnostic> {
        let mut kinds_of: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (kind, trouble) in &self.troubles {
            kinds_of.entry(trouble).or_default().push(kind);
        }
        kinds_of.into_iter().map(|(trouble, kinds)| Diagnostic {
            severity: Severity::Warning,
            code: "not-watched",
            object: ObjectRef { kind: kinds[0].into(), namespace: "".into(), name: "".into() },
            field: String::new(),
            message: format!("{}: {trouble}; what is known of them stays in force meanwhile", kinds.join(", ")),
            origin: Origin::default(),
        })
    }
}

#[cfg(test)]
mod tests;
