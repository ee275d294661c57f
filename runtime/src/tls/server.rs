//! The accepting end. The configuration is chosen per ClientHello, so that protocol lists without overlap go on
//! without a protocol (rustls alone would abort, other proxies do not), and from the material published at that
//! moment. Configurations are built once per material, protocol and kind of client authentication.

use super::{
    TlsError,
    material::{CaBundle, Certificate, Fingerprint, Identity},
    provider,
    verify::{Check, ClientVerifier, ExpectedPeer, PeerCache, PeerCertificate, Refusal, Role, Rule},
};
use crate::{clock::WallClock, snapshot};
use arc_swap::ArcSwapOption;
use mesh_config::identity::TrustDomain;
use parking_lot::{Mutex, RwLock};
use rustls::{
    HandshakeKind, ProtocolVersion, ServerConfig, SupportedProtocolVersion,
    server::{Acceptor, ClientHello, NoClientAuth, ProducesTickets, ResolvesServerCert},
    sign::CertifiedKey,
};
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::{LazyConfigAcceptor, StartHandshake};

pub use tokio_rustls::server::TlsStream;

/// Longest ClientHello that is accepted, in bytes.
pub const CLIENT_HELLO_LIMIT: usize = 16 * 1024;

/// Time limit of a handshake, unless another is given.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);

/// Whether the client must show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// It must, and we must believe it.
    Required,
    /// It may; one that we do not believe ends the handshake.
    Optional,
    /// It is not asked.
    None,
}

/// What a listener wants of a handshake.
#[derive(Debug, Clone)]
pub struct ServerProfile {
    /// Protocols, most preferred first. The first one that the client offers is taken; if there is none the
    /// handshake goes on without.
    pub alpn: Vec<&'static [u8]>,
    /// Whether the client must show a certificate.
    pub client_auth: ClientAuth,
    /// For the whole handshake; [`HANDSHAKE_TIMEOUT`] by default.
    pub handshake_timeout: Duration,
    /// For the ClientHello, where that is less.
    pub hello_timeout: Option<Duration>,
}

impl ServerProfile {
    /// A profile with the default time limit.
    pub fn new(alpn: impl Into<Vec<&'static [u8]>>, client_auth: ClientAuth) -> Self {
        ServerProfile { alpn: alpn.into(), client_auth, handshake_timeout: HANDSHAKE_TIMEOUT, hello_timeout: None }
    }
}

/// Which mesh clients are accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustPolicy {
    /// Trust domains accepted besides our own. One without roots of its own is an alias: our own roots vouch for it.
    pub trust_domains: Vec<TrustDomain>,
    /// TLS 1.2 is refused.
    pub require_tls13: bool,
}

/// What a server shows that does not use the mesh identity, such as a gateway's TLS listener.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Serving {
    /// The first one whose key the client can check is shown; more than one for several kinds of key.
    pub certificates: Vec<Arc<Certificate>>,
    /// Who vouches for client certificates; without it none is asked for.
    pub client_ca: Option<Arc<CaBundle>>,
    /// If any: a client certificate must carry one of these names.
    pub subject_alt_names: Vec<Arc<str>>,
}

/// What came out of a handshake.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// The verified certificate of the client, if it showed one.
    pub peer: Option<Arc<PeerCertificate>>,
    /// The protocol agreed on.
    pub alpn: Option<Vec<u8>>,
    /// The server name that the client asked for.
    pub sni: Option<String>,
    /// The protocols that the client offered, in its order.
    pub offered_alpn: Vec<Vec<u8>>,
    /// Whether an earlier session was resumed; the peer's identity was checked all the same.
    pub resumed: bool,
    /// The URI of the certificate that we showed.
    pub local_uri: Option<Arc<str>>,
}

/// Accepts TLS connections; shared by all workers.
#[derive(Debug)]
pub struct ServerTls {
    source: Source,
    wall: WallClock,
    peers: Arc<PeerCache>,
    state: ArcSwapOption<State>,
    /// Only one thread builds a new state.
    building: Mutex<()>,
}

