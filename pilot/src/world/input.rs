//! One object as received, and the version of it that is in force.
//!
//! An object that has errors does not simply vanish. Its last good version stays. Where there is none, the rest of it is in
//! force when the errors are about servers, rules or hosts that can be left out; and where the object narrows access, something that narrows all the way stands in for it (see [`stand_in`]).

use super::stand_in;
use crate::object::InForce;
use mesh_config::{
    crd::{self, Head, PackedObject, ParseContext, Parsed},
    diagnostic::{Diagnostic, Severity},
};
use std::sync::Arc;

/// Code of the finding while something stands in for an object.
pub(crate) const STANDS_IN: &str = "stands-in";

/// An object of one source. What it was read from is gone, unless MeshConfig may make it mean something else.
pub(super) struct Input {
    /// As it was last received.
    latest: Arc<Head>,
    source: Option<Arc<PackedObject>>,
    /// The source has shown it since this process began; otherwise it is known from kept state alone.
    pub(super) seen: bool,
    /// What is in force.
    pub(super) good: Option<Good>,
    /// About the latest.
    pub(super) notes: Vec<Diagnostic>,
}

/// A version in force.
pub(super) struct Good {
    pub(super) head: Arc<Head>,
    pub(super) parsed: Parsed,
    source: Option<Arc<PackedObject>>,
    how: How,
}

/// Why this version is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// It is the latest.
    Latest,
    /// The latest has errors; this is the last good one.
    LastGood,
    /// The latest has errors about entries that can be left out, and no good version is known; this is the rest.
    InPart,
    /// The latest has errors, no good version is known, and the object narrows access: this denies instead.
    StandIn,
}

impl Good {
    pub(super) fn how(&self) -> How {
        self.how
    }
}

impl Input {
    /// `before`: what was known of the object until now. And whether that makes a difference: much of what changes in
    /// an API server is none of the mesh's business.
    pub(super) fn read(packed: &Arc<PackedObject>, before: Option<Input>, context: &ParseContext) -> (Self, bool) {
        let object = &packed.unpack();
        let source = crd::depends_on_context(&packed.group_kind()).then(|| packed.clone());
        let latest = &object.head;
        let (parsed, mut notes) = crd::parse(object, context);
        let has_errors = notes.iter().any(|note| note.severity == Severity::Error);
        let says_the_same = |before: &Input| {
            let good = before.good.as_ref().is_none_or(|good| good.how == How::Latest);
            let parsed_before = before.good.as_ref().map(|good| &good.parsed);
            good && before.seen && before.latest == *latest && before.notes == notes && parsed_before == parsed.as_ref()
        };
        let is_news = has_errors
            || match &before {
                Some(before) => !says_the_same(before),
                None => parsed.is_some() || !notes.is_empty(),
            };
        let now = |parsed, how| Good { head: latest.clone(), parsed, source: source.clone(), how };
        let good = match parsed {
            Some(parsed) if !has_errors => Some(now(parsed, How::Latest)),
            Some(parsed) => {
                last_good(before.filter(Input::was_good), latest, context).or_else(|| Some(now(parsed, How::InPart)))
            }
            None if has_errors => last_good(before, latest, context)
                .or_else(|| stand_in::of(object, context).map(|parsed| now(parsed, How::StandIn))),
            None => None,
        };
        match good.as_ref().map(|good| good.how) {
            Some(How::LastGood) => notes.push(note(latest, "last-good-kept", KEPT.to_owned())),
            Some(How::InPart) => notes.push(note(latest, "in-force-in-part", IN_PART.to_owned())),
            Some(How::StandIn) => notes.push(note(latest, STANDS_IN, stand_in::describe(latest))),
            Some(How::Latest) | None => {}
        }
        (Input { latest: latest.clone(), source, seen: true, good, notes }, is_news)
    }

    /// With what MeshConfig says now.
    pub(super) fn read_again(&mut self, context: &ParseContext) {
        let Some(source) = self.source.take() else { return };
        let (latest, good) = (self.latest.clone(), self.good.take());
        let before = Input { latest, source: None, seen: true, good, notes: Vec::new() };
        *self = Input::read(&source, Some(before), context).0;
    }

    /// From kept state: in force until its source shows the object, or is known not to have it.
    pub(super) fn restored(latest: Arc<Head>, parsed: Parsed) -> Self {
        let message = "its source cannot be read whole; the version from before the restart stays in force";
        let notes = vec![note(&latest, "last-good-kept", message.to_owned())];
        let good = Good { head: latest.clone(), parsed, source: None, how: How::LastGood };
        Input { latest, source: None, seen: false, good: Some(good), notes }
    }

    /// What of it is in force.
    pub(super) fn in_force(&self) -> InForce {
        match self.good.as_ref().map(|good| good.how) {
            Some(How::Latest) => InForce::Latest,
            Some(How::LastGood) => InForce::LastGood,
            Some(How::InPart) => InForce::InPart,
            Some(How::StandIn) => InForce::StandIn,
            None => InForce::Nothing,
        }
    }

    /// Whether what is in force was once good as a whole.
    fn was_good(&self) -> bool {
        self.good.as_ref().is_some_and(|good| matches!(good.how, How::Latest | How::LastGood))
    }

    /// Whether something is different without it.
    pub(super) fn is_missed(&self) -> bool {
        self.good.is_some() || !self.notes.is_empty()
    }

    /// As it was last received.
    pub(super) fn latest(&self) -> &Arc<Head> {
        &self.latest
    }
}

const KEPT: &str = "has errors, so its last good version stays in force until it is fixed or deleted";

const IN_PART: &str =
    "has errors and was never good: the entries that they are about are left out, the rest is in force";

fn last_good(before: Option<Input>, latest: &Arc<Head>, context: &ParseContext) -> Option<Good> {
    let before = before?;
    let good = before.good.filter(|good| good.how != How::StandIn)?;
    if !before.seen {
        // Kept state knows what the object meant, not where it stands and how old it is.
        return Some(Good { head: latest.clone(), how: How::LastGood, ..good });
    }
    // Where MeshConfig leaves nothing of it, it stays as it was.
    let again = good.source.as_ref().and_then(|source| crd::parse(&source.unpack(), context).0);
    Some(Good { parsed: again.unwrap_or(good.parsed), how: How::LastGood, ..good })
}

pub(super) fn note(object: &Head, code: &'static str, message: String) -> Diagnostic {
    Diagnostic {
        severity: Severity::Warning,
        code,
        object: object.reference(),
        field: String::new(),
        message,
        origin: object.origin.clone(),
    }
}
