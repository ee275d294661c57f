//! What a certificate says, parsed once and remembered.

use super::Refusal;
use crate::tls::material::hex;
use aws_lc_rs::digest;
use mesh_config::identity::PeerIdentity;
use parking_lot::Mutex;
use rustls::pki_types::CertificateDer;
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};
use x509_parser::{
    extensions::GeneralName,
    objects::{oid_registry, oid2abbrev},
    x509::X509Name,
};

/// What a leaf certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    /// The first URI among the alternative names; always there for a mesh peer.
    pub uri: Option<PeerIdentity>,
    /// All URIs, as they stand.
    pub uris: Vec<String>,
    /// All DNS names, as they stand.
    pub dns: Vec<String>,
    /// All addresses.
    pub ips: Vec<IpAddr>,
    /// The subject in RFC 2253 form; empty for a mesh certificate.
    pub subject: String,
    /// SHA-256 of the certificate, lower-case hex.
    pub hash: String,
    /// Serial number, lower-case hex without leading zero bytes.
    pub serial: String,
    /// Begin of validity.
    pub not_before: SystemTime,
    /// End of validity.
    pub not_after: SystemTime,
    /// The certificate itself.
    pub der: CertificateDer<'static>,
}

impl PeerCertificate {
    /// Parses a certificate; nothing is verified.
    ///
    /// # Errors
    /// [`Refusal::Malformed`].
    pub fn parse(der: &CertificateDer<'_>) -> Result<Self, Refusal> {
        let malformed = |what: String| Refusal::Malformed(what);
        let (rest, cert) = x509_parser::parse_x509_certificate(der).map_err(|e| malformed(e.to_string()))?;
        if !rest.is_empty() {
            return Err(malformed("bytes follow the certificate".to_owned()));
        }
        let time = |t: x509_parser::time::ASN1Time| {
            SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(t.timestamp()).unwrap_or(0))
        };
        let serial = cert.raw_serial();
        let serial = &serial[serial.iter().take_while(|b| **b == 0).count()..];
        let mut parsed = PeerCertificate {
            uri: None,
            uris: Vec::new(),
            dns: Vec::new(),
            ips: Vec::new(),
            subject: rfc2253(cert.subject()),
            hash: hex(digest::digest(&digest::SHA256, der).as_ref()),
            serial: hex(serial),
            not_before: time(cert.validity().not_before),
            not_after: time(cert.validity().not_after),
            der: der.clone().into_owned(),
        };
        let names = cert.subject_alternative_name().map_err(|e| malformed(e.to_string()))?;
        for name in names.iter().flat_map(|extension| &extension.value.general_names) {
            match name {
                GeneralName::URI(uri) => parsed.uris.push((*uri).to_owned()),
                GeneralName::DNSName(dns) => parsed.dns.push((*dns).to_owned()),
                GeneralName::IPAddress(bytes) => parsed.ips.extend(address(bytes)),
                GeneralName::Invalid(..) => return Err(malformed("an alternative name is broken".to_owned())),
                _ => {}
            }
        }
        parsed.uri = parsed.uris.first().map(|uri| PeerIdentity::new(uri));
        Ok(parsed)
    }

    /// Whether it vouches for `name`. An address is looked for among its addresses alone, a `spiffe://` name among
    /// its URIs alone, another one among its URIs (exactly) and its DNS names (whatever the case; theirs may have a
    /// wildcard).
    pub fn is_named(&self, name: &str) -> bool {
        if let Ok(ip) = name.parse::<IpAddr>() {
            return self.ips.contains(&ip);
        }
        self.uris.iter().any(|uri| uri == name)
            || (!name.starts_with("spiffe://") && self.dns.iter().any(|dns| covers(dns, name)))
    }

    /// All that it vouches for.
    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        self.uris.iter().chain(&self.dns).cloned().chain(self.ips.iter().map(IpAddr::to_string))
    }

    pub(super) fn check_time(&self, now: SystemTime) -> Result<(), Refusal> {
        match now.duration_since(self.not_after) {
            Ok(ago) if !ago.is_zero() => Err(Refusal::Expired { ago }),
            _ => Ok(()),
        }
    }
}

