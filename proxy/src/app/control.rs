//! The control thread: identity first, then discovery, snapshots and sockets, names and pages for operators. It
//! carries no traffic; what it publishes, workers read.

use super::{Common, Sockets, carry, carry::Carrying, pages, trust};
use crate::{
    discovery::{self, Command, Push},
    listeners::{self, BoundSet, Purpose},
    observe::access_log::Writer,
    snapshot::{OwnFacts, Snapshot, build::State},
    upstream::dns,
};
use anyhow::Context;
use mesh_runtime::{
    clock::{self, WallClock},
    identity::{
        client::{Authority, CaClient},
        file,
        rotate::{Metrics, Rotation},
    },
    process, ready, snapshot,
    tls::{
        client::ClientTls,
        material::{CaBundle, Identity},
        server::{ServerTls, TrustPolicy},
    },
};
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

/// How often services are looked for that nobody uses, and how long nobody must have used one.
const LOOK_FOR_UNUSED: Duration = Duration::from_secs(60);
const UNUSED: Duration = Duration::from_secs(1800);
/// For one call to the certificate authority.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// What the control thread is given.
pub(super) struct Inputs {
    pub(super) sockets: Sockets,
    pub(super) wanted: mpsc::Receiver<Command>,
    pub(super) asked: mpsc::Receiver<IpAddr>,
    pub(super) bound: snapshot::Publisher<BoundSet>,
    pub(super) drain_time: snapshot::Publisher<Duration>,
    pub(super) log: Writer,
}

/// Everything the control thread needs, checked before it starts.
pub(super) struct Control {
    common: Arc<Common>,
    inputs: Inputs,
    rotation: Rotation<mesh_runtime::identity::client::CaError>,
    authority: snapshot::Publisher<CaBundle>,
    certificate: ready::Guard,
    configuration: ready::Guard,
    listeners: ready::Guard,
}

impl Control {
    /// Reads the trust anchor and prepares the certificate client.
    pub(super) fn new(common: Arc<Common>, inputs: Inputs) -> anyhow::Result<Self> {
        let plane = &common.settings.control_plane;
        let file = &plane.root_cert;
        let anchor = std::fs::read(file).with_context(|| format!("cannot read the trust anchor {}", file.display()))?;
        let roots = CaBundle::from_pem(&anchor).with_context(|| format!("trust anchor {}", file.display()))?;
        let (authority, roots) = snapshot::publisher(Arc::new(roots));
        let client = CaClient {
            address: plane.ca.as_str().into(),
            authority: Authority::Host(plane.server_name.as_str().into()),
            roots,
            root_file: Some(file.clone()),
            token: Some(plane.token.clone()),
            lifetime: common.settings.certificate_ttl,
            timeout: CALL_TIMEOUT,
            wall: WallClock::system(),
        };
        let rotation = Rotation {
            fetch: client.into_fetch(),
            metrics: Metrics::new(&common.registry)?,
            wall: WallClock::system(),
            state_dir: common.settings.state_dir.clone(),
            early: Arc::default(),
        };
        let certificate = common.ready.register("certificate");
        let configuration = common.ready.register("configuration");
        let listeners = common.ready.register("listeners");
        Ok(Control { common, inputs, rotation, authority, certificate, configuration, listeners })
    }

    /// Runs until nothing is accepted any more and the workers have ended.
    pub(super) async fn run(self) {
        let Control { common, inputs, rotation, authority, certificate, configuration, listeners } = self;
        let ending = common.ending.clone();
        let settings = &common.settings;

        // 1. pages: readiness must be seen to be missing
        let facts = OwnFacts {
            role: settings.role,
            namespace: settings.namespace.as_str().into(),
            ips: settings.instance_ips.clone(),
        };
        let mut state = State::new(facts);
        let (snapshots, snapshot_reader) = snapshot::publisher(state.snapshot().clone());
        let (shown, shown_reader) = snapshot::publisher::<Option<Arc<Identity>>>(Arc::new(None));
        pages::serve(&common, inputs.sockets, &snapshot_reader, shown_reader);

        // 2. identity: kept from before, or from the authority, however long it takes
        let kept = settings.state_dir.as_ref().and_then(|dir| kept_identity(dir));
        let first = match kept {
            Some(identity) => identity,
            None => match rotation.obtain(&ending).await {
                Some(identity) => identity,
                None => return,
            },
        };
        drop(certificate);
        let (own, own_reader) = snapshot::publisher(first.clone());
        let (identity, identity_reader) = snapshot::publisher(first);
        let (policy, policy_reader) = snapshot::publisher(Arc::new(TrustPolicy::default()));
        tokio::spawn(rotation.run(own, ending.clone()));
        let kept = trust::Kept { identity, policy, authority };
        tokio::spawn(trust::follow(own_reader, snapshot_reader.clone(), kept, ending.clone()));
        tokio::spawn(show(identity_reader.clone(), shown));

        // 3. names, sockets, peers
        tokio::spawn(names(common.upstreams.names.clone()));
        let captured = captured(&common.bound.get());
        let ends = listeners::Ends { arriving: common.arriving.clone(), ending: ending.clone() };
        tokio::spawn(listeners::follow(captured, snapshot_reader.clone(), inputs.bound, listeners, ends));
        tokio::spawn(ask_for_peers(inputs.asked, common.commands.clone()));
        tokio::spawn(drain_time(snapshot_reader.clone(), inputs.drain_time));
        tokio::spawn(forget_unused(common.clone(), snapshot_reader.clone()));

        // 4. workers
        let carrying = Carrying {
            common: common.clone(),
            snapshots: snapshot_reader,
            server_tls: Arc::new(ServerTls::with_trust(identity_reader.clone(), policy_reader)),
            client_tls: Arc::new(ClientTls::new(identity_reader.clone())),
            log: inputs.log,
        };
        let workers = process::workers(settings.workers, move |number| carry::run(carrying.clone(), number));
        let workers = match workers {
            Ok(workers) => workers,
            Err(error) => return tracing::error!(%error, "cannot start workers"),
        };

        // 5. configuration, until the end
        let (peers, retired) = (common.peers.clone(), common.retired.clone());
        let mut configuration = Some(configuration);
        let sink = move |push: Push| {
            if !push.changes.forgotten.is_empty() {
                peers.forget(&push.changes.forgotten);
            }
            let applied = state.apply(push.changes);
            if applied.snapshot.local().is_some() {
                drop(configuration.take());
            }
            if applied.changed {
                snapshots.publish(applied.snapshot.clone());
            }
            if !applied.retired.is_empty() {
                // No worker listens yet, or one is behind: idle connections then end by their own limit.
                let _ = retired.send(applied.retired.into());
            }
            if !push.addresses.is_empty() {
                peers.learn(push.addresses);
            }
            Vec::new()
        };
        let ends = discovery::Ends {
            commands: inputs.wanted,
            sink,
            identity: Some(identity_reader),
            status: watch::channel(discovery::Status::default()).0,
            drain: ending,
        };
        discovery::run(discovery::Settings::of(settings), ends).await;
        for worker in workers {
            let _ = worker.ended().await;
        }
    }
}

