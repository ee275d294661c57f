//! One object as received, and the version of it that is in force.
//!
//! An object that has errors does not simply vanish. Its last good version stays; where there is none and the object
//! narrows access, something that narrows all the way stands in for it (see [`stand_in`]).

use super::stand_in;
use mesh_config::{
    crd::{self, Object, ParseContext, Parsed},
    diagnostic::{Diagnostic, Severity},
};
use std::sync::Arc;

/// Code of the finding while something stands in for an object.
pub(crate) const STANDS_IN: &str = "stands-in";

/// An object of one source.
pub(super) struct Input {
    /// As it was last received.
    latest: Arc<Object>,
    /// The source has shown it since this process began; otherwise it is known from kept state alone.
    pub(super) seen: bool,
    /// What is in force.
    pub(super) good: Option<Good>,
    /// About the latest.
    pub(super) notes: Vec<Diagnostic>,
}

/// A version in force.
pub(super) struct Good {
    pub(super) object: Arc<Object>,
    pub(super) parsed: Parsed,
    how: How,
}

/// Why this version is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// It is the latest.
    Latest,
    /// The latest has errors; this is the last good one.
    LastGood,
    /// The latest has errors, no good version is known, and the object narrows access: this denies instead.
    StandIn,
}

impl Good {
    pub(super) fn how(&self) -> How {
        self.how
    }
}

impl Input {
    /// `before`: what was known of the object until now.
    pub(super) fn read(latest: Arc<Object>, before: Option<Input>, context: &ParseContext) -> Self {
        let (parsed, mut notes) = crd::parse(&latest, context);
        let has_errors = notes.iter().any(|note| note.severity == Severity::Error);
        let good = match parsed {
            Some(parsed) => Some(Good { object: latest.clone(), parsed, how: How::Latest }),
            None if has_errors => last_good(before, &latest, context).or_else(|| {
                let parsed = stand_in::of(&latest, context)?;
                Some(Good { object: latest.clone(), parsed, how: How::StandIn })
            }),
            None => None,
        };
        match good.as_ref().map(|good| good.how) {
            Some(How::LastGood) => notes.push(note(&latest, "last-good-kept", KEPT.to_owned())),
            Some(How::StandIn) => notes.push(note(&latest, STANDS_IN, stand_in::describe(&latest))),
            Some(How::Latest) | None => {}
        }
        Input { latest, seen: true, good, notes }
    }

    /// With what MeshConfig says now.
    pub(super) fn read_again(&mut self, context: &ParseContext) {
        if self.seen {
            let before = Input { latest: self.latest.clone(), seen: true, good: self.good.take(), notes: Vec::new() };
            *self = Input::read(self.latest.clone(), Some(before), context);
        }
    }

    /// From kept state: in force until its source shows the object, or is known not to have it.
    pub(super) fn restored(object: Object, parsed: Parsed) -> Self {
        let latest = Arc::new(object);
        let message = "its source cannot be read whole; the version from before the restart stays in force";
        let notes = vec![note(&latest, "last-good-kept", message.to_owned())];
        Input { good: Some(Good { object: latest.clone(), parsed, how: How::LastGood }), latest, seen: false, notes }
    }

    /// As it was last received.
    pub(super) fn latest(&self) -> &Arc<Object> {
        &self.latest
    }
}

const KEPT: &str = "has errors, so its last good version stays in force until it is fixed or deleted";

fn last_good(before: Option<Input>, latest: &Arc<Object>, context: &ParseContext) -> Option<Good> {
    let before = before?;
    let good = before.good.filter(|good| good.how != How::StandIn)?;
    if !before.seen {
        // Kept state knows what the object meant, not where it stands and how old it is.
        return Some(Good { object: latest.clone(), how: How::LastGood, ..good });
    }
    // Where MeshConfig leaves nothing of it, it stays as it was.
    let parsed = crd::parse(&good.object, context).0.unwrap_or(good.parsed);
    Some(Good { object: good.object, parsed, how: How::LastGood })
}

fn note(object: &Object, code: &'static str, message: String) -> Diagnostic {
    Diagnostic {
        severity: Severity::Warning,
        code,
        object: object.reference(),
        field: String::new(),
        message,
        origin: object.origin.clone(),
    }
}
