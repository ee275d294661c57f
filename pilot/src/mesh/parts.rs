//! The parts of one kind in the order of their names, in runs that a mesh shares with the one before it.
//!
//! What changed is a comparison of runs, then of parts within the runs that differ; another version of one part costs
//! one run, however many parts there are.

use super::SharedPart;
use mesh_config::model::{Part, PartName};
use std::{cmp::Ordering, collections::BTreeMap, sync::Arc};

/// Most parts in one run.
const MOST: usize = 128;
/// A run with fewer joins the one before it.
const FEW: usize = 32;

/// Never empty.
type Run = Arc<[Arc<SharedPart>]>;

/// What parts are to say, by name; `None`: gone.
pub(super) type Said = BTreeMap<PartName, Option<Part>>;

/// The parts of one kind.
#[derive(Debug, Default)]
pub(super) struct Parts {
    runs: Vec<Run>,
}

impl Parts {
    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<SharedPart>> + Clone {
        self.runs.iter().flat_map(|run| run.iter())
    }

    pub(super) fn get(&self, name: &str) -> Option<&Arc<SharedPart>> {
        let run = &self.runs[self.run_of(name)?];
        run.binary_search_by(|part| part.name.as_str().cmp(name)).ok().map(|place| &run[place])
    }

    /// Those whose names begin with `prefix`.
    pub(super) fn starting_with<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a Arc<SharedPart>> {
        let first = self.run_of(prefix).unwrap_or_default();
        let skipped = self.runs.get(first).map_or(0, |run| run.partition_point(|part| part.name.as_str() < prefix));
        let from = self.runs[first..].iter().flat_map(|run| run.iter()).skip(skipped);
        from.take_while(move |part| part.name.as_str().starts_with(prefix))
    }

    /// The run that has the name, if any does.
    fn run_of(&self, name: &str) -> Option<usize> {
        self.runs.partition_point(|run| run[0].name.as_str() <= name).checked_sub(1)
    }

    /// The parts after these; `None`: they are the very same. A part that says what it said stays.
    pub(super) fn after(&self, said: Said) -> Option<Parts> {
        let mut said = said.into_iter().peekable();
        let mut runs: Vec<Run> = Vec::with_capacity(self.runs.len() + 1);
        let mut differs = false;
        let nothing: Run = Arc::new([]);
        let before = if self.runs.is_empty() { std::slice::from_ref(&nothing) } else { &self.runs[..] };
        for (i, run) in before.iter().enumerate() {
            let end = before.get(i + 1).map(|next| &next[0].name);
            let mut here = Vec::new();
            while let Some(one) = said.next_if(|(name, _)| end.is_none_or(|end| name < end)) {
                here.push(one);
            }
            match merged(run, here) {
                Some(parts) => {
                    differs = true;
                    push(&mut runs, parts);
                }
                None if run.is_empty() => {}
                None => runs.push(run.clone()),
            }
        }
        differs.then_some(Parts { runs })
    }
}

/// A run with what is said about its parts; `None`: it says that already.
fn merged(run: &Run, said: Vec<(PartName, Option<Part>)>) -> Option<Vec<Arc<SharedPart>>> {
    if said.is_empty() {
        return None;
    }
    let mut parts = Vec::with_capacity(run.len() + said.len());
    let mut before = run.iter().peekable();
    let mut differs = false;
    for (name, part) in said {
        while let Some(other) = before.next_if(|other| other.name < name) {
            parts.push(other.clone());
        }
        match (before.next_if(|old| old.name == name), part) {
            (Some(old), Some(part)) if old.part == part => parts.push(old.clone()),
            (_, Some(part)) => {
                differs = true;
                parts.push(Arc::new(SharedPart::named(name, part)));
            }
            (Some(_), None) => differs = true,
            (None, None) => {}
        }
    }
    parts.extend(before.cloned());
    differs.then_some(parts)
}

/// Appends a run, cut where it is long, joined to the one before it where it is short.
fn push(runs: &mut Vec<Run>, mut parts: Vec<Arc<SharedPart>>) {
    if let Some(last) = runs.pop_if(|last| parts.len() < FEW && last.len() + parts.len() <= MOST) {
        parts.splice(0..0, last.iter().cloned());
    }
    if !parts.is_empty() {
        let pieces = parts.len().div_ceil(MOST);
        runs.extend(parts.chunks(parts.len().div_ceil(pieces)).map(Arc::from));
    }
}

/// A part that differs between two meshes: as it was and as it is.
pub(super) type Differs<'a> = (Option<&'a Arc<SharedPart>>, Option<&'a Arc<SharedPart>>);

/// What differs, in the order of the names. `None`: there are none.
pub(super) fn differences<'a>(old: Option<&'a Parts>, new: Option<&'a Parts>) -> Vec<Differs<'a>> {
    let (mut before, mut after) = (Cursor::of(old), Cursor::of(new));
    let mut found = Vec::new();
    loop {
        if let (Some(one), Some(other)) = (before.run_ahead(), after.run_ahead())
            && Arc::ptr_eq(one, other)
        {
            (before.run, after.run) = (before.run + 1, after.run + 1);
            continue;
        }
        let order = match (before.part(), after.part()) {
            (None, None) => return found,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(one), Some(other)) => one.name.cmp(&other.name),
        };
        let was = if order.is_le() { before.take() } else { None };
        let is = if order.is_ge() { after.take() } else { None };
        if !matches!((was, is), (Some(was), Some(is)) if Arc::ptr_eq(was, is)) {
            found.push((was, is));
        }
    }
}

/// A place among parts.
struct Cursor<'a> {
    runs: &'a [Run],
    run: usize,
    place: usize,
}

impl<'a> Cursor<'a> {
    fn of(parts: Option<&'a Parts>) -> Self {
        Cursor { runs: parts.map_or(&[], |parts| &parts.runs), run: 0, place: 0 }
    }

    /// The run that begins here.
    fn run_ahead(&self) -> Option<&'a Run> {
        self.runs.get(self.run).filter(|_| self.place == 0)
    }

    fn part(&self) -> Option<&'a Arc<SharedPart>> {
        self.runs.get(self.run)?.get(self.place)
    }

    fn take(&mut self) -> Option<&'a Arc<SharedPart>> {
        let run = self.runs.get(self.run)?;
        let part = run.get(self.place);
        self.place += 1;
        if self.place == run.len() {
            (self.run, self.place) = (self.run + 1, 0);
        }
        part
    }
}

#[cfg(test)]
mod tests;
