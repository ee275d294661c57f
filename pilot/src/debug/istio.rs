//! Debug pages under the names that tools for Istio know, as far as pilot has what they show. Names of fields are those
//! tools read; what only Envoy has is not there. Those that mean nothing here say so and where else to look.

use super::{MaySee, Reports, asked, not_asked, not_there, parts, pretty};
use bytes::Bytes;
use http::{Request, StatusCode};
use mesh_config::{
    kind::ObjectKind,
    model::{Kind, Part, endpoint::EndpointAddress},
};
use mesh_runtime::admin::{self, Admin, Reply};
use serde_json::{Map, Value, json};

/// Pages that are answered, in the order of their names.
const SERVED: [&str; 20] = [
    "adsz",
    "authorizationz",
    "clients",
    "clusterz",
    "config",
    "config_dump",
    "connections",
    "diagnostics",
    "edsz",
    "endpointShardz",
    "endpointz",
    "list",
    "mesh",
    "ndsz",
    "networkz",
    "objects",
    "registryz",
    "resourcesz",
    "sidecarz",
    "syncz",
];
const TELEMETRY: &str = "telemetryz";

/// Pages of Istio's that are not, and what there is instead.
const NOT_SERVED: [(&str, &str); 13] = [
    ("ambientz", "there is no ambient mode"),
    ("cachez", "parts are encoded once and shared; there is no cache to look at"),
    ("configz", "objects are the API server's to show; /debug/objects says what of them is in force"),
    ("ecdsz", "proxies have no extension configuration"),
    ("force_disconnect", "delete the pod, or restart its proxy"),
    ("inject", "the configuration is ConfigMap istio-sidecar-injector of the control plane's namespace"),
    ("instancesz", "/debug/config?proxy=NAME.NAMESPACE lists what a proxy holds, its Instance among it"),
    ("krtz", "/debug/objects says what holds of each object"),
    ("mcsz", "there is no multi-cluster service discovery"),
    ("pprof", "there is no profiler inside"),
    ("push_status", "/debug/diagnostics lists every finding"),
    ("pushcontext", "/debug/objects says what holds of each object"),
    ("rootcertz", "ConfigMap istio-ca-root-cert has the roots"),
];

pub(super) fn routes(reports: &Reports, mut admin: Admin) -> Admin {
    type Page = fn(&Reports) -> Value;
    let pages: [(&str, Page); 12] = [
        ("adsz", |reports| reports.connections(true)),
        ("authorizationz", |reports| policies(reports, Kind::Authorization, "authorization_policies", "policies")),
        ("clusterz", |_| json!([{ "id": crate::object::CLUSTER, "secretName": "", "syncStatus": "synced" }])),
        ("connections", |reports| reports.connections(false)),
        ("endpointShardz", endpoints),
        ("endpointz", endpoints),
        ("list", |_| json!(list())),
        ("networkz", |_| Value::Null),
        ("registryz", services),
        ("resourcesz", |_| kinds()),
        ("syncz", Reports::syncz),
        (TELEMETRY, |reports| policies(reports, Kind::Telemetry, "telemetries", "telemetries")),
    ];
    for (name, page) in pages {
        let reports = reports.clone();
        admin = admin.get(&format!("/debug/{name}"), move |_| {
            let page = page(&reports);
            async move { pretty(&page) }
        });
    }
    let proxies: [(&str, &[Kind]); 4] = [
        ("config_dump", &Kind::ALL),
        ("edsz", &[Kind::Endpoint, Kind::Workload]),
        ("ndsz", &[Kind::Index]),
        ("sidecarz", &[Kind::Sidecar]),
    ];
    for (name, kinds) in proxies {
        let reports = reports.clone();
        admin = admin.get(&format!("/debug/{name}"), move |request| {
            let reports = reports.clone();
            async move { of_proxy(&reports, &request, kinds).await }
        });
    }
    let mesh = reports.clone();
    admin = admin.get("/debug/mesh", move |_| {
        let settings = mesh.settings();
        async move { admin::text(StatusCode::OK, format!("{settings:#?}\n")) }
    });
    for (name, instead) in NOT_SERVED {
        let answer = move |_| async move {
            admin::text(StatusCode::NOT_IMPLEMENTED, format!("/debug/{name} is not served here: {instead}\n"))
        };
        admin = admin.get(&format!("/debug/{name}"), answer).get_prefix(&format!("/debug/{name}/"), answer);
    }
    admin.get("/debug", |_| async { index() })
}

fn list() -> Vec<&'static str> {
    let mut all: Vec<_> = SERVED.into_iter().chain([TELEMETRY]).collect();
    all.sort_unstable();
    all
}

fn index() -> Reply {
    let mut text = "debug pages, below /debug/; docs/reference/pilot.md tells what each shows\n".to_owned();
    for name in list() {
        text = text + name + "\n";
    }
    admin::text(StatusCode::OK, text)
}

/// What a proxy holds of some kinds.
async fn of_proxy(reports: &Reports, request: &Request<Bytes>, kinds: &[Kind]) -> Reply {
    let proxy = asked("proxyID=", request.uri().query());
    if proxy.is_empty() {
        return not_asked();
    }
    match reports.clients.held(&proxy).await {
        Some((client, held)) if MaySee::proxies_of(request, &client.namespace) => {
            let held = held.into_iter().filter(|(kind, ..)| kinds.contains(kind)).collect();
            let mesh = reports.mesh.get();
            pretty(&json!({ "client": client, "meshVersion": mesh.version().0, "parts": parts(&mesh, held) }))
        }
        _ => not_there(),
    }
}

