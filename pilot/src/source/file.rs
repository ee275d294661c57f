//! A directory of YAML: the objects of local meshes, and of offline commands.
//!
//! [`Directory`] turns (path → text) into changes and is pure; [`read_tree`] is the one place that reads the disk.
//! A file that does not parse keeps its previous objects and says so; a deleted file deletes; of an object that
//! is defined twice the first path in sorted order counts. Files have no creation times: "oldest" is path and position.

mod tree;
#[cfg(feature = "serve")]
pub mod watch;

pub use self::tree::{Fingerprint, MAX_FILES, fingerprint, read_tree};

use super::{Change, ObjectId};
use mesh_config::{
    crd::{self, Head, Object, PackedObject, node::Digest},
    diagnostic::{Diagnostic, ObjectRef, Origin, Severity},
};
use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    fmt,
    sync::Arc,
};

/// What is at a path.
#[derive(Clone, PartialEq, Eq)]
pub enum FileText {
    /// Its content.
    Text(String),
    /// Why there is none.
    Unreadable(String),
}

// A text may hold a Secret, so it is never printed.
impl fmt::Debug for FileText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileText::Text(text) => write!(f, "{} bytes", text.len()),
            FileText::Unreadable(reason) => write!(f, "unreadable: {reason}"),
        }
    }
}

/// Files by path, in sorted order.
pub type Tree = BTreeMap<Arc<str>, FileText>;

/// What one scan found.
#[derive(Debug, Default, PartialEq)]
pub struct Scan {
    /// To be applied together.
    pub changes: Vec<Change>,
    /// A file has just become empty, as happens while an editor writes it: scan again in a moment, and it counts.
    pub again: bool,
}

/// A directory as it was last seen. Of texts and of objects that were handed over it keeps digests.
#[derive(Default)]
pub struct Directory {
    files: BTreeMap<Arc<str>, File>,
    /// Where each object stands.
    places: BTreeMap<ObjectId, Vec<Place>>,
    /// Objects that stand in several places.
    several: BTreeSet<ObjectId>,
    emitted: BTreeMap<ObjectId, Digest>,
    must_read: BTreeSet<Arc<str>>,
    notes: Vec<Diagnostic>,
    synced: bool,
}

/// A file, and which of its objects; the first in this order counts.
type Place = (Arc<str>, usize);

struct File {
    seen: Seen,
    objects: Vec<Known>,
    notes: Vec<Diagnostic>,
}

/// The text that was last taken over.
#[derive(PartialEq)]
enum Seen {
    Text(Digest),
    Unreadable(String),
}

/// An object of a file.
struct Known {
    id: ObjectId,
    head: Arc<Head>,
    digest: Digest,
    /// `None` once it was handed over.
    whole: Option<Arc<PackedObject>>,
}

impl Directory {
    /// What is different from the scan before, where everything was read. The first one ends with [`Change::Synced`].
    pub fn scan(&mut self, tree: &Tree) -> Scan {
        self.look(tree, &BTreeSet::new())
    }

    /// What is different from the look before: what may differ was read, the rest is the same. Of the same is none that
    /// [`Directory::must_read`] names, and objects of the same are not
    /// compared.
    pub fn look(&mut self, read: &Tree, same: &BTreeSet<Arc<str>>) -> Scan {
        let (mut touched, again) = self.take_in(read, same);
        touched.extend(self.several.iter().cloned());
        let (mut changes, mut upserted, mut duplicates) = (Vec::new(), Vec::new(), Vec::new());
        self.must_read = self.unsettled().collect();
        for id in touched {
            match self.decide(&id, read, &mut duplicates) {
                Decided::Stays => {}
                Decided::Gone => changes.push(Change::Delete(id)),
                Decided::Is(object) => upserted.push(Change::Upsert(id, object)),
            }
        }
        changes.append(&mut upserted);
        let notes: Vec<Diagnostic> =
            self.files.values().flat_map(|file| &file.notes).cloned().chain(duplicates).collect();
        if notes != self.notes {
            self.notes.clone_from(&notes);
            changes.push(Change::Notes(notes));
        }
        if !std::mem::replace(&mut self.synced, true) {
            changes.push(Change::Synced);
        }
        Scan { changes, again }
    }

