//! What all workers share about clusters: counts behind limits, and how busy each endpoint is.

use super::dns::Names;
use crate::{
    conn::PeerAddress,
    limit::{ClusterCounts, Gauge, Load},
    snapshot::cluster::ClusterKey,
};
use mesh_config::model::ServiceKey;
use parking_lot::Mutex;
use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::{Arc, Weak},
};

/// One a process.
#[derive(Debug, Default)]
pub struct Shared {
    clusters: Mutex<HashMap<ClusterKey, Weak<ClusterShared>>>,
    /// Names of endpoints and their addresses.
    pub names: Arc<Names>,
}

/// One cluster, as long as a worker uses it.
#[derive(Debug, Default)]
pub struct ClusterShared {
    /// Behind limits.
    pub counts: Arc<ClusterCounts>,
    loads: Mutex<HashMap<PeerAddress, Weak<Gauge>>>,
}

impl Shared {
    /// Services that some worker keeps live state of: it has used one of their clusters not long ago.
    pub fn services_in_use(&self) -> HashSet<ServiceKey> {
        let clusters = self.clusters.lock();
        let live = clusters.iter().filter(|(_, cluster)| cluster.strong_count() > 0);
        live.filter_map(|(key, _)| match key {
            ClusterKey::Outbound { service, .. } => Some(service.clone()),
            _ => None,
        })
        .collect()
    }

    /// Addresses in no service that some worker has called not long ago.
    pub fn addresses_in_use(&self) -> HashSet<IpAddr> {
        let called = self.clusters.lock().get(&ClusterKey::Passthrough).and_then(Weak::upgrade);
        called.map(|cluster| cluster.addresses_in_use()).unwrap_or_default()
    }

    pub(super) fn cluster(&self, key: &ClusterKey) -> Arc<ClusterShared> {
        let mut clusters = self.clusters.lock();
        if let Some(known) = clusters.get(key).and_then(Weak::upgrade) {
            return known;
        }
        clusters.retain(|_, cluster| cluster.strong_count() > 0);
        let new = Arc::<ClusterShared>::default();
        clusters.insert(key.clone(), Arc::downgrade(&new));
        new
    }
}

impl ClusterShared {
    fn addresses_in_use(&self) -> HashSet<IpAddr> {
        let loads = self.loads.lock();
        let live = loads.iter().filter(|(_, load)| load.strong_count() > 0);
        live.filter_map(|(address, _)| match address {
            PeerAddress::Ip(address) => Some(address.ip()),
            PeerAddress::Unix(_) => None,
        })
        .collect()
    }

    pub(super) fn load(&self, address: &PeerAddress) -> Load {
        let mut loads = self.loads.lock();
        if let Some(known) = loads.get(address).and_then(Weak::upgrade) {
            return Load(known);
        }
        loads.retain(|_, load| load.strong_count() > 0);
        let new = Arc::<Gauge>::default();
        loads.insert(address.clone(), Arc::downgrade(&new));
        Load(new)
    }
}
