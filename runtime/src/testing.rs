//! For tests, ours and those of other crates (feature `testing`): a throwaway authority, waiting without sleeping,
//! and captured logs. Everything here panics rather than returns errors.

use crate::{
    clock,
    tls::{
        TlsError,
        client::{self, ClientProfile, ClientTls, Connected, Mode},
        material::{CaBundle, Certificate, Identity, Material, Roots},
        server::{self, Accepted, HANDSHAKE_TIMEOUT, ServerProfile, ServerTls},
        verify::ExpectedPeer,
    },
};
use mesh_config::identity::{SpiffeId, TrustDomain};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls_pki_types::PrivateKeyDer;
use std::{
    fmt::Write as _,
    io,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};
use tokio::io::DuplexStream;
use tracing_subscriber::fmt::MakeWriter;

/// A root that issues what a test asks for.
pub struct TestCa {
    domain: TrustDomain,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl TestCa {
    /// A new root for a trust domain.
    pub fn new(domain: &str) -> Self {
        let key = KeyPair::generate().expect("keys can be generated");
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::OrganizationName, domain);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a root can be signed");
        TestCa { domain: domain.parse().expect("a trust domain"), issuer }
    }

    /// The trust domain.
    pub fn domain(&self) -> &TrustDomain {
        &self.domain
    }

    /// The root alone.
    pub fn bundle(&self) -> Arc<CaBundle> {
        Arc::new(CaBundle::new(vec![self.issuer.der().clone()]).expect("our own root"))
    }

    /// The root as PEM.
    pub fn root_pem(&self) -> String {
        self.issuer.pem()
    }

    /// The root for its trust domain.
    pub fn roots(&self) -> Arc<Roots> {
        Arc::new(Roots::new([(self.domain.clone(), self.bundle())]))
    }

    /// A leaf for a workload of this trust domain, valid from an hour ago for a day.
    pub fn material(&self, namespace: &str, service_account: &str) -> Arc<Material> {
        let now = clock::system_now();
        let id = SpiffeId::new(self.domain.clone(), namespace, service_account);
        self.material_valid(&id, now - Duration::from_secs(3600), now + Duration::from_secs(86_400))
    }

    /// A leaf for any identity and time.
    pub fn material_valid(&self, id: &SpiffeId, not_before: SystemTime, not_after: SystemTime) -> Arc<Material> {
        let certificate = self.issue(&[&id.uri()], &[], not_before, not_after);
        Arc::new(Material::new(certificate, not_before).expect("our own leaf"))
    }

    /// A leaf with the root that vouches for it: what a process publishes.
    pub fn identity(&self, namespace: &str, service_account: &str) -> Arc<Identity> {
        Arc::new(Identity { material: self.material(namespace, service_account), roots: self.roots() })
    }

    /// A server certificate for DNS names and addresses, valid from an hour ago for a day.
    pub fn server_certificate(&self, names: &[&str]) -> Arc<Certificate> {
        let now = clock::system_now();
        Arc::new(self.issue(&[], names, now - Duration::from_secs(3600), now + Duration::from_secs(86_400)))
    }

    /// A leaf with any names.
    pub fn issue(&self, uris: &[&str], dns: &[&str], not_before: SystemTime, not_after: SystemTime) -> Certificate {
        let key = KeyPair::generate().expect("keys can be generated");
        let mut params = leaf_params(uris, dns);
        (params.not_before, params.not_after) = (not_before.into(), not_after.into());
        let leaf = params.signed_by(&key, &self.issuer).expect("a leaf can be signed");
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        Certificate::new(vec![leaf.der().clone()], key).expect("our own leaf")
    }

    /// Signs a certificate request for an identity, as an authority would: leaf and root, each in PEM.
    pub fn sign_csr(&self, csr_pem: &str, id: &SpiffeId, lifetime: Duration) -> Vec<String> {
        let mut csr = rcgen::CertificateSigningRequestParams::from_pem(csr_pem).expect("a request");
        let now = clock::system_now();
        csr.params = leaf_params(&[&id.uri()], &[]);
        (csr.params.not_before, csr.params.not_after) =
            ((now - Duration::from_secs(60)).into(), (now + lifetime).into());
        let leaf = csr.signed_by(&self.issuer).expect("a request can be signed");
        vec![leaf.pem(), self.root_pem()]
    }
}

