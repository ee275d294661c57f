//! Certificates of servers, and trust of clients. A client that was given no roots takes any certificate: a test that is
//! about certificates gives roots.

use super::who::Tls;
use anyhow::Context;
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, ServerConnection, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject};
use std::{path::Path, sync::Arc};
use tokio_rustls::TlsAcceptor;

/// From files, where both are there; else with a certificate made now.
pub(super) fn acceptor(certificate: Option<&Path>, key: Option<&Path>) -> anyhow::Result<TlsAcceptor> {
    let (chain, key) = match (certificate, key) {
        (Some(certificate), Some(key)) if certificate.exists() && key.exists() => identity(certificate, key)?,
        _ => {
            let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
            let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(anyhow::Error::msg)?;
            (vec![made.cert.der().clone()], key)
        }
    };
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// How a client is known, and whom it trusts.
pub(crate) fn client(
    roots: Option<&Path>,
    identity_files: Option<(&Path, &Path)>,
    protocols: &[&[u8]],
) -> anyhow::Result<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let builder = match roots {
        Some(file) => {
            let mut store = RootCertStore::empty();
            for root in CertificateDer::pem_file_iter(file).with_context(|| format!("{}", file.display()))? {
                store.add(root?)?;
            }
            builder.with_root_certificates(store)
        }
        None => builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider()))),
    };
    let mut config = match identity_files {
        Some((certificate, key)) => {
            let (chain, key) = identity(certificate, key)?;
            builder.with_client_auth_cert(chain, key)?
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(config)
}

/// What is known of a connection after its handshake.
pub(super) fn seen(connection: &ServerConnection) -> Tls {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Tls {
        version: connection.protocol_version().map(|version| format!("{version:?}")).unwrap_or_default(),
        server_name: connection.server_name().unwrap_or_default().to_owned(),
        negotiated_protocol: connection.alpn_protocol().map(text).unwrap_or_default(),
        client_certificate: connection.peer_certificates().is_some(),
    }
}

fn identity(certificate: &Path, key: &Path) -> anyhow::Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .with_context(|| format!("no certificates in {}", certificate.display()))?;
    let key = PrivateKeyDer::from_pem_file(key).with_context(|| format!("no key in {}", key.display()))?;
    Ok((chain, key))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Takes the certificate of anybody who has its key.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
