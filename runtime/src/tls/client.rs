//! The calling end. Configurations are kept per identity, expected peer, server name and protocol list; sessions per
//! expected peer and server name, so that no session made with one peer is ever offered to another.

use super::{
    TlsError,
    key_files::KeyFiles,
    material::{CaBundle, Certificate, Identity},
    provider,
    sessions::Sessions,
    verify::{Check, ExpectedPeer, PeerCache, PeerCertificate, Refusal, Role, Rule, ServerVerifier},
};
use crate::{clock::WallClock, snapshot};
use arc_swap::ArcSwapOption;
use parking_lot::{Mutex, RwLock};
use rustls::{
    ClientConfig, HandshakeKind, SignatureScheme,
    client::{ResolvesClientCert, Resumption},
    pki_types::{DnsName, ServerName},
    sign::CertifiedKey,
};
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

pub use tokio_rustls::client::TlsStream;

/// Expected peers and names remembered at most; when there are more, all are forgotten and built anew as they are used.
const ENTRIES: usize = 8192;

/// How a connection to a peer is secured.
#[derive(Debug, Clone)]
pub struct ClientProfile {
    /// Protocols offered, most preferred first; none: the extension is not sent.
    pub alpn: Arc<[&'static [u8]]>,
    /// The server name to send; an address is never sent.
    pub sni: Option<Arc<str>>,
    /// What we show and whom we believe.
    pub mode: Mode,
    /// For the whole handshake; [`super::server::HANDSHAKE_TIMEOUT`] is a good one.
    pub handshake_timeout: Duration,
}

/// What we show and whom we believe.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Mode {
    /// `ISTIO_MUTUAL`: our identity, their identity.
    Mesh,
    /// `SIMPLE`, and `MUTUAL` with a certificate of its own.
    Simple(Arc<Simple>),
}

/// TLS with a peer outside of the mesh.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Simple {
    /// Who vouches for it; the system's authorities if not given.
    pub roots: Option<Arc<CaBundle>>,
    /// Its certificate must vouch for one of these DNS names, addresses or URIs. None given: any will do.
    pub names: Vec<Arc<str>>,
    /// Believe anybody.
    pub insecure_skip_verify: bool,
    /// What we show when asked.
    pub certificate: Option<Arc<Certificate>>,
}

/// What came out of a handshake.
#[derive(Debug, Clone)]
pub struct Connected {
    /// The server's certificate: verified, unless verification was switched off.
    pub peer: Arc<PeerCertificate>,
    /// The protocol agreed on.
    pub alpn: Option<Vec<u8>>,
    /// Whether an earlier session was resumed; the peer's identity was checked all the same.
    pub resumed: bool,
    /// The URI of the certificate that we offered.
    pub local_uri: Option<Arc<str>>,
}

/// Makes TLS connections; shared by all workers.
#[derive(Debug)]
pub struct ClientTls {
    identity: Option<snapshot::Reader<Identity>>,
    wall: WallClock,
    peers: Arc<PeerCache>,
    key_files: KeyFiles,
    state: ArcSwapOption<State>,
    /// Only one thread builds a new state.
    building: Mutex<()>,
}

/// Everything that follows from one version of the identity.
#[derive(Debug)]
struct State {
    identity: Option<Arc<Identity>>,
    /// One value for all configurations: rustls resumes a session only with the credentials it was made with.
    shown: Arc<Shown>,
    entries: RwLock<HashMap<EntryKey, Arc<Entry>>>,
}

/// Whom we call: how, who it must be, and the server name sent.
type EntryKey = (Mode, ExpectedPeer, Option<Arc<str>>);

/// Everything about one expected peer.
#[derive(Debug)]
struct Entry {
    check: Arc<Check>,
    verifier: Arc<ServerVerifier>,
    shown: Arc<Shown>,
    sessions: Arc<Sessions>,
    local_uri: Option<Arc<str>>,
    configs: RwLock<Vec<(AlpnList, Arc<ClientConfig>)>>,
}

