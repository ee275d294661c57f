//! What pilot says about itself: HTTP paths on the monitoring port, and the same as a gRPC service for callers of the
//! root namespace.
//!
//! - `/debug/clients`: a list of [`Report`](crate::discovery::clients::Report)s.
//! - `/debug/config?proxy=NAME.NAMESPACE`: `{client, meshVersion, parts: [{kind, name, version, stale, wire}]}`;
//!   `wire` is the part in base64 as it travels, absent for private keys and for parts that are no longer in the mesh.
//! - `/debug/objects`, `?object=KIND/NAMESPACE/NAME`: `{meshVersion, objects: [{kind, namespace, name, inForce, attached,
//!   references, conflicts, findings}]}`: what holds of each object.
//! - `/debug/authority`: a [`Report`](crate::rotation::report::Report): what signs, what is trusted, who does not know it.
//! - `/debug/diagnostics`: `{meshVersion, diagnostics: [{severity, code, kind, namespace, name, field, message, file, line}]}`.

pub(crate) mod authority;
mod gate;
mod istio;

use crate::{
    discovery::{
        authn::Authenticate,
        clients::{Clients, Held},
    },
    mesh::Mesh,
    object::{Conflict, Holds, ObjectId, Reference},
    rotation,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use gate::MaySee;
use http::StatusCode;
use mesh_config::{
    diagnostic::Diagnostic,
    model::{Kind, Part, settings},
    name::Namespace,
    wire::proto::ferromesh::v1::{
        AuthorityRequest, ClientsRequest, ConfigRequest, DebugReport,
        debug_server::{Debug, DebugServer},
    },
};
use mesh_runtime::{
    admin::{self, Admin, Peer},
    snapshot,
    tls::grpc::Caller,
};
use serde_json::{Value, json};
use tonic::{Request, Response, Status, metadata::MetadataValue};

/// Where the answers come from.
#[derive(Clone)]
pub struct Reports {
    /// The newest mesh.
    pub mesh: snapshot::Reader<Mesh>,
    /// Who is connected.
    pub clients: Clients,
    /// What is said of the root.
    pub(crate) authority: rotation::Own,
    /// Pilot's own namespace: pilots ask each other.
    pub(crate) namespace: Namespace,
}

impl Reports {
    fn clients(&self) -> Value {
        json!(self.clients.reports())
    }

    /// Of a proxy of the namespace that it gives back.
    async fn config(&self, proxy: &str) -> Option<(String, Value)> {
        let (client, held) = self.clients.held(proxy).await?;
        let mesh = self.mesh.get();
        let report = json!({ "client": client, "meshVersion": mesh.version().0, "parts": parts(&mesh, held) });
        Some((client.namespace, report))
    }

    fn diagnostics(&self) -> Value {
        let mesh = self.mesh.get();
        let list = mesh.diagnostics().iter().map(finding);
        json!({ "meshVersion": mesh.version().0, "diagnostics": list.collect::<Vec<_>>() })
    }

    /// Of one object, `KIND/NAMESPACE/NAME`, or of all.
    fn objects(&self, asked: &str) -> Value {
        let mesh = self.mesh.get();
        let is_asked = |id: &ObjectId| asked.is_empty() || format!("{}/{}", id.kind, id.name) == asked;
        let list = mesh.holds().iter().filter(|(id, _)| is_asked(id)).map(|(id, holds)| object(id, holds));
        json!({ "meshVersion": mesh.version().0, "objects": list.collect::<Vec<_>>() })
    }

    /// The paths, and who may ask for them: callers from elsewhere prove what `authenticate` believes.
    pub fn routes(&self, admin: Admin, authenticate: Authenticate) -> Admin {
        let (clients, config, diagnostics, objects) = (self.clone(), self.clone(), self.clone(), self.clone());
        let authority = self.authority.clone();
        istio::routes(self, admin)
            .gated("/debug/", gate::gate(self.clone(), authenticate))
            .get("/debug/clients", move |_| {
                let report = clients.clients();
                async move { pretty(&report) }
            })
            .get("/debug/config", move |request| {
                let (config, proxy) = (config.clone(), asked("proxy=", request.uri().query()));
                async move {
                    match config.config(&proxy).await {
                        Some((namespace, report)) if MaySee::proxies_of(&request, &namespace) => pretty(&report),
                        _ => admin::text(StatusCode::NOT_FOUND, not_connected(&proxy) + "\n"),
                    }
                }
            })
            .get("/debug/authority", move |_| {
                let report = json!(authority());
                async move { pretty(&report) }
            })
            .get("/debug/diagnostics", move |_| {
                let report = diagnostics.diagnostics();
                async move { pretty(&report) }
            })
            .get("/debug/objects", move |request| {
                let report = objects.objects(&asked("object=", request.uri().query()));
                async move { pretty(&report) }
            })
            .get("/version", |_| async {
                pretty(&json!({ "component": "pilot", "version": env!("CARGO_PKG_VERSION") }))
            })
    }

    /// The gRPC service. `loopback`: whoever calls from this machine is answered without proof.
    pub fn into_server(self, authenticate: Authenticate, loopback: bool) -> DebugServer<DebugPort> {
        DebugServer::new(DebugPort { reports: self, authenticate, loopback })
    }

    fn root_namespace(&self) -> Namespace {
        self.settings().root_namespace
    }

    fn settings(&self) -> settings::Settings {
        match self.mesh.get().part(Kind::Settings, settings::NAME).map(|shared| shared.part()) {
            Some(Part::Settings(settings)) => (**settings).clone(),
            _ => settings::Settings::default(),
        }
    }
}

/// The gRPC service on one port.
pub struct DebugPort {
    reports: Reports,
    authenticate: Authenticate,
    loopback: bool,
}

impl DebugPort {
    /// Callers of the root namespace; `own`: of pilot's own too.
    async fn permit<T>(&self, request: &Request<T>, own: bool) -> Result<(), Status> {
        if self.loopback
            && request.extensions().get::<Caller>().is_some_and(|from| Peer(from.address).is_of_this_machine())
        {
            return Ok(());
        }
        let proved = (self.authenticate)(request.metadata(), request.extensions()).await?;
        let root = self.reports.root_namespace();
        if proved.namespace == root || own && proved.namespace == self.reports.namespace {
            return Ok(());
        }
        let message = format!("only callers of namespace {root} may read this, not callers of {}", proved.namespace);
        Err(Status::permission_denied(message))
    }
}

#[tonic::async_trait]
impl Debug for DebugPort {
    async fn authority(&self, request: Request<AuthorityRequest>) -> Result<Response<DebugReport>, Status> {
        self.permit(&request, true).await?;
        Ok(told(json!((self.reports.authority)()).to_string()))
    }

    async fn clients(&self, request: Request<ClientsRequest>) -> Result<Response<DebugReport>, Status> {
        self.permit(&request, false).await?;
        Ok(told(self.reports.clients().to_string()))
    }

    async fn config(&self, request: Request<ConfigRequest>) -> Result<Response<DebugReport>, Status> {
        self.permit(&request, false).await?;
        let proxy = &request.get_ref().proxy;
        let report = self.reports.config(proxy).await.map(|(_, report)| report);
        let report = report.ok_or_else(|| Status::not_found(not_connected(proxy)))?;
        Ok(told(report.to_string()))
    }
}

fn parts(mesh: &Mesh, held: Held) -> Vec<Value> {
    let part = |(kind, name, version): (Kind, _, _)| {
        let name: mesh_config::model::PartName = name;
        let now = mesh.part(kind, name.as_str()).map(|shared| shared.encoded());
        let mut value = json!({
            "kind": kind.label(),
            "name": name.as_str(),
            "version": mesh_config::wire::Version::to_string(&version),
            "stale": now.is_none_or(|encoded| encoded.version != version),
        });
        if let Some(encoded) = now.filter(|_| !kind.is_secret()) {
            value["wire"] = STANDARD.encode(&encoded.bytes).into();
        }
        value
    };
    held.into_iter().map(part).collect()
}

/// With pilot's version, which a report of proxies does not have.
fn told(json: String) -> Response<DebugReport> {
    let mut response = Response::new(DebugReport { json });
    response.metadata_mut().insert("ferromesh-version", MetadataValue::from_static(env!("CARGO_PKG_VERSION")));
    response
}

fn not_connected(proxy: &str) -> String {
    format!("no proxy {proxy:?} is connected here; /debug/clients lists those that are")
}

/// What tools for Istio look for in an answer about one proxy.
fn not_asked() -> admin::Reply {
    admin::text(StatusCode::BAD_REQUEST, "You must provide a proxyID in the query string, as ?proxyID=NAME.NAMESPACE\n")
}

fn not_there() -> admin::Reply {
    let text = "Proxy not connected to this Pilot instance. It may be connected to another one; /debug/syncz lists those here\n";
    admin::text(StatusCode::NOT_FOUND, text)
}

fn finding(d: &Diagnostic) -> Value {
    json!({
        "severity": format!("{:?}", d.severity),
        "code": d.code,
        "kind": d.object.kind,
        "namespace": d.object.namespace,
        "name": d.object.name,
        "field": d.field,
        "message": d.message,
        "file": d.origin.file,
        "line": d.origin.line,
    })
}

fn object(id: &ObjectId, holds: &Holds) -> Value {
    let reference = |r: &Reference| json!({ "to": r.to, "missing": r.missing });
    let conflict = |c: &Conflict| json!({ "with": c.with.to_string(), "over": c.over });
    json!({
        "kind": id.kind.to_string(),
        "namespace": id.name.namespace.as_str(),
        "name": id.name.name,
        "inForce": holds.in_force.word(),
        "attached": holds.attached.iter().map(reference).collect::<Vec<_>>(),
        "references": holds.references.iter().map(reference).collect::<Vec<_>>(),
        "conflicts": holds.conflicts.iter().map(conflict).collect::<Vec<_>>(),
        "findings": holds.findings.iter().map(finding).collect::<Vec<_>>(),
    })
}

/// The value of a key with its `=`. Names and node ids need no escapes but for `~`, which some clients write as `%7E`.
fn asked(key: &str, query: Option<&str>) -> String {
    let pairs = query.unwrap_or_default().split('&');
    let value = pairs.filter_map(|pair| pair.strip_prefix(key)).next().unwrap_or_default();
    value.replace("%7E", "~").replace("%7e", "~").replace("%2F", "/")
}

fn pretty(report: &Value) -> admin::Reply {
    admin::json(StatusCode::OK, format!("{report:#}\n"))
}
