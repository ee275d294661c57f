//! Settings and credentials of the processes, and pilot on a thread of its own.

use mesh_ca::{
    authn::token::AUDIENCE,
    token::{PUBLIC_KEY, SigningKey, mint},
};
use mesh_config::kind::Role;
use mesh_pilot::app::App;
use mesh_proxy::settings::{Addresses, ControlPlane, Pod, Settings};
use mesh_runtime::{
    clock, drain,
    settings::Listen,
    telemetry::log::{self, LogHandle},
};
use std::{
    collections::BTreeSet,
    fs,
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::OnceLock,
    thread::JoinHandle,
    time::Duration,
};

/// Pilot's port.
pub(super) const XDS: u16 = 15012;
const MONITORING: u16 = 15014;
const SERVER_NAME: &str = "istiod.istio-system.svc";

/// The log of this process; `FERROMESH_LOG` filters it, errors by default.
pub fn log_handle() -> LogHandle {
    static HANDLE: OnceLock<LogHandle> = OnceLock::new();
    let filter = || std::env::var("FERROMESH_LOG").unwrap_or_else(|_| "off".to_owned());
    HANDLE.get_or_init(|| log::init(log::Format::Text, &filter()).expect("nobody else sets up logging")).clone()
}

/// A key that signs tokens, and a token for each account.
pub(crate) fn credentials(dir: &Path, accounts: BTreeSet<&str>) {
    let key = SigningKey::load_or_create(&dir.join("keys")).expect("a key for tokens");
    for account in accounts {
        let day = Duration::from_secs(24 * 3600);
        let token = mint(&key, super::NAMESPACE, account, AUDIENCE, day, clock::system_now()).expect("a token");
        fs::write(dir.join(format!("{account}.token")), token).expect("the token can be written");
    }
}

/// Pilot, on a thread and runtime of its own.
pub struct Pilot {
    end: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Pilot {
    /// Starts it and waits until it serves.
    pub(super) async fn start(dir: &Path, ip: IpAddr, ttl: Duration) -> Pilot {
        let settings = mesh_pilot::settings::Settings {
            config_dir: Some(dir.join("objects")),
            kubeconfig: None,
            xds_address: SocketAddr::new(ip, XDS),
            plaintext_xds_address: Listen(None),
            http_address: Listen(None),
            https_address: Listen(None),
            monitoring_address: SocketAddr::new(ip, MONITORING),
            ca_dir: dir.join("ca"),
            cacerts: None,
            token_key: Some(dir.join("keys").join(PUBLIC_KEY)),
            token_audience: AUDIENCE.to_owned(),
            domain: "cluster.local".to_owned(),
            namespace: "istio-system".to_owned(),
            revision: None,
            state_dir: None,
            trust_domain: None,
            default_workload_cert_ttl: ttl,
            max_workload_cert_ttl: ttl,
            server_names: vec![SERVER_NAME.to_owned()],
            ingress_namespace: None,
            trust_bundle_name: "istio-ca-root-cert".to_owned(),
            cluster_role: None,
            pod_name: None,
            address_file: None,
            connections: Default::default(),
            clients: Default::default(),
            drain: Duration::from_secs(1),
            log_format: log::Format::Text,
            log: String::new(),
        };
        let log = log_handle();
        let (end, ended) = tokio::sync::oneshot::channel();
        let (up, started) = tokio::sync::oneshot::channel();
        let thread = std::thread::Builder::new().name("pilot".into()).spawn(move || {
            let mut builder = tokio::runtime::Builder::new_current_thread();
            let runtime = builder.enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                // Held to the end: a dropped signal cuts everything off.
                let (_signal, watch) = drain::channel();
                let app = App::build(settings, watch).await;
                let app = match app {
                    Ok(app) => app,
                    Err(error) => return drop(up.send(Err(format!("{error:#}")))),
                };
                let _ = up.send(Ok(()));
                tokio::select! {
                    served = app.run(log) => served.expect("pilot serves"),
                    _ = ended => {}
                }
            });
            runtime.shutdown_timeout(Duration::from_secs(1));
        });
        let thread = thread.expect("a thread");
        match started.await {
            Ok(Ok(())) => Pilot { end: Some(end), thread: Some(thread) },
            Ok(Err(error)) => panic!("pilot: {error}"),
            Err(_) => panic!("pilot panicked"),
        }
    }

    /// Ends it at once.
    pub async fn kill(self) {
        super::blocking(move || drop(self)).await;
    }
}

impl Drop for Pilot {
    fn drop(&mut self) {
        self.end.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What a proxy's settings depend on.
pub(super) struct ProxyPlan<'a> {
    pub(super) dir: &'a Path,
    pub(super) workload: &'a str,
    pub(super) account: &'a str,
    pub(super) role: Role,
    pub(super) ip: IpAddr,
    pub(super) pilot: SocketAddr,
    pub(super) ttl: Duration,
    pub(super) workers: usize,
}

/// A proxy on its own address, on free ports.
pub(super) fn proxy_settings(plan: &ProxyPlan<'_>) -> Settings {
    let free = Listen(Some(SocketAddr::new(plan.ip, 0)));
    let discovery = plan.pilot.to_string();
    Settings {
        role: plan.role,
        name: plan.workload.to_owned(),
        namespace: super::NAMESPACE.to_owned(),
        service_account: plan.account.to_owned(),
        instance_ips: vec![plan.ip],
        cluster: "Kubernetes".to_owned(),
        addresses: Addresses {
            admin: free,
            status: free,
            metrics: free,
            prometheus: free,
            outbound: Listen(None),
            inbound: Listen(None),
        },
        control_plane: ControlPlane {
            ca: discovery.clone(),
            discovery,
            server_name: SERVER_NAME.to_owned(),
            root_cert: plan.dir.join("ca").join("root-cert.pem"),
            token: plan.dir.join(format!("{}.token", plan.account)),
        },
        workers: plan.workers,
        max_connections: 10_000,
        bounds: Default::default(),
        state_dir: Some(plan.dir.join(format!("state-{}", plan.workload))),
        certificate_ttl: plan.ttl,
        drain: Some(super::DRAIN),
        pod: Pod::default(),
        log: String::new(),
        log_json: false,
    }
}
