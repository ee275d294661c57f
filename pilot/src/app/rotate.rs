//! Puts together what rotates the root, and what is said of it.

use super::{keeper::Keeper, vouch::Vouch};
use crate::{
    debug::{self, Reports},
    discovery::clients::Clients,
    mesh::Mesh,
    rotation::{Own, Rotator, peers::Peers, report::Under},
    settings::Settings,
};
use kube::Client;
use mesh_ca::root::self_signed;
use mesh_runtime::snapshot;
use std::sync::Arc;
use tokio::sync::watch;

/// What is known of this pilot, and how others are reached.
pub(super) struct Rotate {
    client: Option<Client>,
    namespace: String,
    pod: Option<String>,
    port: u16,
    names: Vec<Arc<str>>,
    told: watch::Sender<Option<Under>>,
}

impl Rotate {
    pub(super) fn new(settings: &Settings, cluster: Option<&Client>) -> Self {
        Rotate {
            client: cluster.cloned(),
            namespace: settings.namespace.clone(),
            pod: settings.pod_name.clone(),
            port: settings.xds_address.port(),
            names: settings.own_names().into_iter().map(Arc::from).collect(),
            told: watch::Sender::new(None),
        }
    }

    /// What pilot says about itself.
    pub(super) fn reports(&self, vouch: &Vouch, mesh: snapshot::Reader<Mesh>, clients: Clients) -> Reports {
        let (authority, place, clock) = (vouch.authority.clone(), vouch.place.clone(), vouch.clock.clone());
        let (reader, list, told) = (mesh.clone(), clients.clone(), self.told.subscribe());
        let own: Own = Arc::new(move || {
            let rotation = told.borrow().clone();
            debug::authority::report(&authority, place.name(), (&reader.get(), &list), rotation, clock.now())
        });
        Reports { mesh, clients, authority: own, namespace: self.namespace.as_str().into() }
    }

    /// What rotates the root; nothing where that is not kept in Secrets.
    pub(super) fn rotator(&self, vouch: &Vouch, keeper: &Keeper, own: Own) -> Option<Rotator> {
        let (client, secrets) = (self.client.clone()?, vouch.secrets.clone()?);
        let (clock, trust_domain) = (vouch.clock.clone(), vouch.authority.trust_domain().clone());
        Some(Rotator {
            secrets,
            authority: vouch.authority.clone(),
            make: Box::new(move || self_signed(&trust_domain, clock.now())),
            clock: vouch.clock.clone(),
            leads: keeper.leads(),
            maps: keeper.standing(),
            own,
            peers: Peers {
                client,
                namespace: self.namespace.clone(),
                own: self.pod.clone(),
                port: self.port,
                names: self.names.clone(),
                authority: vouch.authority.clone(),
                identity: vouch.own.reader(),
            },
            told: self.told.clone(),
        })
    }
}