#[derive(Debug)]
enum Source {
    Mesh { identity: snapshot::Reader<Identity>, trust: snapshot::Reader<TrustPolicy> },
    Given(snapshot::Reader<Serving>),
}

/// The values that a state was built from.
#[derive(Debug)]
enum Basis {
    Mesh(Arc<Identity>, Arc<TrustPolicy>),
    Given(Arc<Serving>),
}

/// Everything that follows from one version of the material.
#[derive(Debug)]
struct State {
    basis: Basis,
    /// `None`: there is nobody who could vouch for a client.
    check: Option<Arc<Check>>,
    resolver: Arc<Shown>,
    local_uri: Option<Arc<str>>,
    versions: &'static [&'static SupportedProtocolVersion],
    sessions: Arc<Tickets>,
    configs: RwLock<Vec<(ConfigKey, Arc<ServerConfig>)>>,
}

const VERSIONS: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];
const TLS13_ALONE: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

type ConfigKey = (Option<&'static [u8]>, ClientAuth);

/// The keys of session tickets. They live as long as the basis on which clients were authenticated stays the same;
/// one for each kind of client authentication, since rustls does not ask again in a resumed session.
#[derive(Debug)]
struct Tickets {
    basis: Fingerprint,
    required: Arc<dyn ProducesTickets>,
    optional: Arc<dyn ProducesTickets>,
    none: Arc<dyn ProducesTickets>,
}

impl ServerTls {
    /// Shows the mesh identity and believes what the policy names.
    pub fn new(identity: snapshot::Reader<Identity>, policy: TrustPolicy) -> Self {
        ServerTls::with_trust(identity, snapshot::Reader::fixed(Arc::new(policy)))
    }

    /// As [`ServerTls::new`], with a policy that may change.
    pub fn with_trust(identity: snapshot::Reader<Identity>, trust: snapshot::Reader<TrustPolicy>) -> Self {
        ServerTls::from_source(Source::Mesh { identity, trust })
    }

    /// Shows certificates that are not of the mesh.
    pub fn with_certificates(serving: snapshot::Reader<Serving>) -> Self {
        ServerTls::from_source(Source::Given(serving))
    }

    fn from_source(source: Source) -> Self {
        let (wall, peers) = (WallClock::system(), Arc::default());
        ServerTls { source, wall, peers, state: ArcSwapOption::empty(), building: Mutex::new(()) }
    }

    /// Checks certificates against this clock.
    pub fn with_clock(mut self, wall: WallClock) -> Self {
        self.wall = wall;
        self
    }

    /// Does the handshake of one connection.
    ///
    /// # Errors
    /// [`TlsError`]; rustls has then sent the alert, as far as the connection allowed.
    pub async fn accept<IO>(&self, io: IO, profile: &ServerProfile) -> Result<(TlsStream<IO>, Accepted), TlsError>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let limit = profile.handshake_timeout;
        tokio::time::timeout(limit, self.handshake(io, profile)).await.map_err(|_| TlsError::Deadline(limit))?
    }

    async fn handshake<IO>(&self, io: IO, profile: &ServerProfile) -> Result<(TlsStream<IO>, Accepted), TlsError>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        // 1. Read the ClientHello, and no more than it may have.
        let start = match profile.hello_timeout {
            None => read_hello(io).await?,
            Some(limit) => {
                let read = tokio::time::timeout(limit, read_hello(io)).await;
                read.map_err(|_| TlsError::Deadline(limit))??
            }
        };

        // 2. Choose by what it offers.
        let hello = start.client_hello();
        let offered_alpn: Vec<Vec<u8>> =
            hello.alpn().map(|list| list.map(<[u8]>::to_vec).collect()).unwrap_or_default();
        let sni = hello.server_name().map(str::to_owned);
        let chosen = profile.alpn.iter().copied().find(|ours| offered_alpn.iter().any(|theirs| theirs == ours));
        let state = self.state()?;
        let config = state.config((chosen, profile.client_auth), &self.wall)?;

        // 3. The rest of the handshake; sessions made by it will remember on what they rest.
        let basis = state.sessions.basis;
        let stream = start.into_stream_with(config, |session| session.set_resumption_data(basis.as_bytes())).await?;

        // 4. Who is it? rustls has asked the check already, unless the session was resumed.
        let session = stream.get_ref().1;
        let resumed = session.handshake_kind() == Some(HandshakeKind::Resumed);
        let peer = match (session.peer_certificates(), &state.check) {
            (Some(chain), Some(check)) if resumed => {
                // Of a TLS 1.2 session rustls does not tell what it remembers; its ticket's key stands for the basis.
                let old = session.protocol_version() == Some(ProtocolVersion::TLSv1_2);
                let kept = (!old).then(|| session.received_resumption_data().unwrap_or_default());
                Some(check.check_resumed(chain, kept, self.wall.now()).map_err(TlsError::Refused)?)
            }
            (Some([leaf, ..]), Some(check)) => Some(check.peer(leaf).map_err(TlsError::Refused)?),
            _ if profile.client_auth == ClientAuth::Required => return Err(TlsError::Refused(Refusal::NoCertificate)),
            _ => None,
        };
        let alpn = session.alpn_protocol().map(<[u8]>::to_vec);
        let accepted = Accepted { peer, alpn, sni, offered_alpn, resumed, local_uri: state.local_uri.clone() };
        Ok((stream, accepted))
    }

    /// The state of the newest material.
    fn state(&self) -> Result<Arc<State>, TlsError> {
        if let Some(state) = self.current() {
            return Ok(state);
        }
        let _building = self.building.lock();
        if let Some(state) = self.current() {
            return Ok(state);
        }
        let old = self.state.load_full();
        let state = Arc::new(State::build(self.source.read(), old.as_deref(), &self.peers)?);
        self.state.store(Some(state.clone()));
        Ok(state)
    }

    fn current(&self) -> Option<Arc<State>> {
        let state = self.state.load();
        state.as_ref().filter(|state| self.source.is_current(&state.basis)).cloned()
    }

    #[cfg(test)]
    pub(super) fn built(&self) -> usize {
        self.current().map_or(0, |state| state.configs.read().len())
    }
}

