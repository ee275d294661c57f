//! The certificates that an authority counts on, each with what it is for and how far its life is. Pure: who asks says what
//! time it is.

use crate::succession::Succession;
use aws_lc_rs::digest::{SHA256, digest};
use mesh_runtime::tls::{material::CaBundle, verify::PeerCertificate};
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use std::time::SystemTime;

/// What a certificate is for. Of several the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// A root that vouches for what is signed now.
    Root,
    /// Between such a root and what is signed now.
    Intermediate,
    /// A root of what is to sign next.
    Next,
    /// A root of what signed before.
    Past,
    /// A root that the operator wishes to be trusted besides.
    Other,
}

impl Role {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Role::Root => "root",
            Role::Intermediate => "intermediate",
            Role::Next => "next",
            Role::Past => "past",
            Role::Other => "other",
        }
    }
}

/// A certificate that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// What for.
    pub role: Role,
    /// SHA-256 of it, lower-case hexadecimal.
    pub fingerprint: String,
    /// Begin of its life.
    pub not_before: SystemTime,
    /// End of its life.
    pub not_after: SystemTime,
    /// Trusted until then, where that is known.
    pub until: Option<SystemTime>,
}

impl Counted {
    /// Which part of its life is over: 0 at its begin, 1 at its end, and not more.
    pub fn used(&self, now: SystemTime) -> f64 {
        let life = self.not_after.duration_since(self.not_before).unwrap_or_default().as_secs_f64();
        let lived = now.duration_since(self.not_before).unwrap_or_default().as_secs_f64();
        if lived >= life { 1.0 } else { lived / life }
    }
}

/// SHA-256 of a certificate, lower-case hexadecimal.
pub fn fingerprint(der: &[u8]) -> String {
    digest(&SHA256, der).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Of each certificate of a set.
pub fn fingerprints(roots: &CaBundle) -> Vec<String> {
    roots.certificates().iter().map(|der| fingerprint(der)).collect()
}

pub(crate) fn counted(roots: &Succession) -> Vec<Counted> {
    let mut all: Vec<Counted> = Vec::new();
    let mut add = |role: Role, certificates: &[CertificateDer<'_>], until: Option<SystemTime>| {
        for parsed in certificates.iter().filter_map(|der| PeerCertificate::parse(der).ok()) {
            let (fingerprint, not_before, not_after) = (parsed.hash, parsed.not_before, parsed.not_after);
            match all.iter_mut().find(|known| known.fingerprint == fingerprint) {
                Some(known) => known.until = known.until.max(until),
                None => all.push(Counted { role, fingerprint, not_before, not_after, until }),
            }
        }
    };
    let signing = roots.signing();
    add(Role::Root, signing.vouching().certificates(), None);
    add(Role::Intermediate, signing.intermediates(), None);
    for next in roots.next().map(|next| next.vouching()).into_iter().chain(&roots.beside().next) {
        add(Role::Next, next.certificates(), None);
    }
    for past in roots.past().iter().chain(&roots.beside().past) {
        add(Role::Past, past.roots.certificates(), Some(past.until));
    }
    add(Role::Other, roots.bundle().certificates(), None);
    // What signs again after it has signed before goes by no time.
    for known in &mut all {
        known.until = known.until.filter(|_| known.role == Role::Past);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        root::{Root, self_signed},
        store::Stored,
        succession::{Beside, Past},
    };
    use mesh_config::identity::TrustDomain;
    use std::time::Duration;

    #[test]
    fn each_certificate_is_counted_once_with_what_it_is_for() {
        let now = mesh_runtime::clock::system_now();
        let made = || self_signed(&TrustDomain::default(), now).unwrap();
        let (own, other, next, past) = (made(), made(), made(), made());
        let bundle = |stored: &Stored| Root::from_stored(stored, now).unwrap().vouching().clone();
        let both = Stored { roots: [&*own.roots, &*other.roots].concat(), ..own.clone() };
        let root = || Root::from_stored(&both, now).unwrap();
        let until = now + Duration::from_secs(60);
        let kept = vec![Past { roots: bundle(&past), until }, Past { roots: bundle(&own), until }];
        let mut roots = Succession::new(root());
        roots.offer(root(), Beside { next: Some(bundle(&next)), past: kept }, now);
        let found: Vec<_> = counted(&roots).into_iter().map(|c| (c.role, c.fingerprint, c.until)).collect();
        let of = |stored: &Stored| fingerprints(&bundle(stored)).remove(0);
        let wanted = [
            (Role::Root, of(&own), None),
            (Role::Next, of(&next), None),
            (Role::Past, of(&past), Some(until)),
            (Role::Other, of(&other), None),
        ];
        assert_eq!(found, wanted);
    }

    #[test]
    fn life_is_told_as_a_part_of_one() {
        let begin = SystemTime::UNIX_EPOCH;
        let at = |seconds| begin + Duration::from_secs(seconds);
        let counted = Counted {
            role: Role::Root,
            fingerprint: String::new(),
            not_before: at(100),
            not_after: at(300),
            until: None,
        };
        assert_eq!([0, 100, 150, 300, 900].map(|now| counted.used(at(now))), [0.0, 0.0, 0.25, 1.0, 1.0]);
    }
}
