//! Constructs pilot and runs it: the only place that knows every part, and the only one that knows the certificate
//! authority.
//!
//! [`App::build`] reads the objects for the first time, opens the authority and binds; so a pilot that answers has a
//! whole mesh to tell. [`App::run`] serves until drained.

mod keep;
mod understand;

use crate::{
    compile,
    debug::Reports,
    discovery::{
        authn::{Authenticate, Proved},
        clients::Clients,
        server::Discovery,
    },
    error::SourceError,
    mesh::Mesh,
    metrics::Metrics,
    settings::{Settings, Token},
    source::{Batch, SourceId, file::watch},
    world::{TrustRoots, World},
};
use anyhow::Context;
use keep::Keep;
use mesh_ca::{
    Authority, Error, Lifetimes,
    authn::{Authenticator, Evidence, Proof, token::KeyVerifier},
    root::Root,
    server::CertificateService,
    store::file::FileStore,
    token::{SigningKey, mint},
};
use mesh_config::{
    crd::mesh_config::MeshConfig,
    identity::{SpiffeId, TrustDomain},
    model::Part,
    name::NamespacedName,
};
use mesh_runtime::{
    admin::Admin,
    clock::{self, WallClock},
    drain,
    identity::rotate::{self, Rotation},
    ready::Ready,
    snapshot::{self, Publisher, Reader},
    telemetry::{log::LogHandle, metrics::Registry},
    tls::{
        grpc::{Caller, incoming},
        material::Identity,
        server::{ClientAuth, ServerProfile, ServerTls, TrustPolicy},
    },
};
use serde::Serialize;
use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle};
use tonic::transport::{Server, server::TcpIncoming};

/// Batches of changes that may wait.
const BATCHES: usize = 16;

/// The addresses really bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Addresses {
    /// Discovery and certificates, with TLS.
    pub xds: SocketAddr,
    /// Discovery without encryption; `None`: off.
    pub plaintext: Option<SocketAddr>,
    /// Metrics, readiness, debug pages.
    pub monitoring: SocketAddr,
}

/// Everything that is needed, before any of it serves.
pub struct App {
    addresses: Addresses,
    xds: TcpListener,
    plaintext: Option<TcpListener>,
    monitoring: TcpListener,
    source: Source,
    world: World,
    keep: Option<Keep>,
    publisher: Publisher<Mesh>,
    authority: Arc<Authority>,
    service: CertificateService,
    authenticate: Authenticate,
    identity: Own,
    registry: Registry,
    metrics: Metrics,
    drain: drain::Watch,
}

/// The watched directory.
struct Source {
    batches: mpsc::Receiver<Batch>,
    task: JoinHandle<Result<(), SourceError>>,
}

/// Our own certificate.
struct Own {
    id: SpiffeId,
    names: Vec<String>,
    ttl: Duration,
    publisher: Publisher<Identity>,
    reader: Reader<Identity>,
}

impl App {
    /// Reads the objects, opens the root, binds, and writes the address file.
    ///
    /// # Errors
    /// When any of that cannot be had.
    pub async fn build(settings: Settings, drain: drain::Watch) -> anyhow::Result<App> {
        let registry = Registry::new();
        registry.build_info("pilot", env!("CARGO_PKG_VERSION"))?;
        let metrics = Metrics::new(&registry)?;
        let clock = WallClock::system();

        // What there is to say.
        let (mut keep, kept) = match &settings.state_dir {
            None => (None, Vec::new()),
            Some(dir) => Keep::open(dir).map(|(keep, kept)| (Some(keep), kept))?,
        };
        let (source, mut world) = read_objects(&settings, kept).await?;
        if let Some(keep) = &mut keep {
            keep.save(&world);
        }
        let trust_domain = trust_domain(&settings, &world)?;

        // Who vouches for whom.
        let root = match &settings.cacerts {
            Some(dir) => Root::open(&FileStore::new(dir), clock.now())?,
            None => Root::open_or_create(&FileStore::new(&settings.ca_dir), &trust_domain, clock.now())?,
        };
        let ttl = settings.default_workload_cert_ttl.min(settings.max_workload_cert_ttl);
        let lifetimes = Lifetimes { default: ttl, max: settings.max_workload_cert_ttl };
        let authority = Arc::new(Authority::new(trust_domain.clone(), root, lifetimes));
        let keys = read(&settings.token_key)?;
        let keys = KeyVerifier::from_pem(&keys, &settings.token_audience)?;
        let authenticator = Arc::new(Authenticator::new(trust_domain.clone(), Arc::new(keys)));
        let ca_metrics = mesh_ca::metrics::Metrics::new(&registry)?;
        let service = CertificateService::new(authority.clone(), authenticator.clone(), ca_metrics, clock.clone());
        let id = SpiffeId::new(trust_domain, &settings.namespace, "istiod");
        let first = authority.issue_local(&id, &settings.server_names, ttl, clock.now())?;
        let (publisher, reader) = snapshot::publisher(Arc::new(first));
        let identity = Own { id, names: settings.server_names.clone(), ttl, publisher, reader };

        // The first mesh.
        world.set_roots(roots(&authority));
        let mesh = compile(&world, None);
        understand::report(&mesh, &metrics);
        let (publisher, _) = snapshot::publisher(Arc::new(mesh));

        // Where.
        let xds = bind(settings.xds_address).await?;
        let plaintext = match settings.plaintext_xds_address.0 {
            Some(address) => Some(bind(address).await?),
            None => None,
        };
        let monitoring = bind(settings.monitoring_address).await?;
        let addresses = Addresses {
            xds: xds.local_addr()?,
            plaintext: plaintext.as_ref().map(TcpListener::local_addr).transpose()?,
            monitoring: monitoring.local_addr()?,
        };
        if let Some(path) = &settings.address_file {
            write_addresses(path, &addresses)?;
        }
        Ok(App {
            authenticate: authenticate(authenticator, clock),
            addresses,
            xds,
            plaintext,
            monitoring,
            source,
            world,
            keep,
            publisher,
            authority,
            service,
            identity,
            registry,
            metrics,
            drain,
        })
    }

