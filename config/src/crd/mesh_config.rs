//! MeshConfig: the mesh's settings, and the defaults that other objects are read with.
//!
//! Unlike other objects it survives fields that are not known: a mesh whose settings are dropped for one word would
//! lose its trust domain with it. A wrong value is an error all the same.

mod forms;
mod ingress;
mod providers;

pub(super) use forms::DEFAULT_PROVIDERS;
pub use forms::{MESH_CONFIG, MESH_NETWORKS};
pub use ingress::{IngressMode, IngressSettings};

use forms::{MESH_TLS, OUTBOUND, PROXY_CONFIG, TOPOLOGY};

use super::{
    Object, ParseContext,
    networking::{retry, traffic_policy},
    node::{self, Document},
    reader::{Fields, Item, Report},
    telemetry,
};
use crate::{
    diagnostic::{Diagnostic, ObjectRef, Severity},
    identity::TrustDomain,
    model::{
        Settings,
        destination::H2Upgrade,
        selector::{Condition, LabelSelector, Operator},
        settings::{AccessLog, AccessLogEncoding, OutboundPolicy},
    },
    name::Namespace,
    path::Normalization,
};
use std::{sync::Arc, time::Duration};

/// What a MeshConfig says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MeshConfig {
    /// What proxies need.
    pub settings: Settings,
    /// What other objects are read with.
    pub context: ParseContext,
    /// Objects of a namespace count when one of these selects it, or it is the root namespace; without any all count.
    pub discovery_selectors: Vec<LabelSelector>,
    /// Which Ingresses count, and which gateway serves them.
    pub ingress: IngressSettings,
}

impl MeshConfig {
    /// The defaults: the control plane's own namespace is the mesh's root.
    pub fn of_namespace(own: &Namespace) -> Self {
        let mut config = MeshConfig::default();
        config.settings.root_namespace = own.clone();
        config.context.root_namespace = own.clone();
        config.ingress.namespace = own.clone();
        config
    }
}

/// Reads MeshConfig as YAML text, for a control plane of namespace `own`. What is wrong is reported and left at its
/// default.
pub fn parse_text(text: &str, own: &Namespace) -> (MeshConfig, Vec<Diagnostic>) {
    let config = || MeshConfig::of_namespace(own);
    let reference = ObjectRef { kind: "MeshConfig".into(), namespace: "".into(), name: "".into() };
    let report = Report::new(reference, "".into());
    let read = match node::read(text).into_iter().next() {
        None => None,
        Some(Err(broken)) => {
            report.add(Severity::Error, "broken-document", ("", broken.place), broken.reason);
            None
        }
        Some(Ok(document)) => Item::new(&document.node, "", &report).object(|f| Some(mesh_config(f, config()))),
    };
    (read.unwrap_or_else(config), report.into_diagnostics())
}

/// Reads a ConfigMap (all its fields: `data` holds the text). `None` without an error: it is not the one that the
/// control plane goes by ([`ParseContext::mesh_config`]), which whoever may write to another namespace must not be able
/// to choose. Lines in findings are counted within the text.
pub(super) fn config_map(object: &Object, fields: &mut Fields<'_>, context: &ParseContext) -> Option<Box<MeshConfig>> {
    fields.ignore(&["binaryData", "immutable"]);
    let data = fields.item("data")?;
    if object.name() != context.mesh_config {
        let name = &*object.meta.name;
        if (name == "istio" || name.starts_with("istio-")) && data.node().get("mesh").is_some() {
            let message = format!("not read: this control plane's MeshConfig is ConfigMap {}", context.mesh_config);
            fields.info("mesh-config-elsewhere", message);
        }
        return None;
    }
    let own = &context.mesh_config.namespace;
    let read = |key: &str, item: Item<'_>| match key {
        "mesh" => from_text_of(&item, own),
        "meshNetworks" => {
            networks(&item);
            None
        }
        _ => None,
    };
    data.map(read).pop().map(Box::new)
}

