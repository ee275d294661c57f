//! One root after another. Proxies must believe a root before they meet a certificate that it signed, and for as long
//! as one lives. So a new root is first announced, and the one before signs on; then it signs, and the one before is
//! trusted until the last certificate that it gave has ended. Pure over time: who calls says what time it is.

use crate::root::Root;
use mesh_runtime::tls::material::CaBundle;
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

/// How long a root is trusted before it signs. A proxy that is connected knows of it after a second.
pub(crate) const ANNOUNCED: Duration = Duration::from_secs(30);

/// What signs, what will, and what did.
pub(crate) struct Succession {
    signing: Arc<Root>,
    /// Signs from this time on.
    next: Option<(Arc<Root>, SystemTime)>,
    past: Vec<Past>,
    /// What the place remembers.
    beside: Beside,
    /// When the last certificate ends that [`Self::signing`] gave.
    issued_until: SystemTime,
    bundle: Arc<CaBundle>,
}

/// Roots of one that signed before, trusted until this time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    /// The roots.
    pub roots: Arc<CaBundle>,
    /// Its last certificate has ended then.
    pub until: SystemTime,
}

/// What is trusted beside the root that signs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Beside {
    /// Roots of the one that is to sign next: who announces it sees to it that everybody knows them before.
    pub next: Option<Arc<CaBundle>>,
    /// Of those that signed before.
    pub past: Vec<Past>,
}

impl Succession {
    pub(crate) fn new(root: Root) -> Self {
        let (bundle, signing) = (root.bundle().clone(), Arc::new(root));
        Succession {
            signing,
            next: None,
            past: Vec::new(),
            beside: Beside::default(),
            issued_until: SystemTime::UNIX_EPOCH,
            bundle,
        }
    }

    /// What signs now.
    pub(crate) fn signing(&self) -> &Arc<Root> {
        &self.signing
    }

    /// All roots that are trusted now.
    pub(crate) fn bundle(&self) -> &Arc<CaBundle> {
        &self.bundle
    }

    /// The signing root gave a certificate that ends then.
    pub(crate) fn issued(&mut self, not_after: SystemTime) {
        self.issued_until = self.issued_until.max(not_after);
    }

    /// What waits to sign.
    pub(crate) fn next(&self) -> Option<&Arc<Root>> {
        self.next.as_ref().map(|(next, _)| next)
    }

    /// What is remembered here alone.
    pub(crate) fn past(&self) -> &[Past] {
        &self.past
    }

    /// What the place remembers.
    pub(crate) fn beside(&self) -> &Beside {
        &self.beside
    }

    /// Takes what the place remembers now.
    pub(crate) fn remember(&mut self, beside: Beside) {
        self.beside = beside;
        self.gather();
    }

    /// When the last certificate ends that the signing root gave.
    pub(crate) fn issued_until(&self) -> SystemTime {
        self.issued_until
    }

    /// Takes a root that the operator has put in place of the last one. With the same signing certificate it counts at
    /// once: which roots are trusted beside it is the operator's to say. So does one that was announced, and any when
    /// nothing that is signed now is believed.
    pub(crate) fn offer(&mut self, root: Root, beside: Beside, now: SystemTime) {
        let root = Arc::new(root);
        let was_announced = self.beside.next.as_ref().is_some_and(|next| has_all(next, root.vouching()));
        self.remember(beside);
        if root.signs_as(&self.signing) {
            (self.signing, self.next) = (root, None);
        } else {
            let from = match &self.next {
                _ if was_announced || self.signing.not_after() <= now => now,
                Some((next, from)) if root.signs_as(next) => *from,
                _ => now + ANNOUNCED,
            };
            self.next = Some((root, from));
        }
        self.gather();
    }

