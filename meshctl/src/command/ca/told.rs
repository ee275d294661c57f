//! What is made of the answers of pilots, and of what is written down. Pure.

use crate::report::{Report, Table};
use mesh_config::{
    root_rotation::{Phase, Request, State, Wish},
    time::Utc,
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Of a SHA-256, what tells certificates apart.
const SHORT: usize = 16;

/// Everything that was asked.
pub(crate) struct Facts {
    pub(super) state: State,
    /// What was asked for last.
    pub(super) asked: Option<Request>,
    pub(super) pilots: Vec<Pilot>,
}

/// What one pilot says, or why it says nothing.
pub(crate) struct Pilot {
    pub(crate) name: String,
    pub(crate) said: Result<Said, String>,
}

/// What one pilot says.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Said {
    place: String,
    pub(crate) certificates: Vec<Certificate>,
    clients: usize,
    behind: usize,
    rotation: Option<Under>,
    #[serde(skip)]
    whole: Value,
}

/// A certificate that counts.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Certificate {
    pub(crate) role: String,
    sha256: String,
    not_after: i64,
    pub(crate) life: u8,
    alarm: Option<u8>,
    until: Option<i64>,
}

/// A rotation, as the pilot that leads sees it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Under {
    waiting: Vec<String>,
}

impl Pilot {
    pub(crate) fn of(name: String, said: Result<Value, String>) -> Self {
        let read = |whole: Value| {
            let said: Result<Said, _> = serde_json::from_value(whole.clone());
            said.map(|said| Said { whole, ..said }).map_err(|_| "what it says is not understood".to_owned())
        };
        Pilot { name, said: said.and_then(read) }
    }
}

impl Certificate {
    /// What is told of its age, where something is to be.
    pub(crate) fn alarm(&self) -> Option<String> {
        self.alarm?;
        let ends = Utc::of_seconds(self.not_after);
        Some(format!(
            "{} % of the life of the authority's {} certificate is over: it ends {ends}",
            self.life, self.role
        ))
    }

    /// As a part of a line.
    pub(crate) fn age(&self) -> String {
        format!("{} ends {}, {} % of its life is over", self.role, Utc::of_seconds(self.not_after), self.life)
    }

    fn note(&self) -> String {
        match (&*self.role, self.until) {
            ("root" | "intermediate", _) => "signs".to_owned(),
            ("next", _) => "is to sign next".to_owned(),
            ("past", Some(until)) => format!("signed before; trusted until {}", Utc::of_seconds(until)),
            ("past", None) => "signed before".to_owned(),
            _ => "trusted".to_owned(),
        }
    }
}

impl Facts {
    /// Whether nothing is under way.
    pub(super) fn is_done(&self) -> bool {
        self.state.phase == Phase::Idle
    }

    fn said(&self) -> impl Iterator<Item = &Said> {
        self.pilots.iter().filter_map(|pilot| pilot.said.as_ref().ok())
    }

    /// Why it need not be asked.
    pub(super) fn refusal(&self, wish: Wish) -> Option<String> {
        let place = &self.said().next()?.place;
        if !place.starts_with("Secret ") {
            return Some(format!(
                "the root is in files ({place}): put others there, and they are taken over with an overlap"
            ));
        }
        if place.ends_with("/cacerts") {
            return Some(format!("the root is of {place}: write another there, and it is taken over with an overlap"));
        }
        match (wish, self.state.phase) {
            (Wish::Rotate, Phase::Announcing | Phase::Switching) => {
                Some("a rotation is under way: meshctl ca status says how far it is, --abort gives it up".to_owned())
            }
            (Wish::Abort, Phase::Idle) => Some("no rotation is under way".to_owned()),
            _ => None,
        }
    }