impl Reports {
    fn connections(&self, with_watches: bool) -> Value {
        let clients: Vec<Value> = self
            .clients
            .reports()
            .into_iter()
            .map(|client| {
                let mut said = json!({ "connectionId": client.id, "connectedAt": client.connected_at });
                if with_watches {
                    let watches = client.kinds.iter().map(|(kind, report)| (kind.to_string(), json!(report.parts)));
                    said["watches"] = Value::Object(watches.collect());
                    let (namespace, account) = (&client.namespace, &client.service_account);
                    said["metadata"] = json!({ "NAMESPACE": namespace, "SERVICE_ACCOUNT": account });
                }
                said
            })
            .collect();
        let mut said = json!({ "totalClients": clients.len() });
        if !clients.is_empty() {
            said["clients"] = clients.into();
        }
        said
    }

    fn syncz(&self) -> Value {
        let mut clients = self.clients.reports();
        clients.sort_by(|a, b| a.proxy.cmp(&b.proxy));
        let one = |client: &crate::discovery::clients::Report| {
            let resources: Map<String, Value> = Kind::ALL
                .into_iter()
                .filter_map(|kind| Some((kind, client.kinds.get(kind.label())?)))
                .filter(|(_, report)| report.sent > 0)
                .map(|(kind, report)| {
                    let refused = report.refused.iter().next().map(|(name, reason)| format!("{name}: {reason}"));
                    let sent = json!({ "sent": report.sent.to_string(), "acked": report.acknowledged.to_string(), "lastError": refused });
                    (kind.type_url().to_owned(), sent)
                })
                .collect();
            json!({
                "cluster_id": client.cluster,
                "proxy": client.proxy,
                "proxy_type": client.role,
                "istio_version": client.version,
                "resources": resources,
            })
        };
        json!(clients.iter().map(one).collect::<Vec<_>>())
    }
}

/// Names of policies by namespace. What they say is the API server's to show.
fn policies(reports: &Reports, kind: Kind, all: &str, each: &str) -> Value {
    let mesh = reports.mesh.get();
    let mut namespaces: Map<String, Value> = Map::new();
    for part in mesh.parts(kind) {
        let (namespace, name) = part.name().as_str().split_once('/').unwrap_or(("", part.name().as_str()));
        let policies = namespaces.entry(namespace).or_insert_with(|| json!([]));
        if let Value::Array(policies) = policies {
            policies.push(json!({ "name": name, "namespace": namespace }));
        }
    }
    json!({ all: { format!("namespace_to_{each}"): namespaces, "root_namespace": reports.root_namespace().as_str() } })
}

fn services(reports: &Reports) -> Value {
    let mesh = reports.mesh.get();
    let one = |part: &Part| match part {
        Part::Service(service) => {
            let port = |port: &mesh_config::model::service::ServicePort| json!({ "name": port.name, "port": port.number.get(), "protocol": format!("{:?}", port.protocol) });
            let addresses: Vec<String> = service.addresses.iter().map(|block| block.addr().to_string()).collect();
            Some(json!({
                "hostname": service.key.host.to_string(),
                "Attributes": { "Name": &*service.name, "Namespace": service.key.namespace.as_str() },
                "ports": service.ports.iter().map(port).collect::<Vec<_>>(),
                "defaultAddress": addresses.first(),
                "clusterVIPs": { "Addresses": { crate::object::CLUSTER: addresses } },
                "MeshExternal": service.external,
            }))
        }
        _ => None,
    };
    json!(mesh.parts(Kind::Service).filter_map(|shared| one(shared.part())).collect::<Vec<_>>())
}

/// By host and namespace.
fn endpoints(reports: &Reports) -> Value {
    let mesh = reports.mesh.get();
    let mut hosts: Map<String, Value> = Map::new();
    for shared in mesh.parts(Kind::Endpoint) {
        let Part::Endpoint(endpoint) = shared.part() else { continue };
        let service = &endpoint.key.service;
        let shards = hosts.entry(service.host.to_string()).or_insert_with(|| json!({}));
        let shard = &mut shards[service.namespace.as_str()];
        if shard.is_null() {
            *shard =
                json!({ "Shards": { format!("Kubernetes/{}", crate::object::CLUSTER): [] }, "ServiceAccounts": null });
        }
        let list = &mut shard["Shards"][format!("Kubernetes/{}", crate::object::CLUSTER)];
        if let Value::Array(list) = list {
            list.push(json!({
                "Addresses": [address(&endpoint.address)],
                "EndpointPort": endpoint.target_port,
                "ServicePort": endpoint.key.port.get(),
                "ServiceAccount": endpoint.identity.as_ref().map(ToString::to_string),
                "LbWeight": endpoint.weight,
                "TLSMode": if endpoint.mutual_tls { "istio" } else { "disabled" },
                "HealthStatus": format!("{:?}", endpoint.health),
                "WorkloadId": &*endpoint.key.id,
            }));
        }
    }
    Value::Object(hosts)
}

fn address(address: &EndpointAddress) -> String {
    match address {
        EndpointAddress::Ip(ip) => ip.to_string(),
        EndpointAddress::Name(name) => name.to_string(),
        EndpointAddress::Unix(path) => format!("unix://{path}"),
    }
}

fn kinds() -> Value {
    let one = |kind: ObjectKind| {
        let version = kind.versions().first();
        json!({ "group": kind.group(), "version": version, "kind": kind.word() })
    };
    json!(ObjectKind::ALL.into_iter().map(one).collect::<Vec<_>>())
}