    /// Files that the next look must have read, whether or not they differ.
    pub fn must_read(&self) -> &BTreeSet<Arc<str>> {
        &self.must_read
    }

    /// Takes over what was read. Objects that it is about, and whether a file should be looked at again.
    fn take_in(&mut self, tree: &Tree, same: &BTreeSet<Arc<str>>) -> (BTreeSet<ObjectId>, bool) {
        let (mut touched, mut again) = (BTreeSet::new(), false);
        let is_there = |path: &Arc<str>| same.contains(path) || tree.contains_key(path);
        let gone: Vec<Arc<str>> = self.files.keys().filter(|path| !is_there(path)).cloned().collect();
        for path in gone {
            let file = self.files.remove(&path);
            self.replace(&path, file.map(|file| file.objects).unwrap_or_default(), &mut touched);
        }
        for (path, text) in tree {
            let before = match self.files.entry(path.clone()) {
                Entry::Occupied(known) if known.get().is_settled_as(text) => continue,
                Entry::Occupied(mut known) => match known.get_mut().update(path, text) {
                    Update::Kept => continue,
                    Update::Emptied => {
                        again = true;
                        continue;
                    }
                    Update::Replaced(before) => before,
                },
                Entry::Vacant(new) => {
                    let (objects, notes) = read(path, text);
                    new.insert(File { seen: Seen::of(text), objects, notes });
                    Vec::new()
                }
            };
            self.replace(path, before, &mut touched);
        }
        (touched, again)
    }

    /// Notes where the objects of a file stand now, and that those which stood there before may not any more.
    fn replace(&mut self, path: &Arc<str>, before: Vec<Known>, touched: &mut BTreeSet<ObjectId>) {
        for Known { id, .. } in before {
            if let Entry::Occupied(mut places) = self.places.entry(id.clone()) {
                places.get_mut().retain(|(place, _)| place != path);
                if places.get().len() < 2 {
                    self.several.remove(&id);
                }
                if places.get().is_empty() {
                    places.remove();
                }
            }
            touched.insert(id);
        }
        for (n, Known { id, .. }) in self.files.get(path).iter().flat_map(|file| file.objects.iter().enumerate()) {
            let places = self.places.entry(id.clone()).or_default();
            let place = (path.clone(), n);
            let at = places.partition_point(|other| *other < place);
            places.insert(at, place);
            if places.len() > 1 {
                self.several.insert(id.clone());
            }
            touched.insert(id.clone());
        }
    }

    /// What an object is now; a finding for each further place that it stands in.
    fn decide(&mut self, id: &ObjectId, tree: &Tree, duplicates: &mut Vec<Diagnostic>) -> Decided {
        let mut first: Option<(Arc<Head>, Decided)> = None;
        for (path, n) in self.places.get(id).into_iter().flatten() {
            let Some(known) = self.files.get_mut(path).and_then(|file| file.objects.get_mut(*n)) else { continue };
            if let Some((first, _)) = &first {
                duplicates.push(duplicate(&known.head, first));
                if known.whole.is_none() {
                    // Should it count again, it must be had from its text.
                    self.must_read.insert(path.clone());
                }
                continue;
            }
            if self.emitted.get(id) == Some(&known.digest) {
                known.whole = None;
                first = Some((known.head.clone(), Decided::Stays));
                continue;
            }
            // Another one with this name counted meanwhile. Where the file has been broken since then, what stood in it
            // cannot be had any more.
            let Some(whole) = known.whole.take().or_else(|| read_again(path, tree, known.digest)) else { continue };
            self.emitted.insert(id.clone(), known.digest);
            first = Some((known.head.clone(), Decided::Is(whole)));
        }
        match first {
            Some((_, decided)) => decided,
            None if self.emitted.remove(id).is_some() => Decided::Gone,
            None => Decided::Stays,
        }
    }

