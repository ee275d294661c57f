//! The authority: a root and the rules of what it signs. Its users show a [`SubjectKey`], which cannot be had without
//! proof of the private key, and name an identity, which they have from [`crate::authn`].

use crate::{
    bundle,
    counted::{self, Counted},
    error::Failure,
    issue::{self, Leaf, Serial, SubjectKey, Validity},
    root::Root,
    succession::{Beside, Past, Succession},
};
use mesh_config::{
    identity::{SpiffeId, TrustDomain},
    model::TrustBundle,
};
use mesh_runtime::{
    clock::WallClock,
    identity::{csr::Request, rotate::Fetch},
    tls::material::{self, CaBundle, Identity},
};
use parking_lot::Mutex;
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

/// How long leaves live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// When the caller wishes nothing; 24 h.
    pub default: Duration,
    /// At most, whatever the caller wishes; 90 days.
    pub max: Duration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Lifetimes { default: Duration::from_secs(24 * 3600), max: Duration::from_secs(90 * 24 * 3600) }
    }
}

/// A certificate that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// PEM: the leaf, each intermediate, and last all roots in one text.
    pub chain: Vec<String>,
    /// Lower-case hexadecimal.
    pub serial: String,
    /// Its end.
    pub not_after: SystemTime,
}

/// Signs certificates of one trust domain.
pub struct Authority {
    trust_domain: TrustDomain,
    roots: Mutex<Succession>,
    lifetimes: Lifetimes,
    others_sign: bool,
}

impl Authority {
    /// An authority for a trust domain.
    pub fn new(trust_domain: TrustDomain, root: Root, lifetimes: Lifetimes) -> Self {
        Authority { trust_domain, roots: Mutex::new(Succession::new(root)), lifetimes, others_sign: false }
    }

    /// Other processes sign with the same root. A root that goes is then trusted for the default lifetime at least:
    /// one of them may have signed with it to the last.
    #[must_use]
    pub fn among_others(self) -> Self {
        Authority { others_sign: true, ..self }
    }

    /// With what is trusted beside its root from the start.
    #[must_use]
    pub fn beside(self, beside: Beside) -> Self {
        self.roots.lock().remember(beside);
        self
    }

    /// Whose identities it gives.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The roots that vouch for its certificates, and for those that are still alive of a root before.
    pub fn roots(&self) -> Arc<CaBundle> {
        self.roots.lock().bundle().clone()
    }

    /// Takes another root, checked as a whole: it is trusted from now on, and signs when proxies know it; and what is
    /// trusted beside it. Whether something else is trusted now, or signs.
    pub fn offer(&self, root: Root, beside: Beside, now: SystemTime) -> bool {
        let mut roots = self.roots.lock();
        let before = roots.bundle().clone();
        roots.offer(root, beside, now);
        let turned = self.turn_over(&mut roots, now);
        turned || *roots.bundle() != before
    }

    /// Lets an offered root sign, and one before go, when it is time. Whether either was done.
    pub fn turn(&self, now: SystemTime) -> bool {
        self.turn_over(&mut self.roots.lock(), now)
    }

    fn turn_over(&self, roots: &mut Succession, now: SystemTime) -> bool {
        if self.others_sign {
            roots.issued(now + self.lifetimes.default);
        }
        roots.turn(now)
    }

    /// How long a certificate lives of whose lifetime nobody wishes anything.
    pub fn default_lifetime(&self) -> Duration {
        self.lifetimes.default
    }

    /// When the last certificate ends of those that it is known to have given with what signs now.
    pub fn issued_until(&self) -> SystemTime {
        self.roots.lock().issued_until()
    }

    /// Roots of what signed before that this process alone remembers.
    pub fn past(&self) -> Vec<Past> {
        self.roots.lock().past().to_vec()
    }

    /// The roots that vouch for what signs now.
    pub fn vouching(&self) -> Arc<CaBundle> {
        self.roots.lock().signing().vouching().clone()
    }

    /// Every certificate that counts, and what for.
    pub fn certificates(&self) -> Vec<Counted> {
        counted::counted(&self.roots.lock())
    }

    /// The roots as the part that proxies are told.
    pub fn bundle(&self) -> TrustBundle {
        bundle::part(self.trust_domain.clone(), &self.roots())
    }

