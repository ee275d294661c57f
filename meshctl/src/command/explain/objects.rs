//! The mesh that objects from texts or files describe, and the workload that decides in it.

use super::case::CaseWorkload;
use crate::files;
use anyhow::{Result, bail};
use mesh_config::{
    crd::mesh_config::parse_text,
    diagnostic::Diagnostic,
    identity::SpiffeId,
    kind::Role,
    model::{
        Instance, Kind, Labels, Part, Settings, Workload,
        endpoint::EndpointAddress,
        instance::InboundPort,
        settings,
        workload::{Locality, WorkloadInfo},
    },
    name::Port,
};
use mesh_pilot::{
    Mesh, ProxyFacts, World, compile,
    source::{Batch, Change, SourceId, file, memory},
};
use std::{net::IpAddr, path::PathBuf, sync::Arc};

/// A world of these objects.
pub(super) struct Objects {
    world: World,
    /// What is wrong with MeshConfig given beside them.
    notes: Vec<Diagnostic>,
}

impl Objects {
    /// No objects yet; `mesh_config` is YAML.
    pub(super) fn new(mesh_config: Option<&str>) -> Self {
        match mesh_config {
            None => Objects { world: World::default(), notes: Vec::new() },
            Some(text) => {
                let (config, notes) = parse_text(text, &Settings::default().root_namespace);
                Objects { world: World::with_mesh_config(config), notes }
            }
        }
    }

    /// The objects of a text.
    pub(super) fn add_text(&mut self, text: &str) {
        self.world.apply(memory::batch("objects", text));
    }

    /// The objects of files and directories; `-` is standard input.
    pub(super) fn add_files(&mut self, paths: &[PathBuf]) -> Result<()> {
        let tree = files::read(paths)?;
        self.world.apply(Batch { source: SourceId::Memory, changes: file::Directory::default().scan(&tree).changes });
        Ok(())
    }

    /// Adds objects that nobody wrote, without a word about where they come from.
    fn add_quietly(&mut self, text: &str) {
        let mut batch = memory::batch("", text);
        batch.changes.retain(|change| matches!(change, Change::Upsert(..)));
        self.world.apply(batch);
    }

    /// The mesh, and what is wrong with the objects.
    pub(super) fn compile(&self) -> (Mesh, Vec<Diagnostic>) {
        let mesh = compile(&self.world, None);
        let diagnostics = self.notes.iter().chain(mesh.diagnostics()).cloned().collect();
        (mesh, diagnostics)
    }
}

/// A proxy and what pilot would tell it about its workload.
#[derive(Clone)]
pub(super) struct Who {
    pub(super) facts: ProxyFacts,
    pub(super) instance: Arc<Instance>,
    /// The identity that its proxy shows to peers; `None`: it has none, or it is not known which.
    pub(super) shows: Option<SpiffeId>,
}

impl Who {
    /// For output: `namespace/name`.
    pub(super) fn display(&self) -> String {
        let uid = &*self.instance.workload.uid;
        format!("{}/{}", self.facts.namespace, uid.rsplit('/').next().unwrap_or(uid))
    }

    /// The identity that the workload proves.
    pub(super) fn identity(&self) -> Option<&SpiffeId> {
        self.instance.workload.identity.as_ref()
    }

    /// The proxy of a workload of the mesh. Its inbound ports are those that pilot found for it and, as a
    /// workload without identity has none there, those of services that have an endpoint at its address.
    pub(super) fn of(mesh: &Mesh, workload: &Workload, role: Role) -> Who {
        let known = mesh.part(Kind::Instance, &workload.uid).map(|shared| shared.part());
        let mut instance = match known {
            Some(Part::Instance(instance)) => Instance::clone(instance),
            _ => Instance { workload: workload.clone(), ports: Vec::new() },
        };
        add_ports_by_address(mesh, &mut instance);
        let facts = ProxyFacts {
            namespace: (&*workload.info.namespace).into(),
            service_account: workload.service_account.clone(),
            lists_secrets: false,
            role,
            workload: Some(workload.uid.clone()),
            labels: workload.labels.clone(),
            addresses: workload.addresses.clone(),
        };
        Who { facts, shows: instance.workload.identity.clone(), instance: Arc::new(instance) }
    }
}