/// The identity of an earlier run, if it is still valid.
fn kept_identity(dir: &std::path::Path) -> Option<Arc<Identity>> {
    match file::load(dir, clock::system_now()) {
        Ok(identity) => Some(Arc::new(identity)),
        Err(error) if error.is_absent() => None,
        Err(error) => {
            tracing::warn!(%error, "the certificate of an earlier run is not used");
            None
        }
    }
}

/// Resolves names of endpoints as long as the thread lives.
async fn names(names: Arc<dns::Names>) {
    if let Err(error) = names.run().await {
        tracing::error!(%error, "endpoints given by name cannot be resolved");
    }
}

/// The captured ports among what is bound.
fn captured(bound: &BoundSet) -> Vec<(Purpose, SocketAddr)> {
    bound.values().map(|b| (b.purpose.clone(), b.address)).collect()
}

/// Hands addresses that observers want to know to discovery.
async fn ask_for_peers(mut asked: mpsc::Receiver<IpAddr>, commands: mpsc::Sender<Command>) {
    while let Some(address) = asked.recv().await {
        if commands.send(Command::NeedWorkload(address)).await.is_err() {
            return;
        }
    }
}

/// Gives up the details of services that no worker has used for long, and whose addresses are that neither calls nor
/// telemetry have: the next call asks again.
async fn forget_unused(common: Arc<Common>, snapshots: snapshot::Reader<Snapshot>) {
    let (mut services, mut addresses) = (Unused::default(), Unused::default());
    let mut look = tokio::time::interval(LOOK_FOR_UNUSED);
    loop {
        look.tick().await;
        let (snapshot, now) = (snapshots.get(), clock::now());
        let used = common.upstreams.services_in_use();
        let held = snapshot.outbound.services().map(|s| s.service.key.clone());
        let forgotten = services.look(held.filter(|key| !used.contains(key)), now).into_iter();
        let mut commands: Vec<Command> = forgotten.map(Command::ForgetService).collect();
        let called = common.upstreams.addresses_in_use();
        let known = snapshot.workloads.iter().map(|(address, _)| address);
        let idle = known.filter(|address| !called.contains(address) && !common.peers.is_asked(*address));
        commands.extend(addresses.look(idle, now).into_iter().map(Command::ForgetWorkload));
        for command in commands {
            if common.commands.send(command).await.is_err() {
                return;
            }
        }
    }
}

/// What nobody uses, and since when.
struct Unused<K>(HashMap<K, Instant>);

impl<K> Default for Unused<K> {
    fn default() -> Self {
        Unused(HashMap::new())
    }
}

impl<K: Clone + Eq + std::hash::Hash> Unused<K> {
    /// What nobody has used for long, when nobody uses these.
    fn look(&mut self, unused: impl Iterator<Item = K>, now: Instant) -> Vec<K> {
        self.0 = unused.map(|key| (self.0.get(&key).copied().unwrap_or(now), key)).map(|(at, key)| (key, at)).collect();
        let long = self.0.iter().filter(|(_, since)| now - **since >= UNUSED);
        long.map(|(key, _)| key.clone()).collect()
    }
}

/// The mesh's drain time, as settings say it.
async fn drain_time(mut snapshots: snapshot::Reader<Snapshot>, time: snapshot::Publisher<Duration>) {
    loop {
        time.publish_if_changed(Arc::new(snapshots.get().settings.termination_drain_duration));
        if snapshots.changed().await.is_err() {
            return;
        }
    }
}

/// The identity in force, for pages.
async fn show(mut identity: snapshot::Reader<Identity>, shown: snapshot::Publisher<Option<Arc<Identity>>>) {
    loop {
        shown.publish(Arc::new(Some(identity.get())));
        if identity.changed().await.is_err() {
            return;
        }
    }
}
