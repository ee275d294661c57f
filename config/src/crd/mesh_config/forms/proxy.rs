//! `defaultConfig`: settings of proxies. A pod may have its own, as annotation `proxy.istio.io/config`.

use crate::crd::form::{Fact, Holds, forms};

const NAMES: Holds = Holds::List(&Holds::Text);
const COUNT: Holds = Holds::Whole(0, u32::MAX as i64);
/// Of what the proxy's own parameters and environment say.
const OWN: Fact = Fact::Inert("the proxy's own parameters say it");
const REMOVED: Fact = Fact::Inert("Istio has removed what it was for");

forms! {
    /// A ProxyConfig.
    pub(in crate::crd::mesh_config) PROXY_CONFIG {
        "terminationDrainDuration": Holds::SpanOrZero, "How long open requests may take when the proxy ends.", Fact::Default("5s");
        "drainDuration": Holds::SpanOrZero, "How long connections of a changed listener may take.",
            Fact::Inert("changes of listeners close no connections");
        "gatewayTopology": Holds::Of(&TOPOLOGY), "What stands before a gateway.";
        "configPath": Holds::Text, "Where Envoy's configuration is written.", Fact::Inert("there is no Envoy");
        "binaryPath": Holds::Text, "Where Envoy is.", Fact::Inert("there is no Envoy");
        "serviceCluster": Holds::Text, "What the workload is called in spans.", Fact::Inert("");
        "tracingServiceName": Holds::Word(&[
            "APP_LABEL_AND_NAMESPACE", "CANONICAL_NAME_ONLY", "CANONICAL_NAME_AND_NAMESPACE",
        ]), "How the workload is called in spans.", Fact::Inert("");
        "discoveryAddress": Holds::Text, "Where the control plane is.", Fact::Injected;
        "proxyAdminPort": COUNT, "Port of the pages for operators.", Fact::Injected, Fact::Default("15000");
        "statusPort": COUNT, "Port of readiness and merged metrics.", Fact::Injected, Fact::Default("15020");
        "statNameLength": COUNT, "Most characters of a metric's name.", Fact::Inert("there is no limit");
        "controlPlaneAuthPolicy": Holds::Word(&["NONE", "MUTUAL_TLS", "INHERIT"]), "How the control plane is reached.", OWN;
        "concurrency": COUNT, "Threads that serve; 0: one a core.", Fact::Injected;
        "interceptionMode": Holds::Word(&["REDIRECT", "TPROXY", "NONE"]), "How connections are captured.", Fact::Injected;
        "proxyMetadata": Holds::Map(&Holds::Text), "Environment of the proxy.", Fact::Injected;
        "tracing": Holds::Of(&TRACING), "Where spans go.", Fact::Inert("");
        "zipkinAddress": Holds::Text, "A collector of spans.", Fact::Inert("");
        "meshId": Holds::Text, "Name of the mesh in metrics.", Fact::Inert("");
        "proxyStatsMatcher": Holds::Of(&STATS), "Further metrics.", Fact::Inert("");
        "extraStatTags": NAMES, "Further labels of metrics.", Fact::Inert("");
        "holdApplicationUntilProxyStarts": Holds::Bool, "Whether the application waits for the proxy.", Fact::Injected;
        "readinessProbe": Holds::Struct, "When a workload that is no pod is ready.", Fact::Inert("");
        "image": Holds::Of(&IMAGE), "Which image is injected.", Fact::Injected;
        "privateKeyProvider": Holds::Struct, "Hardware for keys.", Fact::Inert("");
        "runtimeValues": Holds::Map(&Holds::Text), "Envoy's runtime values.", Fact::Inert("there is no Envoy");
        "customConfigFile": Holds::Text, "Envoy's configuration, by hand.", Fact::Inert("there is no Envoy");
        "proxyBootstrapTemplatePath": Holds::Text, "A template of Envoy's configuration.", Fact::Inert("there is no Envoy");
        "envoyAccessLogService": Holds::Struct, "A service for logs.", Fact::Inert("");
        "envoyMetricsService": Holds::Struct, "A service for metrics.", Fact::Inert("");
        "envoyMetricsServiceAddress": Holds::Text, "Where that service is.", REMOVED;
        "statsdUdpAddress": Holds::Text, "Where metrics are sent for statsd.", Fact::Inert("");
        "sds": Holds::Struct, "Had a meaning once.", REMOVED;
        "availabilityZone": Holds::Text, "Had a meaning once.", REMOVED;
        "proxyHeaders": Holds::Of(&HEADERS), "Headers that the proxy writes.", Fact::Inert("they are written as by default");
        "fileFlushInterval": Holds::SpanOrZero, "How often files of logs are written.", Fact::Inert("");
        "fileFlushMinSizeKb": COUNT, "How much is gathered before a file is written.", Fact::Inert("");
        "statsCompression": Holds::Bool, "Whether metrics may be compressed.", Fact::Inert("");
        "caCertificatesPem": NAMES, "Further roots.", Fact::Inert("");
        "connectionSettings": Holds::Struct, "Limits of connections from outside.", Fact::Inert("");
        "parentShutdownDuration": Holds::SpanOrZero, "Had a meaning once.", REMOVED;
        "discoveryRefreshDelay": Holds::SpanOrZero, "Had a meaning once.", REMOVED;
        "connectTimeout": Holds::SpanOrZero, "Had a meaning once.", REMOVED;
    } with [Fact::OneOf(&["serviceCluster", "tracingServiceName"])];

    /// `gatewayTopology`.
    pub(in crate::crd::mesh_config) TOPOLOGY {
        "numTrustedProxies": COUNT, "How many proxies stand before the gateway, and are believed.", Fact::Default("0");
        "forwardClientCertDetails": Holds::Word(&[
            "UNDEFINED", "SANITIZE", "FORWARD_ONLY", "APPEND_FORWARD", "SANITIZE_SET", "ALWAYS_FORWARD_ONLY",
        ]), "What becomes of x-forwarded-client-cert.", Fact::Inert("");
        "proxyProtocol": Holds::Struct, "Whether a PROXY header is expected.", Fact::Inert("");
    };

    IMAGE {
        "imageType": Holds::Text, "As default, debug or distroless.";
    };

    STATS {
        "inclusionPrefixes": NAMES, "Beginnings of names.";
        "inclusionSuffixes": NAMES, "Ends of names.";
        "inclusionRegexps": NAMES, "Expressions for names.";
    };

    TRACING {
        "zipkin": Holds::Of(&ADDRESS), "A collector.";
        "lightstep": Holds::Struct, "A collector.";
        "datadog": Holds::Of(&ADDRESS), "A collector.";
        "stackdriver": Holds::Struct, "A collector.";
        "openCensusAgent": Holds::Struct, "A collector.";
        "customTags": Holds::Map(&Holds::Struct), "Further tags of spans.";
        "maxPathTagLength": COUNT, "Most characters of a path.";
        "sampling": Holds::Number(0.0, 100.0), "Share of the requests that are traced, in percent.";
        "tlsSettings": Holds::Struct, "TLS towards the collector.";
        "enableIstioTags": Holds::Bool, "Whether spans have Istio's tags.";
    } with [Fact::OneOf(&["zipkin", "lightstep", "datadog", "stackdriver", "openCensusAgent"])];

    ADDRESS {
        "address": Holds::Text, "Where it is.";
    };

    HEADERS {
        "forwardedClientCert": Holds::Word(&[
            "UNDEFINED", "SANITIZE", "FORWARD_ONLY", "APPEND_FORWARD", "SANITIZE_SET", "ALWAYS_FORWARD_ONLY",
        ]), "What becomes of x-forwarded-client-cert.";
        "setCurrentClientCertDetails": Holds::Struct, "What stands in it.";
        "requestId": Holds::Of(&DISABLED), "x-request-id.";
        "server": Holds::Of(&SERVER), "server.";
        "attemptCount": Holds::Of(&DISABLED), "x-envoy-attempt-count.";
        "envoyDebugHeaders": Holds::Of(&DISABLED), "x-envoy-… of answers.";
        "metadataExchangeHeaders": Holds::Struct, "x-envoy-peer-metadata.";
        "preserveHttp1HeaderCase": Holds::Bool, "Whether names of headers keep their case.";
        "xForwardedHost": Holds::Of(&ENABLED), "x-forwarded-host.";
        "xForwardedPort": Holds::Of(&ENABLED), "x-forwarded-port.";
    };

    DISABLED {
        "disabled": Holds::Bool, "Whether it is left out.";
    };

    ENABLED {
        "enabled": Holds::Bool, "Whether it is written.";
    };

    SERVER {
        "disabled": Holds::Bool, "Whether it is left out.";
        "value": Holds::Text, "What it says.";
    };
}
