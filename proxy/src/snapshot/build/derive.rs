//! What a snapshot is made of, each a function of kinds of parts and of what stands above it in [`TABLE`]. A push runs
//! the rows that read something it touched; a value that comes out equal is kept, and what follows it is let be.

use super::{
    Clusters, Own, OwnFacts, Services, Sources, clusters, hosts, listeners,
    named::Named,
    parts::{Parts, Touched},
    ports,
};
use crate::snapshot::{
    inbound::Inbound, listener::ListenerSpec, logs::Logs, outbound::Outbound, policy::Policies, workloads::Workloads,
};
use mesh_config::{
    kind::Role,
    model::{Authorization, Credential, Kind, Settings, Sidecar, TrustBundle},
    name::NamespacedName,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// The values. What needs to know the workload stays as it was made first until the workload is known.
#[derive(Debug)]
pub(super) struct Derived {
    /// `None`: settings or instance are missing.
    pub(super) own: Option<Arc<Own>>,
    pub(super) sidecar: Option<Arc<Sidecar>>,
    pub(super) services: Arc<Services>,
    /// The settings by which services were compiled.
    compiled_by: Option<Arc<Settings>>,
    pub(super) named: Arc<Named>,
    pub(super) outbound: Arc<Outbound>,
    pub(super) inbound: Option<Arc<Inbound>>,
    pub(super) policies: Option<Arc<Policies>>,
    pub(super) logs: Arc<Logs>,
    pub(super) listeners: Arc<Vec<ListenerSpec>>,
    pub(super) trust: Arc<Vec<Arc<TrustBundle>>>,
    pub(super) credentials: Arc<BTreeMap<NamespacedName, Arc<Credential>>>,
    pub(super) workloads: Arc<Workloads>,
}

impl Derived {
    /// Before anything is known.
    pub(super) fn nothing(clusters: &mut Clusters) -> Self {
        let outbound = hosts::nothing(clusters);
        Derived {
            own: None,
            sidecar: None,
            services: outbound.services.clone(),
            compiled_by: None,
            named: Arc::default(),
            outbound: Arc::new(outbound),
            inbound: None,
            policies: None,
            logs: Arc::default(),
            listeners: Arc::default(),
            trust: Arc::default(),
            credentials: Arc::default(),
            workloads: Arc::default(),
        }
    }
}

/// Names of the values that others follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Own,
    Sidecar,
    Services,
    Named,
    Outbound,
    Inbound,
    Policies,
    Logs,
    Listeners,
    Trust,
    Credentials,
    Workloads,
}

/// One value: what it is made from, and how.
struct Row {
    value: Value,
    reads: &'static [Kind],
    follows: &'static [Value],
    make: Make,
}