type AlpnList = Arc<[&'static [u8]]>;

impl ClientTls {
    /// Shows the mesh identity to peers that are called in [`Mode::Mesh`].
    pub fn new(identity: snapshot::Reader<Identity>) -> Self {
        ClientTls::from_identity(Some(identity))
    }

    /// Without an identity: for [`Mode::Simple`] only.
    pub fn anonymous() -> Self {
        ClientTls::from_identity(None)
    }

    fn from_identity(identity: Option<snapshot::Reader<Identity>>) -> Self {
        ClientTls {
            identity,
            wall: WallClock::system(),
            peers: Arc::default(),
            key_files: KeyFiles::default(),
            state: ArcSwapOption::empty(),
            building: Mutex::new(()),
        }
    }

    /// Checks certificates against this clock.
    pub fn with_clock(mut self, wall: WallClock) -> Self {
        self.wall = wall;
        self
    }

    /// Roots and certificates in files that configuration names.
    pub fn key_files(&self) -> &KeyFiles {
        &self.key_files
    }

    /// Does the handshake with a server. `expected` counts in [`Mode::Mesh`]; a [`Simple`] peer's names are its own.
    ///
    /// # Errors
    /// [`TlsError`]; rustls has then sent the alert, as far as the connection allowed.
    pub async fn connect<IO>(
        &self,
        io: IO,
        profile: &ClientProfile,
        expected: &ExpectedPeer,
    ) -> Result<(TlsStream<IO>, Connected), TlsError>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let name = server_name(profile.sni.as_deref())?;
        let entry = self.state().entry(profile, expected, self)?;
        let config = entry.config(&profile.alpn, &self.wall)?;
        let limit = profile.handshake_timeout;
        let handshake = TlsConnector::from(config).connect(name, io);
        let stream = tokio::time::timeout(limit, handshake).await.map_err(|_| TlsError::Deadline(limit))??;

        // rustls has asked the check, unless the session was resumed.
        let session = stream.get_ref().1;
        let resumed = session.handshake_kind() == Some(HandshakeKind::Resumed);
        let chain = session.peer_certificates().unwrap_or_default();
        let leaf = chain.first().ok_or(TlsError::Refused(Refusal::NoCertificate))?;
        let peer = match resumed {
            true => entry.check.check_resumed(chain, None, self.wall.now()),
            false => entry.check.peer(leaf),
        };
        let peer = peer.map_err(TlsError::Refused)?;
        let alpn = session.alpn_protocol().map(<[u8]>::to_vec);
        Ok((stream, Connected { peer, alpn, resumed, local_uri: entry.local_uri.clone() }))
    }

    /// The state of the newest identity. Sessions end with the identity that made them.
    fn state(&self) -> Arc<State> {
        if let Some(state) = self.current() {
            return state;
        }
        let _building = self.building.lock();
        if let Some(state) = self.current() {
            return state;
        }
        let identity = self.identity.as_ref().map(snapshot::Reader::get);
        let shown = Shown(identity.as_ref().map(|id| id.material.certificate().certified_key().clone()));
        let state = Arc::new(State { identity, shown: Arc::new(shown), entries: RwLock::default() });
        self.state.store(Some(state.clone()));
        state
    }

    fn current(&self) -> Option<Arc<State>> {
        let state = self.state.load();
        let is_current = |state: &&Arc<State>| match (&self.identity, &state.identity) {
            (Some(reader), Some(identity)) => reader.is_current(identity),
            _ => true,
        };
        state.as_ref().filter(is_current).cloned()
    }

    #[cfg(test)]
    pub(super) fn built(&self) -> usize {
        self.current().map_or(0, |state| state.entries.read().values().map(|entry| entry.configs.read().len()).sum())
    }
}

impl State {
    fn entry(&self, profile: &ClientProfile, expected: &ExpectedPeer, tls: &ClientTls) -> Result<Arc<Entry>, TlsError> {
        // Cloned counts only; what a peer of a Simple connection is expected to be is part of its mode.
        let sni = profile.sni.clone();
        let key = match &profile.mode {
            Mode::Mesh => (Mode::Mesh, expected.clone(), sni),
            Mode::Simple(simple) => (Mode::Simple(simple.clone()), ExpectedPeer::any(), sni),
        };
        if let Some(entry) = self.entries.read().get(&key) {
            return Ok(entry.clone());
        }
        let built = Arc::new(self.build_entry(&key, tls)?);
        let mut entries = self.entries.write();
        if entries.len() >= ENTRIES {
            entries.clear();
        }
        Ok(entries.entry(key).or_insert(built).clone())
    }