/// Where workloads of other networks are reached: looked at, and without effect yet.
fn networks(item: &Item<'_>) {
    let mut says_anything = true;
    item.leniently(|item| {
        if let Some(Some(document)) = document_in(item) {
            MESH_NETWORKS.check_in(&item.embedded(&document.node));
            // The chart writes the key also where nobody has networks.
            says_anything = document.node.get("networks").is_some_and(|networks| !says_nothing(&networks.value));
        }
    });
    if says_anything {
        item.not_acted_on("every endpoint is reached at its own address");
    }
}

fn says_nothing(value: &node::Value) -> bool {
    match value {
        node::Value::Null => true,
        node::Value::Map(entries) => entries.is_empty(),
        _ => false,
    }
}

fn from_text_of(item: &Item<'_>, own: &Namespace) -> Option<MeshConfig> {
    let config = MeshConfig::of_namespace(own);
    match document_in(item)? {
        None => Some(config),
        Some(document) => item.embedded(&document.node).object(|f| Some(mesh_config(f, config))),
    }
}

/// The document that a value holds as text. Inner `None`: it holds nothing.
fn document_in(item: &Item<'_>) -> Option<Option<Document>> {
    match node::read(&item.string()?).into_iter().next() {
        None => Some(None),
        Some(Err(broken)) => item.invalid(broken.to_string()),
        Some(Ok(document)) => Some(Some(document)),
    }
}

/// `config` with what the fields say.
fn mesh_config(f: &mut Fields<'_>, mut config: MeshConfig) -> MeshConfig {
    identity(f, &mut config.settings);
    traffic(f, &mut config.settings);
    access_log(f, &mut config.settings.access_log);
    f.object("defaultConfig", |f| {
        proxy_config(f, &mut config.settings);
        Some(())
    });
    let meshwide = [("TLS_AUTO", false), ("TLSV1_2", false), ("TLSV1_3", true)];
    f.object("meshMTLS", |f| {
        config.settings.require_tls13 = f.enum_of("minProtocolVersion", &meshwide).unwrap_or(false);
        MESH_TLS.read_inert(f);
        Some(())
    });
    let providers = f.item("extensionProviders").map(|list| providers::read(&list, &config.settings.access_log));
    let (authorizers, outlets) = providers.unwrap_or_default();
    config.settings.external_authorizers = authorizers;
    config.context.logs = telemetry::log_providers(f, outlets, &config.settings.access_log);
    export_defaults(f, &mut config.context);
    config.ingress.read(f);
    config.discovery_selectors = f.objects("discoverySelectors", label_selector);
    config.context.root_namespace = config.settings.root_namespace.clone();
    config.context.trust_domain = config.settings.trust_domain.clone();
    config.context.cluster_domain = config.settings.cluster_domain.clone();
    MESH_CONFIG.read_inert(f);
    f.finish_leniently();
    config
}

fn identity(f: &mut Fields<'_>, settings: &mut Settings) {
    let domain = |item: Item<'_>| item.parsed::<TrustDomain>();
    if let Some(name) = f.item("trustDomain").and_then(domain) {
        settings.trust_domain = name;
    }
    settings.trust_domain_aliases = f.list("trustDomainAliases", domain);
    if let Some(name) = f.item("rootNamespace").and_then(|item| item.non_empty()) {
        settings.root_namespace = (&*name).into();
    }
    settings.auto_mtls = f.bool("enableAutoMtls").unwrap_or(settings.auto_mtls);
}