    /// Files whose text is yet to be believed, or to be had at all.
    fn unsettled(&self) -> impl Iterator<Item = Arc<str>> {
        let is_open = |file: &File| is_note(&file.notes, "file-emptied") || matches!(file.seen, Seen::Unreadable(_));
        self.files.iter().filter(move |(_, file)| is_open(file)).map(|(path, _)| path.clone())
    }
}

enum Decided {
    Stays,
    Gone,
    Is(Arc<PackedObject>),
}

/// What became of a file's objects.
enum Update {
    Kept,
    /// Kept, until a further look finds it empty too.
    Emptied,
    /// These stood there before.
    Replaced(Vec<Known>),
}

impl File {
    /// Whether the text is the one that was read, and nothing is being waited for.
    fn is_settled_as(&self, text: &FileText) -> bool {
        self.seen == Seen::of(text) && !is_note(&self.notes, "file-emptied")
    }

    /// Takes a new text; keeps the objects when it cannot be understood.
    fn update(&mut self, path: &Arc<str>, text: &FileText) -> Update {
        let is_empty = matches!(text, FileText::Text(t) if t.trim().is_empty());
        let just_emptied = is_empty && !self.objects.is_empty() && !is_note(&self.notes, "file-emptied");
        if just_emptied {
            // The text is not taken over, so that the next scan sees a difference again and believes it.
            self.notes = vec![note(
                path,
                "file-emptied",
                "is now empty; its objects stay until the next look confirms it".into(),
            )];
            return Update::Emptied;
        }
        let (objects, mut notes) = read(path, text);
        let keeps = !self.objects.is_empty() && notes.iter().any(|n| n.severity == Severity::Error);
        if keeps {
            let message = "does not parse; its objects stay as they were";
            notes.push(note(path, "file-kept", message.into()));
        }
        self.notes = notes;
        self.seen = Seen::of(text);
        if keeps { Update::Kept } else { Update::Replaced(std::mem::replace(&mut self.objects, objects)) }
    }
}

impl Seen {
    fn of(text: &FileText) -> Self {
        match text {
            FileText::Text(text) => Seen::Text(Digest::of_text(text)),
            FileText::Unreadable(reason) => Seen::Unreadable(reason.clone()),
        }
    }
}

impl Known {
    fn of(object: &Object) -> Self {
        let whole = PackedObject::from(object);
        Known {
            id: ObjectId::local(object),
            head: object.head.clone(),
            digest: whole.digest(),
            whole: Some(whole.into()),
        }
    }
}

/// An object that was handed over once, from the text in which it still stands.
fn read_again(path: &Arc<str>, tree: &Tree, digest: Digest) -> Option<Arc<PackedObject>> {
    let (objects, _) = read(path, tree.get(path)?);
    objects.into_iter().find(|known| known.digest == digest)?.whole
}

fn read(path: &Arc<str>, text: &FileText) -> (Vec<Known>, Vec<Diagnostic>) {
    match text {
        FileText::Text(text) => {
            let (objects, notes) = crd::read_text(path, text);
            (objects.iter().map(Known::of).collect(), notes)
        }
        FileText::Unreadable(reason) => {
            let mut unreadable = note(path, "file-unreadable", format!("cannot be read: {reason}"));
            unreadable.severity = Severity::Error;
            (Vec::new(), vec![unreadable])
        }
    }
}

fn is_note(notes: &[Diagnostic], code: &str) -> bool {
    notes.iter().any(|n| n.code == code)
}

fn note(path: &Arc<str>, code: &'static str, message: String) -> Diagnostic {
    Diagnostic {
        severity: Severity::Warning,
        code,
        object: ObjectRef { kind: "".into(), namespace: "".into(), name: "".into() },
        field: String::new(),
        message: format!("the file {message}"),
        origin: Origin { file: path.clone(), line: 1, column: 0 },
    }
}

fn duplicate(object: &Head, first: &Head) -> Diagnostic {
    Diagnostic {
        severity: Severity::Warning,
        code: "duplicate-object",
        object: object.reference(),
        field: String::new(),
        message: format!(
            "is already defined in {}:{}, which takes precedence; remove one",
            first.origin.file, first.origin.line
        ),
        origin: object.origin.clone(),
    }
}

#[cfg(test)]
mod tests;
