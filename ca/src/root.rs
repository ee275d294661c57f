//! The key that signs: read from a store and checked as a whole, or made when the store is empty.

use crate::{
    authority::random_serial,
    error::Failure,
    issue::{BACKDATED, Leaf, SubjectKey, Validity, sign},
    store::{Store, Stored},
};
use mesh_config::identity::{SpiffeId, TrustDomain};
use mesh_runtime::{
    identity::csr::Request,
    tls::{
        material::{self, CaBundle},
        verify::{PeerCertificate, Role, verify_chain},
    },
};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SerialNumber,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

/// How long a root of our own making lives: ten years.
const ROOT_LIFETIME: Duration = Duration::from_secs(3650 * 24 * 3600);

/// A signing key with its way up to the roots.
pub struct Root {
    issuer: Issuer<'static, KeyPair>,
    not_after: SystemTime,
    /// From the signing certificate up to below the root; empty when the root itself signs.
    intermediates: Vec<CertificateDer<'static>>,
    bundle: Arc<CaBundle>,
    signer: CertificateDer<'static>,
    /// Those of the roots that vouch for what it signs.
    vouching: Arc<CaBundle>,
}

impl Root {
    /// What the store holds; a new self-signed root, then saved, when it is empty.
    ///
    /// # Errors
    /// When the store fails, or what it holds does not do. A root that is there is never replaced.
    pub fn open_or_create(store: &dyn Store, trust_domain: &TrustDomain, now: SystemTime) -> Result<Self, Failure> {
        let stored = match store.load()? {
            Some(stored) => stored,
            // Another process may have been faster, then its root is the one.
            None => store.save_new(self_signed(trust_domain, now)?)?,
        };
        Root::from_stored(&stored, now)
    }

    /// What the store holds, made by somebody else.
    ///
    /// # Errors
    /// When the store is empty or fails, or what it holds does not do.
    pub fn open(store: &dyn Store, now: SystemTime) -> Result<Self, Failure> {
        let stored = store.load()?.ok_or_else(|| Failure::NoRoot(store.place()))?;
        Root::from_stored(&stored, now)
    }

    /// Parses key and certificates, and proves with a leaf made for the purpose that what they sign will be believed.
    ///
    /// # Errors
    /// When a part cannot be read, the key belongs to another certificate, or no chain leads to the roots.
    pub fn from_stored(stored: &Stored, now: SystemTime) -> Result<Self, Failure> {
        let wrong = |what: String| Failure::Root(what);
        let signer = material::certificates(stored.certificate.as_bytes(), "ca-cert.pem")?.swap_remove(0);
        let key = PrivateKeyDer::from_pem_slice(stored.key.text().as_bytes())
            .map_err(|e| wrong(format!("ca-key.pem contains no PKCS#8, PKCS#1 or SEC1 key: {e}")))?;
        let key = KeyPair::try_from(&key).map_err(|e| wrong(format!("the kind of key in ca-key.pem: {e}")))?;
        let bundle = match stored.roots.trim() {
            "" => CaBundle::new(vec![signer.clone()])?,
            roots => CaBundle::from_pem(roots.as_bytes())?,
        };
        let is_root = |der: &CertificateDer<'_>| bundle.certificates().iter().any(|root| root == der);
        let mut intermediates = match stored.chain.trim() {
            "" => Vec::new(),
            chain => material::certificates(chain.as_bytes(), "cert-chain.pem")?,
        };
        intermediates.retain(|der| !is_root(der) && *der != signer);
        if !is_root(&signer) {
            intermediates.insert(0, signer.clone());
        }

        // Leaves must not outlive what is between them and the roots.
        let mut not_after = end(&signer)?;
        for der in &intermediates {
            not_after = not_after.min(end(der)?);
        }
        owns(&key, &signer)?;
        let issuer = Issuer::from_ca_cert_der(&signer, key).map_err(|e| wrong(e.to_string()))?;
        let vouching = prove(&issuer, &intermediates, &bundle, not_after, now)?;
        let (bundle, vouching) = (Arc::new(bundle), Arc::new(vouching));
        Ok(Root { issuer, not_after, intermediates, bundle, signer, vouching })
    }