enum Make {
    /// From parts alone. Whether it is another value than before.
    Always(fn(&OwnFacts, &Parts, &mut Derived) -> bool),
    /// Once the workload is known.
    Known(fn(&Sources<'_>, &mut Clusters, &mut Derived) -> bool),
}

/// In order: a row follows only rows above it.
const TABLE: [Row; 12] = [
    Row { value: Value::Own, reads: &[Kind::Settings, Kind::Instance], follows: &[], make: Make::Always(own) },
    Row {
        value: Value::Sidecar,
        reads: &[Kind::Settings, Kind::Sidecar],
        follows: &[Value::Own],
        make: Make::Known(sidecar),
    },
    Row {
        value: Value::Services,
        reads: &[Kind::Settings, Kind::Service, Kind::Destination, Kind::Secret],
        follows: &[Value::Own],
        make: Make::Known(services),
    },
    Row {
        value: Value::Named,
        reads: &[Kind::Settings, Kind::Index, Kind::Service, Kind::Route],
        follows: &[Value::Own, Value::Sidecar],
        make: Make::Known(named),
    },
    Row {
        value: Value::Outbound,
        reads: &[Kind::Settings, Kind::Instance, Kind::Route, Kind::Gateway],
        follows: &[Value::Own, Value::Sidecar, Value::Services, Value::Named],
        make: Make::Known(outbound),
    },
    Row {
        value: Value::Inbound,
        reads: &[Kind::Settings, Kind::Instance, Kind::PeerAuthentication],
        follows: &[Value::Own, Value::Sidecar],
        make: Make::Known(inbound),
    },
    Row {
        value: Value::Policies,
        reads: &[Kind::Settings, Kind::Authorization],
        follows: &[Value::Own],
        make: Make::Known(policies),
    },
    Row {
        value: Value::Logs,
        reads: &[Kind::Settings, Kind::Telemetry],
        follows: &[Value::Own],
        make: Make::Known(logs),
    },
    Row {
        value: Value::Listeners,
        reads: &[Kind::Instance, Kind::Gateway],
        follows: &[Value::Own, Value::Sidecar],
        make: Make::Known(bound),
    },
    Row { value: Value::Trust, reads: &[Kind::Trust], follows: &[], make: Make::Always(trust) },
    Row { value: Value::Credentials, reads: &[Kind::Secret], follows: &[], make: Make::Always(credentials) },
    Row { value: Value::Workloads, reads: &[Kind::Workload], follows: &[], make: Make::Always(workloads) },
];

/// Rebuilds what reads something that was touched, or follows what came out otherwise.
pub(super) fn run(touched: &Touched, facts: &OwnFacts, parts: &Parts, clusters: &mut Clusters, derived: &mut Derived) {
    let mut changed: BTreeSet<Value> = BTreeSet::new();
    for row in &TABLE {
        let stale =
            row.reads.iter().any(|kind| touched.contains(kind)) || row.follows.iter().any(|v| changed.contains(v));
        if !stale {
            continue;
        }
        let other = match row.make {
            Make::Always(make) => make(facts, parts, derived),
            Make::Known(make) => match (&parts.settings, derived.own.clone()) {
                (Some(settings), Some(own)) => {
                    let sidecar = derived.sidecar.clone();
                    let sources = Sources { parts, settings, own: &own, sidecar: sidecar.as_ref() };
                    make(&sources, clusters, derived)
                }
                _ => false,
            },
        };
        if other {
            changed.insert(row.value);
        }
    }
}

/// Puts a value in the place of the one before, unless they are equal.
fn set<T: PartialEq>(place: &mut T, value: T) -> bool {
    let other = *place != value;
    if other {
        *place = value;
    }
    other
}

fn own(facts: &OwnFacts, parts: &Parts, derived: &mut Derived) -> bool {
    let (Some(_), Some(instance)) = (&parts.settings, &parts.instance) else { return false };
    let own = Own {
        role: facts.role,
        namespace: facts.namespace.clone(),
        labels: instance.workload.labels.clone(),
        addresses: facts.ips.clone(),
        info: instance.workload.info.clone(),
        workload: Arc::new(instance.workload.clone()),
    };
    set(&mut derived.own, Some(Arc::new(own)))
}

/// One that selects the workload, else its namespace's, else the mesh's.
fn sidecar(sources: &Sources<'_>, _: &mut Clusters, derived: &mut Derived) -> bool {
    let Sources { parts, settings, own, .. } = sources;
    let chosen = match own.role {
        // Pilot has chosen already: there is one.
        Role::Sidecar => {
            Sidecar::choose(parts.sidecars.values(), &own.namespace, &own.labels, &settings.root_namespace)
        }
        Role::Gateway | Role::Waypoint | Role::Node => None,
    };
    set(&mut derived.sidecar, chosen)
}

fn services(sources: &Sources<'_>, ids: &mut Clusters, derived: &mut Derived) -> bool {
    let settled = derived.compiled_by.as_ref().is_some_and(|by| Arc::ptr_eq(by, sources.settings));
    let services = clusters::services(sources, &derived.services, settled, ids);
    derived.compiled_by = Some(sources.settings.clone());
    let before = &derived.services;
    let same = services.len() == before.len()
        && services.iter().all(|(key, service)| before.get(key).is_some_and(|b| Arc::ptr_eq(b, service)));
    if !same {
        derived.services = Arc::new(services);
    }
    !same
}

fn named(sources: &Sources<'_>, _: &mut Clusters, derived: &mut Derived) -> bool {
    set(&mut derived.named, Arc::new(Named::new(sources)))
}

fn outbound(sources: &Sources<'_>, _: &mut Clusters, derived: &mut Derived) -> bool {
    let outbound = hosts::build(sources, &derived.services, &derived.named, &derived.outbound);
    let other = !outbound.same(&derived.outbound);
    if other {
        derived.outbound = Arc::new(outbound);
    }
    other
}

fn inbound(sources: &Sources<'_>, ids: &mut Clusters, derived: &mut Derived) -> bool {
    let before = derived.inbound.as_deref();
    let inbound = ports::build(sources, ids, before);
    let same = before.is_some_and(|before| inbound.same(before));
    if !same {
        derived.inbound = Some(Arc::new(inbound));
    }
    !same
}

/// Policies of the own and the root namespace that select the workload, and those that could not be read.
fn policies(sources: &Sources<'_>, _: &mut Clusters, derived: &mut Derived) -> bool {
    let Sources { parts, settings, own, .. } = sources;
    let subject = own.subject(settings);
    let holding = parts.authorizations.values().filter(|policy| policy.holds_for(&subject));
    let applying: Vec<Arc<Authorization>> = holding.cloned().collect();
    let policies = Policies::build(&applying, settings).refusing(parts.unreadable(Kind::Authorization));
    set(&mut derived.policies, Some(Arc::new(policies)))
}

fn logs(sources: &Sources<'_>, _: &mut Clusters, derived: &mut Derived) -> bool {
    let logs = Logs::build(sources.parts.telemetries.values(), sources.settings, sources.own);
    set(&mut derived.logs, Arc::new(logs))
}

fn bound(sources: &Sources<'_>, _: &mut Clusters, derived: &mut Derived) -> bool {
    set(&mut derived.listeners, Arc::new(listeners::build(sources)))
}

fn trust(_: &OwnFacts, parts: &Parts, derived: &mut Derived) -> bool {
    set(&mut derived.trust, parts.trust())
}

fn credentials(_: &OwnFacts, parts: &Parts, derived: &mut Derived) -> bool {
    set(&mut derived.credentials, parts.credentials())
}

fn workloads(_: &OwnFacts, parts: &Parts, derived: &mut Derived) -> bool {
    set(&mut derived.workloads, parts.workloads())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_follows_rows_above_it_and_every_kind_is_read() {
        for (position, row) in TABLE.iter().enumerate() {
            let above = |value: &Value| TABLE[..position].iter().any(|r| r.value == *value);
            assert!(row.follows.iter().all(above), "{:?} follows what is below it", row.value);
        }
        // Endpoints go into their cells.
        let unread = |kind: &Kind| TABLE.iter().all(|row| !row.reads.contains(kind));
        assert_eq!(Kind::ALL.into_iter().filter(unread).collect::<Vec<_>>(), [Kind::Endpoint]);
    }
}
