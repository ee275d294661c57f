//! The connection to pilot: its address, its certificate, and what proves to it who we are.

use super::stream::StreamError;
use mesh_runtime::tls::{
    client::{ClientTls, Simple},
    grpc::{Connector, bearer},
    material::{CaBundle, Certificate},
};
use std::{
    io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tonic::{
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};

/// Connecting, handshake included.
const CONNECT: Duration = Duration::from_secs(10);
/// A silent connection is asked whether it lives.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(20));

/// Whom to connect to and with what.
pub(super) struct Target {
    pub(super) address: Arc<str>,
    pub(super) server_name: Arc<str>,
    pub(super) root_cert: PathBuf,
    pub(super) token: PathBuf,
    pub(super) sources: Arc<[IpAddr]>,
    pub(super) certificate: Option<Arc<Certificate>>,
    /// Roots of our trust domain as pilot has said, which may be newer than the file.
    pub(super) known: Option<Arc<CaBundle>>,
    pub(super) tls: Arc<ClientTls>,
}

pub(super) async fn connect(target: &Target) -> Result<(Channel, Option<MetadataValue<Ascii>>), StreamError> {
    let file = |error| StreamError::File { path: target.root_cert.clone(), error };
    let roots = CaBundle::from_pem(&tokio::fs::read(&target.root_cert).await.map_err(file)?);
    let content = |reason: String| StreamError::Content { path: target.root_cert.clone(), reason };
    let roots = roots.map_err(|error| content(error.to_string()))?;
    let roots = Arc::new(match &target.known {
        Some(known) => roots.and(known),
        None => roots,
    });
    let token = read_token(&target.token).await?;
    if token.is_none() && target.certificate.is_none() {
        return Err(StreamError::NoProof(target.token.clone()));
    }
    let simple = Simple {
        roots: Some(roots),
        names: vec![target.server_name.clone()],
        insecure_skip_verify: false,
        certificate: target.certificate.clone(),
    };
    let dial = Connector::plain(target.address.clone()).from(target.sources.clone());
    let dial = dial.secured(target.tls.clone(), target.server_name.clone(), simple, CONNECT);
    let origin = format!("https://{}", target.server_name);
    let origin = origin.parse().map_err(|_| StreamError::Name(target.server_name.to_string()))?;
    let endpoint = Endpoint::from_static("http://pilot")
        .origin(origin)
        .connect_timeout(CONNECT)
        .http2_keep_alive_interval(KEEPALIVE.0)
        .keep_alive_timeout(KEEPALIVE.1)
        .keep_alive_while_idle(true);
    let failed = |error: tonic::transport::Error| StreamError::Connect {
        address: target.address.to_string(),
        reason: with_causes(&error),
    };
    Ok((endpoint.connect_with_connector(dial).await.map_err(failed)?, token))
}

/// The token; `None` when there is none and the certificate must do.
async fn read_token(path: &Path) -> Result<Option<MetadataValue<Ascii>>, StreamError> {
    let text = match tokio::fs::read_to_string(path).await {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StreamError::File { path: path.to_owned(), error }),
    };
    let wrong = |reason: &str| StreamError::Content { path: path.to_owned(), reason: reason.to_owned() };
    Ok(Some(bearer(&text).map_err(wrong)?))
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