    /// What a request waits for.
    pub(super) fn waits_for(&self, request: &Request) -> Vec<String> {
        if self.state.handled != request.id {
            let silent = self.pilots.iter().filter_map(|pilot| Some((&pilot.name, pilot.said.as_ref().err()?)));
            let silent = silent.map(|(name, reason)| format!("{name} cannot be asked: {reason}"));
            return std::iter::once("a pilot that leads to take it up".to_owned()).chain(silent).collect();
        }
        let under = self.said().filter_map(|said| said.rotation.as_ref());
        under.flat_map(|under| under.waiting.iter().cloned()).collect()
    }

    pub(super) fn report(&self) -> Report {
        let pilots = self.pilots.iter().map(|pilot| match &pilot.said {
            Ok(said) => json!({"name": pilot.name, "said": said.whole}),
            Err(reason) => json!({"name": pilot.name, "error": reason}),
        });
        let asked = self.asked.as_ref().map(ToString::to_string);
        let value = json!({"pilots": pilots.collect::<Vec<_>>(), "state": self.state, "asked": asked});
        Report::text(self.text(), value)
    }

    /// For a person.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        if let Some(first) = self.said().next() {
            let mut table = Table::new(&["CERTIFICATE", "SHA-256", "LIFE", "ENDS", "WHAT FOR"]).padded(3);
            for one in &first.certificates {
                let ends = Utc::of_seconds(one.not_after).to_string();
                let sha = one.sha256.get(..SHORT).unwrap_or(&one.sha256).to_owned();
                table.push(vec![one.role.clone(), sha, format!("{} %", one.life), ends, one.note()]);
            }
            text.push_str(&table.render());
            let _ = write!(text, "\nkept in {}\n", first.place);
            let counts =
                |said: &Said| said.certificates.iter().map(|one| (one.role.clone(), one.sha256.clone())).collect();
            let counts: Vec<Vec<_>> = self.said().map(counts).collect();
            if counts.iter().any(|other| *other != counts[0]) {
                text.push_str("pilots do not agree yet: each looks every few seconds\n");
            }
        }
        let (clients, behind) = self.said().fold((0, 0), |(all, late), said| (all + said.clients, late + said.behind));
        let _ = writeln!(text, "{} of {clients} proxies know all of it", clients - behind);
        self.rotation(&mut text);
        for pilot in &self.pilots {
            if let Err(reason) = &pilot.said {
                let _ = write!(text, "\n✘ {} cannot be asked: {reason}\n", pilot.name);
            }
        }
        for alarm in self.said().next().iter().flat_map(|said| &said.certificates).filter_map(Certificate::alarm) {
            let _ = write!(text, "\n✘ {alarm}\n  {MEND}\n");
        }
        text
    }

    fn rotation(&self, text: &mut String) {
        let since = Utc::of_seconds(i64::try_from(self.state.since).unwrap_or_default());
        let _ = match self.state.phase {
            Phase::Idle if self.state.past.is_empty() => writeln!(text, "no rotation is under way"),
            Phase::Idle => writeln!(text, "rotated {since}; what signed before is still trusted"),
            Phase::Announcing => {
                writeln!(text, "rotating since {since}: another root is trusted, and signs when everybody knows it")
            }
            Phase::Switching => writeln!(text, "rotating: the other root takes its place"),
        };
        if !self.state.said.is_empty() {
            let _ = writeln!(text, "last answer: {}", self.state.said);
        }
        if let Some(request) = self.asked.as_ref().filter(|request| request.id != self.state.handled) {
            let word = request.to_string();
            let _ = writeln!(text, "asked for and not answered yet: {}", word.split(' ').next().unwrap_or_default());
        }
        for waiting in self.said().filter_map(|said| said.rotation.as_ref()).flat_map(|under| &under.waiting) {
            let _ = writeln!(text, "  waits: {waiting}");
        }
    }
}

/// What mends a certificate that grows old.
pub(crate) const MEND: &str = "a root of our own: meshctl ca rotate; one of Secret cacerts: write another there (docs/operations/certificates.md)";

#[cfg(test)]
mod tests;
