//! Addresses of endpoints that are names. One task of the process asks, workers read: an answer stays until a
//! better one comes, so a name server that is away breaks nothing that worked.

use hickory_resolver::TokioResolver;
use mesh_runtime::clock;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

/// No name is asked for more often.
const SHORTEST: Duration = Duration::from_secs(5);
/// Nor are answers kept longer without asking again.
const LONGEST: Duration = Duration::from_secs(300);
/// A name that nobody asked for this long is forgotten.
const FORGET: Duration = Duration::from_secs(900);
/// More names than this are not followed.
const MOST: usize = 10_000;

/// Names in use and their addresses.
#[derive(Debug, Default)]
pub struct Names {
    entries: Mutex<HashMap<Arc<str>, Entry>>,
    version: AtomicU64,
    wanted: Notify,
    changed: Notify,
}

#[derive(Debug)]
struct Entry {
    addresses: Arc<[IpAddr]>,
    /// An answer (or a refusal) has come.
    asked: bool,
    due: Instant,
    used: Instant,
}

impl Names {
    /// Grows with each change of any answer.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// What is known of a name; asks for it if it is new. `None`: no answer has come yet.
    pub fn addresses(&self, name: &Arc<str>) -> Option<Arc<[IpAddr]>> {
        let now = clock::now();
        let mut entries = self.entries.lock();
        if let Some(entry) = entries.get_mut(name) {
            entry.used = now;
            return entry.asked.then(|| entry.addresses.clone());
        }
        if entries.len() < MOST {
            entries.insert(name.clone(), Entry { addresses: Arc::new([]), asked: false, due: now, used: now });
            self.wanted.notify_one();
        }
        None
    }

    /// Sets what is known of a name.
    pub fn publish(&self, name: &Arc<str>, addresses: Vec<IpAddr>, again_in: Duration) {
        let now = clock::now();
        let mut entries = self.entries.lock();
        let entry =
            entries.entry(name.clone()).or_insert(Entry { addresses: Arc::new([]), asked: false, due: now, used: now });
        entry.due = now + again_in.clamp(SHORTEST, LONGEST);
        let changed = !entry.asked || *entry.addresses != *addresses;
        entry.asked = true;
        if changed {
            entry.addresses = addresses.into();
            self.version.fetch_add(1, Ordering::AcqRel);
        }
        drop(entries);
        if changed {
            self.changed.notify_waiters();
        }
    }

    /// Waits until something changes after `seen`.
    pub async fn changed(&self, seen: u64) {
        loop {
            let changed = self.changed.notified();
            if self.version() != seen {
                return;
            }
            changed.await;
        }
    }

    /// Names that are due, and when the next one is.
    fn due(&self, now: Instant) -> (Vec<Arc<str>>, Option<Instant>) {
        let mut entries = self.entries.lock();
        entries.retain(|_, entry| now.saturating_duration_since(entry.used) < FORGET);
        let due = entries.iter().filter(|(_, entry)| entry.due <= now).map(|(name, _)| name.clone()).collect();
        let next = entries.values().map(|entry| entry.due).filter(|due| *due > now).min();
        (due, next)
    }

    /// Asks for names as they fall due, for ever. Spawn it once, beside the workers.
    ///
    /// # Errors
    /// The system's resolver configuration cannot be read.
    pub async fn run(self: Arc<Self>) -> Result<(), hickory_resolver::net::NetError> {
        let resolver = TokioResolver::builder_tokio()?.build()?;
        loop {
            let (due, next) = self.due(clock::now());
            let asks = due.iter().map(|name| self.ask(&resolver, name));
            futures_util::future::join_all(asks).await;
            let next = next.unwrap_or_else(|| clock::now() + LONGEST).min(clock::now() + SHORTEST * 12);
            let pause = if due.is_empty() { next } else { clock::now() };
            tokio::select! {
                () = tokio::time::sleep_until(pause) => {}
                () = self.wanted.notified() => {}
            }
        }
    }

    async fn ask(&self, resolver: &TokioResolver, name: &Arc<str>) {
        match resolver.lookup_ip(&**name).await {
            Ok(answer) => {
                let ttl = answer.valid_until().saturating_duration_since(clock::now().into_std());
                let mut addresses: Vec<IpAddr> = answer.iter().collect();
                addresses.sort_unstable();
                addresses.dedup();
                self.publish(name, addresses, ttl);
            }
            Err(error) => {
                tracing::debug!(%name, %error, "the name of an endpoint does not resolve");
                let gone = error.is_nx_domain() || error.is_no_records_found();
                let known = self.entries.lock().get(name).filter(|_| !gone).map(|e| e.addresses.to_vec());
                self.publish(name, known.unwrap_or_default(), SHORTEST);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_kept_and_changes_are_told() {
        let names = Arc::new(Names::default());
        let name: Arc<str> = "db.example".into();
        assert_eq!(names.addresses(&name), None);
        let seen = names.version();
        let waiting = tokio::spawn({
            let names = names.clone();
            async move { names.changed(seen).await }
        });
        let answer: Vec<IpAddr> = vec!["192.0.2.1".parse().unwrap()];
        names.publish(&name, answer.clone(), Duration::ZERO);
        waiting.await.unwrap();
        assert_eq!(names.addresses(&name).as_deref(), Some(&*answer));
        let (due, next) = names.due(clock::now());
        assert!(due.is_empty(), "asked again only after the shortest time");
        assert!(next.is_some());
        let version = names.version();
        names.publish(&name, answer, Duration::ZERO);
        assert_eq!(names.version(), version, "the same answer is no change");
    }
}
