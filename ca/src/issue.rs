//! The checks of a certificate request, and the signing. Pure: key, time and serial are arguments. Of the request
//! nothing is used but the public key, whose possession its signature proves.

use crate::error::Failure;
use mesh_config::identity::SpiffeId;
use rcgen::{
    CertificateParams, DistinguishedName, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
    SerialNumber, SubjectPublicKeyInfo,
};
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer, pem::PemObject};
use std::time::{Duration, SystemTime};
use x509_parser::{
    certification_request::X509CertificationRequest,
    der_parser::{Oid, asn1_rs::oid},
    prelude::FromDer,
    public_key::PublicKey,
};

/// Longest request in PEM, in bytes: an RSA key of 8192 bits needs some 3 KiB.
pub const MAX_REQUEST: usize = 16 << 10;

/// Certificates begin so much before they are made: clocks differ.
pub const BACKDATED: Duration = Duration::from_secs(60);

/// Least size of an RSA key.
const MIN_RSA_BITS: usize = 2048;

const RSA_ENCRYPTION: Oid<'static> = oid!(1.2.840.113549.1.1.1);
const EC_PUBLIC_KEY: Oid<'static> = oid!(1.2.840.10045.2.1);
const ED25519: Oid<'static> = oid!(1.3.101.112);
const P256: Oid<'static> = oid!(1.2.840.10045.3.1.7);
const P384: Oid<'static> = oid!(1.3.132.0.34);
/// SHA-1 with RSA, under its two names.
const WEAK_SIGNATURES: [Oid<'static>; 2] = [oid!(1.2.840.113549.1.1.5), oid!(1.3.14.3.2.29)];

/// What is wrong with a certificate request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestProblem {
    /// Longer than any real one.
    #[error("it is longer than {MAX_REQUEST} bytes")]
    TooLong,
    /// Not a request.
    #[error("it is not a PKCS#10 request in PEM")]
    Malformed,
    /// The signature does not prove that the caller has the key.
    #[error("its signature does not verify")]
    Signature,
    /// A kind of key that we do not certify.
    #[error("its key must be ECDSA P-256 or P-384, RSA of at least {MIN_RSA_BITS} bits, or Ed25519")]
    Key,
    /// A lifetime below zero.
    #[error("the validity must not be negative")]
    Validity,
}

/// A public key whose owner has proved to have the private one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectKey(SubjectPublicKeyInfo);

impl SubjectKey {
    /// The key of a certificate request in PEM.
    ///
    /// # Errors
    /// When it is no request, its signature does not verify, or the key is of a kind that we do not certify.
    pub fn from_request(pem: &str) -> Result<Self, RequestProblem> {
        if pem.len() > MAX_REQUEST {
            return Err(RequestProblem::TooLong);
        }
        let der =
            CertificateSigningRequestDer::from_pem_slice(pem.as_bytes()).map_err(|_| RequestProblem::Malformed)?;
        let (rest, request) = X509CertificationRequest::from_der(&der).map_err(|_| RequestProblem::Malformed)?;
        if !rest.is_empty() {
            return Err(RequestProblem::Malformed);
        }
        let info = &request.certification_request_info.subject_pki;
        let parameter = info.algorithm.parameters.as_ref().and_then(|p| p.as_oid().ok());
        let strong = match (&info.algorithm.algorithm, info.parsed()) {
            (kind, Ok(PublicKey::RSA(key))) => *kind == RSA_ENCRYPTION && key.key_size() >= MIN_RSA_BITS,
            (kind, Ok(PublicKey::EC(_))) => *kind == EC_PUBLIC_KEY && parameter.is_some_and(|c| c == P256 || c == P384),
            (kind, _) => *kind == ED25519,
        };
        if !strong {
            return Err(RequestProblem::Key);
        }
        if WEAK_SIGNATURES.contains(&request.signature_algorithm.algorithm) {
            return Err(RequestProblem::Signature);
        }
        request.verify_signature().map_err(|_| RequestProblem::Signature)?;
        SubjectPublicKeyInfo::from_der(info.raw).map(SubjectKey).map_err(|_| RequestProblem::Key)
    }
}

/// Serial number of a certificate: 128 random bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Serial(pub [u8; 16]);

/// What a leaf says, besides its key.
#[derive(Debug, Clone)]
pub struct Leaf<'a> {
    /// The one URI.
    pub identity: &'a SpiffeId,
    /// DNS names, for servers that are reached by name; none for workloads.
    pub dns_names: &'a [String],
    /// From when and until when.
    pub validity: Validity,
    /// Its number.
    pub serial: Serial,
}

/// From when and until when, whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// Begin.
    pub not_before: SystemTime,
    /// End.
    pub not_after: SystemTime,
}

impl Validity {
    /// From a little before `now` for `lifetime`, but not beyond the signer's own end.
    ///
    /// # Errors
    /// When that has come.
    pub fn new(now: SystemTime, lifetime: Duration, signer_ends: SystemTime) -> Result<Self, Failure> {
        let not_after = whole_seconds(now.checked_add(lifetime).unwrap_or(signer_ends).min(signer_ends));
        if not_after <= now {
            return Err(Failure::Expired(signer_ends));
        }
        Ok(Validity { not_before: whole_seconds(now - BACKDATED), not_after })
    }
}

/// Signs a leaf: for client and server use, without a subject, its names critical, no authority of its own.
///
/// # Errors
/// When a name cannot be put into a certificate, or signing fails.
pub fn sign(
    issuer: &Issuer<'_, KeyPair>,
    key: &SubjectKey,
    leaf: &Leaf<'_>,
) -> Result<CertificateDer<'static>, Failure> {
    let text = |name: &str| name.to_owned().try_into().map_err(|_| Failure::Name(name.to_owned()));
    let mut params = CertificateParams::default();
    // An empty subject makes the alternative names critical.
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names.push(SanType::URI(text(&leaf.identity.uri())?));
    for name in leaf.dns_names {
        params.subject_alt_names.push(SanType::DnsName(text(name)?));
    }
    params.not_before = leaf.validity.not_before.into();
    params.not_after = leaf.validity.not_after.into();
    params.serial_number = Some(SerialNumber::from_slice(&leaf.serial.0));
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params.signed_by(&key.0, issuer)?.der().clone())
}

/// As certificates have them.
fn whole_seconds(time: SystemTime) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs())
}
