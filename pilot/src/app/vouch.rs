//! Who vouches for whom: the certificate authority inside pilot, pilot's own certificate, and who callers are. Nothing
//! else in pilot knows the authority.

use crate::{
    discovery::authn::{Access, Authenticate, Proved},
    kubernetes::{access::SecretAccess, review::TokenReviews, root_secret::RootSecrets},
    settings::{Settings, Token},
    world::{TrustRoots, World},
};
use anyhow::Context;
use kube::Client;
use mesh_ca::{
    Authority, Error, Failure, Lifetimes,
    alarm::Alarms,
    authn::{
        Authenticator, Evidence, Proof,
        token::{KeyVerifier, TokenVerifier},
    },
    follow::{Follow, Held, Place},
    metrics::Metrics,
    root::{Root, self_signed},
    server::CertificateService,
    store::file::{CERTIFICATE, FileStore},
    succession::Beside,
    token::{SigningKey, mint},
};
use mesh_config::identity::{SpiffeId, TrustDomain};
use mesh_runtime::{
    clock::{self, WallClock},
    drain,
    identity::rotate::{self, Fetch, Rotation},
    snapshot::{self, Publisher},
    telemetry::{metrics::Registry, repeated::Repeated},
    tls::{grpc::Caller, material::Identity},
};
use std::{path::Path, sync::Arc};
use tokio::sync::{Notify, watch};

/// The authority and what depends on it.
pub(super) struct Vouch {
    pub(super) authority: Arc<Authority>,
    authenticator: Arc<Authenticator>,
    pub(super) place: Arc<dyn Place>,
    /// The Secrets of the root, where it is kept in such.
    pub(super) secrets: Option<Arc<RootSecrets>>,
    access: Option<Arc<SecretAccess>>,
    metrics: Metrics,
    pub(super) clock: WallClock,
    pem: watch::Sender<Arc<str>>,
    /// Signs for proxies.
    pub(super) service: CertificateService,
    /// Pilot's own certificate.
    pub(super) own: Publisher<Identity>,
    renew: Fetch<Failure>,
}

impl Vouch {
    /// Opens the root, or makes one, and signs pilot's own certificate. With an API server root and tokens are its
    /// matter, without one they are files.
    pub(super) async fn open(
        settings: &Settings,
        cluster: Option<&Client>,
        world: &World,
        registry: &Registry,
        clock: WallClock,
        lines: Repeated,
    ) -> anyhow::Result<Self> {
        let trust_domain = trust_domain(settings, world)?;
        // First, so that a start that fails leaves no root behind.
        let tokens = tokens(settings, cluster)?;
        let Opened { root, beside, place, secrets } = root(settings, cluster, &trust_domain, &clock).await?;
        let ttl = settings.default_workload_cert_ttl.min(settings.max_workload_cert_ttl);
        let lifetimes = Lifetimes { default: ttl, max: settings.max_workload_cert_ttl };
        let authority = Authority::new(trust_domain.clone(), root, lifetimes).beside(beside);
        // In a cluster there may be several pilots.
        let authority = Arc::new(if cluster.is_some() { authority.among_others() } else { authority });
        let authenticator = Arc::new(Authenticator::new(trust_domain.clone(), tokens));
        let metrics = Metrics::new(registry)?;
        let service =
            CertificateService::new(authority.clone(), authenticator.clone(), metrics.clone(), clock.clone(), lines);
        let id = SpiffeId::new(trust_domain, &settings.namespace, "istiod");
        let names = settings.own_names();
        let first = authority.issue_local(&id, &names, ttl, clock.now())?;
        let (own, _) = snapshot::publisher(Arc::new(first));
        let renew = authority.fetch_local(id, names, ttl, clock.clone());
        let (pem, _) = watch::channel(authority.roots().pem().into());
        let access = cluster.map(|client| SecretAccess::new(client.clone()));
        Ok(Vouch { authority, authenticator, place, secrets, access, metrics, clock, pem, service, own, renew })
    }

    /// The roots that are trusted, in PEM, now and whenever they change.
    pub(super) fn bundle(&self) -> watch::Receiver<Arc<str>> {
        self.pem.subscribe()
    }

    /// The roots that are trusted now.
    pub(super) fn roots(&self) -> TrustRoots {
        roots(&self.authority)
    }

