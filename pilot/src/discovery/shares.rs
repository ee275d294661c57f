//! What each service account, and each address, has of pilot: streams, and bytes of what its clients say. A share that is
//! used up keeps nobody else out; within an account an address with fewer streams takes the place of one with more, so a
//! pod that opens hundreds keeps out no sibling.

use crate::{metrics::Metrics, settings::ClientBounds};
use mesh_config::name::NamespacedName;
use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

/// Streams that an account may have for each of its workloads: while one connects again, pilot may not know yet that
/// the one before is gone.
const STREAMS_OF_WORKLOAD: usize = 2;

/// All shares; clones are the same.
#[derive(Debug, Clone)]
pub struct Shares {
    bounds: Arc<ClientBounds>,
    inside: Arc<Mutex<Inside>>,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct Inside {
    next: u64,
    streams: usize,
    accounts: HashMap<NamespacedName, Account>,
    /// Streams of any account.
    sources: HashMap<IpAddr, usize>,
}

#[derive(Debug, Default)]
struct Account {
    /// When its last stream came.
    workloads: usize,
    sources: HashMap<IpAddr, OfSource>,
}

#[derive(Debug, Default)]
struct OfSource {
    said: usize,
    streams: BTreeMap<u64, Arc<Notify>>,
}

/// A bound is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// By all streams.
    #[error("this pilot has as many streams as --max-streams allows; connect to another")]
    Streams,
    /// By an address.
    #[error("there are as many streams from this address as --max-streams-per-source allows")]
    SourceStreams,
    /// By an account.
    #[error(
        "this service account has as many streams as --max-streams-per-account and its {workloads} workloads allow"
    )]
    AccountStreams {
        /// That the registry knows.
        workloads: usize,
    },
    /// By what was said.
    #[error("clients of this service account say more than the {most} bytes that --max-said allows")]
    Said {
        /// What the bound comes to.
        most: usize,
    },
}

/// What a client makes pilot keep.
#[derive(Debug, Clone, Copy)]
pub(super) enum Keeps {
    /// Room for its longest message.
    Message,
    /// Names that it follows or holds.
    Names,
}

/// One stream's; given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    shares: Shares,
    account: NamespacedName,
    source: IpAddr,
    id: u64,
    /// Bytes of each of [`Keeps`].
    said: Mutex<[usize; 2]>,
    gives_way: Arc<Notify>,
}

impl Full {
    /// As metrics and the log name it.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Full::Streams => "streams",
            Full::SourceStreams => "source_streams",
            Full::AccountStreams { .. } => "account_streams",
            Full::Said { .. } => "said",
        }
    }
}

impl From<Full> for tonic::Status {
    fn from(full: Full) -> Self {
        match full {
            Full::Streams => tonic::Status::unavailable(full.to_string()),
            Full::SourceStreams | Full::AccountStreams { .. } | Full::Said { .. } => {
                tonic::Status::resource_exhausted(full.to_string())
            }
        }
    }
}

impl Shares {
    /// Nobody has anything yet.
    pub fn new(bounds: ClientBounds, metrics: Metrics) -> Self {
        Shares { bounds: Arc::new(bounds), inside: Arc::default(), metrics }
    }

    /// What is bounded.
    pub(super) fn bounds(&self) -> &ClientBounds {
        &self.bounds
    }

    /// A stream's share. `workloads`: how many of this account the registry knows.
    pub(super) fn admit(&self, account: NamespacedName, source: IpAddr, workloads: usize) -> Result<Arc<Share>, Full> {
        let inside = &mut *self.lock();
        if inside.streams >= self.bounds.max_streams {
            return Err(Full::Streams);
        }
        if inside.sources.get(&source).is_some_and(|streams| *streams >= self.bounds.max_streams_per_source) {
            return Err(Full::SourceStreams);
        }
        if let Some(account) = inside.accounts.get(&account) {
            let most =
                workloads.saturating_mul(STREAMS_OF_WORKLOAD).saturating_add(self.bounds.max_streams_per_account);
            if account.streams() >= most {
                let oldest = account.whose_place(source).ok_or(Full::AccountStreams { workloads })?;
                self.metrics.streams_ended.with_label_values(&["gave_way"]).inc();
                oldest.notify_one();
            }
        }
        let (id, gives_way) = (inside.next, Arc::new(Notify::new()));
        inside.next += 1;
        inside.streams += 1;
        *inside.sources.entry(source).or_default() += 1;
        let mine = inside.accounts.entry(account.clone()).or_default();
        mine.workloads = workloads;
        mine.sources.entry(source).or_default().streams.insert(id, gives_way.clone());
        Ok(Arc::new(Share { shares: self.clone(), account, source, id, said: Mutex::default(), gives_way }))
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        // What is counted while the lock is held does not panic.
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    fn streams(&self) -> usize {
        self.sources.values().map(|of| of.streams.len()).sum()
    }

    fn said(&self) -> usize {
        self.sources.values().map(|of| of.said).sum()
    }

    /// The oldest stream of the address that has most, if that has more than a newcomer's would have then.
    fn whose_place(&self, newcomer: IpAddr) -> Option<Arc<Notify>> {
        let has = self.sources.get(&newcomer).map_or(0, |of| of.streams.len());
        let most = self.sources.values().max_by_key(|of| of.streams.len())?;
        if most.streams.len() <= has + 1 {
            return None;
        }
        most.streams.values().next().cloned()
    }
}

impl Share {
    /// The client makes pilot keep so many bytes from now on.
    pub(super) fn keeps(&self, what: Keeps, bytes: usize) -> Result<(), Full> {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut said[what as usize], bytes);
        let inside = &mut *self.shares.lock();
        let Some(account) = inside.accounts.get_mut(&self.account) else { return Ok(()) };
        let Some(of_source) = account.sources.get_mut(&self.source) else { return Ok(()) };
        of_source.said = (of_source.said + bytes).saturating_sub(before);
        if bytes <= before {
            return Ok(());
        }
        let most = self.shares.bounds.max_said;
        if of_source.said > most {
            return Err(Full::Said { most });
        }
        let most = most.saturating_mul(account.workloads.saturating_add(1));
        if account.said() > most { Err(Full::Said { most }) } else { Ok(()) }
    }

    /// Account and address, as in the log.
    pub(super) fn whose(&self) -> String {
        format!("{} at {}", self.account, self.source)
    }

    /// Ends when another stream is to have the place of this one.
    pub(super) async fn gives_way(&self) {
        self.gives_way.notified().await;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let said: usize = self.said.get_mut().unwrap_or_else(PoisonError::into_inner).iter().sum();
        let inside = &mut *self.shares.lock();
        inside.streams -= 1;
        if let Some(streams) = inside.sources.get_mut(&self.source) {
            *streams -= 1;
            if *streams == 0 {
                inside.sources.remove(&self.source);
            }
        }
        let Some(account) = inside.accounts.get_mut(&self.account) else { return };
        if let Some(of_source) = account.sources.get_mut(&self.source) {
            of_source.said = of_source.said.saturating_sub(said);
            of_source.streams.remove(&self.id);
            if of_source.streams.is_empty() {
                account.sources.remove(&self.source);
            }
        }
        if account.sources.is_empty() {
            inside.accounts.remove(&self.account);
        }
    }
}

#[cfg(test)]
mod tests;
