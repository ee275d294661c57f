//! The ports, and what is served on each.

use crate::{debug::Reports, discovery::server::Discovery, settings::Settings, webhook::Webhooks};
use anyhow::Context;
use mesh_ca::server::CertificateService;
use mesh_runtime::{
    admin::{self, Admin},
    drain,
    ready::Ready,
    settings::Listen,
    snapshot::Reader,
    telemetry::{log::LogHandle, metrics::Registry},
    tls::{
        grpc::{Limits, Security, incoming},
        material::Identity,
        server::{ClientAuth, ServerProfile, ServerTls, TrustPolicy},
    },
};
use serde::Serialize;
use std::{net::SocketAddr, path::Path, sync::Arc};
use tokio::net::TcpListener;

/// The addresses really bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Addresses {
    /// Discovery and certificates, with TLS.
    pub xds: SocketAddr,
    /// Discovery without encryption; `None`: off.
    pub plaintext: Option<SocketAddr>,
    /// Metrics, readiness, debug pages.
    pub monitoring: SocketAddr,
    /// Readiness and debug pages alone; `None`: off.
    pub http: Option<SocketAddr>,
    /// Webhooks, with TLS; `None`: off.
    pub https: Option<SocketAddr>,
}

impl Addresses {
    pub(super) fn log(&self) {
        tracing::info!(address = %self.xds, "discovery and certificates");
        if let Some(address) = self.plaintext {
            tracing::info!(%address, "discovery without encryption");
        }
        tracing::info!(address = %self.monitoring, "monitoring");
        if let Some(address) = self.http {
            tracing::info!(%address, "readiness and debug pages");
        }
        if let Some(address) = self.https {
            tracing::info!(%address, "webhooks");
        }
    }
}

/// Bound, and not yet served.
pub(super) struct Ports {
    pub(super) addresses: Addresses,
    pub(super) xds: TcpListener,
    pub(super) plaintext: Option<TcpListener>,
    pub(super) monitoring: TcpListener,
    pub(super) http: Option<TcpListener>,
    pub(super) https: Option<TcpListener>,
}

impl Ports {
    /// Binds, and writes the address file.
    pub(super) async fn bind(settings: &Settings) -> anyhow::Result<Self> {
        let xds = bind(settings.xds_address).await?;
        let plaintext = bind_unless_off(settings.plaintext_xds_address).await?;
        let monitoring = bind(settings.monitoring_address).await?;
        let http = bind_unless_off(settings.http_address).await?;
        let https = bind_unless_off(settings.https_address).await?;
        let bound = |listener: &Option<TcpListener>| listener.as_ref().map(TcpListener::local_addr).transpose();
        let addresses = Addresses {
            xds: xds.local_addr()?,
            plaintext: bound(&plaintext)?,
            monitoring: monitoring.local_addr()?,
            http: bound(&http)?,
            https: bound(&https)?,
        };
        if let Some(path) = &settings.address_file {
            write_addresses(path, &addresses)?;
        }
        Ok(Ports { addresses, xds, plaintext, monitoring, http, https })
    }
}

/// What is served.
#[derive(Clone)]
pub(super) struct Services {
    pub(super) discovery: Discovery,
    pub(super) reports: Reports,
    pub(super) certificates: CertificateService,
    pub(super) webhooks: Webhooks,
    pub(super) ready: Ready,
    pub(super) limits: Limits,
}

impl Services {
    /// Everything that proxies and `meshctl` ask for.
    pub(super) async fn encrypted(
        self,
        listener: TcpListener,
        own: Reader<Identity>,
        drain: drain::Watch,
    ) -> anyhow::Result<()> {
        let profile = ServerProfile::new([b"h2".as_slice()], ClientAuth::Optional);
        let tls = Arc::new(ServerTls::new(own, TrustPolicy::default()));
        let authenticate = self.discovery.authenticate.clone();
        let router = self
            .limits
            .server()
            .add_service(self.discovery.into_server(true))
            .add_service(self.certificates.into_server())
            .add_service(self.reports.into_server(authenticate, false));
        let connections = incoming(listener, Security::Tls(tls, profile), self.limits, drain.clone());
        Ok(router.serve_with_incoming_shutdown(connections, drain.signaled()).await?)
    }

    /// Without private keys and certificates.
    pub(super) async fn plain(self, listener: TcpListener, drain: drain::Watch) -> anyhow::Result<()> {
        let authenticate = self.discovery.authenticate.clone();
        let router = self
            .limits
            .server()
            .add_service(self.discovery.into_server(false))
            .add_service(self.reports.into_server(authenticate, true));
        let connections = incoming(listener, Security::None, self.limits, drain.clone());
        Ok(router.serve_with_incoming_shutdown(connections, drain.signaled()).await?)
    }

    /// What an API server asks.
    pub(super) async fn webhooks(
        self,
        listener: TcpListener,
        own: Reader<Identity>,
        drain: drain::Watch,
    ) -> anyhow::Result<()> {
        let profile = ServerProfile::new([b"http/1.1".as_slice()], ClientAuth::None);
        let tls = Arc::new(ServerTls::new(own, TrustPolicy::default()));
        let admin = Admin::new().with_readiness("/ready", self.ready);
        self.webhooks.routes(admin).serve_tls(listener, Security::Tls(tls, profile), self.limits, drain).await;
        Ok(())
    }

    /// For whoever asks whether pilot is ready, and for operators.
    pub(super) async fn http(self, listener: TcpListener, drain: drain::Watch) -> anyhow::Result<()> {
        let admin = Admin::new().with_readiness("/ready", self.ready);
        self.reports.routes(admin, self.discovery.authenticate).serve(listener, drain).await;
        Ok(())
    }

    /// For operators.
    pub(super) async fn monitoring(
        self,
        listener: TcpListener,
        registry: Registry,
        log: LogHandle,
        drain: drain::Watch,
    ) -> anyhow::Result<()> {
        let ready = self.ready;
        let admin = Admin::new()
            .with_liveness()
            .with_readiness("/ready", ready.clone())
            .with_readiness("/readyz", ready)
            .with_metrics("/metrics", registry)
            .with_log_level(log)
            .gated("/log-level", admin::from_loopback());
        self.reports.routes(admin, self.discovery.authenticate).serve(listener, drain).await;
        Ok(())
    }
}

async fn bind_unless_off(Listen(address): Listen) -> anyhow::Result<Option<TcpListener>> {
    match address {
        Some(address) => bind(address).await.map(Some),
        None => Ok(None),
    }
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}

/// Whole or not at all: whoever waits for the file reads it as soon as it is there.
fn write_addresses(path: &Path, addresses: &Addresses) -> anyhow::Result<()> {
    let draft = path.with_extension("part");
    let written = serde_json::to_string(addresses).map_err(std::io::Error::other);
    let written = written.and_then(|text| std::fs::write(&draft, text)).and_then(|()| std::fs::rename(&draft, path));
    written.with_context(|| format!("cannot write the addresses to {}", path.display()))
}