/// Whether a DNS name in a certificate covers a name. One `*` may stand anywhere in its first label, for any part of
/// that label of the name (for none, too); not inside an encoded international label, and not in a name of one label.
fn covers(pattern: &str, name: &str) -> bool {
    if pattern.eq_ignore_ascii_case(name) {
        return true;
    }
    let (Some((first, rest)), Some((label, domain))) = (pattern.split_once('.'), name.split_once('.')) else {
        return false;
    };
    let Some((before, after)) = first.split_once('*') else { return false };
    let encoded = first.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("xn--"));
    if encoded || after.contains('*') || rest.contains('*') || !rest.eq_ignore_ascii_case(domain) {
        return false;
    }
    let (label, before, after) = (label.as_bytes(), before.as_bytes(), after.as_bytes());
    label.len() >= before.len() + after.len()
        && label[..before.len()].eq_ignore_ascii_case(before)
        && label[label.len() - after.len()..].eq_ignore_ascii_case(after)
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes).map(IpAddr::from).or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// The last part first, short names, and the characters escaped that RFC 2253 names.
fn rfc2253(name: &X509Name<'_>) -> String {
    let mut parts: Vec<String> = name
        .iter_rdn()
        .map(|rdn| {
            let values: Vec<String> = rdn
                .iter()
                .map(|pair| {
                    let oid = pair.attr_type();
                    let short = oid2abbrev(oid, oid_registry()).map_or_else(|_| oid.to_id_string(), str::to_owned);
                    let value = pair.as_str().map_or_else(|_| format!("#{}", hex(pair.as_slice())), escape2253);
                    format!("{short}={value}")
                })
                .collect();
            values.join("+")
        })
        .collect();
    parts.reverse();
    parts.join(",")
}

fn escape2253(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (index, c) in value.chars().enumerate() {
        let special = matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';');
        if special || (index == 0 && c == '#') || (c == ' ' && (index == 0 || index == last)) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Parsed certificates by SHA-256, in two generations of bounded size: the older one is forgotten when the younger
/// is full, so a peer that shows ever new certificates costs a bounded amount and does not push out the busy ones.
#[derive(Debug, Default)]
pub struct PeerCache {
    generations: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<[u8; 32], Arc<PeerCertificate>>,
    old: HashMap<[u8; 32], Arc<PeerCertificate>>,
}

const GENERATION: usize = 512;

impl PeerCache {
    /// The parsed form of a certificate.
    ///
    /// # Errors
    /// [`Refusal::Malformed`]; not remembered.
    pub fn get(&self, der: &CertificateDer<'_>) -> Result<Arc<PeerCertificate>, Refusal> {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, der).as_ref());
        if let Some(known) = self.generations.lock().find(&hash) {
            return Ok(known);
        }
        let parsed = Arc::new(PeerCertificate::parse(der)?);
        self.generations.lock().insert(hash, parsed.clone());
        Ok(parsed)
    }
}

impl Generations {
    fn find(&mut self, hash: &[u8; 32]) -> Option<Arc<PeerCertificate>> {
        if let Some(known) = self.young.get(hash) {
            return Some(known.clone());
        }
        let known = self.old.remove(hash)?;
        self.insert(*hash, known.clone());
        Some(known)
    }

    fn insert(&mut self, hash: [u8; 32], parsed: Arc<PeerCertificate>) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(hash, parsed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestCa;

    #[test]
    fn subjects_are_escaped_as_rfc_2253_has_it() {
        assert_eq!(escape2253("a,b+c"), "a\\,b\\+c");
        assert_eq!(escape2253(" #x "), "\\ #x\\ ");
        assert_eq!(escape2253("#x"), "\\#x");
    }

    #[test]
    fn parsed_certificates_are_shared_and_forgotten_in_time() {
        let ca = TestCa::new("td");
        let der = ca.material("a", "b").certificate().chain()[0].clone();
        let cache = PeerCache::default();
        let first = cache.get(&der).unwrap();
        assert!(Arc::ptr_eq(&first, &cache.get(&der).unwrap()));
        let mut generations = cache.generations.lock();
        for n in 0..GENERATION as u64 * 4 {
            let mut hash = [0; 32];
            hash[..8].copy_from_slice(&n.to_be_bytes());
            generations.insert(hash, first.clone());
        }
        assert!(generations.young.len() + generations.old.len() <= GENERATION * 2);
    }
}
