//! Sockets that the configuration asks for: bound and closed as snapshots come and go.
//!
//! One owner binds for the process; workers learn the set and accept on duplicates. A listener that is still wanted is
//! never touched, so no change of other things loses a connection. A listener that cannot be bound is logged, tried
//! again with the next look, and blocks no other.

use crate::{
    net::listen,
    snapshot::{
        Snapshot,
        listener::{ListenerKind, ListenerSpec},
    },
};
use mesh_runtime::{drain, ready, snapshot as published};
use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

/// How long a socket that could not be bound rests before the next try.
const RETRY: Duration = Duration::from_secs(1);

/// What a listener is for, as the connection's path needs it.
#[derive(Debug, Clone, PartialEq)]
pub enum Purpose {
    /// Captured connections of the application.
    OutboundCaptured,
    /// Captured connections of peers.
    InboundCaptured,
    /// A listener of the configuration.
    Configured(ListenerKind),
}

impl Purpose {
    /// Whether it is for the application's own connections.
    pub fn is_outbound(&self) -> bool {
        matches!(self, Purpose::OutboundCaptured | Purpose::Configured(ListenerKind::Egress { .. }))
    }
}

/// When sockets close.
pub struct Ends {
    /// Those for others' connections.
    pub arriving: drain::Watch,
    /// All.
    pub ending: drain::Watch,
}

/// One bound socket.
#[derive(Debug, Clone)]
pub struct Bound {
    /// The listener's name.
    pub name: Arc<str>,
    /// Where it is bound, with the real port.
    pub address: SocketAddr,
    /// What for.
    pub purpose: Purpose,
    /// The process's socket; workers duplicate it.
    pub socket: Arc<TcpListener>,
}

/// All bound sockets, by name.
pub type BoundSet = BTreeMap<Arc<str>, Bound>;

/// Binds what snapshots want, until the proxy `ends`. `ready` is dropped once the sockets of the first whole configuration have
/// been bound, or tried.
pub async fn follow(
    captured: Vec<(Purpose, SocketAddr)>,
    mut snapshots: published::Reader<Snapshot>,
    bound: published::Publisher<BoundSet>,
    ready: ready::Guard,
    ends: Ends,
) {
    let mut open = BoundSet::clone(&bound.current());
    let mut ready = Some(ready);
    let arriving = ends.arriving.signaled();
    tokio::pin!(arriving);
    loop {
        let snapshot = snapshots.get();
        let (wanted, known) = (wanted(&captured, &snapshot.listeners), snapshot.local().is_some());
        drop(snapshot);
        let complete = reconcile(&mut open, &wanted);
        bound.publish(Arc::new(open.clone()));
        if known {
            drop(ready.take());
        }
        let retry = async {
            match complete {
                true => std::future::pending().await,
                false => tokio::time::sleep(RETRY).await,
            }
        };
        tokio::select! {
            biased;
            () = &mut arriving => break,
            changed = snapshots.changed() => if changed.is_err() { return },
            () = retry => {}
        }
    }
    // What nobody accepts on is closed: who connects then is refused at once instead of waiting in vain.
    open.retain(|_, bound| bound.purpose.is_outbound());
    bound.publish(Arc::new(open));
    ends.ending.signaled().await;
    bound.publish(Arc::default());
}

/// Name, address and purpose of everything that should be open.
fn wanted(captured: &[(Purpose, SocketAddr)], specs: &[ListenerSpec]) -> BTreeMap<Arc<str>, (SocketAddr, Purpose)> {
    let fixed = captured.iter().map(|(purpose, address)| {
        let name = match purpose {
            Purpose::OutboundCaptured => "virtualOutbound",
            _ => "virtualInbound",
        };
        (Arc::from(name), (*address, purpose.clone()))
    });
    let specs = specs.iter().map(|s| (s.name.clone(), (s.address, Purpose::Configured(s.kind.clone()))));
    fixed.chain(specs).collect()
}

/// Closes what is no longer wanted, opens what is missing, gives a kept socket its new purpose. `false`: something
/// could not be bound.
fn reconcile(open: &mut BoundSet, wanted: &BTreeMap<Arc<str>, (SocketAddr, Purpose)>) -> bool {
    let same_place = |asked: SocketAddr, real: SocketAddr| {
        asked.ip() == real.ip() && (asked.port() == 0 || asked.port() == real.port())
    };
    open.retain(|name, bound| wanted.get(name).is_some_and(|(address, _)| same_place(*address, bound.address)));
    let mut complete = true;
    for (name, (address, purpose)) in wanted {
        if let Some(bound) = open.get_mut(name) {
            bound.purpose = purpose.clone();
            continue;
        }
        match listen::bind(*address).and_then(|socket| Ok((socket.local_addr()?, socket))) {
            Ok((real, socket)) => {
                tracing::info!(listener = %name, address = %real, "listening");
                let bound =
                    Bound { name: name.clone(), address: real, purpose: purpose.clone(), socket: socket.into() };
                open.insert(name.clone(), bound);
            }
            Err(error) => {
                complete = false;
                tracing::error!(listener = %name, %address, %error, "cannot listen; trying again");
            }
        }
    }
    complete
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_config::name::Port;

    fn gateway(port: u16) -> Purpose {
        Purpose::Configured(ListenerKind::Gateway { port: Port::new(port).unwrap(), tls: false })
    }

    #[test]
    fn a_listener_that_stays_keeps_its_socket_and_takes_its_new_purpose() {
        let mut open = BoundSet::new();
        let address: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let mut want = BTreeMap::from([(Arc::from("a"), (address, gateway(80)))]);
        assert!(reconcile(&mut open, &want));
        let socket = open["a"].socket.clone();
        want.insert("a".into(), (address, gateway(81)));
        want.insert("b".into(), (address, gateway(82)));
        assert!(reconcile(&mut open, &want));
        assert!(Arc::ptr_eq(&socket, &open["a"].socket) && open["a"].purpose == gateway(81) && open.contains_key("b"));
        want.remove("b");
        assert!(reconcile(&mut open, &want) && !open.contains_key("b"));
    }

    #[test]
    fn one_that_cannot_be_bound_blocks_no_other() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut open = BoundSet::new();
        let want = BTreeMap::from([
            (Arc::from("a"), (taken.local_addr().unwrap(), gateway(80))),
            (Arc::from("b"), ("127.0.0.1:0".parse().unwrap(), gateway(80))),
        ]);
        assert!(!reconcile(&mut open, &want));
        assert!(open.contains_key("b") && !open.contains_key("a"));
    }
}
