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
    collections::{BTreeMap, btree_map::Entry},
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
    emitted: BTreeMap<ObjectId, Digest>,
    notes: Vec<Diagnostic>,
    synced: bool,
}

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
    /// What is different from the scan before. The first one ends with [`Change::Synced`].
    pub fn scan(&mut self, tree: &Tree) -> Scan {
        let again = self.take_in(tree);
        let (objects, duplicates) = self.objects(tree);
        let mut changes: Vec<Change> = Vec::new();
        changes.extend(self.emitted.keys().filter(|id| !objects.contains_key(id)).cloned().map(Change::Delete));
        let mut emitted = BTreeMap::new();
        for (id, (digest, fresh)) in objects {
            changes.extend(fresh.map(|object| Change::Upsert(id.clone(), object)));
            emitted.insert(id, digest);
        }
        self.emitted = emitted;
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

    /// Reads the files that differ. Whether one of them should be looked at again.
    fn take_in(&mut self, tree: &Tree) -> bool {
        let mut again = false;
        self.files.retain(|path, _| tree.contains_key(path));
        for (path, text) in tree {
            match self.files.entry(path.clone()) {
                Entry::Occupied(known) if known.get().is_settled_as(text) => {}
                Entry::Occupied(mut known) => again |= known.get_mut().update(path, text),
                Entry::Vacant(new) => {
                    let (objects, notes) = read(path, text);
                    new.insert(File { seen: Seen::of(text), objects, notes });
                }
            }
        }
        again
    }

    /// Each object once, whole where it must be handed over, and a finding for each further time that it stands
    /// somewhere.
    fn objects(&mut self, tree: &Tree) -> (BTreeMap<ObjectId, (Digest, Option<Arc<PackedObject>>)>, Vec<Diagnostic>) {
        let (mut objects, mut duplicates) = (BTreeMap::new(), Vec::new());
        let mut first: BTreeMap<ObjectId, Arc<Head>> = BTreeMap::new();
        for (path, file) in &mut self.files {
            for known in &mut file.objects {
                if let Some(first) = first.get(&known.id) {
                    duplicates.push(duplicate(&known.head, first));
                    continue;
                }
                let whole = known.whole.take();
                let fresh = match self.emitted.get(&known.id) == Some(&known.digest) {
                    true => None,
                    // Another one with this name counted meanwhile. Where the file has been broken since then, what
                    // stood in it cannot be had any more.
                    false => match whole.or_else(|| read_again(path, tree, known.digest)) {
                        Some(whole) => Some(whole),
                        None => continue,
                    },
                };
                first.insert(known.id.clone(), known.head.clone());
                objects.insert(known.id.clone(), (known.digest, fresh));
            }
        }
        (objects, duplicates)
    }
}

impl File {
    /// Whether the text is the one that was read, and nothing is being waited for.
    fn is_settled_as(&self, text: &FileText) -> bool {
        self.seen == Seen::of(text) && !is_note(&self.notes, "file-emptied")
    }

    /// Takes a new text; keeps the objects when it cannot be understood. Whether to look again.
    fn update(&mut self, path: &Arc<str>, text: &FileText) -> bool {
        let is_empty = matches!(text, FileText::Text(t) if t.trim().is_empty());
        let just_emptied = is_empty && !self.objects.is_empty() && !is_note(&self.notes, "file-emptied");
        if just_emptied {
            // The text is not taken over, so that the next scan sees a difference again and believes it.
            self.notes = vec![note(
                path,
                "file-emptied",
                "is now empty; its objects stay until the next look confirms it".into(),
            )];
            return true;
        }
        let (objects, mut notes) = read(path, text);
        if !self.objects.is_empty() && notes.iter().any(|n| n.severity == Severity::Error) {
            let message = "does not parse; its objects stay as they were";
            notes.push(note(path, "file-kept", message.into()));
        } else {
            self.objects = objects;
        }
        self.notes = notes;
        self.seen = Seen::of(text);
        false
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
