//! What a mesh is made of.

use crate::workload::Kind;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

/// Where the gateway listens.
pub const GATEWAY_PORT: u16 = 8080;

/// A port of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Port {
    /// The service's; peers dial [`Port::target`].
    pub number: u16,
    pub name: &'static str,
    /// Declared; empty: to be detected.
    pub protocol: &'static str,
}

/// HTTP/1.
pub const HTTP: Port = Port { number: 8080, name: "http", protocol: "HTTP" };
pub const GRPC: Port = Port { number: 8081, name: "grpc", protocol: "GRPC" };
/// HTTP/2.
pub const HTTP2: Port = Port { number: 8082, name: "http2", protocol: "HTTP2" };
/// Opaque bytes.
pub const TCP: Port = Port { number: 9000, name: "tcp", protocol: "TCP" };
/// Says nothing about its protocol.
pub const AUTO: Port = Port { number: 9001, name: "p9001", protocol: "" };

impl Port {
    /// The port that peers dial.
    pub fn target(self) -> u16 {
        self.number + 100
    }
}

/// What stands between a workload and its peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beside {
    /// Our proxy.
    Sidecar,
    /// A proxy that the test brings and that accepts mutual TLS.
    Foreign,
    /// Nothing.
    Nobody,
}

/// A workload.
#[derive(Debug, Clone)]
pub struct Workload {
    pub name: String,
    /// The service it belongs to: its label `app`.
    pub service: String,
    /// Its label `version`.
    pub version: String,
    /// Its service account.
    pub account: String,
    /// What stands between it and its peers.
    pub beside: Beside,
    /// What it serves.
    pub serves: Vec<(Port, Kind)>,
}

impl Workload {
    /// A workload with a sidecar, in the service and with the account of its name.
    pub fn new(name: &str) -> Workload {
        Workload {
            name: name.into(),
            service: name.into(),
            version: "v1".into(),
            account: name.into(),
            beside: Beside::Sidecar,
            serves: Vec::new(),
        }
    }

    /// In a service with others, told apart by `version`.
    #[must_use]
    pub fn version(mut self, service: &str, version: &str) -> Workload {
        (self.service, self.version, self.account) = (service.into(), version.into(), service.into());
        self
    }

    /// Serves on a port.
    #[must_use]
    pub fn serves(mut self, port: Port, kind: Kind) -> Workload {
        self.serves.push((port, kind));
        self
    }

    /// Has no sidecar.
    #[must_use]
    pub fn without_sidecar(mut self) -> Workload {
        self.beside = Beside::Nobody;
        self
    }

    /// Has a proxy that the test brings.
    #[must_use]
    pub fn with_foreign_proxy(mut self) -> Workload {
        self.beside = Beside::Foreign;
        self
    }
}

/// What a mesh is made of.
#[derive(Debug, Clone)]
pub struct Plan {
    pub(super) workloads: Vec<Workload>,
    pub(super) gateway: bool,
    pub(super) objects: String,
    pub(super) mesh_config: String,
    pub(super) certificate_ttl: Duration,
    pub(super) workers: usize,
    pub(super) gone: BTreeSet<String>,
}

impl Plan {
    /// Workloads alone.
    pub fn new(workloads: impl IntoIterator<Item = Workload>) -> Plan {
        Plan {
            workloads: workloads.into_iter().collect(),
            gateway: false,
            objects: String::new(),
            mesh_config: String::new(),
            certificate_ttl: Duration::from_secs(24 * 3600),
            workers: 1,
            gone: BTreeSet::new(),
        }
    }

    /// A caller named `client` and a server named `server`, each with a sidecar, that speak everything.
    pub fn pair() -> Plan {
        let server = Workload::new("server")
            .serves(HTTP, Kind::Http1)
            .serves(GRPC, Kind::Http2)
            .serves(HTTP2, Kind::Http2)
            .serves(TCP, Kind::Echo)
            .serves(AUTO, Kind::Greeting);
        Plan::new([Workload::new("client"), server])
    }

    /// With a gateway.
    #[must_use]
    pub fn with_gateway(mut self) -> Plan {
        self.gateway = true;
        self
    }

    /// With another workload.
    #[must_use]
    pub fn with(mut self, workload: Workload) -> Plan {
        self.workloads.push(workload);
        self
    }

    /// With objects from the start; `GATEWAY_ADDRESS` stands for the gateway's address, where there is one.
    #[must_use]
    pub fn objects(mut self, objects: &str) -> Plan {
        self.objects = objects.into();
        self
    }

    /// With fields of MeshConfig, one a line.
    #[must_use]
    pub fn mesh_config(mut self, fields: &str) -> Plan {
        self.mesh_config.push_str(fields);
        self.mesh_config.push('\n');
        self
    }

    /// With an access log of this format in [`super::Mesh::access_log`].
    #[must_use]
    pub fn access_log(self, format: &str) -> Plan {
        let format = format.replace('\n', "\\n");
        self.mesh_config("accessLogFile: DIR/access.log").mesh_config(&format!("accessLogFormat: \"{format}\""))
    }

    /// With certificates that live so long.
    #[must_use]
    pub fn certificate_ttl(mut self, ttl: Duration) -> Plan {
        self.certificate_ttl = ttl;
        self
    }

    /// Threads that carry traffic, in each proxy; one by default.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Plan {
        self.workers = workers;
        self
    }

    /// Who has a proxy.
    pub(super) fn proxies(&self) -> impl Iterator<Item = &str> {
        let sidecars = self.workloads.iter().filter(|w| w.beside == Beside::Sidecar).map(|w| w.name.as_str());
        sidecars.chain(self.gateway.then_some("gateway"))
    }

    pub(super) fn accounts(&self) -> BTreeSet<&str> {
        self.proxies().map(|name| self.account(name)).collect()
    }

    pub(super) fn account(&self, workload: &str) -> &str {
        self.workloads.iter().find(|w| w.name == workload).map_or("gateway", |w| &w.account)
    }

    pub(super) fn position(&self, workload: &str) -> Option<usize> {
        let gateway = (self.gateway && workload == "gateway").then_some(self.workloads.len());
        self.workloads.iter().position(|w| w.name == workload).or(gateway)
    }

    /// The ports that any service has.
    pub(super) fn ports(&self) -> Vec<Port> {
        let all = self.workloads.iter().flat_map(|w| &w.serves).map(|(port, _)| (port.number, *port));
        all.collect::<BTreeMap<_, _>>().into_values().collect()
    }

    /// Objects with their place-holders filled in.
    pub(super) fn fill(&self, objects: &str, dir: &Path) -> String {
        objects.replace("DIR/", &format!("{}/", dir.display()))
    }
}
