//! What a workload accepts: plain text, mutual TLS, or both.

use super::{Labels, Precedence, Subject};
use crate::name::{NamespacedName, Port};
use std::{collections::BTreeMap, sync::Arc};

/// What is accepted on a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum MtlsMode {
    /// Plain text only.
    Disable,
    /// Both, told apart by the first bytes.
    #[default]
    Permissive,
    /// Mutual TLS only.
    Strict,
}

/// One PeerAuthentication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerAuthentication {
    /// The object's name.
    pub name: NamespacedName,
    /// The oldest wins among equals.
    pub precedence: Precedence,
    /// Which workloads of its namespace; `None`: all (root namespace: all of the mesh).
    pub selector: Option<Labels>,
    /// `None`: UNSET, inherited from the next wider policy.
    pub mode: Option<MtlsMode>,
    /// By the workload's own port; `None`: UNSET, the workload's mode.
    pub ports: BTreeMap<Port, Option<MtlsMode>>,
}

impl PeerAuthentication {
    /// Whether it holds for a workload. One in the root namespace with a selector is for nobody.
    pub fn holds_for(&self, subject: &Subject<'_>) -> bool {
        let of = &self.name.namespace;
        match &self.selector {
            Some(selector) => of == subject.namespace && of != subject.root && selector.selects(subject.labels),
            None => subject.is_under(of),
        }
    }
}

/// A policy and the mode in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectiveMtls {
    /// What is accepted.
    pub mode: MtlsMode,
    /// The policy that decided; `None`: the built-in default.
    pub decided_by: Option<NamespacedName>,
}

/// The mode of `port` (`None`: of ports not named) of a workload: of the policies that hold for it those with a
/// selector, then namespace-wide, then mesh-wide, the oldest of each; else PERMISSIVE. UNSET inherits.
pub fn effective<'a>(
    policies: impl Iterator<Item = &'a Arc<PeerAuthentication>> + Clone,
    subject: &Subject<'_>,
    port: Option<Port>,
) -> EffectiveMtls {
    let holding = policies.filter(|p| p.holds_for(subject));
    let oldest = |selects: bool, of_root: bool| {
        let here = |p: &&Arc<PeerAuthentication>| {
            p.selector.is_some() == selects && (p.name.namespace == *subject.root) == of_root
        };
        holding.clone().filter(here).min_by(|a, b| (&a.precedence, &a.name).cmp(&(&b.precedence, &b.name)))
    };
    let (own, wide, mesh) = (oldest(true, false), oldest(false, false), oldest(false, true));
    let port_mode = own.zip(port).and_then(|(p, n)| p.ports.get(&n).copied().flatten().map(|m| (m, &p.name)));
    let mode = port_mode.or_else(|| [own, wide, mesh].into_iter().flatten().find_map(|p| p.mode.map(|m| (m, &p.name))));
    match mode {
        Some((mode, name)) => EffectiveMtls { mode, decided_by: Some(name.clone()) },
        None => EffectiveMtls { mode: MtlsMode::default(), decided_by: None },
    }
}
