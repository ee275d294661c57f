//! How a request gets its connection: an idle one that still lives, a shared one with room, or a new one, within the
//! limits of the cluster.

use super::{
    Upstreams,
    cluster::WorkerCluster,
    connect::{Speaks, Target},
    endpoint::{Host, Wanted},
    io::UpstreamIo,
    lease::Lease,
    pool::{Facts, H1, H2, Slot},
};
use crate::{
    conn::Upstream,
    error::{ConnectFailure, Error},
    limit::{Connections, Gauge, Held, Load, Pending},
    snapshot::cluster::{Cluster, ClusterKey},
};
use mesh_config::model::Settings;
use mesh_runtime::clock;
use std::{rc::Rc, sync::Arc, time::Duration};
use tokio::{sync::oneshot, time::Instant};

/// A connection that idled longer is looked at before it is used.
const LOOK_AFTER: Duration = Duration::from_millis(5);
/// Idle connections are closed after an hour unless the policy says otherwise; passthrough: after five minutes.
const IDLE: Duration = Duration::from_secs(3600);
const PASSTHROUGH_IDLE: Duration = Duration::from_secs(300);
/// Streams of one HTTP/2 connection at most.
const STREAMS: u32 = 1024;
/// How often a request that waits looks whether another worker gave a connection up.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// How a request wants its connection.
#[derive(Clone, Copy)]
pub struct Want<'a> {
    /// The time, as of a moment ago.
    pub now: Instant,
    /// Mesh-wide settings of the request's snapshot.
    pub settings: &'a Settings,
    /// HTTP/2 to the upstream.
    pub http2: bool,
    /// Not an HTTP/1 connection that served before.
    pub fresh: bool,
    /// The host of the request, lower-case and without port, where the upstream's TLS asks for it.
    pub server_name: Option<&'a Arc<str>>,
}

/// An opaque connection, counted until its guards are dropped.
pub struct StreamLease {
    /// The bytes.
    pub io: UpstreamIo,
    /// Its facts.
    pub upstream: Rc<Upstream>,
    /// The protocol agreed on by TLS.
    pub alpn: Option<Vec<u8>>,
    /// Keep them as long as the connection.
    pub guards: StreamGuards,
}

/// What counts an opaque connection.
pub struct StreamGuards {
    _slot: Slot,
    _load: Held<Load>,
}

/// No connection, why, and the facts of the one that could not be made.
pub type NotAcquired = (Error, Option<Rc<Upstream>>);

impl WorkerCluster {
    /// A connection to `host`.
    ///
    /// # Errors
    /// [`Error::Connect`], [`Error::Overflow`].
    pub async fn acquire(&self, upstreams: &Upstreams, host: &Rc<Host>, want: Want<'_>) -> Result<Lease, NotAcquired> {
        let load = host.count();
        let cluster = self.now.borrow().cluster.clone();
        if want.http2 {
            return match self.shared_connection(upstreams, host, want, &cluster).await {
                Ok((h2, reused)) => Ok(Lease::h2(host.clone(), h2, reused, load)),
                Err(error) => Err(error),
            };
        }
        loop {
            if !want.fresh
                && let Some(h1) = self.idle_connection(host, want, &cluster).await
            {
                return Ok(Lease::h1(host.clone(), h1, true, load));
            }
            let _pending = self.pending(&cluster)?;
            let Some(counted) = self.slot(&cluster) else {
                Box::pin(self.wait_for_slot()).await;
                continue;
            };
            let facts = self.facts(want, counted);
            let target = target(host, &cluster, want);
            let connected = Box::pin(upstreams.connector.h1(&target, facts)).await;
            let h1 = connected.map_err(|not| not_connected(host, not))?;
            return Ok(Lease::h1(host.clone(), h1, false, load));
        }
    }

    /// A connection of its own for opaque bytes.
    ///
    /// # Errors
    /// [`Error::Connect`], [`Error::Overflow`] (at once: opaque connections do not wait for each other).
    pub async fn stream(
        &self,
        upstreams: &Upstreams,
        host: &Rc<Host>,
        settings: &Settings,
    ) -> Result<StreamLease, NotAcquired> {
        let load = host.count();
        let cluster = self.now.borrow().cluster.clone();
        let limit = cluster.policy.connection_pool.max_connections;
        let counted = Gauge::enter(&Connections(self.shared.counts.clone()), limit).ok_or((Error::Overflow, None))?;
        let slot = Slot::new(&self.slots, counted);
        let target = Target {
            address: &host.address,
            callee: host.callee.as_ref(),
            cluster: &cluster,
            settings,
            server_name: None,
            speaks: Speaks::Tcp,
        };
        let opened = upstreams.connector.io(&target).await;
        let (io, upstream, alpn) = opened.map_err(|not| not_connected(host, not))?;
        Ok(StreamLease { io, upstream, alpn, guards: StreamGuards { _slot: slot, _load: load } })
    }

