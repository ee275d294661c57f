//! The connection to pilot: plain text, or TLS with the roots that were named.

use crate::{cli::XdsArgs, usage::Usage};
use anyhow::{Context as _, Result, anyhow, bail};
use hyper_util::rt::TokioIo;
use mesh_config::name::host_of_authority;
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject};
use std::{
    future::Future,
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A connection, sealed or not.
pub(super) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// Dials pilot, whatever it is asked for.
#[derive(Clone)]
pub(super) struct Connector {
    address: Arc<str>,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Connector {
    /// As the flags say.
    pub(super) fn new(address: &str, args: &XdsArgs) -> Result<Self> {
        let tls = match args.plaintext {
            true => None,
            false => Some((TlsConnector::from(Arc::new(config(args)?)), server_name(address, args)?)),
        };
        Ok(Connector { address: address.into(), tls })
    }
}

impl tower_service::Service<http::Uri> for Connector {
    type Response = TokioIo<Box<dyn Wire>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Uri) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let tcp = TcpStream::connect(&*this.address).await?;
            tcp.set_nodelay(true)?;
            let wire: Box<dyn Wire> = match this.tls {
                None => Box::new(tcp),
                Some((connector, name)) => Box::new(connector.connect(name, tcp).await?),
            };
            Ok(TokioIo::new(wire))
        })
    }
}

fn server_name(address: &str, args: &XdsArgs) -> Result<ServerName<'static>> {
    let host = match &args.authority {
        Some(authority) => authority.as_str(),
        None => &host_of_authority(address),
    };
    ServerName::try_from(host.to_owned())
        .map_err(|_| Usage::new(format!("{host:?} is not a host name; give --authority NAME")).into())
}

fn config(args: &XdsArgs) -> Result<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .context("no TLS version is left")?;
    let in_directory = |name: &str| args.cert_dir.as_ref().map(|dir| dir.join(name));
    let roots = args.root_cert.clone().or_else(|| in_directory("root-cert.pem"));
    let builder = match (args.insecure, roots) {
        (true, _) => builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate { provider })),
        (false, Some(file)) => builder.with_root_certificates(roots_of(&file)?),
        (false, None) => {
            bail!(Usage::new(
                "nothing to verify pilot with: give --root-cert FILE or --cert-dir DIR (or --plaintext, or --insecure)"
            ))
        }
    };
    let mut config = match (in_directory("cert-chain.pem"), in_directory("key.pem")) {
        (Some(chain), Some(key)) => {
            let certificates = certificates_of(&chain)?;
            // The reason would quote the file.
            let key = PrivateKeyDer::from_pem_file(&key).map_err(|_| anyhow!("{} contains no key", key.display()))?;
            builder
                .with_client_auth_cert(certificates, key)
                .map_err(|_| anyhow!("the key does not belong to {}", chain.display()))?
        }
        _ => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn certificates_of(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let list = read.map_err(|e| anyhow!("cannot read certificates in {}: {e}", file.display()))?;
    match list.is_empty() {
        true => bail!("{} contains no certificate", file.display()),
        false => Ok(list),
    }
}

fn roots_of(file: &Path) -> Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    for certificate in certificates_of(file)? {
        store
            .add(certificate)
            .with_context(|| format!("a certificate in {} cannot be used as a root", file.display()))?;
    }
    Ok(store)
}

/// `--insecure`: any certificate, as long as its key is there.
#[derive(Debug)]
struct AnyCertificate {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyCertificate {
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
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