    /// Whether both sign with the same certificate.
    pub(crate) fn signs_as(&self, other: &Root) -> bool {
        self.signer == other.signer
    }

    /// Those of the roots that vouch for what it signs.
    pub(crate) fn vouching(&self) -> &Arc<CaBundle> {
        &self.vouching
    }

    /// What signs.
    pub(crate) fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }

    /// Certificates between leaf and root, leaf's side first.
    pub fn intermediates(&self) -> &[CertificateDer<'static>] {
        &self.intermediates
    }

    /// The roots.
    pub fn bundle(&self) -> &Arc<CaBundle> {
        &self.bundle
    }

    /// The earliest end among the signing certificate and the intermediates.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }
}

/// How long the leaf lives that proves a root.
const PROOF: Duration = Duration::from_secs(60);

/// Signs a leaf for nobody and verifies it as a peer would: this sees wrong keys, missing links, expired certificates
/// and constraints that forbid us to sign. The roots that vouch for the leaf, which are some.
fn prove(
    issuer: &Issuer<'_, KeyPair>,
    intermediates: &[CertificateDer<'_>],
    roots: &CaBundle,
    until: SystemTime,
    now: SystemTime,
) -> Result<CaBundle, Failure> {
    let wrong = |what: String| Failure::Root(what);
    let request = Request::new()?;
    let key = SubjectKey::from_request(request.pem()).map_err(|e| wrong(e.to_string()))?;
    let identity = SpiffeId::new(TrustDomain::default(), "none", "none");
    let validity = Validity::new(now, PROOF, until)?;
    let leaf = Leaf { identity: &identity, dns_names: &[], validity, serial: random_serial()? };
    let leaf = sign(issuer, &key, &leaf)?;
    let (mut vouching, mut failed) = (Vec::new(), None);
    for root in roots.certificates() {
        let anchor = webpki::anchor_from_trusted_cert(root).map_err(|e| wrong(e.to_string()))?;
        match verify_chain(&leaf, intermediates, &[anchor], now, Role::Client) {
            Ok(()) => vouching.push(root.clone()),
            Err(error) => failed = Some(error),
        }
    }
    match failed.filter(|_| vouching.is_empty()) {
        Some(error) => Err(wrong(format!("what it signs would not be trusted: {error}"))),
        None => Ok(CaBundle::new(vouching)?),
    }
}

/// A new self-signed root.
///
/// # Errors
/// When no key can be made.
pub fn self_signed(trust_domain: &TrustDomain, now: SystemTime) -> Result<Stored, Failure> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, trust_domain.as_str());
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = (now - BACKDATED).into();
    params.not_after = (now + ROOT_LIFETIME).into();
    params.serial_number = Some(SerialNumber::from_slice(&random_serial()?.0));
    let pem = params.self_signed(&key)?.pem();
    Ok(Stored { certificate: pem.clone(), key: key.serialize_pem().into(), chain: String::new(), roots: pem })
}

fn end(der: &CertificateDer<'_>) -> Result<SystemTime, Failure> {
    PeerCertificate::parse(der).map(|parsed| parsed.not_after).map_err(|e| Failure::Root(e.to_string()))
}

/// Said apart from the proof: a wrong key is the commonest mistake, and a certificate that is trusted as a root is not
/// asked again whether it may sign.
fn owns(key: &KeyPair, certificate: &CertificateDer<'_>) -> Result<(), Failure> {
    let wrong = |what: String| Failure::Root(format!("ca-cert.pem: {what}"));
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).map_err(|e| wrong(e.to_string()))?;
    if parsed.public_key().subject_public_key.data.as_ref() != key.public_key_raw() {
        return Err(Failure::Root("ca-key.pem does not belong to ca-cert.pem".to_owned()));
    }
    let usage = parsed.key_usage().map_err(|e| wrong(e.to_string()))?;
    if !parsed.is_ca() || usage.is_some_and(|usage| !usage.value.key_cert_sign()) {
        return Err(wrong("it is not the certificate of an authority, or may not sign certificates".to_owned()));
    }
    Ok(())
}
