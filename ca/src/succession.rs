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
    /// When the last certificate ends that [`Self::signing`] gave.
    issued_until: SystemTime,
    bundle: Arc<CaBundle>,
}

/// Roots of one that signed before, trusted until this time.
struct Past {
    roots: Arc<CaBundle>,
    until: SystemTime,
}

impl Succession {
    pub(crate) fn new(root: Root) -> Self {
        let (bundle, signing) = (root.bundle().clone(), Arc::new(root));
        Succession { signing, next: None, past: Vec::new(), issued_until: SystemTime::UNIX_EPOCH, bundle }
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

    /// Takes a root that the operator has put in place of the last one. With the same signing certificate it counts at
    /// once: which roots are trusted beside it is the operator's to say.
    pub(crate) fn offer(&mut self, root: Root, now: SystemTime) {
        let root = Arc::new(root);
        if root.signs_as(&self.signing) {
            (self.signing, self.next) = (root, None);
        } else {
            let from = match &self.next {
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
            self.past.push(Past { roots: before.vouching().clone(), until: self.issued_until });
            self.issued_until = now;
            turned = true;
        }
        let count = self.past.len();
        self.past.retain(|past| past.until > now);
        turned |= self.past.len() != count;
        if turned {
            self.gather();
        }
        turned
    }

    fn gather(&mut self) {
        let next = self.next.iter().map(|(next, _)| next.bundle());
        let others = next.chain(self.past.iter().map(|past| &past.roots));
        let all = others.fold(self.signing.bundle().clone(), |all, roots| Arc::new(all.and(roots)));
        self.bundle = all;
    }
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
        succession.offer(root(&new, now), now);
        assert_eq!(**succession.bundle(), together(&[&old, &new]));
        assert!(succession.signing().signs_as(&old_root));
        // As a directory that is looked at again offers it; the time does not begin anew.
        succession.offer(root(&new, now), now + ANNOUNCED / 2);
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
        succession.offer(root(&both, now), now);
        assert_eq!(**succession.bundle(), together(&[&own, &other]));
        succession.offer(root(&own, now), now);
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
        succession.offer(root(&new, now), now);
        assert!(succession.turn(now + ANNOUNCED));
        assert_eq!(**succession.bundle(), together(&[&old, &new]));
    }

    #[test]
    fn a_root_that_is_taken_back_before_it_signs_never_does() {
        let now = mesh_runtime::clock::system_now();
        let (old, new) = (made(now), made(now));
        let mut succession = Succession::new(root(&old, now));
        succession.offer(root(&new, now), now);
        succession.offer(root(&old, now), now);
        assert!(!succession.turn(now + ANNOUNCED));
        assert_eq!(**succession.bundle(), together(&[&old]));
    }
}
