//! What was received, by kind, and what of it a push touched. There is a store for each row of the table of parts.

mod store;

use super::Changes;
use crate::snapshot::{
    cluster::{EndpointCell, EndpointSet},
    index::Index,
    workloads::Workloads,
};
use arc_swap::ArcSwap;
use mesh_config::{
    kind::Unread,
    model::{Credential, Kind, Part, PartName, Service, ServiceKey, TrustBundle},
    name::{Namespace, NamespacedName, Port},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};
use store::{Apart, ByName, Group, Store};

/// Kinds of which something was put in, taken out or changed. Parts that came again as they were do not count, nor do
/// endpoints.
pub(super) type Touched = BTreeSet<Kind>;

/// The type of a store.
macro_rules! store {
    (by_name $model:ty) => { ByName<$model> };
    (apart $model:ty) => { <$model as Apart>::Store };
}

/// [`Parts`], and what hands a part to the store of its kind.
macro_rules! stores {
    ($(
        $(#[$doc:meta])*
        $kind:ident($module:ident::$model:ident as $message:ident $word:literal)
        $asked:ident $channel:ident $unread:ident $keep:ident $store:ident |$part:ident| $name:expr;
    )*) => {
        /// Everything received.
        #[derive(Debug)]
        pub(super) struct Parts {
            $($(#[$doc])* pub(super) $store: store!($keep mesh_config::model::$module::$model),)*
            /// Policies that there are and that could not be read, with nothing from before to hold in their place.
            unreadable: BTreeSet<(Kind, PartName)>,
            cells: HashMap<Group, EndpointCell>,
            namespace: Namespace,
        }

        impl Parts {
            pub(super) fn new(namespace: &Namespace) -> Self {
                Parts {
                    $($store: Store::empty(namespace),)*
                    unreadable: BTreeSet::new(),
                    cells: HashMap::new(),
                    namespace: namespace.clone(),
                }
            }

            fn upsert(&mut self, part: Part, name: PartName) -> bool {
                match part {
                    $(Part::$kind(part) => self.$store.put(name, part),)*
                }
            }

            fn remove(&mut self, kind: Kind, name: &PartName) -> bool {
                match kind {
                    $(Kind::$kind => self.$store.take_out(name),)*
                }
            }

            fn has(&self, kind: Kind, name: &PartName) -> bool {
                match kind {
                    $(Kind::$kind => self.$store.has(name),)*
                }
            }
        }
    };
}

mesh_config::parts!(stores);

impl Parts {
    /// Takes a push in. Removals come first, so that a part which is removed and sent again is there; what could not be
    /// read comes next, so that nothing from before holds in the place of what was removed.
    pub(super) fn take(&mut self, changes: Changes) -> Touched {
        let mut touched = Touched::new();
        let mut note = |kind: Kind, changed: bool| {
            if changed {
                touched.insert(kind);
            }
        };
        for address in changes.forgotten {
            note(Kind::Workload, self.workloads.forget(address));
        }
        for (kind, name) in changes.removed {
            note(kind, self.make_readable(kind, &name));
            note(kind, self.remove(kind, &name));
        }
        for (kind, name) in changes.refused {
            note(kind, self.make_unreadable(kind, name));
        }
        for part in changes.upserts {
            let (kind, name) = (part.kind(), part.name());
            if let Part::Service(service) = &part {
                self.make_cells(service);
            }
            note(kind, self.make_readable(kind, &name));
            note(kind, self.upsert(part, name));
        }
        if touched.contains(&Kind::Settings) {
            self.index_by_domain();
        }
        touched
    }

    /// Only where nothing from before goes on holding, and only of what would have refused something.
    fn make_unreadable(&mut self, kind: Kind, name: PartName) -> bool {
        kind.unread() == Unread::Refuses && !self.has(kind, &name) && self.unreadable.insert((kind, name))
    }

    fn make_readable(&mut self, kind: Kind, name: &PartName) -> bool {
        // Hardly ever is there one, and names are many.
        !self.unreadable.is_empty() && self.unreadable.remove(&(kind, name.clone()))
    }

    /// The policies of this kind that there are and that could not be read.
    pub(super) fn unreadable(&self, kind: Kind) -> impl Iterator<Item = NamespacedName> {
        let name = |name: &PartName| match name.as_str().split_once('/') {
            Some((namespace, name)) => NamespacedName::new(namespace, name),
            None => NamespacedName::new("", name.as_str()),
        };
        self.unreadable.iter().filter(move |(k, _)| *k == kind).map(move |(_, n)| name(n))
    }

    /// Short names are those of the settings' domain.
    fn index_by_domain(&mut self) {
        let Some(settings) = &self.settings else { return };
        if !self.index.is_of_domain(&settings.cluster_domain) {
            let mut index = Index::new(self.namespace.clone(), &settings.cluster_domain);
            self.index.iter().for_each(|entry| index.insert(entry.clone()));
            self.index = Arc::new(index);
        }
    }

    /// One for each port of a service, with what is known of its endpoints.
    fn make_cells(&mut self, service: &Service) {
        for port in &service.ports {
            let cell = self.cell(&service.key, port.number);
            self.cells.insert((service.key.clone(), port.number), cell);
        }
    }

    /// The cell of a service port, with what is known of its endpoints.
    pub(super) fn cell(&self, service: &ServiceKey, port: Port) -> EndpointCell {
        let group = (service.clone(), port);
        match self.cells.get(&group) {
            Some(cell) => cell.clone(),
            None => Arc::new(ArcSwap::from_pointee(self.set(&group))),
        }
    }

    fn set(&self, group: &Group) -> EndpointSet {
        EndpointSet { endpoints: self.endpoints.of(group) }
    }

    /// Writes the endpoints that a push touched into their cells.
    pub(super) fn write_cells(&mut self) -> Vec<(ServiceKey, Port)> {
        let touched = self.endpoints.touched();
        for group in &touched {
            let set = self.set(group);
            match self.cells.get(group) {
                Some(cell) => cell.store(Arc::new(set)),
                None => drop(self.cells.insert(group.clone(), Arc::new(ArcSwap::from_pointee(set)))),
            }
        }
        touched.into_iter().collect()
    }

    /// Forgets cells of services that are gone and have no endpoints left.
    pub(super) fn drop_empty_cells(&mut self) {
        let (services, endpoints) = (&self.services, &self.endpoints);
        self.cells.retain(|group, _| services.contains_key(&group.0) || endpoints.any(group));
    }

    pub(super) fn trust(&self) -> Arc<Vec<Arc<TrustBundle>>> {
        Arc::new(self.trust.values().cloned().collect())
    }

    pub(super) fn credentials(&self) -> Arc<BTreeMap<NamespacedName, Arc<Credential>>> {
        Arc::new(self.secrets.values().map(|c| (c.name.clone(), c.clone())).collect())
    }

    pub(super) fn workloads(&self) -> Arc<Workloads> {
        Arc::new(Workloads::new(self.workloads.answers()))
    }
}