fn traffic(f: &mut Fields<'_>, settings: &mut Settings) {
    if let Some(policy) = f.object("outboundTrafficPolicy", outbound_policy) {
        settings.outbound_policy = policy;
    }
    let modes = [
        ("DEFAULT", Normalization::Base),
        ("NONE", Normalization::None),
        ("BASE", Normalization::Base),
        ("MERGE_SLASHES", Normalization::MergeSlashes),
        ("DECODE_AND_MERGE_SLASHES", Normalization::DecodeAndMergeSlashes),
    ];
    let mode = f.object("pathNormalization", |f| f.enum_of("normalization", &modes));
    settings.path_normalization = mode.unwrap_or_default();
    let time = |f: &mut Fields<'_>, name, default: Duration| f.duration(name).unwrap_or(default);
    settings.connect_timeout = time(f, "connectTimeout", settings.connect_timeout);
    settings.protocol_detection_timeout = time(f, "protocolDetectionTimeout", settings.protocol_detection_timeout);
    settings.tcp_keepalive = f.object("tcpKeepalive", |f| Some(traffic_policy::keepalive(f)));
    let upgrades = [("DO_NOT_UPGRADE", H2Upgrade::DoNotUpgrade), ("UPGRADE", H2Upgrade::Upgrade)];
    settings.h2_upgrade = f.enum_of("h2UpgradePolicy", &upgrades).unwrap_or(settings.h2_upgrade);
    settings.default_retries = f.item("defaultHttpRetryPolicy").and_then(|item| retry::retries(&item));
}

fn outbound_policy(f: &mut Fields<'_>) -> Option<OutboundPolicy> {
    OUTBOUND.read_inert(f);
    let mode = f.item("mode")?;
    match &*mode.string()? {
        "ALLOW_ANY" => Some(OutboundPolicy::AllowAny),
        "REGISTRY_ONLY" => Some(OutboundPolicy::RegistryOnly),
        "ALLOW_ANY_DYNAMIC_DNS" => {
            mode.not_acted_on("ALLOW_ANY_DYNAMIC_DNS is treated as ALLOW_ANY");
            Some(OutboundPolicy::AllowAny)
        }
        other => mode.invalid(format!("{other:?} is not one of ALLOW_ANY, REGISTRY_ONLY")),
    }
}

fn access_log(f: &mut Fields<'_>, log: &mut AccessLog) {
    log.file = f.opt_string("accessLogFile").unwrap_or_default();
    log.format = f.opt_string("accessLogFormat").unwrap_or_default();
    let encodings = [("TEXT", AccessLogEncoding::Text), ("JSON", AccessLogEncoding::Json)];
    log.encoding = f.enum_of("accessLogEncoding", &encodings).unwrap_or_default();
}

/// `defaultConfig`, a ProxyConfig.
fn proxy_config(f: &mut Fields<'_>, settings: &mut Settings) {
    settings.termination_drain_duration =
        f.duration("terminationDrainDuration").unwrap_or(settings.termination_drain_duration);
    f.object("gatewayTopology", |f| {
        settings.trusted_proxies = f.u32("numTrustedProxies").unwrap_or(0);
        TOPOLOGY.read_inert(f);
        Some(())
    });
    PROXY_CONFIG.read_inert(f);
    f.finish_leniently();
}

fn export_defaults(f: &mut Fields<'_>, context: &mut ParseContext) {
    for (name, default) in [
        ("defaultServiceExportTo", &mut context.default_service_export_to),
        ("defaultVirtualServiceExportTo", &mut context.default_virtual_service_export_to),
        ("defaultDestinationRuleExportTo", &mut context.default_destination_rule_export_to),
    ] {
        let named: Vec<Arc<str>> = f.list(name, |item| item.non_empty());
        if !named.is_empty() {
            *default = named;
        }
    }
}

fn label_selector(f: &mut Fields<'_>) -> Option<LabelSelector> {
    let operators = [
        ("In", Operator::In),
        ("NotIn", Operator::NotIn),
        ("Exists", Operator::Exists),
        ("DoesNotExist", Operator::DoesNotExist),
    ];
    let condition = |f: &mut Fields<'_>| {
        let key = f.required("key")?.non_empty()?;
        f.required("operator")?;
        let operator = f.enum_of("operator", &operators)?;
        let values: Vec<Arc<str>> = f.list("values", |item| item.string());
        let needs_values = matches!(operator, Operator::In | Operator::NotIn);
        if values.is_empty() == needs_values {
            return f.invalid("values belong to In and NotIn, which need some");
        }
        Some(Condition { key, operator, values })
    };
    Some(LabelSelector { labels: f.labels("matchLabels"), conditions: f.objects("matchExpressions", condition) })
}

#[cfg(test)]
mod tests;
