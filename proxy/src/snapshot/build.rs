//! Parts in, snapshots out. Endpoints are written into their cells and make no snapshot at all; everything else is
//! derived, see [`derive`]: a change rebuilds only what reads what it touches.

mod clusters;
mod derive;
mod gateways;
mod hosts;
mod listeners;
mod named;
mod parts;
mod ports;

use super::{Local, Own, OwnFacts, Snapshot, Standing, cluster::ClusterId, outbound::ServiceInUse};
use clusters::Clusters;
use derive::Derived;
use mesh_config::{
    model::{Kind, Part, PartName, ServiceKey, Settings, Sidecar},
    name::Port,
};
pub(super) use named::Named;
use parts::Parts;
use std::{collections::HashMap, net::IpAddr, sync::Arc};

/// One push, whole.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// New and changed parts.
    pub upserts: Vec<Part>,
    /// Parts that are gone.
    pub removed: Vec<(Kind, PartName)>,
    /// Parts that could not be read. Until one can, or is gone, a policy among them that has no earlier version to hold
    /// in its place is taken to say the most that it could: an AuthorizationPolicy refuses every call, a
    /// PeerAuthentication accepts mutual TLS alone. What it selects is not known, so it selects every workload.
    pub refused: Vec<(Kind, PartName)>,
    /// Addresses of which pilot is not asked any more whose they are.
    pub forgotten: Vec<IpAddr>,
}

impl Changes {
    /// New and changed parts alone.
    pub fn upserts(parts: impl IntoIterator<Item = Part>) -> Self {
        Changes { upserts: parts.into_iter().collect(), ..Changes::default() }
    }
}

/// What a push did.
#[derive(Debug, Clone)]
pub struct Applied {
    /// The configuration from now on.
    pub snapshot: Arc<Snapshot>,
    /// Whether it is another one than before.
    pub changed: bool,
    /// Service ports whose endpoints are not what they were.
    pub endpoints_changed: Vec<(ServiceKey, Port)>,
    /// Clusters that are gone. Their ids are given out again from the change after next.
    pub retired: Vec<ClusterId>,
}

/// Everything received, and the snapshot made of it.
#[derive(Debug)]
pub struct State {
    facts: Arc<OwnFacts>,
    parts: Parts,
    clusters: Clusters,
    derived: Derived,
    snapshot: Arc<Snapshot>,
}

impl State {
    /// Before anything is received: nothing is carried.
    pub fn new(facts: OwnFacts) -> Self {
        let parts = Parts::new(&facts.namespace);
        let mut clusters = Clusters::default();
        let derived = Derived::nothing(&mut clusters);
        let facts = Arc::new(facts);
        let snapshot = Arc::new(assemble(1, &facts, &parts, &derived, &Standing::Nothing));
        State { facts, parts, clusters, derived, snapshot }
    }

    /// The configuration now.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// Takes one push in, as a whole.
    pub fn apply(&mut self, changes: Changes) -> Applied {
        let touched = self.parts.take(changes);
        let endpoints_changed = self.parts.write_cells();
        let mut retired = Vec::new();
        let changed = !touched.is_empty();
        if changed {
            self.clusters.begin();
            derive::run(&touched, &self.facts, &self.parts, &mut self.clusters, &mut self.derived);
            let before = &self.snapshot;
            let next = assemble(before.version + 1, &self.facts, &self.parts, &self.derived, &before.standing);
            self.snapshot = Arc::new(next);
            retired = self.clusters.retire(&self.snapshot);
            self.parts.drop_empty_cells();
        }
        Applied { snapshot: self.snapshot.clone(), changed, endpoints_changed, retired }
    }
}

fn assemble(version: u64, facts: &Arc<OwnFacts>, parts: &Parts, derived: &Derived, before: &Standing) -> Snapshot {
    Snapshot {
        version,
        settings: parts.settings.clone().unwrap_or_default(),
        facts: facts.clone(),
        standing: standing(parts, derived, before),
        index: parts.index.clone(),
        listeners: derived.listeners.clone(),
        outbound: derived.outbound.clone(),
        trust: derived.trust.clone(),
        credentials: derived.credentials.clone(),
        workloads: derived.workloads.clone(),
    }
}

fn standing(parts: &Parts, derived: &Derived, before: &Standing) -> Standing {
    let Derived { own: Some(own), inbound: Some(inbound), policies: Some(policies), sidecar, .. } = derived else {
        return if parts.settings.is_some() { Standing::Unknown } else { Standing::Nothing };
    };
    let kept = |local: &Local| {
        Arc::ptr_eq(&local.own, own)
            && Arc::ptr_eq(&local.inbound, inbound)
            && Arc::ptr_eq(&local.policies, policies)
            && Arc::ptr_eq(&local.logs, &derived.logs)
            && local.sidecar == *sidecar
    };
    match before {
        Standing::Known(local) if kept(local) => before.clone(),
        _ => Standing::Known(Arc::new(Local {
            own: own.clone(),
            inbound: inbound.clone(),
            policies: policies.clone(),
            logs: derived.logs.clone(),
            sidecar: sidecar.clone(),
        })),
    }
}

/// What the steps of a build read, once the workload is known.
struct Sources<'a> {
    parts: &'a Parts,
    settings: &'a Arc<Settings>,
    own: &'a Arc<Own>,
    sidecar: Option<&'a Arc<Sidecar>>,
}

type Services = HashMap<ServiceKey, Arc<ServiceInUse>>;

#[cfg(test)]
mod tests;