fn leaf_params(uris: &[&str], dns: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let text = |name: &&str| name.to_string().try_into().expect("an ASCII name");
    params.subject_alt_names = uris.iter().map(|uri| SanType::URI(text(uri))).collect();
    params.subject_alt_names.extend(dns.iter().map(|name| match name.parse() {
        Ok(ip) => SanType::IpAddress(ip),
        Err(_) => SanType::DnsName(text(name)),
    }));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params
}

/// A mesh connection with these protocols and a server name.
pub fn mesh_profile(alpn: &[&'static [u8]], sni: &str) -> ClientProfile {
    ClientProfile { alpn: alpn.into(), sni: Some(sni.into()), mode: Mode::Mesh, handshake_timeout: HANDSHAKE_TIMEOUT }
}

/// Both ends of a connection in memory after their handshake, the server's first. Each direction holds `buffer` bytes.
pub async fn handshake(
    server: (&ServerTls, &ServerProfile),
    client: (&ClientTls, &ClientProfile, &ExpectedPeer),
    buffer: usize,
) -> (ServerEnd, ClientEnd) {
    let (near, far) = tokio::io::duplex(buffer);
    tokio::join!(server.0.accept(far, server.1), client.0.connect(near, client.1, client.2))
}

/// The accepting end of [`handshake`].
pub type ServerEnd = Result<(server::TlsStream<DuplexStream>, Accepted), TlsError>;

/// The calling end of [`handshake`].
pub type ClientEnd = Result<(client::TlsStream<DuplexStream>, Connected), TlsError>;

/// Waits until `condition` holds, asking again as other tasks move.
///
/// # Panics
/// When it does not within `deadline`.
pub async fn eventually(deadline: Duration, mut condition: impl FnMut() -> bool) {
    let end = clock::now() + deadline;
    while !condition() {
        assert!(clock::now() < end, "the condition did not hold within {deadline:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Log lines of the current thread, while the guard of [`capture_logs`] lives.
#[derive(Clone, Default)]
pub struct Logs(Arc<Mutex<String>>);

impl Logs {
    /// Everything so far.
    pub fn text(&self) -> String {
        self.0.lock().expect("no writer panics").clone()
    }
}

/// Captures what the current thread logs, at every level.
#[must_use = "the capture ends when the guard is dropped"]
pub fn capture_logs() -> (Logs, tracing::subscriber::DefaultGuard) {
    let logs = Logs::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .without_time()
        .with_writer(logs.clone())
        .finish();
    (logs, tracing::subscriber::set_default(subscriber))
}

impl io::Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut text = self.0.lock().expect("no writer panics");
        let _ = text.write_str(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Logs {
    type Writer = Logs;

    fn make_writer(&'a self) -> Logs {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        snapshot::Reader,
        tls::server::{ClientAuth, TrustPolicy},
    };

    #[tokio::test]
    async fn two_ends_in_memory_shake_hands() {
        let ca = TestCa::new("cluster.local");
        let server = ServerTls::new(Reader::fixed(ca.identity("a", "b")), TrustPolicy::default());
        let client = ClientTls::new(Reader::fixed(ca.identity("c", "d")));
        let profile = ServerProfile::new([], ClientAuth::Required);
        let (wanted, any) = (mesh_profile(&[], "b.a"), ExpectedPeer::any());
        let (accepted, connected) = handshake((&server, &profile), (&client, &wanted, &any), 4096).await;
        assert_eq!(accepted.unwrap().1.peer.unwrap().uris, ["spiffe://cluster.local/ns/c/sa/d"]);
        assert_eq!(connected.unwrap().1.peer.uris, ["spiffe://cluster.local/ns/a/sa/b"]);
    }

    #[test]
    fn logs_are_captured_on_this_thread() {
        let (logs, _guard) = capture_logs();
        tracing::info!(answer = 42, "said");
        assert!(logs.text().contains("said answer=42"), "{}", logs.text());
    }
}
