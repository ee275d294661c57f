//! What all Ingresses say of one host, in the order in which it is asked.

use crate::compile::context::Notes;
use mesh_config::{
    crd::{
        Head,
        kubernetes::{IngressBackend, IngressPath, PathRule},
    },
    matcher::StringMatch,
    model::route::{PathMatch, RouteMatch},
};
use std::{
    cmp::Reverse,
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

/// Paths of one host, each once, as they came: of the oldest Ingress first.
#[derive(Default)]
pub(super) struct Paths<'a> {
    all: Vec<(&'a Arc<Head>, &'a IngressPath)>,
    known: HashMap<PathRule, &'a Arc<Head>>,
}

impl<'a> Paths<'a> {
    /// What an Ingress says, after the older ones. A path that one of these has is theirs.
    pub(super) fn add(&mut self, ingress: &'a Arc<Head>, paths: &'a [IngressPath], notes: &mut Notes) {
        for path in paths {
            match self.known.entry(alike(&path.path)) {
                Entry::Vacant(place) => {
                    place.insert(ingress);
                    self.all.push((ingress, path));
                }
                Entry::Occupied(older) => {
                    let older = older.get().name();
                    let field = &path.backend.field;
                    let message = format!("Ingress {older} has this host and path already, and takes precedence");
                    notes.conflict(ingress, older, "shadowed-path", field, message);
                }
            }
        }
    }

    /// Whose the host is: the oldest that says anything of it.
    pub(super) fn owner(&self) -> Option<&'a Arc<Head>> {
        self.all.first().map(|(ingress, _)| *ingress)
    }

    /// The longest path first, of two the exact one, of two of these the oldest.
    pub(super) fn in_order(mut self) -> impl Iterator<Item = (&'a Arc<Head>, Vec<RouteMatch>, &'a IngressBackend)> {
        self.all.sort_by_key(|(_, path)| match &path.path {
            PathRule::Exact(text) => (Reverse(text.len()), false),
            PathRule::Elements(text) => (Reverse(text.len()), true),
            PathRule::Any => (Reverse(0), true),
        });
        self.all.into_iter().map(|(ingress, path)| (ingress, matches(&path.path), &path.backend))
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