    /// When its own certificate ends.
    pub fn expires(&self) -> SystemTime {
        self.roots.lock().signing().not_after()
    }

    /// A certificate for an identity that the caller has proved.
    ///
    /// # Errors
    /// When our own certificate has expired, or signing fails.
    pub fn issue(
        &self,
        identity: &SpiffeId,
        key: &SubjectKey,
        wish: Option<Duration>,
        now: SystemTime,
    ) -> Result<Issued, Failure> {
        self.issue_named(identity, &[], key, wish, now)
    }

    /// Key and certificate for a server in this very process, with the names that it is reached by.
    ///
    /// # Errors
    /// As [`Authority::issue`], or when a name cannot be put into a certificate.
    pub fn issue_local(
        &self,
        identity: &SpiffeId,
        dns_names: &[String],
        ttl: Duration,
        now: SystemTime,
    ) -> Result<Identity, Failure> {
        let request = Request::new()?;
        let key = SubjectKey::from_request(request.pem()).map_err(|e| Failure::Name(e.to_string()))?;
        let issued = self.issue_named(identity, dns_names, &key, Some(ttl), now)?;
        Ok(request.complete(&issued.chain, now)?)
    }

    /// [`Authority::issue_local`] in the form in which [`mesh_runtime::identity::rotate`] asks for it.
    pub fn fetch_local(
        self: &Arc<Self>,
        identity: SpiffeId,
        dns_names: Vec<String>,
        ttl: Duration,
        clock: WallClock,
    ) -> Fetch<Failure> {
        let authority = self.clone();
        Arc::new(move |_| {
            let fetched = authority.issue_local(&identity, &dns_names, ttl, clock.now());
            Box::pin(async move { fetched })
        })
    }

    fn issue_named(
        &self,
        identity: &SpiffeId,
        dns_names: &[String],
        key: &SubjectKey,
        wish: Option<Duration>,
        now: SystemTime,
    ) -> Result<Issued, Failure> {
        let lifetime = wish.unwrap_or(self.lifetimes.default).min(self.lifetimes.max);
        let (root, roots, validity) = self.begin(now, lifetime)?;
        let serial = random_serial()?;
        let leaf = issue::sign(root.issuer(), key, &Leaf { identity, dns_names, validity, serial })?;
        let intermediates = root.intermediates().iter().map(|der| material::pem("CERTIFICATE", der));
        let chain = [material::pem("CERTIFICATE", &leaf)].into_iter().chain(intermediates).chain([roots.pem()]);
        let digits = serial.0.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Issued { chain: chain.collect(), serial: digits, not_after: validity.not_after })
    }
}

impl Authority {
    /// What signs, what is trusted, and how long the certificate lives: of one moment, and noted before it is given.
    fn begin(&self, now: SystemTime, lifetime: Duration) -> Result<(Arc<Root>, Arc<CaBundle>, Validity), Failure> {
        let mut roots = self.roots.lock();
        let validity = Validity::new(now, lifetime, roots.signing().not_after())?;
        roots.issued(validity.not_after);
        Ok((roots.signing().clone(), roots.bundle().clone(), validity))
    }
}

/// The one place where serial numbers come from.
pub(crate) fn random_serial() -> Result<Serial, Failure> {
    let mut serial = [0; 16];
    aws_lc_rs::rand::fill(&mut serial).map_err(|_| Failure::Random)?;
    Ok(Serial(serial))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{root::self_signed, succession::ANNOUNCED};

    #[test]
    fn a_root_that_others_may_have_signed_with_to_the_last_is_trusted_for_a_lifetime_more() {
        let now = mesh_runtime::clock::system_now();
        let made = || Root::from_stored(&self_signed(&TrustDomain::default(), now).unwrap(), now).unwrap();
        let trusted = |authority: Authority| {
            authority.offer(made(), Beside::default(), now);
            let begins = now + ANNOUNCED;
            let at = |time| {
                authority.turn(time);
                authority.roots().certificates().len()
            };
            let day = Lifetimes::default().default;
            [at(begins), at(begins + day - Duration::from_secs(1)), at(begins + day)]
        };
        let authority = || Authority::new(TrustDomain::default(), made(), Lifetimes::default());
        assert_eq!(trusted(authority()), [1, 1, 1], "nobody had a certificate of it");
        assert_eq!(trusted(authority().among_others()), [2, 2, 1]);
    }
}
