//! The authority as a process of its own: [`Ca::build`] reads and binds, [`Ca::run`] serves until drained. Inside pilot
//! neither is used.

use crate::{
    Authority, Failure, Settings,
    alarm::Alarms,
    authn::{Authenticator, token::KeyVerifier},
    follow::Follow,
    metrics::Metrics,
    root::Root,
    server::CertificateService,
    settings::RootSource,
    store::file::{self, FileStore},
};
use mesh_config::identity::SpiffeId;
use mesh_runtime::{
    admin::Admin,
    clock::WallClock,
    drain,
    identity::rotate::{self, Rotation},
    snapshot,
    telemetry::{log::LogHandle, metrics::Registry, repeated::Repeated},
    tls::{
        grpc::{self, Limits, Security},
        server::{ClientAuth, ServerProfile, ServerTls, TrustPolicy},
    },
};
use std::{sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::Notify};

/// Everything that is needed, before any of it serves.
pub struct Ca {
    authority: Arc<Authority>,
    store: FileStore,
    metrics: Metrics,
    service: CertificateService,
    registry: Registry,
    clock: WallClock,
    listener: TcpListener,
    admin: TcpListener,
    limits: Limits,
    dns_names: Vec<String>,
    ttl: Duration,
}

impl Ca {
    /// Opens the root, reads the token keys and binds.
    ///
    /// # Errors
    /// When any of that cannot be had.
    pub async fn build(settings: Settings) -> Result<Ca, Failure> {
        let clock = WallClock::system();
        // First, so that a start that fails leaves no root behind.
        let keys = KeyVerifier::from_pem(&file::read(&settings.token_keys)?, &settings.audience)?;
        let (RootSource::SelfSigned(dir) | RootSource::Given(dir)) = &settings.root;
        let store = FileStore::new(dir);
        let root = match &settings.root {
            RootSource::SelfSigned(_) => Root::open_or_create(&store, &settings.trust_domain, clock.now())?,
            RootSource::Given(_) => Root::open(&store, clock.now())?,
        };
        let authority = Arc::new(Authority::new(settings.trust_domain.clone(), root, settings.lifetimes));
        let registry = Registry::new();
        registry.build_info("ca", env!("CARGO_PKG_VERSION"))?;
        let metrics = Metrics::new(&registry)?;
        let service = CertificateService::new(
            authority.clone(),
            Arc::new(Authenticator::new(settings.trust_domain, Arc::new(keys))),
            metrics.clone(),
            clock.clone(),
            Repeated::new(settings.log_repeat_after, &registry)?,
        );
        let limits = Limits::new(settings.connections, &registry)?;
        Ok(Ca {
            authority,
            store,
            metrics,
            service,
            registry,
            clock,
            listener: bind(settings.listen).await?,
            admin: bind(settings.admin).await?,
            limits,
            dns_names: settings.dns_names,
            ttl: settings.lifetimes.default,
        })
    }

    /// Serves until drained; its own certificate is renewed meanwhile.
    ///
    /// # Errors
    /// When no certificate can be had for ourselves, or the server fails.
    pub async fn run(self, log: LogHandle, drain: drain::Watch) -> Result<(), Failure> {
        let _guard = drain.guard();
        let id = SpiffeId::new(self.authority.trust_domain().clone(), "istio-system", "istiod");
        let first = self.authority.issue_local(&id, &self.dns_names, self.ttl, self.clock.now())?;
        let (publisher, identity) = snapshot::publisher(Arc::new(first));
        let early = Arc::new(Notify::new());
        let (follow, renew) = (self.follow()?, early.clone());
        let (authority, metrics) = (self.authority.clone(), self.metrics);
        let follow = follow.run(drain.clone(), move || {
            metrics.in_force(&authority);
            renew.notify_one();
        });
        let rotation = Rotation {
            fetch: self.authority.fetch_local(id, self.dns_names, self.ttl, self.clock.clone()),
            metrics: rotate::Metrics::new(&self.registry)?,
            wall: self.clock,
            state_dir: None,
            early,
        };
        let roots = self.authority.roots().fingerprint();
        tracing::info!(address = ?self.listener.local_addr().ok(), %roots, "issuing certificates");
        let profile = ServerProfile::new([b"h2".as_slice()], ClientAuth::Optional);
        let tls = Arc::new(ServerTls::new(identity, TrustPolicy::default()));
        let mut server = self.limits.server();
        let incoming = grpc::incoming(self.listener, Security::Tls(tls, profile), self.limits, drain.clone());
        let admin = Admin::new().with_liveness().with_metrics("/metrics", self.registry).with_log_level(log);
        let serve =
            server.add_service(self.service.into_server()).serve_with_incoming_shutdown(incoming, drain.signaled());
        let all = async {
            tokio::join!(serve, rotation.run(publisher, drain.clone()), follow, admin.serve(self.admin, drain.clone()))
                .0
        };
        tokio::select! {
            served = all => Ok(served?),
            // Clients that do not hang up are cut off when the drain's time is over.
            () = drain.forced() => Ok(()),
        }
    }

    fn follow(&self) -> Result<Follow, Failure> {
        let place = Arc::new(self.store.clone());
        let alarms = Alarms::new(&self.registry)?;
        Ok(Follow { authority: self.authority.clone(), place, clock: self.clock.clone(), alarms })
    }
}

async fn bind(address: std::net::SocketAddr) -> Result<TcpListener, Failure> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|error| Failure::Io { what: format!("cannot listen on {address}"), error })
}
