//! What is made of the objects of each kind, and which kinds there are.

use super::reflect::{Output, Reflector, Seen};
use crate::source::{Batch, Change, ObjectId, SourceId};
use mesh_config::{
    crd::{Object, PackedObject, node::Node},
    diagnostic::Diagnostic,
    kind::{ObjectKind, Scope},
    name::NamespacedName,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    sync::Arc,
};
use tokio::sync::{mpsc, watch};

/// Objects of a kind of which it is told that they cannot be read.
const MAX_UNREADABLE: usize = 100;

/// How far a kind is.
pub(super) enum Report {
    /// All that was there has been handed over.
    Listed(ObjectKind),
    /// Why it is not seen.
    Trouble(&'static str, Option<String>),
    /// What is wrong with those of its objects that cannot be read.
    Unreadable(ObjectKind, Vec<Diagnostic>),
}

/// Takes the objects of a kind, and hands them on as changes.
pub(super) struct Objects {
    kind: ObjectKind,
    batches: mpsc::Sender<Batch>,
    reports: mpsc::Sender<Report>,
    unreadable: BTreeMap<NamespacedName, Vec<Diagnostic>>,
    /// These have not been told.
    fresh: bool,
}

impl Objects {
    pub(super) fn new(kind: ObjectKind, batches: mpsc::Sender<Batch>, reports: mpsc::Sender<Report>) -> Self {
        Objects { kind, batches, reports, unreadable: BTreeMap::new(), fresh: false }
    }

    fn id(&self, mut name: NamespacedName) -> ObjectId {
        if self.kind.scope() == Scope::Cluster {
            name.namespace = "".into();
        }
        ObjectId::new(self.kind, name)
    }
}

impl Output for Objects {
    type Item = Change;

    fn read(&mut self, name: &NamespacedName, object: Node, version: &str) -> Option<Change> {
        match Object::from_server(object, self.kind, version) {
            Ok(object) => {
                self.fresh |= self.unreadable.remove(name).is_some();
                Some(Change::Upsert(ObjectId::local(&object), Arc::new(PackedObject::from(&object))))
            }
            Err(found) => {
                if self.unreadable.len() < MAX_UNREADABLE {
                    self.fresh |= self.unreadable.insert(name.clone(), found.clone()) != Some(found);
                }
                None
            }
        }
    }

    // Who receives neither is gone, and with it all of this.
    async fn put(&mut self, seen: Vec<Seen<Change>>) {
        let mut listed = false;
        let mut changes = Vec::with_capacity(seen.len());
        for seen in seen {
            match seen {
                Seen::Is(change) => changes.push(change),
                Seen::Gone(name) => {
                    self.fresh |= self.unreadable.remove(&name).is_some();
                    changes.push(Change::Delete(self.id(name)));
                }
                Seen::Listed => listed = true,
            }
        }
        if !changes.is_empty() {
            let _ = self.batches.send(Batch { source: SourceId::ApiServer, changes }).await;
        }
        if std::mem::take(&mut self.fresh) {
            let found = self.unreadable.values().flatten().cloned().collect();
            let _ = self.reports.send(Report::Unreadable(self.kind, found)).await;
        }
        if listed {
            let _ = self.reports.send(Report::Listed(self.kind)).await;
        }
    }

    async fn trouble(&mut self, trouble: Option<String>) {
        let _ = self.reports.send(Report::Trouble(self.kind.label(), trouble)).await;
    }
}

/// Names of the definitions that are there; `None`: not known yet.
pub(super) type Defined = Option<BTreeSet<Arc<str>>>;

/// Takes the definitions of kinds.
pub(super) struct Definitions {
    /// Some of them, before all have been listed.
    names: BTreeSet<Arc<str>>,
    listed: bool,
    tell: watch::Sender<Defined>,
    reports: mpsc::Sender<Report>,
}

impl Definitions {
    pub(super) fn new(tell: watch::Sender<Defined>, reports: mpsc::Sender<Report>) -> Self {
        Definitions { names: BTreeSet::new(), listed: false, tell, reports }
    }
}

impl Output for Definitions {
    type Item = Arc<str>;

    fn read(&mut self, name: &NamespacedName, _: Node, _: &str) -> Option<Arc<str>> {
        Some(name.name.clone())
    }

    async fn put(&mut self, seen: Vec<Seen<Arc<str>>>) {
        for seen in seen {
            match seen {
                Seen::Is(name) => {
                    self.names.insert(name);
                }
                Seen::Gone(name) => {
                    self.names.remove(&name.name);
                }
                Seen::Listed => self.listed = true,
            }
        }
        if self.listed {
            self.tell.send_if_modified(|told| {
                let modified = told.as_ref() != Some(&self.names);
                if modified {
                    *told = Some(self.names.clone());
                }
                modified
            });
        }
    }

    async fn trouble(&mut self, trouble: Option<String>) {
        let _ = self.reports.send(Report::Trouble("CustomResourceDefinition", trouble)).await;
    }
}

/// Follows a kind that Kubernetes has by itself.
pub(super) async fn always<O: Output>(mut reflector: Reflector<O>) -> Infallible {
    reflector.run().await
}

/// Follows a kind while it is defined. A definition that is not served in any version yet is asked for again: the API
/// server needs a moment.
pub(super) async fn while_defined<O: Output>(
    mut reflector: Reflector<O>,
    definition: String,
    mut defined: watch::Receiver<Defined>,
) -> Infallible {
    let is_there = |defined: &Defined| defined.as_ref().map(|names| names.contains(&*definition));
    loop {
        let there = defined.wait_for(|defined| is_there(defined).is_some()).await.ok();
        let Some(there) = there.map(|defined| is_there(&defined) == Some(true)) else {
            // Nobody tells any more: that watch has failed, and takes this one down with it.
            return std::future::pending().await;
        };
        if there {
            tokio::select! {
                never = reflector.run() => return never,
                _ = defined.wait_for(|defined| is_there(defined) == Some(false)) => {}
            }
        } else {
            reflector.forget().await;
            if defined.wait_for(|defined| is_there(defined) == Some(true)).await.is_err() {
                return std::future::pending().await;
            }
        }
    }
}
