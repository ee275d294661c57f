//! What a connection of the application is for: where it was going × what is declared × its first bytes.

use super::{Ask, Asking, Onward, onward, whose};
use crate::{
    detect::Detected,
    snapshot::{
        Snapshot,
        cluster::Cluster,
        listener::DestinationKey,
        outbound::{Destination, Said, Way, by_opening, lookup, through},
        stream::StreamRoute,
    },
};
use mesh_config::{
    model::{Protocol, ServiceKey},
    name::Port,
};
use std::{net::SocketAddr, sync::Arc};

/// Where a connection came in.
#[derive(Debug, Clone)]
pub enum Entrance {
    /// Captured on its way to this address.
    Captured(SocketAddr),
    /// At a listener that the `Sidecar` binds.
    Listener {
        name: Arc<str>,
        /// What it declares.
        protocol: Protocol,
    },
}

/// What becomes of a connection.
#[derive(Debug, Clone)]
pub enum Outgoing {
    /// Fetch this, and decide again.
    Ask(Ask),
    /// What the client says first decides: read that, and decide again.
    Hear,
    /// Requests, held against the rules of this key.
    Requests(DestinationKey),
    /// The client, or the server if it speaks first, says what it is.
    Detect {
        /// The rules, should they be requests.
        key: DestinationKey,
        /// The port whose protocol is not declared.
        port: (ServiceKey, Port),
        /// Where to, should they not.
        cluster: Arc<Cluster>,
        /// The VirtualService's rule that says so.
        rule: Option<Arc<StreamRoute>>,
    },
    /// Bytes that are not looked at.
    Opaque {
        /// Which rules the connection is held against.
        key: DestinationKey,
        /// Where to.
        cluster: Arc<Cluster>,
        /// The VirtualService's rule that says so.
        rule: Option<Arc<StreamRoute>>,
    },
    /// Nowhere: the rule's destination does not exist.
    Missing {
        /// Which rules the connection was held against.
        key: DestinationKey,
        /// The rule.
        rule: Arc<StreamRoute>,
        /// Name of the cluster that is missing.
        cluster: Arc<str>,
    },
    /// Nowhere.
    Refuse {
        /// Which rules the connection was held against.
        key: DestinationKey,
        /// Under which name it is counted.
        cluster: Arc<Cluster>,
    },
}

impl Outgoing {
    /// What has to be fetched first.
    pub fn asks(&self) -> Option<Ask> {
        match self {
            Outgoing::Ask(ask) => Some(ask.clone()),
            _ => None,
        }
    }
}

/// Decides on a connection, of which nothing need have been heard yet: without `said`, [`Outgoing::Hear`] may ask for it.
/// `draw` is a random number that decides between weighted destinations; the same when it is decided again.
pub fn outgoing(
    snapshot: &Snapshot,
    entrance: &Entrance,
    said: Option<Said<'_>>,
    draw: u64,
    asking: Asking,
) -> Outgoing {
    let heard = |found: Destination, way: Way<'_>| match (found, said) {
        (Destination::Opening(_), Some(said)) => by_opening(snapshot, way, said, asking),
        (found, _) => found,
    };
    match entrance {
        Entrance::Captured(address) => {
            let found = heard(lookup(snapshot, *address, asking), Way::Captured(*address));
            if let Destination::Passthrough(cluster) = &found
                && let Some(ask) = whose(snapshot, cluster, Some(*address), asking)
            {
                return Outgoing::Ask(ask);
            }
            let key = found.key(*address);
            of_destination(snapshot, found, key, draw)
        }
        Entrance::Listener { name, protocol } => {
            let key = DestinationKey::Egress(name.clone());
            if protocol.is_http() {
                return Outgoing::Requests(key);
            }
            let found = match snapshot.outbound.egress(name) {
                Some(egress) => heard(through(snapshot, egress), Way::Listener(egress)),
                None => Destination::Refused(snapshot.outbound.black_hole().clone()),
            };
            match of_destination(snapshot, found, key, draw) {
                // What the listener declares stands above what the service does.
                Outgoing::Detect { key, cluster, rule, .. } if *protocol != Protocol::Auto => {
                    Outgoing::Opaque { key, cluster, rule }
                }
                other => other,
            }
        }
    }
}

fn of_destination(snapshot: &Snapshot, found: Destination, key: DestinationKey, draw: u64) -> Outgoing {
    match found {
        Destination::HttpPort(_) => Outgoing::Requests(key),
        Destination::Opening(_) => Outgoing::Hear,
        Destination::Service { service, port, protocol, cluster, rule } => {
            let cluster = match rule.as_ref().map(|rule| (rule, onward(rule, draw))) {
                None => cluster,
                Some((_, Onward::To(cluster))) => cluster,
                Some((_, Onward::Ask(ask))) => return Outgoing::Ask(ask),
                // Requests may have a rule of their own.
                Some((_, Onward::Missing(_))) if protocol == Protocol::Auto => snapshot.outbound.black_hole().clone(),
                Some((rule, Onward::Missing(cluster))) => {
                    return Outgoing::Missing { key, rule: rule.clone(), cluster };
                }
            };
            match protocol {
                Protocol::Auto => Outgoing::Detect { key, port: (service, port), cluster, rule },
                _ => Outgoing::Opaque { key, cluster, rule },
            }
        }
        Destination::Unasked(address) => Outgoing::Ask(Ask::Workload(address)),
        Destination::Passthrough(cluster) => Outgoing::Opaque { key, cluster, rule: None },
        Destination::Refused(cluster) => Outgoing::Refuse { key, cluster },
        Destination::Pending { service, .. } => Outgoing::Ask(Ask::Details(service)),
    }
}

/// Whether what came on a port whose protocol is not declared are requests.
pub fn are_requests(said: &Detected) -> bool {
    said.is_http()
}

#[cfg(test)]
mod tests;