fn add_ports_by_address(mesh: &Mesh, instance: &mut Instance) {
    for shared in mesh.parts(Kind::Endpoint) {
        let Part::Endpoint(endpoint) = shared.part() else { continue };
        let here = matches!(&endpoint.address, EndpointAddress::Ip(ip) if instance.workload.addresses.contains(ip));
        let Some(target_port) = Port::new(endpoint.target_port).filter(|_| here) else { continue };
        let Some(Part::Service(service)) =
            mesh.part(Kind::Service, &endpoint.key.service.to_string()).map(|s| s.part())
        else {
            continue;
        };
        let Some(port) = service.port(endpoint.key.port) else { continue };
        if instance.ports.iter().any(|p| p.target_port == target_port) {
            continue;
        }
        instance.ports.push(InboundPort {
            target_port,
            service: service.key.clone(),
            service_name: service.name.clone(),
            service_port: port.number,
            protocol: port.protocol,
            connection_pool: None,
        });
    }
    instance.ports.sort_by_key(|p| p.target_port);
}

/// The workloads of the mesh, ordered by uid.
pub(super) fn workloads(mesh: &Mesh) -> impl Iterator<Item = &Arc<Workload>> {
    mesh.parts(Kind::Workload).filter_map(|shared| match shared.part() {
        Part::Workload(workload) => Some(workload),
        _ => None,
    })
}

/// The mesh-wide settings.
pub(super) fn settings_of(mesh: &Mesh) -> Arc<Settings> {
    match mesh.part(Kind::Settings, settings::NAME).map(|p| p.part()) {
        Some(Part::Settings(settings)) => settings.clone(),
        _ => Arc::default(),
    }
}

/// Name of the workload that stands for a case's, where the objects have none like it.
const STAND_IN: &str = "explained-workload";
/// The address of a workload of which none is known.
const UNKNOWN_ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(1, 1, 1, 1));

/// Compiles a case's objects with the case's workload among them: one of the objects that has the same namespace,
/// labels, and name and address where given; else one is added, so that services and policies select it.
pub(super) fn with_workload(mut objects: Objects, case: &CaseWorkload, role: Role) -> (Mesh, Vec<Diagnostic>, Who) {
    let namespace = case.namespace.as_deref().filter(|ns| !ns.is_empty()).unwrap_or("default");
    let labels: Labels = case.labels.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let (mesh, diagnostics) = objects.compile();
    let alike = |w: &&Arc<Workload>| {
        let uid_name = w.uid.rsplit('/').next();
        *w.info.namespace == *namespace
            && w.labels == labels
            && case.name.as_deref().is_none_or(|name| uid_name == Some(name) || *w.info.workload == *name)
            && (case.ips.is_empty() || w.addresses.iter().any(|a| case.ips.contains(a)))
    };
    let found = workloads(&mesh).find(alike).cloned();
    if let Some(found) = found {
        let mut who = Who::of(&mesh, &found, role);
        if let Some(account) = &case.service_account {
            who.facts.service_account = account.as_str().into();
        }
        return (mesh, diagnostics, who);
    }
    let account = case.service_account.as_deref().filter(|a| !a.is_empty()).unwrap_or("default");
    let address = case.ips.first().copied().unwrap_or(UNKNOWN_ADDRESS);
    let stand_in = serde_json::json!({
        "apiVersion": "networking.istio.io/v1", "kind": "WorkloadEntry",
        "metadata": {"name": STAND_IN, "namespace": namespace, "labels": label_map(&labels)},
        "spec": {"address": address.to_string(), "serviceAccount": account, "labels": label_map(&labels)},
    });
    objects.add_quietly(&stand_in.to_string());
    let (mesh, _) = objects.compile();
    let made = workloads(&mesh).find(|w| {
        *w.info.namespace == *namespace && w.uid.ends_with(&format!("/{namespace}/{STAND_IN}")) && w.labels == labels
    });
    let workload = match made {
        Some(made) => Workload::clone(made),
        // Odd names and labels make no object, and still select and are selected.
        None => imagined(&mesh, namespace, &labels, account, address),
    };
    let mut who = Who::of(&mesh, &workload, role);
    if case.ips.len() > 1 {
        who.facts.addresses.clone_from(&case.ips);
    }
    if case.service_account.is_none() {
        // An account that nobody named shows nothing: the principals of calls are taken as they are.
        who.shows = None;
    }
    (mesh, diagnostics, who)
}

