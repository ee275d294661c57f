//! Every field of MeshConfig, and of the networks that may stand beside it.

mod provider;
mod proxy;

use super::super::{
    form::{Fact, Holds, forms},
    networking::{KEEPALIVE, LOCALITY, OUTLIERS, POOL, RETRIES},
};
pub(super) use provider::{FILE_LOG, PROVIDER};
pub(super) use proxy::{PROXY_CONFIG, TOPOLOGY};

const NAMES: Holds = Holds::List(&Holds::Text);
const COUNT: Holds = Holds::Whole(0, u32::MAX as i64);
const TLS_VERSIONS: Holds = Holds::Word(&["TLS_AUTO", "TLSV1_2", "TLSV1_3"]);
/// Of a field that only had a meaning for Istio's removed Mixer.
const MIXER: Fact = Fact::Inert("it was for a component that no longer exists");

forms! {
    /// Key `mesh` of the ConfigMap.
    pub MESH_CONFIG {
        "trustDomain": Holds::Filled, "Trust domain of the mesh's identities.", Fact::Default("cluster.local");
        "trustDomainAliases": NAMES, "Other trust domains whose identities count as the mesh's own.";
        "rootNamespace": Holds::Filled, "Namespace whose policies hold for the whole mesh.", Fact::Default("pilot's own");
        "enableAutoMtls": Holds::Bool, "Whether clients use mutual TLS where the endpoint can.", Fact::Default("true");
        "outboundTrafficPolicy": Holds::Of(&OUTBOUND), "What becomes of calls to what is in no service.";
        "inboundTrafficPolicy": Holds::Of(&INBOUND), "Where calls go on that a workload receives.",
            Fact::Inert("they go to the address that was called");
        "pathNormalization": Holds::Of(&NORMALIZATION), "How paths are made alike before policies and routes see them.";
        "connectTimeout": Holds::Span, "How long a connection to an endpoint may take.", Fact::Default("10s");
        "protocolDetectionTimeout": Holds::SpanOrZero, "How long half a first line is waited for.", Fact::Default("10s");
        "tcpKeepalive": Holds::Of(&KEEPALIVE), "Keep-alive probes of connections to endpoints.", Fact::Default("the system's");
        "h2UpgradePolicy": Holds::Word(&["DO_NOT_UPGRADE", "UPGRADE"]), "Whether HTTP/1.1 goes on as HTTP/2.",
            Fact::Default("DO_NOT_UPGRADE");
        "defaultHttpRetryPolicy": Holds::Of(&RETRIES), "Retries where no route names any.";
        "defaultInboundHttpRetryPolicy": Holds::Of(&RETRIES), "Retries of a sidecar towards its own application.", Fact::Inert("");
        "accessLogFile": Holds::Text, "Where requests are logged: `/dev/stdout`, `/dev/stderr` or a path.", Fact::Default("off");
        "accessLogFormat": Holds::Text, "Form of a line.", Fact::Default("Istio's text form");
        "accessLogEncoding": Holds::Word(&["TEXT", "JSON"]), "Whether a line is text or JSON.", Fact::Default("TEXT");
        "defaultConfig": Holds::Of(&PROXY_CONFIG), "Settings of proxies.";
        "meshMTLS": Holds::Of(&MESH_TLS), "TLS between workloads of the mesh.";
        "tlsDefaults": Holds::Of(&TLS_DEFAULTS), "TLS that is not the mesh's own.", Fact::Inert("TLS 1.2 and 1.3 are spoken");
        "extensionProviders": Holds::List(&Holds::Of(&PROVIDER)), "Programs that policies and Telemetry may name.",
            Fact::KeyedBy("name");
        "defaultProviders": Holds::Of(&DEFAULT_PROVIDERS), "Providers where no Telemetry names any.";
        "defaultServiceExportTo": NAMES, "Who sees a service that says nothing of it.", Fact::Default("*");
        "defaultVirtualServiceExportTo": NAMES, "Who sees a VirtualService that says nothing of it.", Fact::Default("*");
        "defaultDestinationRuleExportTo": NAMES, "Who sees a DestinationRule that says nothing of it.", Fact::Default("*");
        "proxyListenPort": COUNT, "Port of captured outbound connections.", Fact::Inert("the proxy's own setting says it"), Fact::Default("15001");
        "proxyInboundListenPort": COUNT, "Port of captured inbound connections.", Fact::Inert("the proxy's own setting says it"), Fact::Default("15006");
        "proxyHttpPort": COUNT, "Port of an explicit HTTP proxy.", Fact::Inert("there is none");
        "hboneIdleTimeout": Holds::SpanOrZero, "When idle tunnels between nodes end.", Fact::Inert("");
        "ingressClass": Holds::Text, "Which annotation `kubernetes.io/ingress.class` makes an Ingress the mesh's.", Fact::Default("istio");
        "ingressService": Holds::Text, "Service of the gateway that serves Ingresses: its addresses are their status. Empty: their status is \
            left alone.",
            Fact::Default("istio-ingressgateway");
        "ingressSelector": Holds::Text, "Label `istio` of the gateway that serves Ingresses.",
            Fact::Default("ingressService, or ingressgateway where that has its default");
        "ingressControllerMode": Holds::Word(&["UNSPECIFIED", "OFF", "DEFAULT", "STRICT"]), "Which Ingresses count: none; those of the \
            mesh's class and those without a class; those of the mesh's class. UNSPECIFIED is taken as OFF.",
            Fact::Default("STRICT");
        "enableTracing": Holds::Bool, "Whether spans are reported.", Fact::Inert("");
        "enableEnvoyAccessLogService": Holds::Bool, "Whether lines go to a log service too.", Fact::Inert("");
        "disableEnvoyListenerLog": Holds::Bool, "Whether refused connections are left out of the log.", Fact::Inert("they are logged");
        "configSources": Holds::List(&Holds::Of(&CONFIG_SOURCE)), "Where the control plane reads objects.",
            Fact::Inert("pilot's own parameters say it");
        "caCertificates": Holds::List(&Holds::Of(&CERTIFICATE_DATA)), "Further roots of other trust domains.", Fact::Inert("");
        "localityLbSetting": Holds::Of(&LOCALITY), "Balancing by locality.", Fact::Inert("");
        "zoneAwareLbSetting": Holds::Struct, "Balancing by zone.", Fact::Inert("");
        "dnsRefreshRate": Holds::Span, "How often names of endpoints are resolved.",
            Fact::Inert("names are resolved again when their records expire");
        "inboundClusterStatName": Holds::Text, "Pattern of inbound clusters' names in metrics.", Fact::Inert("");
        "outboundClusterStatName": Holds::Text, "Pattern of outbound clusters' names in metrics.", Fact::Inert("");
        "serviceSettings": Holds::List(&Holds::Of(&SERVICE_SETTINGS)), "Which services stay within their cluster.", Fact::Inert("");
        "serviceScopeConfigs": Holds::List(&Holds::Of(&SERVICE_SCOPE)), "Which services several clusters share.", Fact::Inert("");
        "enablePrometheusMerge": Holds::Bool, "Whether the application's metrics are served with the proxy's.", Fact::Injected;
        "ca": Holds::Of(&CA), "An authority outside of the control plane.", Fact::Inert("");
        "discoverySelectors": Holds::List(&Holds::Of(&LABEL_SELECTOR)), "Namespaces whose objects count, one of which must hold; the root namespace always counts.", Fact::Default("all");
        "defaultTrafficPolicy": Holds::Of(&DEFAULT_TRAFFIC), "What holds where no DestinationRule says more.", Fact::Inert("");
        "serviceEntryVisibility": Holds::Struct, "Who sees which ServiceEntry.", Fact::Inert("");
        "verifyCertificateAtClient": Holds::Bool, "Whether clients verify servers outside of the mesh.",
            Fact::Inert("they do, unless a DestinationRule says otherwise");
        "certificates": Holds::List(&Holds::Struct), "Certificates for services by their DNS names.", Fact::Inert("");
        "thriftConfig": Holds::Struct, "Settings of a protocol that is not served.", Fact::Inert("");
        "mixerCheckServer": Holds::Text, "Had a meaning once.", MIXER;
        "mixerReportServer": Holds::Text, "Had a meaning once.", MIXER;
        "reportBatchMaxEntries": COUNT, "Had a meaning once.", MIXER;
        "reportBatchMaxTime": Holds::SpanOrZero, "Had a meaning once.", MIXER;
        "policyCheckFailOpen": Holds::Bool, "Had a meaning once.", MIXER;
        "disablePolicyChecks": Holds::Bool, "Had a meaning once.", MIXER;
        "enableClientSidePolicyCheck": Holds::Bool, "Had a meaning once.", MIXER;
        "disableMixerHttpReports": Holds::Bool, "Had a meaning once.", MIXER;
    };

    /// `outboundTrafficPolicy`.
    pub(super) OUTBOUND {
        "mode": Holds::Word(&["REGISTRY_ONLY", "ALLOW_ANY", "ALLOW_ANY_DYNAMIC_DNS"]),
            "Refused, or let through. ALLOW_ANY_DYNAMIC_DNS is taken as ALLOW_ANY, and said.", Fact::Default("ALLOW_ANY");
        "tls": Holds::Struct, "TLS with ALLOW_ANY_DYNAMIC_DNS.", Fact::Inert("");
    };

    INBOUND {
        "mode": Holds::Word(&["PASSTHROUGH", "LOCALHOST"]), "To the address that was called, or to 127.0.0.1.";
    };

    NORMALIZATION {
        "normalization": Holds::Word(&["DEFAULT", "NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"]),
            "How much; DEFAULT is BASE.", Fact::Default("BASE");
    };

    /// `meshMTLS`.
    pub(super) MESH_TLS {
        "minProtocolVersion": TLS_VERSIONS, "Least version that servers accept; TLS_AUTO and TLSV1_2 let both through.",
            Fact::Default("TLSV1_2");
        "cipherSuites": NAMES, "Ciphers of TLS 1.2.", Fact::Inert("the library's choice holds");
        "ecdhCurves": NAMES, "Curves.", Fact::Inert("the library's choice holds");
    };

    TLS_DEFAULTS {
        "minProtocolVersion": TLS_VERSIONS, "Least version.";
        "cipherSuites": NAMES, "Ciphers of TLS 1.2.";
        "ecdhCurves": NAMES, "Curves.";
    };

    /// `defaultProviders`.
    pub(in crate::crd) DEFAULT_PROVIDERS {
        "accessLogging": NAMES, "Of access logs.", Fact::Default("accessLogFile");
        "tracing": NAMES, "Of spans.", Fact::Inert("");
        "metrics": NAMES, "Of metrics.", Fact::Inert("metrics are always served for Prometheus");
    };

    CONFIG_SOURCE {
        "address": Holds::Text, "As xds://HOST:PORT, k8s:// or fs:///PATH.";
        "tlsSettings": Holds::Struct, "TLS towards it.";
        "subscribedResources": Holds::List(&Holds::Word(&["SERVICE_REGISTRY"])), "What of it counts.";
    };

    CERTIFICATE_DATA {
        "pem": Holds::Text, "The certificates.";
        "spiffeBundleUrl": Holds::Text, "Where they are fetched.";
        "certSigners": NAMES, "Whose certificates they vouch for, by the names of signers.";
        "trustDomains": NAMES, "Whose certificates they vouch for, by trust domain.";
    } with [Fact::OneOf(&["pem", "spiffeBundleUrl"])];

    SERVICE_SETTINGS {
        "settings": Holds::Of(&CLUSTER_LOCAL), "What holds for the services.";
        "hosts": NAMES, "Their names.";
    };

    CLUSTER_LOCAL {
        "clusterLocal": Holds::Bool, "Whether only clients of the same cluster reach their endpoints.";
    };

    SERVICE_SCOPE {
        "namespaceSelector": Holds::Of(&LABEL_SELECTOR), "Namespaces of the services.";
        "servicesSelector": Holds::Of(&LABEL_SELECTOR), "The services.";
        "scope": Holds::Word(&["LOCAL", "GLOBAL"]), "Whether other clusters see them.";
    };

    LABEL_SELECTOR {
        "matchLabels": Holds::Labels, "Labels, all of them.";
        "matchExpressions": Holds::List(&Holds::Of(&LABEL_EXPRESSION)), "Conditions, all of them.";
    };

    LABEL_EXPRESSION {
        "key": Holds::Filled, "Name of a label.";
        "operator": Holds::Word(&["In", "NotIn", "Exists", "DoesNotExist"]), "What is asked of it.";
        "values": NAMES, "With In and NotIn.";
    };

    CA {
        "address": Holds::Text, "Where it is.";
        "tlsSettings": Holds::Struct, "TLS towards it.";
        "requestTimeout": Holds::Span, "How long it may take.";
        "istiodSide": Holds::Bool, "Whether the control plane asks it, and not each proxy.";
    };

    DEFAULT_TRAFFIC {
        "connectionPool": Holds::Of(&POOL), "Limits of connections.";
        "outlierDetection": Holds::Of(&OUTLIERS), "Endpoints that fail.";
    };

    /// Key `meshNetworks` of the ConfigMap.
    pub MESH_NETWORKS {
        "networks": Holds::Map(&Holds::Of(&NETWORK)), "Networks by their names.";
    };

    NETWORK {
        "endpoints": Holds::List(&Holds::Of(&NETWORK_ENDPOINTS)), "What is in it.";
        "gateways": Holds::List(&Holds::Of(&NETWORK_GATEWAY)), "How others come in.";
    };

    NETWORK_ENDPOINTS {
        "fromCidr": Holds::Text, "Addresses within this block.";
        "fromRegistry": Holds::Text, "All of a cluster, by its name.";
    } with [Fact::OneOf(&["fromCidr", "fromRegistry"])];

    NETWORK_GATEWAY {
        "registryServiceName": Holds::Text, "The gateway's service.";
        "address": Holds::Text, "The gateway's address.";
        "port": Holds::Port, "Its port.";
        "locality": Holds::Text, "Where it is.";
    } with [Fact::OneOf(&["registryServiceName", "address"])];
}
