//! One object to one understood value and its diagnostics. No second object is looked at.
//!
//! An object with an error is dropped whole; warnings keep it.

use super::node::{Node, Value};
use super::object::Object;
use super::reader::{Fields, Item, Report};
use super::{kubernetes, mesh_config, networking, security, telemetry};
use crate::diagnostic::{Diagnostic, Severity};
use crate::identity::TrustDomain;
use crate::model;
use crate::name::{Namespace, NamespacedName};
use std::sync::Arc;

/// What the meaning of an object depends on besides its own text: defaults that MeshConfig sets.
#[derive(Debug, Clone, PartialEq)]
pub struct ParseContext {
    /// Suffix of Kubernetes service names; `cluster.local`.
    pub cluster_domain: Arc<str>,
    /// Namespace whose policies are the mesh's; `istio-system`.
    pub root_namespace: Namespace,
    /// `cluster.local`.
    pub trust_domain: TrustDomain,
    /// The ConfigMap that holds MeshConfig: of the control plane's own namespace and revision; others are not read.
    pub mesh_config: NamespacedName,
    /// `exportTo` of services and ServiceEntries that have none, as written (`*`, `.`, `~`, names); `["*"]`.
    pub default_service_export_to: Vec<Arc<str>>,
    /// Of VirtualServices that have none; `["*"]`.
    pub default_virtual_service_export_to: Vec<Arc<str>>,
    /// Of DestinationRules that have none; `["*"]`.
    pub default_destination_rule_export_to: Vec<Arc<str>>,
    /// Logs that Telemetry objects may name.
    pub logs: telemetry::LogProviders,
}

impl Default for ParseContext {
    fn default() -> Self {
        ParseContext {
            cluster_domain: "cluster.local".into(),
            root_namespace: "istio-system".into(),
            trust_domain: TrustDomain::default(),
            mesh_config: NamespacedName::new("istio-system", "istio"),
            default_service_export_to: vec!["*".into()],
            default_virtual_service_export_to: vec!["*".into()],
            default_destination_rule_export_to: vec!["*".into()],
            logs: telemetry::LogProviders::default(),
        }
    }
}

/// What an object means.
#[derive(Debug, Clone, PartialEq)]
pub enum Parsed {
    /// A VirtualService's HTTP rules.
    Route(model::Route),
    /// A DestinationRule, not yet merged with others.
    Destination(model::Destination),
    /// A Gateway.
    Gateway(model::Gateway),
    /// A Sidecar.
    Sidecar(model::Sidecar),
    /// A ServiceEntry, not yet split by host or linked to workloads.
    ServiceEntry(networking::ServiceEntry),
    /// A WorkloadEntry.
    WorkloadEntry(networking::WorkloadEntry),
    /// An AuthorizationPolicy.
    Authorization(model::Authorization),
    /// A PeerAuthentication.
    PeerAuthentication(model::PeerAuthentication),
    /// A Telemetry.
    Telemetry(model::Telemetry),
    /// The mesh's settings.
    MeshConfig(Box<mesh_config::MeshConfig>),
    /// A Kubernetes Service.
    KubeService(kubernetes::Service),
    /// A Kubernetes EndpointSlice.
    EndpointSlice(kubernetes::EndpointSlice),
    /// A Kubernetes Pod.
    Pod(kubernetes::Pod),
    /// A Kubernetes Namespace.
    Namespace(kubernetes::Namespace),
    /// A Kubernetes Secret.
    Secret(kubernetes::Secret),
}