    /// The youngest idle connection that is not closed.
    async fn idle_connection(&self, host: &Rc<Host>, want: Want<'_>, cluster: &Cluster) -> Option<Box<H1>> {
        let mut now = want.now;
        loop {
            let (h1, idle) = host.take_idle(&self.wanted(now, want, cluster))?;
            if idle <= LOOK_AFTER {
                return Some(h1);
            }
            // The reactor runs once: a close that has arrived is seen before anything is written.
            tokio::task::yield_now().await;
            if !h1.sender.is_closed() {
                return Some(h1);
            }
            host.was_closed(h1, now.checked_sub(idle).unwrap_or(now));
            now = clock::now();
        }
    }

    /// An HTTP/2 connection with room, and whether it served before. Only one is made at a time.
    async fn shared_connection(
        &self,
        upstreams: &Upstreams,
        host: &Rc<Host>,
        want: Want<'_>,
        cluster: &Cluster,
    ) -> Result<(Rc<H2>, bool), NotAcquired> {
        let streams = cluster.policy.connection_pool.max_concurrent_streams.map_or(STREAMS, |n| n.clamp(1, STREAMS));
        loop {
            if let Some(h2) = host.take_h2(&self.wanted(want.now, want, cluster), streams) {
                let reused = h2.served.get() > 0;
                return Ok((h2, reused));
            }
            let _pending = self.pending(cluster)?;
            if let Some(made) = wait_for_other(host) {
                let _ = made.await;
                continue;
            }
            let connecting = Connecting::begin(host);
            let Some(counted) = self.slot(cluster) else {
                drop(connecting);
                Box::pin(self.wait_for_slot()).await;
                continue;
            };
            let facts = self.facts(want, counted);
            let target = target(host, cluster, want);
            let connected = Box::pin(upstreams.connector.h2(&target, facts)).await;
            let h2 = connected.map_err(|not| not_connected(host, not))?;
            host.h2.borrow_mut().push(h2.clone());
            return Ok((h2, false));
        }
    }

    fn wanted<'a>(&self, now: Instant, want: Want<'a>, cluster: &Cluster) -> Wanted<'a> {
        let pool = &cluster.policy.connection_pool;
        Wanted {
            now,
            generation: self.generation.get(),
            server_name: want.server_name,
            idle_timeout: idle_timeout(cluster),
            max_requests: pool.max_requests_per_connection,
            max_age: pool.max_connection_duration,
        }
    }

    fn facts(&self, want: Want<'_>, counted: Held<Connections>) -> Facts {
        Facts {
            server_name: want.server_name.cloned(),
            generation: self.generation.get(),
            created: clock::now(),
            slot: Slot::new(&self.slots, counted),
        }
    }

    fn pending(&self, cluster: &Cluster) -> Result<Held<Pending>, NotAcquired> {
        let limit = cluster.policy.connection_pool.max_pending_requests;
        Gauge::enter(&Pending(self.shared.counts.clone()), limit).ok_or((Error::Overflow, None))
    }

    /// One more connection, if the limit allows it. A worker without any may always have one: it would wait for
    /// ever for those of another.
    fn slot(&self, cluster: &Cluster) -> Option<Held<Connections>> {
        let limit = cluster.policy.connection_pool.max_connections.filter(|_| self.slots.own() > 0);
        Gauge::enter(&Connections(self.shared.counts.clone()), limit)
    }

    async fn wait_for_slot(&self) {
        let _ = tokio::time::timeout(LOOK_AGAIN, self.slots.wait()).await;
    }
}

/// Others are picked for a moment where nobody took the connection.
fn not_connected(host: &Host, (error, upstream): (Error, Rc<Upstream>)) -> NotAcquired {
    if matches!(error, Error::Connect { failure: ConnectFailure::Remote, .. }) {
        host.pass_over();
    }
    (error, Some(upstream))
}

/// How long a cluster's connections may idle; zero: for ever.
pub(super) fn idle_timeout(cluster: &Cluster) -> Duration {
    let pool = &cluster.policy.connection_pool;
    let default = match cluster.key {
        ClusterKey::Passthrough | ClusterKey::InboundPassthrough => PASSTHROUGH_IDLE,
        _ => IDLE,
    };
    pool.http_idle_timeout.or(pool.tcp_idle_timeout).unwrap_or(default)
}

fn target<'a>(host: &'a Host, cluster: &'a Cluster, want: Want<'a>) -> Target<'a> {
    let speaks = if want.http2 { Speaks::Http2 } else { Speaks::Http1 };
    Target {
        address: &host.address,
        callee: host.callee.as_ref(),
        cluster,
        settings: want.settings,
        server_name: want.server_name,
        speaks,
    }
}

/// Completes when the connection that somebody else makes is there, or failed; `None`: nobody makes one.
fn wait_for_other(host: &Host) -> Option<oneshot::Receiver<()>> {
    let mut connecting = host.connecting.borrow_mut();
    let waiting = connecting.as_mut()?;
    let (tx, rx) = oneshot::channel();
    waiting.push(tx);
    Some(rx)
}

/// While one lives, others wait instead of connecting.
struct Connecting<'a>(&'a Host);

impl<'a> Connecting<'a> {
    fn begin(host: &'a Host) -> Self {
        *host.connecting.borrow_mut() = Some(Vec::new());
        Connecting(host)
    }
}

impl Drop for Connecting<'_> {
    fn drop(&mut self) {
        for waiting in self.0.connecting.borrow_mut().take().into_iter().flatten() {
            let _ = waiting.send(());
        }
    }
}
