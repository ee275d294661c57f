//! Tells in time that what signs, or a root of it, comes to its end: at half of its life, at three quarters and at nine
//! tenths, each once. What is trusted only until it goes anyway is not told of.

use crate::counted::{Counted, Role};
use mesh_runtime::telemetry::metrics::{RegisterError, Registry};
use prometheus::{GaugeVec, Opts};
use std::{collections::BTreeMap, time::SystemTime};

/// The parts of a life at which it is told, in percent.
pub const LEVELS: [u8; 3] = [50, 75, 90];

/// The highest level that a life has come to; `None`: it is in its first half.
pub fn level(used: f64) -> Option<u8> {
    LEVELS.into_iter().rev().find(|level| used * 100.0 >= f64::from(*level))
}

/// What was told already.
#[derive(Debug)]
pub struct Alarms {
    life: GaugeVec,
    told: BTreeMap<String, u8>,
}

/// A life has come to a level.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Alarm {
    what: Role,
    fingerprint: String,
    level: u8,
    ends: SystemTime,
}

impl Alarms {
    /// Registers `mesh_ca_certificate_life_ratio{certificate,sha256}`.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn new(registry: &Registry) -> Result<Self, RegisterError> {
        let help = "Part of the life of the authority's certificates that is over, 0 to 1";
        let life = GaugeVec::new(Opts::new("mesh_ca_certificate_life_ratio", help), &["certificate", "sha256"])?;
        Ok(Alarms { life: registry.register(life)?, told: BTreeMap::new() })
    }

    /// Measures, and logs what is new.
    pub fn look(&mut self, certificates: &[Counted], now: SystemTime) {
        self.life.reset();
        for counted in certificates.iter().filter(|counted| is_lasting(counted)) {
            let labels = [counted.role.word(), &counted.fingerprint];
            self.life.with_label_values(&labels).set(counted.used(now));
        }
        for Alarm { what, fingerprint, level, ends } in self.new_ones(certificates, now) {
            let left = ends.duration_since(now).unwrap_or_default().as_secs() / (24 * 3600);
            let (certificate, mend) = (what.word(), "docs/operations/certificates.md says how another takes its place");
            match level {
                90.. => tracing::error!(
                    certificate,
                    sha256 = fingerprint,
                    life = level,
                    days_left = left,
                    mend,
                    "a certificate of the authority comes to its end"
                ),
                _ => tracing::warn!(
                    certificate,
                    sha256 = fingerprint,
                    life = level,
                    days_left = left,
                    mend,
                    "a certificate of the authority grows old"
                ),
            }
        }
    }

    fn new_ones(&mut self, certificates: &[Counted], now: SystemTime) -> Vec<Alarm> {
        self.told.retain(|told, _| certificates.iter().any(|counted| counted.fingerprint == *told));
        let mut alarms = Vec::new();
        for counted in certificates.iter().filter(|counted| is_lasting(counted)) {
            let Some(level) = level(counted.used(now)) else { continue };
            if self.told.get(&counted.fingerprint).is_none_or(|told| *told < level) {
                self.told.insert(counted.fingerprint.clone(), level);
                let fingerprint = counted.fingerprint.clone();
                alarms.push(Alarm { what: counted.role, fingerprint, level, ends: counted.not_after });
            }
        }
        alarms
    }
}

fn is_lasting(counted: &Counted) -> bool {
    match counted.role {
        Role::Root | Role::Intermediate | Role::Next | Role::Other => true,
        Role::Past => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_runtime::testing::capture_logs;
    use std::time::Duration;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn of(role: Role, fingerprint: &str) -> Counted {
        Counted { role, fingerprint: fingerprint.to_owned(), not_before: at(0), not_after: at(100), until: None }
    }

    #[test]
    fn each_level_is_told_once_and_only_of_what_is_to_last() {
        let mut alarms = Alarms::new(&Registry::new()).unwrap();
        let all = [of(Role::Root, "a"), of(Role::Intermediate, "b"), of(Role::Past, "c")];
        let mut told = |certificates: &[Counted], now| {
            let new = alarms.new_ones(certificates, at(now)).into_iter();
            new.map(|alarm| (alarm.fingerprint, alarm.level)).collect::<Vec<_>>()
        };
        let both = |level| vec![("a".to_owned(), level), ("b".to_owned(), level)];
        assert_eq!(told(&all, 49), []);
        assert_eq!(told(&all, 50), both(50));
        assert_eq!(told(&all, 74), []);
        assert_eq!(told(&all, 75), both(75));
        assert_eq!(told(&all, 90), both(90));
        assert_eq!(told(&all, 200), []);
        // Another in its place, and the first again.
        assert_eq!(told(&[of(Role::Root, "d")], 60), [("d".to_owned(), 50)]);
        assert_eq!(told(&all[..1], 60), [("a".to_owned(), 50)]);
    }

    #[test]
    fn what_is_told_is_a_line_and_what_is_measured_a_ratio() {
        let registry = Registry::new();
        let mut alarms = Alarms::new(&registry).unwrap();
        let (logs, _guard) = capture_logs();
        for _ in 0..3 {
            alarms.look(&[of(Role::Root, "a")], at(92));
        }
        let text = logs.text();
        assert_eq!(text.matches("comes to its end").count(), 1, "{text}");
        let metrics = registry.render();
        assert!(
            metrics.contains("mesh_ca_certificate_life_ratio{certificate=\"root\",sha256=\"a\"} 0.92"),
            "{metrics}"
        );
    }
}