    /// The addresses really bound.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Serves until drained.
    ///
    /// # Errors
    /// When a server fails.
    pub async fn run(self, log: LogHandle) -> anyhow::Result<()> {
        let drain = self.drain;
        tracing::info!(address = %self.addresses.xds, "discovery and certificates");
        if let Some(address) = self.addresses.plaintext {
            tracing::info!(%address, "discovery without encryption");
        }
        tracing::info!(address = %self.addresses.monitoring, "monitoring");

        let mesh = self.publisher.reader();
        let clients = Clients::new(self.metrics.clone());
        let discovery = Discovery {
            mesh: mesh.clone(),
            clients: clients.clone(),
            authenticate: self.authenticate.clone(),
            metrics: self.metrics.clone(),
            drain: drain.clone(),
        };
        let reports = Reports { mesh, clients };

        // The encrypted port.
        let profile = ServerProfile::new([b"h2".as_slice()], ClientAuth::Optional);
        let tls = Arc::new(ServerTls::new(self.identity.reader.clone(), TrustPolicy::default()));
        let secure = builder()
            .add_service(discovery.clone().into_server(true))
            .add_service(self.service.into_server())
            .add_service(reports.clone().into_server(self.authenticate.clone(), false))
            .serve_with_incoming_shutdown(incoming(self.xds, tls, profile, drain.clone()), drain.signaled());

        // The other one.
        let (authenticate, plain_reports, signaled) = (self.authenticate, reports.clone(), drain.signaled());
        let plaintext = self.plaintext;
        let plain = async move {
            let Some(listener) = plaintext else { return Ok(()) };
            builder()
                .add_service(discovery.into_server(false))
                .add_service(plain_reports.into_server(authenticate, true))
                .serve_with_incoming_shutdown(TcpIncoming::from(listener).with_nodelay(Some(true)), signaled)
                .await
        };

        // What keeps all of it current.
        let clock = WallClock::system();
        let Own { id, names, ttl, publisher, .. } = self.identity;
        let rotation = Rotation {
            fetch: self.authority.fetch_local(id, names, ttl, clock.clone()),
            metrics: rotate::Metrics::new(&self.registry)?,
            wall: clock,
            state_dir: None,
        };
        let understand = understand::Loop {
            world: self.world,
            batches: self.source.batches,
            publisher: self.publisher,
            metrics: self.metrics,
            keep: self.keep,
        };
        let ready = Ready::new();
        let admin = Admin::new()
            .with_liveness()
            .with_readiness("/ready", ready.clone())
            .with_readiness("/readyz", ready)
            .with_metrics("/metrics", self.registry)
            .with_log_level(log);
        let admin = reports.routes(admin);

        let guard = drain.guard();
        let all = async {
            // Draining waits until every connection has had its say.
            let _guard = guard;
            let (secure, plain, ..) = tokio::join!(
                secure,
                plain,
                rotation.run(publisher, drain.clone()),
                understand.run(drain.clone()),
                admin.serve(self.monitoring, drain.clone()),
            );
            secure.and(plain)
        };
        let ended = tokio::select! {
            served = all => served.context("a server failed"),
            // Clients that do not hang up are cut off when the drain's time is over.
            () = drain.forced() => Ok(()),
        };
        self.source.task.abort();
        ended
    }
}