impl Source {
    fn read(&self) -> Basis {
        match self {
            Source::Mesh { identity, trust } => Basis::Mesh(identity.get(), trust.get()),
            Source::Given(serving) => Basis::Given(serving.get()),
        }
    }

    fn is_current(&self, basis: &Basis) -> bool {
        match (self, basis) {
            (Source::Mesh { identity, trust }, Basis::Mesh(i, t)) => identity.is_current(i) && trust.is_current(t),
            (Source::Given(serving), Basis::Given(s)) => serving.is_current(s),
            _ => false,
        }
    }
}

impl State {
    fn build(basis: Basis, old: Option<&State>, peers: &Arc<PeerCache>) -> Result<State, TlsError> {
        let (rule, keys, local_uri) = match &basis {
            Basis::Mesh(identity, policy) => {
                let home = identity.material.identity.trust_domain.clone();
                let accepted = [home.clone()].into_iter().chain(policy.trust_domains.iter().cloned()).collect();
                let (roots, expected) = (identity.roots.clone(), ExpectedPeer::any());
                let keys = vec![identity.material.certificate().certified_key().clone()];
                let uri = Some(identity.material.uri().clone());
                (Some(Rule::Mesh { roots, home, accepted, expected }), keys, uri)
            }
            Basis::Given(serving) => {
                let expected = ExpectedPeer::AnyOf(serving.subject_alt_names.clone().into());
                let rule = serving.client_ca.clone().map(|roots| Rule::Bundle { roots, expected });
                let uri = serving.certificates.first().and_then(|c| c.leaf().uris.first().map(|uri| Arc::from(&**uri)));
                (rule, serving.certificates.iter().map(|c| c.certified_key().clone()).collect(), uri)
            }
        };
        let check = rule.map(|rule| Arc::new(Check::new(rule, Role::Client, peers.clone())));
        let mark = check.as_ref().map_or_else(|| Fingerprint::of([]), |check| check.basis());
        let sessions = match old.filter(|old| old.sessions.basis == mark) {
            Some(old) => old.sessions.clone(),
            None => Arc::new(Tickets::new(mark).map_err(TlsError::Setup)?),
        };
        let resolver = Arc::new(Shown(keys));
        let versions = match &basis {
            Basis::Mesh(_, policy) if policy.require_tls13 => TLS13_ALONE,
            _ => VERSIONS,
        };
        Ok(State { basis, check, resolver, local_uri, versions, sessions, configs: RwLock::default() })
    }