    /// What the time makes of it. Whether anything became different.
    pub(crate) fn turn(&mut self, now: SystemTime) -> bool {
        let mut turned = false;
        if let Some((next, _)) = self.next.take_if(|(_, from)| *from <= now) {
            let before = std::mem::replace(&mut self.signing, next);
            // None of its certificates outlives it.
            let until = self.issued_until.min(before.not_after());
            self.past.push(Past { roots: before.vouching().clone(), until });
            self.issued_until = now;
            turned = true;
        }
        let count = self.past.len() + self.beside.past.len();
        self.beside.past.retain(|past| past.until > now);
        let kept = &self.beside.past;
        let is_kept =
            |past: &Past| kept.iter().any(|kept| kept.until >= past.until && has_all(&kept.roots, &past.roots));
        self.past.retain(|past| past.until > now && !is_kept(past));
        turned |= self.past.len() + self.beside.past.len() != count;
        if turned {
            self.gather();
        }
        turned
    }

    fn gather(&mut self) {
        let next = self.next.iter().map(|(next, _)| next.bundle()).chain(&self.beside.next);
        let past = self.past.iter().chain(&self.beside.past).map(|past| &past.roots);
        let all = next.chain(past).fold(self.signing.bundle().clone(), |all, roots| Arc::new(all.and(roots)));
        self.bundle = all;
    }
}

