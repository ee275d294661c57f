//! Whose address is whose: workloads that pilot was asked for, once each, in a bounded cache.
//!
//! A request never waits for an answer: until it is there, labels say `unknown`. Each change of the cache is a new
//! generation, by which observers know that label sets they keep may be out of date.

use arc_swap::ArcSwap;
use mesh_config::model::Workload;
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::mpsc;

/// Addresses remembered at once.
pub const CAPACITY: usize = 10_000;

/// What is known of addresses.
#[derive(Debug)]
pub struct Peers {
    known: ArcSwap<HashMap<IpAddr, Option<Arc<Workload>>>>,
    generation: AtomicU64,
    wanted: mpsc::Sender<IpAddr>,
}

impl Peers {
    /// An empty cache, and where addresses arrive that somebody wants to know.
    pub fn new() -> (Arc<Self>, mpsc::Receiver<IpAddr>) {
        let (wanted, receiver) = mpsc::channel(256);
        let peers = Peers { known: ArcSwap::default(), generation: AtomicU64::new(0), wanted };
        (Arc::new(peers), receiver)
    }

    /// The workload with this address; asks for it when it has not been asked for. A full queue of questions drops
    /// this one: it will be asked again with the next request.
    pub fn workload(&self, address: IpAddr) -> Option<Arc<Workload>> {
        match self.known.load().get(&address) {
            Some(known) => known.clone(),
            None => {
                let _ = self.wanted.try_send(address);
                None
            }
        }
    }

    /// Grows with every change.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Takes over answers; `None`: pilot knows no such workload. At capacity the cache starts over.
    pub fn learn(&self, answers: impl IntoIterator<Item = (IpAddr, Option<Arc<Workload>>)>) {
        let mut known = HashMap::clone(&self.known.load());
        for (address, workload) in answers {
            if known.len() >= CAPACITY {
                known.clear();
            }
            known.insert(address, workload);
        }
        self.known.store(Arc::new(known));
        self.generation.fetch_add(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_address_is_asked_for_and_an_answer_is_a_new_generation() {
        let (peers, mut wanted) = Peers::new();
        let address: IpAddr = "10.0.0.1".parse().unwrap();
        assert!(peers.workload(address).is_none());
        assert_eq!(wanted.try_recv(), Ok(address));
        peers.learn([(address, None)]);
        assert!(peers.workload(address).is_none());
        assert!(wanted.try_recv().is_err(), "a known stranger is not asked for again");
        assert_eq!(peers.generation(), 1);
    }
}