/// Makes the key that signs tokens, unless the directory has one.
///
/// # Errors
/// When it cannot be made or saved.
pub fn make_token_key(dir: &Path) -> anyhow::Result<()> {
    SigningKey::load_or_create(dir)?;
    Ok(())
}

/// A token as the arguments say.
///
/// # Errors
/// When the key cannot be read, or the names are no names.
pub fn make_token(args: &Token) -> anyhow::Result<String> {
    let key = SigningKey::from_pem(read(&args.key)?)?;
    let now = clock::system_now();
    Ok(mint(&key, &args.namespace, &args.service_account, &args.audience, args.ttl, now)?)
}

/// Begins to follow the directory; waits until everything that is there has been read.
async fn read_objects(settings: &Settings, kept: Vec<Part>) -> anyhow::Result<(Source, World)> {
    let (send, mut batches) = mpsc::channel(BATCHES);
    let task = tokio::spawn(watch::follow(settings.config_dir.clone(), send));
    let mut world = World::with_mesh_config(base_mesh_config(settings));
    world.restore(SourceId::Files, kept);
    while !world.is_synced() {
        match batches.recv().await {
            Some(batch) => {
                world.apply(batch);
            }
            None => {
                task.await.context("reading the objects ended")??;
                anyhow::bail!("reading the objects in {} ended early", settings.config_dir.display());
            }
        }
    }
    Ok((Source { batches, task }, world))
}

/// In force where no object says otherwise.
fn base_mesh_config(settings: &Settings) -> MeshConfig {
    let mut base = MeshConfig::default();
    base.settings.root_namespace = settings.namespace.as_str().into();
    base.settings.cluster_domain = settings.domain.as_str().into();
    if let Some(trust_domain) = &settings.trust_domain {
        base.settings.trust_domain = trust_domain.clone();
    }
    let revision = settings.revision.as_deref().filter(|revision| !matches!(*revision, "" | "default"));
    let name = revision.map_or("istio".to_owned(), |revision| format!("istio-{revision}"));
    base.context.mesh_config = NamespacedName::new(&settings.namespace, &name);
    base.context.root_namespace = base.settings.root_namespace.clone();
    base.context.cluster_domain = base.settings.cluster_domain.clone();
    base.context.trust_domain = base.settings.trust_domain.clone();
    base
}

/// One trust domain for the authority and the mesh.
fn trust_domain(settings: &Settings, world: &World) -> anyhow::Result<TrustDomain> {
    let said = world.settings().trust_domain;
    match &settings.trust_domain {
        Some(given) if *given != said => {
            anyhow::bail!("--trust-domain is {given}, but MeshConfig says {said}: leave one of them out")
        }
        _ => Ok(said),
    }
}

fn roots(authority: &Authority) -> TrustRoots {
    let bundle = authority.bundle();
    [(bundle.trust_domain, bundle.roots)].into()
}

/// The certificate authority's authenticator, for discovery.
fn authenticate(authenticator: Arc<Authenticator>, clock: WallClock) -> Authenticate {
    Arc::new(move |metadata, extensions| {
        let caller: Option<&Caller> = extensions.get();
        let certificate = caller.and_then(|caller| caller.accepted.peer.clone());
        let request = tonic::Request::from_parts(metadata.clone(), tonic::Extensions::new(), ());
        let (authenticator, now) = (authenticator.clone(), clock.now());
        Box::pin(async move {
            let evidence = Evidence { certificate: certificate.as_deref(), ..Evidence::of(&request) };
            let caller = authenticator.authenticate(evidence, now).await.map_err(refused)?;
            Ok(Proved {
                namespace: (&*caller.identity.namespace).into(),
                service_account: caller.identity.service_account,
                proof: match caller.proof {
                    Proof::Certificate => "certificate",
                    Proof::Token => "token",
                },
            })
        })
    })
}

fn refused(error: Error) -> tonic::Status {
    if let Error::Failed(failure) = &error {
        tracing::error!(%failure, "callers cannot be authenticated");
    }
    error.into()
}

fn builder() -> Server {
    Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)))
        .max_concurrent_streams(100)
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read the key {}", path.display()))
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}

/// Whole or not at all: whoever waits for the file reads it as soon as it is there.
fn write_addresses(path: &Path, addresses: &Addresses) -> anyhow::Result<()> {
    let draft = path.with_extension("part");
    let written = serde_json::to_string(addresses).map_err(std::io::Error::other);
    let written = written.and_then(|text| std::fs::write(&draft, text)).and_then(|()| std::fs::rename(&draft, path));
    written.with_context(|| format!("cannot write the addresses to {}", path.display()))
}