fn label_map(labels: &Labels) -> serde_json::Value {
    labels
        .0
        .iter()
        .map(|(k, v)| (k.to_string(), serde_json::Value::from(&**v)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn imagined(mesh: &Mesh, namespace: &str, labels: &Labels, account: &str, address: IpAddr) -> Workload {
    let none: Arc<str> = "".into();
    let trust_domain = settings_of(mesh).trust_domain.clone();
    Workload {
        uid: format!("Kubernetes/networking.istio.io/WorkloadEntry/{namespace}/{STAND_IN}").into(),
        addresses: vec![address],
        info: Arc::new(WorkloadInfo {
            workload: STAND_IN.into(),
            namespace: namespace.into(),
            canonical_name: STAND_IN.into(),
            canonical_revision: "latest".into(),
            app: none.clone(),
            version: none.clone(),
            cluster: none.clone(),
        }),
        labels: labels.clone(),
        service_account: account.into(),
        identity: Some(SpiffeId::new(trust_domain, namespace, account)),
        locality: Locality::default(),
        network: none,
        mutual_tls: false,
        mutual_tls_except: Vec::new(),
        headless: Vec::new(),
    }
}

/// The workload that a person means: `NAMESPACE/NAME` or `NAME` (of a pod or WorkloadEntry, of its deployment, or
/// the value of its label `app`), or labels `app=cart,version=v1`. Of several the first by name.
pub(super) fn named(mesh: &Mesh, text: &str, default_namespace: &str) -> Result<Arc<Workload>> {
    let (namespace, rest) = match text.split_once('/') {
        Some((namespace, rest)) if !namespace.contains('=') => (namespace, rest),
        _ => (default_namespace, text),
    };
    let in_namespace = || workloads(mesh).filter(|w| *w.info.namespace == *namespace);
    let found = if rest.contains('=') {
        let pairs = rest.split(',').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let selector: Labels = pairs.map(|(k, v)| (k.trim(), v.trim())).collect();
        in_namespace().find(|w| selector.selects(&w.labels))
    } else {
        let by_uid = |w: &&Arc<Workload>| w.uid.rsplit('/').next() == Some(rest);
        in_namespace()
            .find(by_uid)
            .or_else(|| in_namespace().find(|w| *w.info.workload == *rest))
            .or_else(|| in_namespace().find(|w| *w.info.app == *rest || *w.info.canonical_name == *rest))
    };
    if let Some(found) = found {
        return Ok(found.clone());
    }
    let names: Vec<String> = workloads(mesh).map(|w| format!("{}/{}", w.info.namespace, name_of(w))).take(9).collect();
    let there_are = match names.len() {
        0 => "the objects contain no workload (Pod, WorkloadEntry, inline endpoint); give them with -f".to_owned(),
        9 => format!("some of those there are: {}", names[..8].join(", ")),
        _ => format!("there are: {}", names.join(", ")),
    };
    bail!("no workload {rest:?} in namespace {namespace:?}; {there_are}")
}

/// Last part of a workload's uid.
pub(super) fn name_of(workload: &Workload) -> &str {
    workload.uid.rsplit('/').next().unwrap_or(&workload.uid)
}
