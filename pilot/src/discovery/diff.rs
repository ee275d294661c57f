//! What a client should have against what it has.

use super::session::{Found, Reach, Talks, Upsert, Versions, View};
use crate::{mesh::SharedPart, scope};
use mesh_config::{
    model::{Kind, PartName},
    wire::Version,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// What is to be sent.
#[derive(Debug, Default)]
pub(super) struct Difference {
    /// In push order.
    pub(super) upserts: Vec<Upsert>,
    /// In push order.
    pub(super) removed: Vec<(Kind, PartName)>,
    /// What followed names stand for now.
    pub(super) answers: Vec<(Kind, Arc<str>, Found)>,
}

/// What the client should have.
#[derive(Debug, Default)]
struct Wanted {
    parts: BTreeMap<Kind, BTreeMap<PartName, Arc<SharedPart>>>,
    answers: Vec<(Kind, Arc<str>, Found)>,
}

/// The difference as far as `reach` goes. Forgets refusals of what is not wanted any more, or says something else by
/// now.
pub(super) fn difference(talks: &mut Talks, view: &View<'_>, reach: &Reach) -> Difference {
    let wanted = match reach {
        Reach::Endpoints { services, itself, workloads } => {
            wanted_of_moving(talks, view, services, *itself, *workloads)
        }
        Reach::All => wanted(talks, view),
    };
    let removed = removed(talks, &wanted, reach);
    for (kind, talk) in talks.iter_mut() {
        let parts = wanted.parts.get(kind);
        let is_same = |name: &PartName, version: Version| {
            parts.and_then(|parts| parts.get(name)).is_some_and(|part| part.encoded().version == version)
        };
        let stale: Vec<PartName> = in_reach(*kind, &talk.refused, reach)
            .filter(|(name, version)| !is_same(name, *version))
            .map(|(name, _)| name.clone())
            .collect();
        talk.refused.remove(stale.iter().map(PartName::as_str));
    }
    let mut aliases = new_aliases(talks, &wanted);
    let mut upserts = Vec::new();
    for (kind, parts) in &wanted.parts {
        let talk = talks.get(kind);
        for (name, part) in parts {
            let version = part.encoded().version;
            let has = |of: &Versions| of.get(name.as_str()) == Some(version);
            let aliases = if *kind == Kind::Workload { aliases.remove(name) } else { None }.unwrap_or_default();
            let is_held = talk.is_some_and(|talk| has(&talk.held)) && aliases.is_empty();
            if !is_held && !talk.is_some_and(|talk| has(&talk.refused)) {
                upserts.push(Upsert { part: part.clone(), aliases });
            }
        }
    }
    Difference { upserts, removed, answers: wanted.answers }
}

fn wanted(talks: &Talks, view: &View<'_>) -> Wanted {
    let mut wanted = Wanted::default();
    for part in scope::visible(view.mesh, view.facts).parts {
        let kind = part.kind();
        if talks.get(&kind).is_some_and(|talk| talk.wildcard) && (view.secrets || !kind.is_secret()) {
            wanted.add(&part);
        }
    }
    for name in names(talks, Kind::Service) {
        let key = name.parse().ok();
        let children = key.and_then(|key| scope::children(view.mesh, view.facts, &key)).unwrap_or_default();
        children.in_order().for_each(|part| wanted.add(part));
        wanted.answers.push((Kind::Service, name.clone(), children.service.map(|part| part.name().clone())));
    }
    workloads(talks, view, &mut wanted);
    wanted
}

/// Of the kinds that are [`MOVING`](crate::mesh::MOVING): what the client may see besides is as it was.
fn wanted_of_moving(
    talks: &Talks,
    view: &View<'_>,
    services: &BTreeSet<Arc<str>>,
    itself: bool,
    with_workloads: bool,
) -> Wanted {
    let mut wanted = Wanted::default();
    let follows_itself = itself && talks.get(&Kind::Instance).is_some_and(|talk| talk.wildcard);
    if follows_itself {
        scope::instance(view.mesh, view.facts).into_iter().for_each(|part| wanted.add(part));
    }
    let told = |service: &Arc<str>| talks.get(&Kind::Service).and_then(|talk| talk.names.get(service));
    for service in services.iter().filter(|service| matches!(told(service), Some(Some(Some(_))))) {
        let Ok(service) = service.parse() else { continue };
        scope::endpoints(view.mesh, view.facts, &service).iter().for_each(|part| wanted.add(part));
    }
    if with_workloads {
        workloads(talks, view, &mut wanted);
    }
    wanted
}

/// Those of a kind's parts that `reach` is about. A client that follows many services has many endpoints, and the parts of
/// kinds that it is not about are not looked at.
fn in_reach<'a>(
    kind: Kind,
    known: &'a Versions,
    reach: &'a Reach,
) -> Box<dyn Iterator<Item = (&'a PartName, Version)> + 'a> {
    match (reach, kind) {
        (Reach::All, _)
        | (Reach::Endpoints { itself: true, .. }, Kind::Instance)
        | (Reach::Endpoints { workloads: true, .. }, Kind::Workload) => Box::new(known.iter()),
        (Reach::Endpoints { services, .. }, Kind::Endpoint) => {
            Box::new(services.iter().flat_map(|service| known.under(&format!("{service}/"))))
        }
        _ => Box::new(std::iter::empty()),
    }
}

fn workloads(talks: &Talks, view: &View<'_>, wanted: &mut Wanted) {
    for address in names(talks, Kind::Workload) {
        let part = address.parse().ok().and_then(|address| scope::workload_at(view.mesh, address));
        part.into_iter().for_each(|part| wanted.add(part));
        wanted.answers.push((Kind::Workload, address.clone(), part.map(|part| part.name().clone())));
    }
}

fn names(talks: &Talks, kind: Kind) -> impl Iterator<Item = &Arc<str>> {
    talks.get(&kind).into_iter().flat_map(|talk| talk.names.keys())
}

/// Addresses that have not been told of the workload which they stand for now.
fn new_aliases(talks: &Talks, wanted: &Wanted) -> BTreeMap<PartName, Vec<Arc<str>>> {
    let mut aliases: BTreeMap<PartName, Vec<Arc<str>>> = BTreeMap::new();
    for (_, address, found) in wanted.answers.iter().filter(|(kind, ..)| *kind == Kind::Workload) {
        let told = talks.get(&Kind::Workload).and_then(|talk| talk.names.get(address)).cloned().flatten();
        if let Some(uid) = found
            && told.flatten().as_ref() != Some(uid)
        {
            aliases.entry(uid.clone()).or_default().push(address.clone());
        }
    }
    aliases
}

fn removed(talks: &Talks, wanted: &Wanted, reach: &Reach) -> Vec<(Kind, PartName)> {
    let mut removed: BTreeSet<(Kind, PartName)> = BTreeSet::new();
    for (kind, talk) in talks {
        let parts = wanted.parts.get(kind);
        let is_gone = |name: &&PartName| parts.is_none_or(|parts| !parts.contains_key(*name));
        // Who could not read a part remembers that there is one, and must be told when it is gone.
        for known in [&talk.held, &talk.refused] {
            let gone = in_reach(*kind, known, reach).map(|(name, _)| name).filter(is_gone);
            removed.extend(gone.map(|name| (*kind, name.clone())));
        }
    }
    // Whoever asked for a name that stands for nothing is told so, once.
    for (kind, name, found) in &wanted.answers {
        let told = talks.get(kind).and_then(|talk| talk.names.get(name));
        if found.is_none() && told != Some(&Some(None)) {
            removed.insert((*kind, PartName(name.clone())));
        }
    }
    removed.into_iter().collect()
}

impl Wanted {
    fn add(&mut self, part: &Arc<SharedPart>) {
        self.parts.entry(part.kind()).or_default().insert(part.name().clone(), part.clone());
    }
}
