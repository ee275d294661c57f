//! Constructs pilot and runs it, as a list of servers: the only place that knows every part.
//!
//! [`App::build`] reads the objects for the first time, opens the authority and binds; so a pilot that answers has a
//! whole mesh to tell. [`App::run`] serves until drained.

mod admission;
mod keep;
mod keeper;
mod objects;
mod ports;
mod rotate;
mod understand;
mod vouch;

pub use self::{
    ports::Addresses,
    vouch::{make_token, make_token_key},
};

use crate::{
    compile::{Compiler, ingress::reached},
    discovery::{clients::Clients, foreign, server::Discovery, shares::Shares},
    mesh::Mesh,
    metrics::Metrics,
    object::Reached,
    settings::Settings,
    source::Batch,
    world::Touched,
};
use admission::Admission;
use keeper::{Keeper, Kept};
use mesh_runtime::{
    clock::WallClock,
    drain,
    ready::Ready,
    snapshot::{self, Publisher},
    telemetry::{log::LogHandle, metrics::Registry, repeated::Repeated},
    tls::grpc::Limits,
};
use objects::Objects;
use ports::Ports;
use std::{collections::BTreeSet, future::Future, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use vouch::Vouch;

/// Everything that is needed, before any of it serves.
pub struct App {
    ports: Ports,
    objects: Objects,
    vouch: Vouch,
    /// What is written to the cluster.
    keeper: Option<Keeper>,
    rotate: rotate::Rotate,
    admission: Admission,
    ready: Ready,
    chosen: watch::Sender<Option<BTreeSet<Arc<str>>>>,
    /// Where Ingresses are reached.
    reached: watch::Sender<Arc<Reached>>,
    compiler: Compiler,
    mesh: Publisher<Mesh>,
    registry: Registry,
    metrics: Metrics,
    bounded: Bounded,
    drain: drain::Watch,
}

/// What keeps clients from filling or silencing pilot.
struct Bounded {
    limits: Limits,
    shares: Shares,
    lines: Repeated,
    age: Duration,
}

impl App {
    /// Reads the objects, opens the root, binds, and writes the address file.
    ///
    /// # Errors
    /// When any of that cannot be had.
    pub async fn build(settings: Settings, drain: drain::Watch) -> anyhow::Result<App> {
        let objects = Objects::read(&settings).await?;
        App::with(objects, settings, drain).await
    }

    /// As [`Self::build`], with objects that are handed in: tests and measurements. Waits until the API server, as a source,
    /// is synced.
    ///
    /// # Errors
    /// As [`Self::build`].
    pub async fn fed(batches: mpsc::Receiver<Batch>, settings: Settings, drain: drain::Watch) -> anyhow::Result<App> {
        let objects = Objects::fed(&settings, batches).await?;
        App::with(objects, settings, drain).await
    }

    async fn with(mut objects: Objects, settings: Settings, drain: drain::Watch) -> anyhow::Result<App> {
        let registry = Registry::new();
        registry.build_info("pilot", env!("CARGO_PKG_VERSION"))?;
        let metrics = Metrics::new(&registry)?;
        let bounded = Bounded {
            age: settings.connections.keepalive_max_server_connection_age,
            limits: Limits::new(settings.connections.clone(), &registry)?,
            shares: Shares::new(settings.clients.clone(), metrics.clone()),
            lines: Repeated::new(settings.clients.log_repeat_after, &registry)?,
        };
        let cluster = objects.cluster.as_ref();
        let lines = bounded.lines.clone();
        let vouch = Vouch::open(&settings, cluster, &objects.world, &registry, WallClock::system(), lines).await?;
        let chosen = watch::Sender::new(objects.world.chosen_namespaces());
        let reached = watch::Sender::new(Arc::new(reached(&objects.world)));
        let kept = || Kept { roots: vouch.bundle(), chosen: chosen.subscribe(), reached: reached.subscribe() };
        let keeper = cluster.map(|client| Keeper::new(client, &settings, kept()));
        let rotate = rotate::Rotate::new(&settings, cluster);
        let ready = Ready::new();
        let (world, bundle) = (&objects.world, vouch.bundle());
        let admission = Admission::new(&settings, cluster, bundle, world.context(), (&registry, &ready))?;
        objects.world.set_roots(vouch.roots());
        let mut compiler = Compiler::default();
        let mesh = compiler.compile(&objects.world, &Touched::EVERYTHING, None);
        understand::report(&mesh, &metrics);
        let (mesh, _) = snapshot::publisher(Arc::new(mesh));
        let ports = Ports::bind(&settings).await?;
        Ok(App {
            ports,
            objects,
            vouch,
            keeper,
            rotate,
            chosen,
            reached,
            admission,
            ready,
            compiler,
            mesh,
            registry,
            metrics,
            bounded,
            drain,
        })
    }

    /// The addresses really bound.
    pub fn addresses(&self) -> Addresses {
        self.ports.addresses
    }

    /// Serves until drained.
    ///
    /// # Errors
    /// When a server fails.
    pub async fn run(self, log: LogHandle) -> anyhow::Result<()> {
        let App {
            ports,
            objects,
            vouch,
            keeper,
            rotate,
            chosen,
            reached,
            admission,
            ready,
            compiler,
            mesh,
            registry,
            metrics,
            bounded,
            drain,
        } = self;
        ports.addresses.log();
        let discovery = Discovery {
            mesh: mesh.reader(),
            clients: Clients::new(metrics.clone()),
            authenticate: vouch.authenticate(),
            access: vouch.access(),
            metrics: metrics.clone(),
            told: foreign::Told::default(),
            shares: bounded.shares,
            lines: bounded.lines,
            wall: WallClock::system(),
            age: bounded.age,
            drain: drain.clone(),
        };
        let reports = rotate.reports(&vouch, mesh.reader(), discovery.clients.clone());
        let rotator = keeper.as_ref().and_then(|keeper| rotate.rotator(&vouch, keeper, reports.authority.clone()));
        let services = ports::Services {
            discovery,
            reports,
            certificates: vouch.service.clone(),
            webhooks: admission.webhooks.clone(),
            ready,
            limits: bounded.limits,
        };
        let (trusted, roots) = watch::channel(vouch.roots());
        let understand = understand::Loop {
            world: objects.world,
            batches: objects.batches,
            roots,
            context: admission.context.clone(),
            compiler,
            publisher: mesh,
            metrics,
            keep: objects.keep,
            pace: objects.pace,
            chosen,
            reached,
        };
        let own = vouch.own.reader();

        let mut servers = Servers::default();
        servers.add("discovery and certificates", services.clone().encrypted(ports.xds, own.clone(), drain.clone()));
        if let Some(listener) = ports.plaintext {
            servers.add("discovery without encryption", services.clone().plain(listener, drain.clone()));
        }
        if let Some(listener) = ports.https {
            servers.add("webhooks", services.clone().webhooks(listener, own, drain.clone()));
        }
        if let Some(listener) = ports.http {
            servers.add("readiness and debug pages", services.clone().http(listener, drain.clone()));
        }
        servers.add("monitoring", services.monitoring(ports.monitoring, registry.clone(), log, drain.clone()));
        servers.add("objects", objects::watched(objects.watched));
        servers.add("compiling", understand.run(drain.clone()));
        if let Some(keeper) = keeper {
            servers.add("what the cluster is told", keeper.run(drain.clone()));
        }
        if let Some(rotator) = rotator {
            let drain = drain.clone();
            servers.add("the root's rotation", async move {
                rotator.run(drain).await;
                Ok(())
            });
        }
        admission.run(&mut servers, &drain);
        servers.add("own certificate and roots", vouch.keep(trusted, registry, drain.clone()));
        servers.run(drain).await
    }
}

/// What runs side by side. All end when drained; one that fails before ends them all.
#[derive(Default)]
struct Servers(JoinSet<anyhow::Result<()>>);

impl Servers {
    fn add(&mut self, name: &'static str, server: impl Future<Output = anyhow::Result<()>> + Send + 'static) {
        self.0
            .spawn(async move { server.await.map_err(|error| error.context(format!("the server of {name} failed"))) });
    }

    async fn run(mut self, drain: drain::Watch) -> anyhow::Result<()> {
        // Draining waits until every connection has had its say.
        let _guard = drain.guard();
        let all = async {
            while let Some(ended) = self.0.join_next().await {
                ended??;
            }
            Ok(())
        };
        tokio::select! {
            ended = all => ended,
            // Clients that do not hang up are cut off when the drain's time is over.
            () = drain.forced() => Ok(()),
        }
    }
}
