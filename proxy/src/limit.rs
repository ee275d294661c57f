//! Promises about the whole process, kept in atomics that all workers share: how many connections, waiting and
//! active requests and retries a cluster has, and how many requests each endpoint.

pub mod budget;
pub mod clients;

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::Relaxed},
};

/// A count with guards. Exact: a guard is taken only if the limit allows it.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU32);

impl Gauge {
    /// How many guards are held.
    pub fn get(&self) -> u32 {
        self.0.load(Relaxed)
    }

    /// One more, if there are fewer than `limit` (`None`: no limit).
    pub fn enter<S: AsRef<Gauge> + Clone>(owner: &S, limit: Option<u32>) -> Option<Held<S>> {
        let gauge = owner.as_ref();
        let before = gauge.0.fetch_add(1, Relaxed);
        if limit.is_some_and(|limit| before >= limit) {
            gauge.0.fetch_sub(1, Relaxed);
            return None;
        }
        Some(Held { owner: owner.clone() })
    }
}

/// One of a [`Gauge`], until dropped.
#[derive(Debug)]
pub struct Held<S: AsRef<Gauge>> {
    owner: S,
}

impl<S: AsRef<Gauge>> Drop for Held<S> {
    fn drop(&mut self) {
        self.owner.as_ref().0.fetch_sub(1, Relaxed);
    }
}

/// The counts of one cluster.
#[derive(Debug, Default)]
pub struct ClusterCounts {
    /// Connections, in use or idle.
    pub connections: Gauge,
    /// Requests that wait for a connection.
    pub pending: Gauge,
    /// Requests on a connection or waiting for one.
    pub active: Gauge,
    /// Retries on their way.
    pub retries: Gauge,
}

macro_rules! count {
    ($name:ident, $field:ident, $doc:literal) => {
        #[doc = $doc]
        #[derive(Debug, Clone)]
        pub struct $name(pub Arc<ClusterCounts>);

        impl AsRef<Gauge> for $name {
            fn as_ref(&self) -> &Gauge {
                &self.0.$field
            }
        }
    };
}

count!(Connections, connections, "Counts a connection of a cluster.");
count!(Pending, pending, "Counts a request that waits for a connection.");
count!(Active, active, "Counts an active request.");
count!(Retries, retries, "Counts a retry.");

/// The count of one endpoint: requests sent to it and not answered to the last byte.
#[derive(Debug, Clone, Default)]
pub struct Load(pub Arc<Gauge>);

impl AsRef<Gauge> for Load {
    fn as_ref(&self) -> &Gauge {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_exact_and_freed_by_the_guard() {
        let active = Active(Arc::default());
        let first = Gauge::enter(&active, Some(1));
        assert!(first.is_some());
        assert!(Gauge::enter(&active, Some(1)).is_none());
        assert_eq!(active.0.active.get(), 1);
        drop(first);
        assert!(Gauge::enter(&active, Some(1)).is_some());
    }
}