    fn build_entry(&self, (mode, expected, _): &EntryKey, tls: &ClientTls) -> Result<Entry, TlsError> {
        let (rule, shown, local_uri) = match mode {
            Mode::Mesh => {
                let identity = self.identity.as_ref().ok_or(TlsError::NoIdentity)?;
                (mesh_rule(identity, expected), self.shown.clone(), Some(identity.material.uri().clone()))
            }
            Mode::Simple(simple) => {
                let certificate = simple.certificate.as_ref();
                let uri = certificate.and_then(|c| c.leaf().uris.first()).map(|uri| Arc::from(uri.as_str()));
                let shown = Arc::new(Shown(certificate.map(|c| c.certified_key().clone())));
                (simple_rule(simple)?, shown, uri)
            }
        };
        let check = Arc::new(Check::new(rule, Role::Server, tls.peers.clone()));
        let sessions = Arc::new(Sessions::new(tls.wall.clone()));
        let verifier = Arc::new(ServerVerifier { check: check.clone(), sessions: sessions.clone() });
        Ok(Entry { check, verifier, shown, sessions, local_uri, configs: RwLock::default() })
    }
}

fn mesh_rule(identity: &Identity, expected: &ExpectedPeer) -> Rule {
    let home = identity.material.identity.trust_domain.clone();
    let ExpectedPeer::AnyOf(names) = expected;
    // Who names a peer of a trust domain without roots of its own means an alias of ours.
    let named = names.iter().filter_map(|name| {
        let domain = name.strip_prefix("spiffe://")?.split('/').next()?;
        domain.parse().ok()
    });
    let rooted = identity.roots.domains().map(|(domain, _)| domain.clone());
    let accepted = named.chain(rooted).chain([home.clone()]).collect();
    Rule::Mesh { roots: identity.roots.clone(), home, accepted, expected: expected.clone() }
}

fn simple_rule(simple: &Simple) -> Result<Rule, TlsError> {
    if simple.insecure_skip_verify {
        return Ok(Rule::Unchecked);
    }
    let roots = match &simple.roots {
        Some(roots) => roots.clone(),
        None => CaBundle::system().map_err(|e| TlsError::Setup(rustls::Error::General(e.to_string())))?,
    };
    Ok(Rule::Bundle { roots, expected: ExpectedPeer::AnyOf(simple.names.clone().into()) })
}

impl Entry {
    fn config(&self, alpn: &AlpnList, wall: &WallClock) -> Result<Arc<ClientConfig>, TlsError> {
        let find = |configs: &[(AlpnList, Arc<ClientConfig>)]| {
            configs.iter().find(|(known, _)| known == alpn).map(|(_, config)| config.clone())
        };
        if let Some(config) = find(&self.configs.read()) {
            return Ok(config);
        }
        let built = Arc::new(self.build_config(alpn, wall).map_err(TlsError::Setup)?);
        let mut configs = self.configs.write();
        if let Some(config) = find(&configs) {
            return Ok(config);
        }
        configs.push((alpn.clone(), built.clone()));
        Ok(built)
    }

    fn build_config(&self, alpn: &AlpnList, wall: &WallClock) -> Result<ClientConfig, rustls::Error> {
        let mut config = ClientConfig::builder_with_details(provider::get().clone(), Arc::new(wall.clone()))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .dangerous()
            .with_custom_certificate_verifier(self.verifier.clone())
            .with_client_cert_resolver(self.shown.clone());
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        config.resumption = Resumption::store(self.sessions.clone());
        Ok(config)
    }
}

/// What we show. One value per identity: see [`State::shown`].
#[derive(Debug)]
struct Shown(Option<Arc<CertifiedKey>>);

impl ResolvesClientCert for Shown {
    fn resolve(&self, _roots: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.clone().filter(|key| key.key.choose_scheme(schemes).is_some())
    }

    fn has_certs(&self) -> bool {
        self.0.is_some()
    }
}

/// An address, ours or one that stands in where there is no name, is not sent by rustls.
fn server_name(sni: Option<&str>) -> Result<ServerName<'static>, TlsError> {
    let Some(sni) = sni.filter(|sni| sni.parse::<IpAddr>().is_err()) else {
        return Ok(ServerName::from(Ipv4Addr::UNSPECIFIED));
    };
    let wrong = || TlsError::ServerName(sni.to_owned());
    DnsName::try_from(sni.to_owned()).map(ServerName::DnsName).map_err(|_| wrong())
}