/// Reads the fields of one kind. `None`: an error has been reported, or the object says nothing to the mesh.
type Read = fn(&Object, &mut Fields<'_>, &ParseContext) -> Option<Parsed>;

/// Where a kind keeps its fields.
enum Shape {
    /// Under `spec`; an absent one is empty. `status` is the control plane's own.
    Spec(Read),
    /// At the top, beside `metadata`.
    Root(Read),
    /// A kind that is known and has no effect yet.
    NotActedOn,
    /// A known kind in a version that is not served.
    Version,
    /// Not ours.
    Unknown,
}

/// The object's meaning (`None`: dropped for its errors, or nothing to this mesh), and all findings about it.
pub fn parse(object: &Object, context: &ParseContext) -> (Option<Parsed>, Vec<Diagnostic>) {
    let report = Report::new(object.reference(), object.origin.file.clone());
    let root = Item::new(&object.root, "", &report);
    let empty = Node { line: object.root.line, value: Value::Map(Vec::new()) };
    let note = |severity, code, message: String| report.add(severity, code, ("", object.origin.line), message);
    let parsed = match shape(object) {
        Shape::Spec(read) => {
            root.object(|f| {
                f.ignore(&["apiVersion", "kind", "metadata", "spec", "status"]);
                Some(())
            });
            let spec = object.root.get("spec").filter(|n| n.value != Value::Null).unwrap_or(&empty);
            Item::new(spec, "spec", &report).object(|f| read(object, f, context))
        }
        Shape::Root(read) => root.object(|f| {
            f.ignore(&["apiVersion", "kind", "metadata"]);
            read(object, f, context)
        }),
        Shape::NotActedOn => {
            note(Severity::Warning, "kind-not-acted-on", format!("{} is not acted on yet", object.kind));
            None
        }
        Shape::Version => {
            let message =
                format!("{} is not a served version of {}; use {}/v1", object.api_version, object.kind, object.group());
            note(Severity::Error, "unknown-version", message);
            None
        }
        Shape::Unknown => {
            let message = format!("{} {} means nothing to the mesh", object.api_version, object.kind);
            note(Severity::Info, "unknown-kind", message);
            None
        }
    };
    let parsed = parsed.filter(|_| report.errors() == 0);
    (parsed, report.into_diagnostics())
}

fn shape(object: &Object) -> Shape {
    let (group, version, kind) = (object.group(), object.version(), &*object.kind);
    let known = match (group, kind) {
        ("security.istio.io", "AuthorizationPolicy") => {
            Shape::Spec(|o, f, c| security::parse_authorization_policy(o, f, c).map(Parsed::Authorization))
        }
        ("security.istio.io", "PeerAuthentication") => {
            Shape::Spec(|o, f, c| security::parse_peer_authentication(o, f, c).map(Parsed::PeerAuthentication))
        }
        ("networking.istio.io", "EnvoyFilter" | "ProxyConfig" | "WorkloadGroup")
        | ("security.istio.io", "RequestAuthentication")
        | ("extensions.istio.io", "WasmPlugin" | "TrafficExtension") => Shape::NotActedOn,
        ("telemetry.istio.io", "Telemetry") => Shape::Spec(|o, f, c| telemetry::parse(o, f, c).map(Parsed::Telemetry)),
        ("", "ConfigMap") => {
            Shape::Root(|o, f, c| mesh_config::parse_config_map(o, f, c).map(|m| Parsed::MeshConfig(Box::new(m))))
        }
        ("", "Service") => Shape::Root(|o, f, c| kubernetes::parse_service(o, f, c).map(Parsed::KubeService)),
        ("", "Pod") => Shape::Root(|o, f, c| kubernetes::parse_pod(o, f, c).map(Parsed::Pod)),
        ("", "Namespace") => Shape::Root(|o, f, c| kubernetes::parse_namespace(o, f, c).map(Parsed::Namespace)),
        ("", "Secret") => Shape::Root(|o, f, c| kubernetes::parse_secret(o, f, c).map(Parsed::Secret)),
        ("discovery.k8s.io", "EndpointSlice") => {
            Shape::Root(|o, f, c| kubernetes::parse_endpoint_slice(o, f, c).map(Parsed::EndpointSlice))
        }
        _ => networking::reader(group, kind).map_or(Shape::Unknown, Shape::Spec),
    };
    let served = match group {
        "networking.istio.io" => matches!(version, "v1" | "v1beta1" | "v1alpha3"),
        "security.istio.io" => matches!(version, "v1" | "v1beta1"),
        "telemetry.istio.io" => matches!(version, "v1" | "v1alpha1"),
        "" | "discovery.k8s.io" => version == "v1",
        _ => true,
    };
    match known {
        Shape::Unknown => Shape::Unknown,
        _ if !served => Shape::Version,
        known => known,
    }
}
