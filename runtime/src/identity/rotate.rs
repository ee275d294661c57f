//! Keeps a certificate young: renews at half of its life, give or take, tries again when that fails, and publishes
//! each new one. Connections are not touched: who makes new ones sees the new identity.

use crate::{
    backoff::Backoff,
    clock::WallClock,
    drain,
    snapshot::Publisher,
    telemetry::metrics::{RegisterError, Registry},
    tls::material::{Identity, Material},
};
use futures_util::future::BoxFuture;
use prometheus::{Gauge, IntCounterVec, IntGaugeVec, Opts};
use std::{
    fmt,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::sync::Notify;

/// Asks for a new identity; gets the present one, which may serve as the proof.
pub type Fetch<E> = Arc<dyn Fn(Option<Arc<Identity>>) -> BoxFuture<'static, Result<Identity, E>> + Send + Sync>;

/// The wall clock is looked at this often: it may jump, and a machine may sleep.
const LOOK: Duration = Duration::from_secs(30);

/// Between attempts: the first wait, the longest while the certificate in force is good, and the longest while there is
/// none that is: nobody can be served then, and whoever comes back is not to be waited for.
const WAIT: Duration = Duration::from_millis(500);
const PATIENT: Duration = Duration::from_secs(30);
const URGENT: Duration = Duration::from_secs(2);

/// When to renew: in the middle of the life, give or take a tenth of the half, so that workloads started together
/// do not come together. Life begins when the certificate was obtained, if that is later than it says: authorities
/// date back to allow for clocks that differ.
pub fn due(material: &Material, obtained: SystemTime, rng: &mut fastrand::Rng) -> SystemTime {
    let begin = material.not_before.max(obtained.min(material.not_after));
    let life = material.not_after.duration_since(begin).unwrap_or_default();
    begin + life.mul_f64(0.45 + rng.f64() * 0.1)
}

/// What is measured about our certificate.
#[derive(Debug, Clone)]
pub struct Metrics {
    expiry: Gauge,
    serial: IntGaugeVec,
    renewals: IntCounterVec,
}

impl Metrics {
    /// Registers `mesh_certificate_expiry_timestamp_seconds`, `mesh_certificate_info{serial}` and
    /// `mesh_certificate_renewals_total{result}`.
    ///
    /// # Errors
    /// When a name is taken.
    pub fn new(registry: &Registry) -> Result<Self, RegisterError> {
        let expiry = Gauge::new("mesh_certificate_expiry_timestamp_seconds", "End of validity of our certificate")?;
        let info = Opts::new("mesh_certificate_info", "Serial number of our certificate");
        let renewals = Opts::new("mesh_certificate_renewals_total", "Renewals of our certificate by result");
        Ok(Metrics {
            expiry: registry.register(expiry)?,
            serial: registry.register(IntGaugeVec::new(info, &["serial"])?)?,
            renewals: registry.register(IntCounterVec::new(renewals, &["result"])?)?,
        })
    }

    /// A certificate is in force.
    pub fn in_force(&self, material: &Material) {
        let end = material.not_after.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.expiry.set(end.as_secs_f64());
        self.serial.reset();
        self.serial.with_label_values(&[&material.serial]).set(1);
    }

    fn renewed(&self, result: &str) {
        self.renewals.with_label_values(&[result]).inc();
    }
}

/// A running renewal.
pub struct Rotation<E> {
    /// Where new ones come from.
    pub fetch: Fetch<E>,
    /// What is reported about it.
    pub metrics: Metrics,
    /// Certificates live by this clock.
    pub wall: WallClock,
    /// Where each new one is saved, to survive a restart.
    pub state_dir: Option<PathBuf>,
    /// Asks for a renewal before it is due, as when the authority has another root.
    pub early: Arc<Notify>,
}

impl<E: fmt::Display + Send + 'static> Rotation<E> {
    /// The first identity: tried until there is one. `None` when drained before.
    pub async fn obtain(&self, drain: &drain::Watch) -> Option<Arc<Identity>> {
        self.fetched(None, drain).await
    }

    /// Renews until drained. The first identity is what `publisher` holds.
    pub async fn run(self, publisher: Publisher<Identity>, drain: drain::Watch) {
        let mut rng = fastrand::Rng::new();
        // Whatever it was before, it has lived since its beginning.
        let mut obtained = SystemTime::UNIX_EPOCH;
        loop {
            let current = publisher.current();
            self.metrics.in_force(&current.material);
            let due = due(&current.material, obtained, &mut rng);
            tokio::select! {
                () = drain.signaled() => return,
                () = self.until(due) => {}
                () = self.early.notified() => {}
            }
            let Some(renewed) = self.fetched(Some(current), &drain).await else { return };
            obtained = self.wall.now();
            publisher.publish(renewed);
        }
    }

    async fn until(&self, due: SystemTime) {
        while let Ok(left) = due.duration_since(self.wall.now())
            && !left.is_zero()
        {
            tokio::time::sleep(left.min(LOOK)).await;
        }
    }

    async fn fetched(&self, current: Option<Arc<Identity>>, drain: &drain::Watch) -> Option<Arc<Identity>> {
        let mut rng = fastrand::Rng::new();
        let (mut patient, mut urgent) = (Backoff::new(WAIT, PATIENT), Backoff::new(WAIT, URGENT));
        loop {
            let attempt = tokio::select! {
                () = drain.signaled() => return None,
                attempt = (self.fetch)(current.clone()) => attempt,
            };
            match attempt {
                Ok(identity) => {
                    self.metrics.renewed("success");
                    self.metrics.in_force(&identity.material);
                    tracing::info!(serial = identity.material.serial, id = %identity.material.identity, "certificate obtained");
                    self.save(&identity);
                    return Some(Arc::new(identity));
                }
                Err(error) => {
                    self.metrics.renewed("failure");
                    let good = current.as_ref().is_some_and(|one| self.wall.now() < one.material.not_after);
                    let wait = if good { &mut patient } else { &mut urgent }.next(&mut rng);
                    tracing::warn!(%error, ?wait, "no certificate from the authority; will try again");
                    tokio::select! {
                        () = drain.signaled() => return None,
                        () = tokio::time::sleep(wait) => {}
                    }
                }
            }
        }
    }

    fn save(&self, identity: &Identity) {
        let Some(dir) = &self.state_dir else { return };
        if let Err(error) = super::file::save(dir, identity) {
            tracing::warn!(%error, "the certificate cannot be saved; a restart will need the authority");
        }
    }
}

#[cfg(test)]
mod tests;
