//! What all Ingresses say of one host, in the order in which it is asked.

use crate::compile::context::Notes;
use mesh_config::{
    crd::{
        Head,
        kubernetes::{IngressBackend, IngressPath, IngressRule, PathRule},
    },
    matcher::StringMatch,
    model::route::{PathMatch, RouteMatch},
    name::NamespacedName,
};
use std::{
    cmp::Reverse,
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

/// Most that is taken of one host, in bytes: it is told to proxies as one part, which is bounded, and whoever may write
/// an Ingress adds to it.
const ROOM: usize = 2 << 20;
/// Of a path besides its text, and of an Ingress.
const OF_PATH: usize = 512;
const OF_INGRESS: usize = 512;

/// Paths of one host, each once, as they came: of the oldest Ingress first.
#[derive(Default)]
pub(super) struct Paths<'a> {
    all: Vec<(&'a Arc<Head>, &'a IngressPath)>,
    known: HashMap<PathRule, &'a Arc<Head>>,
    taken: usize,
}

impl<'a> Paths<'a> {
    /// What a rule of an Ingress says, after the older ones. A path that one of these has is theirs.
    pub(super) fn add(&mut self, ingress: &'a Arc<Head>, rule: &'a IngressRule, notes: &mut Notes) {
        let (mut shadowed, mut left_out): (Vec<(&IngressPath, NamespacedName)>, Vec<&IngressPath>) = Default::default();
        self.taken += OF_INGRESS;
        for path in &rule.paths {
            let cost = OF_PATH + 2 * length(&path.path);
            match self.known.entry(alike(&path.path)) {
                Entry::Occupied(older) => shadowed.push((path, older.get().name())),
                Entry::Vacant(_) if self.taken + cost > ROOM => left_out.push(path),
                Entry::Vacant(place) => {
                    place.insert(ingress);
                    self.taken += cost;
                    self.all.push((ingress, path));
                }
            }
        }
        if let [(path, older), more @ ..] = &shadowed[..] {
            let message =
                format!("Ingress {older} has this host and path already, and takes precedence{}", and_more(more.len()));
            notes.conflict(ingress, older.clone(), "shadowed-path", &path.backend.field, message);
        }
        if let [path, more @ ..] = &left_out[..] {
            let host = &rule.host;
            let message = format!("{host} has as many paths as one host may have: left out{}", and_more(more.len()));
            notes.warn(ingress, "too-many-paths", &path.backend.field, message);
        }
    }

    /// Whose the host is: the oldest that says anything of it.
    pub(super) fn owner(&self) -> Option<&'a Arc<Head>> {
        self.all.first().map(|(ingress, _)| *ingress)
    }

    /// The longest path first, of two the exact one, of two of these the oldest.
    pub(super) fn in_order(mut self) -> impl Iterator<Item = (&'a Arc<Head>, Vec<RouteMatch>, &'a IngressBackend)> {
        let is_exact = |path: &PathRule| matches!(path, PathRule::Exact(_));
        self.all.sort_by_key(|(_, path)| (Reverse(length(&path.path)), !is_exact(&path.path)));
        self.all.into_iter().map(|(ingress, path)| (ingress, matches(&path.path), &path.backend))
    }
}

fn and_more(count: usize) -> String {
    if count == 0 { String::new() } else { format!("; so with {count} more") }
}

/// In bytes.
fn length(path: &PathRule) -> usize {
    match path {
        PathRule::Exact(text) | PathRule::Elements(text) => text.len(),
        PathRule::Any => 0,
    }
}

/// The same for all that match the same paths.
fn alike(path: &PathRule) -> PathRule {
    match path {
        PathRule::Elements(text) => match elements(text) {
            "" => PathRule::Any,
            text => PathRule::Elements(text.into()),
        },
        other => other.clone(),
    }
}

/// A slash at the end says nothing.
fn elements(text: &str) -> &str {
    text.strip_suffix('/').unwrap_or(text)
}

/// Conditions of which one must hold; none: they all do.
fn matches(path: &PathRule) -> Vec<RouteMatch> {
    let on = |matcher| RouteMatch { path: Some(PathMatch { matcher, ignore_case: false }), ..RouteMatch::default() };
    match path {
        PathRule::Exact(text) => vec![on(StringMatch::Exact(text.clone()))],
        PathRule::Elements(text) => match elements(text) {
            "" => vec![on(StringMatch::Prefix("/".into()))],
            text => vec![on(StringMatch::Exact(text.into())), on(StringMatch::Prefix(format!("{text}/").into()))],
        },
        PathRule::Any => Vec::new(),
    }
}
