//! One writer, many readers, whole values. Readers never wait and never see half a value; a reader may also wait for
//! the next version. Nothing is merged or queued: who was away sees the newest.

use arc_swap::ArcSwap;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use tokio::sync::watch;

/// Makes a connected pair that holds `initial` as version 1.
pub fn publisher<T>(initial: Arc<T>) -> (Publisher<T>, Reader<T>) {
    let shared = Arc::new(Shared { value: Arc::new(ArcSwap::new(initial)), version: AtomicU64::new(1) });
    let (tx, rx) = watch::channel(1);
    (Publisher { shared: shared.clone(), tx }, Reader { shared, rx })
}

#[derive(Debug)]
struct Shared<T> {
    value: Arc<ArcSwap<T>>,
    version: AtomicU64,
}

/// The single writer.
#[derive(Debug)]
pub struct Publisher<T> {
    shared: Arc<Shared<T>>,
    tx: watch::Sender<u64>,
}

impl<T> Publisher<T> {
    /// Replaces the value; returns its version.
    pub fn publish(&self, value: Arc<T>) -> u64 {
        self.shared.value.store(value);
        // The value is stored first: who sees version n gets value n or a newer one.
        let version = self.shared.version.fetch_add(1, Ordering::AcqRel) + 1;
        self.tx.send_replace(version);
        version
    }

    /// Replaces the value if it differs from the one published; returns whether it did.
    pub fn publish_if_changed(&self, value: Arc<T>) -> bool
    where
        T: PartialEq,
    {
        let differs = **self.shared.value.load() != *value;
        if differs {
            self.publish(value);
        }
        differs
    }

    /// The value published last.
    pub fn current(&self) -> Arc<T> {
        self.shared.value.load_full()
    }

    /// Another reader.
    pub fn reader(&self) -> Reader<T> {
        Reader { shared: self.shared.clone(), rx: self.tx.subscribe() }
    }
}

/// The publisher is gone: the value stays as it is for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nothing will be published any more: the publisher is gone")]
pub struct Closed;

/// Reads the newest value.
#[derive(Debug)]
pub struct Reader<T> {
    shared: Arc<Shared<T>>,
    rx: watch::Receiver<u64>,
}

impl<T> Clone for Reader<T> {
    fn clone(&self) -> Self {
        Reader { shared: self.shared.clone(), rx: self.rx.clone() }
    }
}

impl<T> Reader<T> {
    /// A value that never changes.
    pub fn fixed(value: Arc<T>) -> Self {
        publisher(value).1
    }

    /// The newest value.
    pub fn get(&self) -> Arc<T> {
        self.shared.value.load_full()
    }

    /// The version of the newest value; the first is 1.
    pub fn version(&self) -> u64 {
        self.shared.version.load(Ordering::Acquire)
    }

    /// Whether `value` is the newest, without touching its reference count.
    pub fn is_current(&self, value: &Arc<T>) -> bool {
        Arc::ptr_eq(&self.shared.value.load(), value)
    }

    /// Waits for a version that this reader has not been told about yet. Cancel-safe.
    ///
    /// # Errors
    /// [`Closed`] when the publisher is gone and everything has been seen.
    pub async fn changed(&mut self) -> Result<(), Closed> {
        self.rx.changed().await.map_err(|_| Closed)
    }

    /// A reader that has been told about everything up to now: [`Reader::changed`] waits for what comes next.
    pub fn fresh(&self) -> Self {
        let mut reader = self.clone();
        reader.rx.mark_unchanged();
        reader
    }

    /// A cache of one owner, for hot paths.
    pub fn cached(&self) -> Cached<T> {
        Cached { inner: arc_swap::Cache::new(self.shared.value.clone()) }
    }
}

/// The newest value for one worker: one atomic load when nothing changed, no reference counting.
#[derive(Debug, Clone)]
pub struct Cached<T> {
    inner: arc_swap::Cache<Arc<ArcSwap<T>>, Arc<T>>,
}

impl<T> Cached<T> {
    /// The newest value.
    pub fn load(&mut self) -> &Arc<T> {
        self.inner.load()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn readers_see_the_newest_value_and_are_told_once() {
        let (publisher, mut reader) = publisher(Arc::new(1));
        let mut cached = reader.cached();
        assert_eq!((**cached.load(), reader.version()), (1, 1));
        publisher.publish(Arc::new(2));
        publisher.publish(Arc::new(3));
        reader.changed().await.unwrap();
        assert_eq!((*reader.get(), **cached.load(), reader.version()), (3, 3, 3));
        drop(publisher);
        assert_eq!(reader.changed().await, Err(Closed));
        assert_eq!(*reader.get(), 3);
    }

    #[test]
    fn equal_values_are_not_published_again() {
        let (publisher, reader) = publisher(Arc::new("a".to_owned()));
        let held = reader.get();
        assert!(!publisher.publish_if_changed(Arc::new("a".to_owned())));
        assert!(reader.is_current(&held));
        assert!(publisher.publish_if_changed(Arc::new("b".to_owned())));
        assert!(!reader.is_current(&held));
        assert_eq!(reader.version(), 2);
    }
}