    fn config(&self, key: ConfigKey, wall: &WallClock) -> Result<Arc<ServerConfig>, TlsError> {
        let find = |configs: &[(ConfigKey, Arc<ServerConfig>)]| {
            configs.iter().find(|(known, _)| *known == key).map(|(_, config)| config.clone())
        };
        if let Some(config) = find(&self.configs.read()) {
            return Ok(config);
        }
        let built = Arc::new(self.build_config(key, wall).map_err(TlsError::Setup)?);
        let mut configs = self.configs.write();
        if let Some(config) = find(&configs) {
            return Ok(config);
        }
        configs.push((key, built.clone()));
        Ok(built)
    }

    fn build_config(&self, (alpn, auth): ConfigKey, wall: &WallClock) -> Result<ServerConfig, rustls::Error> {
        let builder = ServerConfig::builder_with_details(provider::get().clone(), Arc::new(wall.clone()))
            .with_protocol_versions(self.versions)?;
        let builder = match (auth, &self.check) {
            (ClientAuth::None, _) | (ClientAuth::Optional, None) => {
                builder.with_client_cert_verifier(Arc::new(NoClientAuth))
            }
            (ClientAuth::Required, None) => {
                return Err(rustls::Error::General(
                    "client certificates are required but no authority is given".into(),
                ));
            }
            (auth, Some(check)) => builder.with_client_cert_verifier(Arc::new(ClientVerifier {
                check: check.clone(),
                mandatory: auth == ClientAuth::Required,
            })),
        };
        let mut config = builder.with_cert_resolver(self.resolver.clone());
        config.alpn_protocols = alpn.map(<[u8]>::to_vec).into_iter().collect();
        config.ignore_client_order = true;
        // A resumed connection takes one ticket and gets one: more would be encrypted and sent for nothing.
        config.send_tls13_tickets = 1;
        config.ticketer = match auth {
            ClientAuth::Required => self.sessions.required.clone(),
            ClientAuth::Optional => self.sessions.optional.clone(),
            ClientAuth::None => self.sessions.none.clone(),
        };
        Ok(config)
    }
}

impl Tickets {
    fn new(basis: Fingerprint) -> Result<Self, rustls::Error> {
        let make = rustls::crypto::aws_lc_rs::Ticketer::new;
        Ok(Tickets { basis, required: make()?, optional: make()?, none: make()? })
    }
}

/// The certificates shown; the first one that the client can check.
#[derive(Debug)]
struct Shown(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let usable = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        self.0.iter().find(usable).cloned()
    }
}

async fn read_hello<IO>(io: IO) -> Result<StartHandshake<IO>, TlsError>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let mut acceptor = LazyConfigAcceptor::new(Acceptor::default(), Limited { io, left: CLIENT_HELLO_LIMIT });
    match (&mut acceptor).await {
        Ok(start) => Ok(StartHandshake::from_parts(start.accepted, start.io.io)),
        Err(error) => match acceptor.take_io() {
            Some(limited) if limited.left == 0 => Err(TlsError::ClientHelloTooLarge),
            _ => Err(error.into()),
        },
    }
}

/// Passes at most `left` bytes to the reader, then fails.
struct Limited<IO> {
    io: IO,
    left: usize,
}

impl<IO: AsyncRead + Unpin> AsyncRead for Limited<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.left == 0 {
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        // Never beyond the limit: what is read past a complete ClientHello stays with the acceptor.
        let room = buf.remaining().min(this.left);
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(room));
        ready!(Pin::new(&mut this.io).poll_read(cx, &mut part))?;
        let count = part.filled().len();
        this.left -= count;
        buf.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Limited<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}
