//! Which objects count for this control plane, where several share a cluster: those of the namespaces that MeshConfig's
//! `discoverySelectors` select, and of Istio's and the Gateway API's kinds those that no label gives to another revision.

use crate::object::ObjectId;
use mesh_config::{
    crd::{Head, kubernetes::Namespace},
    kind::GroupKind,
    model::{Labels, selector::LabelSelector},
    name,
};
#[cfg(feature = "serve")]
use std::collections::BTreeSet;
use std::{collections::BTreeMap, sync::Arc};

/// The label that gives an object to one revision.
const REVISION: &str = "istio.io/rev";
/// The label that an API server gives to every namespace: its name. One in a file has it too.
const NAME: &str = "kubernetes.io/metadata.name";

/// Which objects count.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// This control plane's; `None`: labels do not matter.
    pub(super) revision: Option<Arc<str>>,
    /// `None`: those of all namespaces.
    pub(super) namespaces: Option<Namespaces>,
}

impl Counts {
    /// Whether an object does.
    pub(super) fn has(&self, id: &ObjectId, object: &Head) -> bool {
        self.is_of_revision(&id.kind, &object.meta.labels)
            && self.namespaces.as_ref().is_none_or(|namespaces| namespaces.has(id.name.namespace.as_str()))
    }

    fn is_of_revision(&self, kind: &GroupKind, labels: &Labels) -> bool {
        let GroupKind::Of(kind) = kind else { return true };
        let may_be_given = kind.group().ends_with(".istio.io") || kind.group().starts_with("gateway.networking.");
        !(may_be_given && self.gives_away(labels))
    }

    /// Whether labels name another revision.
    pub(super) fn gives_away(&self, labels: &Labels) -> bool {
        matches!((&self.revision, labels.get(REVISION)), (Some(own), Some(named)) if named != own)
    }
}

/// Namespaces whose objects count. Those that are selected as their names alone say need no object.
#[derive(Debug, PartialEq)]
pub(super) struct Namespaces {
    selectors: Vec<LabelSelector>,
    /// What holds for the whole mesh stands here, so it always counts.
    root: name::Namespace,
    known: BTreeMap<Arc<str>, bool>,
}

impl Namespaces {
    pub(super) fn new<'a>(
        selectors: &[LabelSelector],
        root: &name::Namespace,
        known: impl Iterator<Item = &'a Namespace>,
    ) -> Self {
        let judged = known.map(|namespace| {
            let is_selected = is_selected(selectors, &namespace.name, namespace.labels.clone());
            (namespace.name.clone(), is_selected)
        });
        let known = judged.collect();
        Namespaces { selectors: selectors.to_vec(), root: root.clone(), known }
    }

    /// Those that are there and count.
    #[cfg(feature = "serve")]
    pub(super) fn chosen(&self) -> BTreeSet<Arc<str>> {
        self.known.keys().filter(|name| self.has(name)).cloned().collect()
    }

    fn has(&self, namespace: &str) -> bool {
        let by_name = || is_selected(&self.selectors, namespace, Labels::default());
        namespace.is_empty()
            || namespace == self.root.as_str()
            || self.known.get(namespace).copied().unwrap_or_else(by_name)
    }
}

fn is_selected(selectors: &[LabelSelector], namespace: &str, mut labels: Labels) -> bool {
    labels.extend([(NAME.into(), namespace.into())]);
    selectors.iter().any(|selector| selector.selects(&labels))
}
