//! Whose address is whose: workloads that pilot was asked for, once each, in a bounded cache.
//!
//! A request never waits for an answer: until it is there, labels say `unknown`. Each change of the cache is a new
//! generation, by which observers know that label sets they keep may be out of date.

use arc_swap::ArcSwap;
use mesh_config::model::Workload;
use parking_lot::Mutex;
use std::{
    collections::{HashMap, HashSet},
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
    /// What labels were made of, or would have been.
    asked: Mutex<HashSet<IpAddr>>,
    generation: AtomicU64,
    wanted: mpsc::Sender<IpAddr>,
}

impl Peers {
    /// An empty cache, and where addresses arrive that somebody wants to know.
    pub fn new() -> (Arc<Self>, mpsc::Receiver<IpAddr>) {
        let (wanted, receiver) = mpsc::channel(256);
        let peers = Peers { known: ArcSwap::default(), asked: Mutex::default(), generation: AtomicU64::new(0), wanted };
        (Arc::new(peers), receiver)
    }

    /// The workload with this address; asks for it when it has not been asked for. A full queue of questions drops
    /// this one: it will be asked again with the next request.
    pub fn workload(&self, address: IpAddr) -> Option<Arc<Workload>> {
        let mut asked = self.asked.lock();
        if asked.len() >= CAPACITY {
            asked.clear();
        }
        asked.insert(address);
        drop(asked);
        match self.known.load().get(&address) {
            Some(known) => known.clone(),
            None => {
                let _ = self.wanted.try_send(address);
                None
            }
        }
    }

    /// Whether labels were made of whose this address is.
    pub fn is_asked(&self, address: IpAddr) -> bool {
        self.asked.lock().contains(&address)
    }

    /// Grows with every change that labels may show.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Takes over answers; `None`: pilot knows no such workload. At capacity the cache starts over.
    pub fn learn(&self, answers: impl IntoIterator<Item = (IpAddr, Option<Arc<Workload>>)>) {
        let mut known = HashMap::clone(&self.known.load());
        let mut shows = false;
        for (address, workload) in answers {
            if known.len() >= CAPACITY {
                known.clear();
            }
            shows |= self.is_asked(address);
            known.insert(address, workload);
        }
        self.known.store(Arc::new(known));
        if shows {
            self.generation.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Pilot does not say any more when others have these addresses; the next who wants to know asks again.
    pub fn forget(&self, addresses: &[IpAddr]) {
        let mut known = HashMap::clone(&self.known.load());
        let mut asked = self.asked.lock();
        for address in addresses {
            known.remove(address);
            asked.remove(address);
        }
        self.known.store(Arc::new(known));
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
        peers.learn([("10.0.0.2".parse().unwrap(), None)]);
        assert_eq!(peers.generation(), 1, "what calls ask changes no labels");
        peers.forget(&[address]);
        assert!(peers.workload(address).is_none());
        assert_eq!(wanted.try_recv(), Ok(address));
    }
}
