//! What a pilot says about the root: to people, and to the pilot that leads a rotation.

use mesh_ca::{
    Authority, alarm,
    counted::{Counted, Role},
};
use mesh_config::root_rotation::Phase;
use serde::{Deserialize, Serialize};
use std::time::SystemTime;

/// Most clients that are named.
pub(crate) const NAMED: usize = 20;

/// What one pilot says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Report {
    /// Where the root is kept.
    pub(crate) place: String,
    /// What counts.
    pub(crate) certificates: Vec<Certificate>,
    /// When the last certificate ends of what signs now, in seconds since 1970.
    pub(crate) issued_until: u64,
    /// SHA-256 of the roots that clients are told.
    pub(crate) told: Vec<String>,
    /// How many are connected.
    pub(crate) clients: usize,
    /// How many of them have not acknowledged that.
    pub(crate) behind: usize,
    /// Some of those.
    pub(crate) behind_names: Vec<String>,
    /// How far a rotation is; absent where this pilot does not lead.
    pub(crate) rotation: Option<Under>,
}

/// A certificate that counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Certificate {
    pub(crate) role: Role,
    pub(crate) sha256: String,
    /// In seconds since 1970.
    pub(crate) not_before: u64,
    pub(crate) not_after: u64,
    /// Part of its life that is over, in percent.
    pub(crate) life: u8,
    /// Of that the highest level at which it is told, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) alarm: Option<u8>,
    /// Trusted until then, in seconds since 1970; absent: until somebody says otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) until: Option<u64>,
}

/// A rotation, as the pilot that leads sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Under {
    pub(crate) phase: Phase,
    /// When the phase began, in seconds since 1970.
    pub(crate) since: u64,
    /// What came of the last request.
    pub(crate) said: String,
    /// What it waits for.
    pub(crate) waiting: Vec<String>,
}

impl Report {
    /// What the authority says.
    pub(crate) fn of(authority: &Authority, place: String, now: SystemTime) -> Self {
        let certificates = authority.certificates();
        let certificates = certificates.into_iter().map(|counted| Certificate::of(&counted, now)).collect();
        Report { place, certificates, issued_until: unix(authority.issued_until()), ..Report::default() }
    }

    /// Whether this pilot takes all of these for roots, and has told its clients.
    pub(crate) fn knows(&self, wanted: &[String]) -> bool {
        let trusts = |wanted: &String| self.certificates.iter().any(|one| one.sha256 == *wanted);
        wanted.iter().all(|wanted| trusts(wanted) && self.told.contains(wanted))
    }
}

impl Certificate {
    fn of(counted: &Counted, now: SystemTime) -> Self {
        let used = counted.used(now);
        Certificate {
            role: counted.role,
            sha256: counted.fingerprint.clone(),
            not_before: unix(counted.not_before),
            not_after: unix(counted.not_after),
            life: (used * 100.0).floor() as u8,
            alarm: alarm::level(used).filter(|_| counted.role != Role::Past),
            until: counted.until.map(unix),
        }
    }
}

pub(crate) fn unix(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}