fn has_all(roots: &CaBundle, wanted: &CaBundle) -> bool {
    wanted.certificates().iter().all(|root| roots.certificates().contains(root))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{root::self_signed, store::Stored};
    use mesh_config::identity::TrustDomain;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn made(now: SystemTime) -> Stored {
        self_signed(&TrustDomain::default(), now).unwrap()
    }

    fn root(stored: &Stored, now: SystemTime) -> Root {
        Root::from_stored(stored, now).unwrap()
    }

    fn together(stored: &[&Stored]) -> CaBundle {
        CaBundle::from_pem(stored.iter().map(|s| &*s.roots).collect::<String>().as_bytes()).unwrap()
    }

    #[test]
    fn a_new_root_is_trusted_then_signs_and_the_old_one_is_trusted_until_its_last_certificate_ends() {
        let now = mesh_runtime::clock::system_now();
        let (old, new) = (made(now), made(now));
        let (old_root, new_root) = (root(&old, now), root(&new, now));
        let mut succession = Succession::new(root(&old, now));
        succession.issued(now + DAY);
        succession.offer(root(&new, now), Beside::default(), now);
        assert_eq!(**succession.bundle(), together(&[&old, &new]));
        assert!(succession.signing().signs_as(&old_root));
        // As a directory that is looked at again offers it; the time does not begin anew.
        succession.offer(root(&new, now), Beside::default(), now + ANNOUNCED / 2);
        assert!(!succession.turn(now + ANNOUNCED - Duration::from_secs(1)));

        // It signed on meanwhile.
        succession.issued(now + DAY + ANNOUNCED);
        assert!(succession.turn(now + ANNOUNCED));
        assert!(succession.signing().signs_as(&new_root));
        assert_eq!(**succession.bundle(), together(&[&old, &new]));
        assert!(!succession.turn(now + DAY));
        assert!(succession.turn(now + DAY + ANNOUNCED));
        assert_eq!(**succession.bundle(), together(&[&new]));
    }

    #[test]
    fn roots_beside_the_same_signing_certificate_come_and_go_at_once() {
        let now = mesh_runtime::clock::system_now();
        let (own, other) = (made(now), made(now));
        let both = Stored { roots: [&*own.roots, &*other.roots].concat(), ..made(now) };
        let both = Stored { certificate: own.certificate.clone(), key: own.key.text().to_owned().into(), ..both };
        let mut succession = Succession::new(root(&own, now));
        succession.offer(root(&both, now), Beside::default(), now);
        assert_eq!(**succession.bundle(), together(&[&own, &other]));
        succession.offer(root(&own, now), Beside::default(), now);
        assert_eq!(**succession.bundle(), together(&[&own]));
    }

    #[test]
    fn of_what_was_trusted_only_the_roots_of_what_signed_outlive_it() {
        let now = mesh_runtime::clock::system_now();
        let (old, other, new) = (made(now), made(now), made(now));
        let before = Stored {
            certificate: old.certificate.clone(),
            key: old.key.text().to_owned().into(),
            chain: String::new(),
            roots: [&*old.roots, &*other.roots].concat(),
        };
        let mut succession = Succession::new(root(&before, now));
        succession.issued(now + DAY);
        succession.offer(root(&new, now), Beside::default(), now);
        assert!(succession.turn(now + ANNOUNCED));
        assert_eq!(**succession.bundle(), together(&[&old, &new]));
    }

    #[test]
    fn a_root_that_is_taken_back_before_it_signs_never_does() {
        let now = mesh_runtime::clock::system_now();
        let (old, new) = (made(now), made(now));
        let mut succession = Succession::new(root(&old, now));
        succession.offer(root(&new, now), Beside::default(), now);
        succession.offer(root(&old, now), Beside::default(), now);
        assert!(!succession.turn(now + ANNOUNCED));
        assert_eq!(**succession.bundle(), together(&[&old]));
    }

    #[test]
    fn a_root_that_was_announced_signs_at_once_and_what_is_kept_elsewhere_is_not_kept_here() {
        let now = mesh_runtime::clock::system_now();
        let (old, new) = (made(now), made(now));
        let roots = |stored: &Stored| root(stored, now).vouching().clone();
        let mut succession = Succession::new(root(&old, now));
        succession.issued(now + DAY);
        let announced = Beside { next: Some(roots(&new)), past: Vec::new() };
        succession.offer(root(&old, now), announced.clone(), now);
        assert!(!succession.turn(now + ANNOUNCED));
        assert_eq!(**succession.bundle(), together(&[&old, &new]));
        assert!(succession.signing().signs_as(&root(&old, now)));

        let kept = |until| Beside { past: vec![Past { roots: roots(&old), until }], ..announced.clone() };
        succession.offer(root(&new, now), kept(now + DAY), now);
        assert!(succession.turn(now));
        assert!(succession.signing().signs_as(&root(&new, now)));
        assert_eq!(succession.past(), []);
        assert_eq!(**succession.bundle(), together(&[&old, &new]));
        // Whoever keeps it lets it go.
        succession.offer(root(&new, now), Beside::default(), now + ANNOUNCED);
        assert_eq!(**succession.bundle(), together(&[&new]));
    }

    #[test]
    fn what_is_kept_elsewhere_for_less_time_than_its_certificates_live_is_kept_here_too() {
        let now = mesh_runtime::clock::system_now();
        let (old, new) = (made(now), made(now));
        let roots = root(&old, now).vouching().clone();
        let mut succession = Succession::new(root(&old, now));
        succession.issued(now + 2 * DAY);
        succession.offer(root(&new, now), Beside::default(), now);
        succession.turn(now + ANNOUNCED);
        let kept = Beside { next: None, past: vec![Past { roots: roots.clone(), until: now + DAY }] };
        succession.offer(root(&new, now), kept, now + ANNOUNCED);
        succession.turn(now + DAY);
        assert_eq!(succession.past(), [Past { roots, until: now + 2 * DAY }]);
        assert_eq!(**succession.bundle(), together(&[&old, &new]));
    }

    #[test]
    fn in_the_place_of_a_root_that_has_ended_another_signs_at_once_and_alone() {
        let now = mesh_runtime::clock::system_now();
        let late = now + 3651 * DAY;
        let (old, new) = (made(now), made(late));
        let mut succession = Succession::new(root(&old, now));
        succession.issued(late + DAY);
        succession.offer(root(&new, late), Beside::default(), late);
        assert!(succession.turn(late));
        assert!(succession.signing().signs_as(&root(&new, late)));
        assert_eq!(**succession.bundle(), together(&[&new]));
    }
}