    /// Renews pilot's own certificate, and follows the place where the root is kept: what is trusted goes to `trusted`.
    pub(super) async fn keep(
        self,
        trusted: watch::Sender<TrustRoots>,
        registry: Registry,
        drain: drain::Watch,
    ) -> anyhow::Result<()> {
        let Vouch { authority, place, metrics, clock, pem, own, renew, .. } = self;
        let early = Arc::new(Notify::new());
        let rotation = Rotation {
            fetch: renew,
            metrics: rotate::Metrics::new(&registry)?,
            wall: clock.clone(),
            state_dir: None,
            early: early.clone(),
        };
        let alarms = Alarms::new(&registry)?;
        let follow = Follow { authority: authority.clone(), place, clock, alarms };
        let changed = move || {
            metrics.in_force(&authority);
            trusted.send_replace(roots(&authority));
            pem.send_replace(authority.roots().pem().into());
            early.notify_one();
        };
        tokio::join!(rotation.run(own, drain.clone()), follow.run(drain, changed));
        Ok(())
    }

    /// What the cluster lets callers read; `None` without one.
    pub(super) fn access(&self) -> Option<Access> {
        let access = self.access.clone()?;
        Some(Arc::new(move |proved| access.follow(proved.account())))
    }

    /// The authority's own authenticator, for discovery.
    pub(super) fn authenticate(&self) -> Authenticate {
        let (authenticator, clock) = (self.authenticator.clone(), self.clock.clone());
        Arc::new(move |metadata, extensions| {
            let caller: Option<&Caller> = extensions.get();
            let certificate = caller.and_then(|caller| caller.accepted.as_ref()?.peer.clone());
            let request = tonic::Request::from_parts(metadata.clone(), tonic::Extensions::new(), ());
            let (authenticator, now) = (authenticator.clone(), clock.now());
            Box::pin(async move {
                let evidence = Evidence { certificate: certificate.as_deref(), ..Evidence::of(&request) };
                let caller = authenticator.authenticate(evidence, now).await.map_err(refused)?;
                Ok(Proved {
                    until: caller.until,
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

/// Who tells whose a token is.
fn tokens(settings: &Settings, cluster: Option<&Client>) -> anyhow::Result<Arc<dyn TokenVerifier>> {
    let audience = &settings.token_audience;
    match (&settings.token_key, cluster) {
        (Some(key), _) => Ok(Arc::new(KeyVerifier::from_pem(&read(key)?, audience)?)),
        (None, Some(client)) => Ok(Arc::new(TokenReviews::new(client.clone(), audience))),
        (None, None) => anyhow::bail!("--token-key is required: nothing else verifies tokens"),
    }
}

/// The root, and where it is from now on.
struct Opened {
    root: Root,
    beside: Beside,
    place: Arc<dyn Place>,
    secrets: Option<Arc<RootSecrets>>,
}

/// The root, and where it is looked for from now on. A directory that is given counts in a cluster only when somebody
/// has put a root there: it is where a Secret is mounted that may be missing.
async fn root(
    settings: &Settings,
    cluster: Option<&Client>,
    trust_domain: &TrustDomain,
    clock: &WallClock,
) -> anyhow::Result<Opened> {
    let given = settings.cacerts.as_ref().filter(|dir| cluster.is_none() || dir.join(CERTIFICATE).exists());
    Ok(match (given, cluster) {
        (Some(dir), _) => {
            let store = FileStore::new(dir);
            in_files(Root::open(&store, clock.now())?, store)
        }
        (None, None) => {
            let store = FileStore::new(&settings.ca_dir);
            in_files(Root::open_or_create(&store, trust_domain, clock.now())?, store)
        }
        (None, Some(client)) => {
            let secrets = Arc::new(RootSecrets::new(client.clone(), &settings.namespace));
            let opened = secrets.open_or_create(|| self_signed(trust_domain, clock.now()), clock).await?;
            let (root, Held { beside, .. }) = opened;
            Opened { root, beside, place: secrets.clone(), secrets: Some(secrets) }
        }
    })
}

fn in_files(root: Root, store: FileStore) -> Opened {
    Opened { root, beside: Beside::default(), place: Arc::new(store), secrets: None }
}

fn roots(authority: &Authority) -> TrustRoots {
    let bundle = authority.bundle();
    [(bundle.trust_domain, bundle.roots)].into()
}

fn refused(error: Error) -> tonic::Status {
    if let Error::Failed(failure) = &error {
        tracing::error!(%failure, "callers cannot be authenticated");
    }
    error.into()
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read the key {}", path.display()))
}
