//! `extensionProviders`: programs that policies and Telemetry may name.

use crate::crd::form::{Fact, Holds, forms};

const NAMES: Holds = Holds::List(&Holds::Text);
const COUNT: Holds = Holds::Whole(0, u32::MAX as i64);
const REFUSED: Fact = Fact::Inert("requests that need its answer are refused");

forms! {
    /// One provider.
    pub(in crate::crd::mesh_config) PROVIDER {
        "name": Holds::Filled, "What others call it.", Fact::Required;
        "envoyExtAuthzHttp": Holds::Of(&AUTHZ_HTTP), "Decides on requests, asked over HTTP.", REFUSED;
        "envoyExtAuthzGrpc": Holds::Of(&AUTHZ_GRPC), "Decides on requests, asked over gRPC.", REFUSED;
        "envoyFileAccessLog": Holds::Of(&FILE_LOG), "A file of access logs.";
        "envoyHttpAls": Holds::Of(&LOG_SERVICE), "A service for the logs of requests.", Fact::Inert("");
        "envoyTcpAls": Holds::Of(&LOG_SERVICE), "A service for the logs of connections.", Fact::Inert("");
        "envoyOtelAls": Holds::Of(&OTEL_LOG), "A collector of logs.", Fact::Inert("");
        "zipkin": Holds::Of(&ZIPKIN), "A collector of spans.", Fact::Inert("");
        "lightstep": Holds::Of(&LIGHTSTEP), "A collector of spans.", Fact::Inert("");
        "datadog": Holds::Of(&COLLECTOR), "A collector of spans.", Fact::Inert("");
        "stackdriver": Holds::Of(&STACKDRIVER), "A collector of spans.", Fact::Inert("");
        "opencensus": Holds::Of(&OPENCENSUS), "A collector of spans.", Fact::Inert("");
        "skywalking": Holds::Of(&SKYWALKING), "A collector of spans.", Fact::Inert("");
        "opentelemetry": Holds::Of(&OPENTELEMETRY), "A collector of spans.", Fact::Inert("");
        "prometheus": Holds::Of(&NOTHING), "Metrics for Prometheus.", Fact::Inert("they are always served");
        "sds": Holds::Of(&SERVED), "A server of certificates.", Fact::Inert("");
    } with [Fact::OneOf(&[
        "envoyExtAuthzHttp", "envoyExtAuthzGrpc", "envoyFileAccessLog", "envoyHttpAls", "envoyTcpAls", "envoyOtelAls", "zipkin",
        "lightstep", "datadog", "stackdriver", "opencensus", "skywalking", "opentelemetry", "prometheus", "sds",
    ])];

    NOTHING {};

    AUTHZ_HTTP {
        "service": Holds::Text, "Who is asked: `[namespace/]host`.";
        "port": COUNT, "On which port.";
        "timeout": Holds::Span, "How long it may take.", Fact::Default("10m");
        "pathPrefix": Holds::Text, "Put before the request's path.";
        "failOpen": Holds::Bool, "Whether a request goes on when there is no answer.";
        "clearRouteCache": Holds::Bool, "Whether the route is chosen again afterwards.";
        "statusOnError": Holds::Text, "Status when there is no answer.", Fact::Default("403");
        "includeHeadersInCheck": NAMES, "An older spelling of includeRequestHeadersInCheck.";
        "includeRequestHeadersInCheck": NAMES, "Headers that it is told.";
        "includeAdditionalHeadersInCheck": Holds::Map(&Holds::Text), "Headers that are added.";
        "includeRequestBodyInCheck": Holds::Of(&BODY), "How much of the body it is told.";
        "headersToUpstreamOnAllow": NAMES, "Headers of its answer that go on with the request.";
        "headersToDownstreamOnDeny": NAMES, "Headers of its answer that go back with a refusal.";
        "headersToDownstreamOnAllow": NAMES, "Headers of its answer that go back with the answer.";
    };

    AUTHZ_GRPC {
        "service": Holds::Text, "Who is asked: `[namespace/]host`.";
        "port": COUNT, "On which port.";
        "timeout": Holds::Span, "How long it may take.", Fact::Default("10m");
        "failOpen": Holds::Bool, "Whether a request goes on when there is no answer.";
        "clearRouteCache": Holds::Bool, "Whether the route is chosen again afterwards.";
        "statusOnError": Holds::Text, "Status when there is no answer.", Fact::Default("403");
        "includeRequestBodyInCheck": Holds::Of(&BODY), "How much of the body it is told.";
    };

    BODY {
        "maxRequestBytes": COUNT, "Most bytes.";
        "allowPartialMessage": Holds::Bool, "Whether a longer body is cut, and not refused.";
        "packAsBytes": Holds::Bool, "Whether it is sent as bytes, and not as text.";
    };

    /// `envoyFileAccessLog`.
    pub(in crate::crd::mesh_config) FILE_LOG {
        "path": Holds::Text, "The file.", Fact::Default("/dev/stdout");
        "logFormat": Holds::Of(&LOG_FORMAT), "Form of a line.", Fact::Default("the mesh's");
        "omitEmptyValues": Holds::Bool, "Whether empty values are left out.", Fact::Inert("");
    };

    LOG_FORMAT {
        "text": Holds::Text, "A line of text.";
        "labels": Holds::Map(&Holds::Text), "A JSON object.";
    } with [Fact::OneOf(&["text", "labels"])];

    LOG_SERVICE {
        "service": Holds::Text, "Where it is: `[namespace/]host`.";
        "port": COUNT, "On which port.";
        "logName": Holds::Text, "Name of the log.";
        "filterStateObjectsToLog": NAMES, "Objects of Envoy's filters.";
        "additionalRequestHeadersToLog": NAMES, "Headers of requests.";
        "additionalResponseHeadersToLog": NAMES, "Headers of answers.";
        "additionalResponseTrailersToLog": NAMES, "Trailers of answers.";
    };

    OTEL_LOG {
        "service": Holds::Text, "Where it is: `[namespace/]host`.";
        "port": COUNT, "On which port.";
        "logName": Holds::Text, "Name of the log.";
        "logFormat": Holds::Of(&OTEL_FORMAT), "Form of a record.";
    };

    OTEL_FORMAT {
        "text": Holds::Text, "The body.";
        "labels": Holds::Map(&Holds::Text), "Attributes.";
    };

    ZIPKIN {
        "service": Holds::Text, "Where it is: `[namespace/]host`.";
        "port": COUNT, "On which port.";
        "maxTagLength": COUNT, "Most characters of a path.";
        "enable64bitTraceId": Holds::Bool, "Whether ids have 64 bits.";
        "path": Holds::Text, "Where spans are sent.", Fact::Default("/api/v2/spans");
        "traceContextOption": Holds::Word(&["USE_B3", "USE_B3_WITH_W3C_PROPAGATION"]), "Which headers carry ids.";
        "timeout": Holds::Span, "How long it may take.", Fact::Default("5s");
        "headers": Holds::List(&Holds::Of(&HEADER)), "Headers that are added.";
    };

    HEADER {
        "name": Holds::Text, "The header.";
        "value": Holds::Text, "Its value.";
        "envName": Holds::Text, "A variable that has its value.";
    } with [Fact::OneOf(&["value", "envName"])];

    LIGHTSTEP {
        "service": Holds::Text, "Where it is: `[namespace/]host`.";
        "port": COUNT, "On which port.";
        "accessToken": Holds::Text, "What it asks for.";
        "maxTagLength": COUNT, "Most characters of a path.";
    };

    COLLECTOR {
        "service": Holds::Text, "Where it is: `[namespace/]host`.";
        "port": COUNT, "On which port.";
        "maxTagLength": COUNT, "Most characters of a path.";
    };

    STACKDRIVER {
        "debug": Holds::Bool, "Whether spans are printed.";
        "maxNumberOfAttributes": Holds::Whole(0, i64::MAX), "Most attributes of a span.";
        "maxNumberOfAnnotations": Holds::Whole(0, i64::MAX), "Most annotations of a span.";
        "maxNumberOfMessageEvents": Holds::Whole(0, i64::MAX), "Most events of a span.";
        "maxTagLength": COUNT, "Most characters of a path.";
        "logging": Holds::Of(&STACKDRIVER_LOG), "Its logs.";
    };

    STACKDRIVER_LOG {
        "labels": Holds::Map(&Holds::Text), "Labels of a record.";
    };

    OPENCENSUS {
        "service": Holds::Text, "Where it is: `[namespace/]host`.";
        "port": COUNT, "On which port.";
        "context": Holds::List(&Holds::Word(&["UNSPECIFIED", "W3C_TRACE_CONTEXT", "GRPC_BIN", "CLOUD_TRACE_CONTEXT", "B3"])),
            "Which headers carry ids.";
        "maxTagLength": COUNT, "Most characters of a path.";
    };

    SKYWALKING {
        "service": Holds::Text, "Where it is: `[namespace/]host`.";
        "port": COUNT, "On which port.";
        "accessToken": Holds::Text, "What it asks for.";
    };

    OPENTELEMETRY {
        "service": Holds::Text, "Where it is: `[namespace/]host`.";
        "port": COUNT, "On which port.";
        "maxTagLength": COUNT, "Most characters of a path.";
        "http": Holds::Of(&OTEL_HTTP), "Over HTTP.";
        "grpc": Holds::Of(&OTEL_GRPC), "Over gRPC.";
        "resourceDetectors": Holds::Of(&DETECTORS), "Where attributes come from.";
        "dynatraceSampler": Holds::Struct, "Which requests are traced, by Dynatrace.";
        "serviceAttributeEnrichment": Holds::Word(&["ISTIO_CANONICAL", "OTEL_SEMANTIC_CONVENTIONS"]), "How services are named.";
    } with [Fact::OneOf(&["http", "grpc"])];

    OTEL_HTTP {
        "path": Holds::Text, "Where spans are sent.";
        "timeout": Holds::Span, "How long it may take.";
        "headers": Holds::List(&Holds::Of(&HEADER)), "Headers that are added.";
    };

    OTEL_GRPC {
        "timeout": Holds::Span, "How long it may take.";
        "initialMetadata": Holds::List(&Holds::Of(&HEADER)), "Metadata that is added.";
    };

    DETECTORS {
        "environment": Holds::Of(&NOTHING), "The environment.";
        "dynatrace": Holds::Of(&NOTHING), "Dynatrace's agent.";
    };

    SERVED {
        "name": Holds::Text, "What credentials call it.";
        "service": Holds::Text, "Where it is: `[namespace/]host`.";
        "port": COUNT, "On which port.";
    };
}
