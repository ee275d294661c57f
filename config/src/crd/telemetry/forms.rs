//! The form of Telemetry. Metrics and tracing are known, and not acted on.

use super::filter;
use crate::crd::{
    form::{Fact, Holds, forms},
    reader::{Fields, Item},
    target::{MOST_TARGETS, ONE_OF_THREE, REFERENCE, SELECTOR},
};

const MODE: Holds = Holds::Word(&["CLIENT_AND_SERVER", "CLIENT", "SERVER"]);
const METRIC: Holds = Holds::Word(&[
    "ALL_METRICS",
    "REQUEST_COUNT",
    "REQUEST_DURATION",
    "REQUEST_SIZE",
    "RESPONSE_SIZE",
    "TCP_OPENED_CONNECTIONS",
    "TCP_CLOSED_CONNECTIONS",
    "TCP_SENT_BYTES",
    "TCP_RECEIVED_BYTES",
    "GRPC_REQUEST_MESSAGES",
    "GRPC_RESPONSE_MESSAGES",
]);

const NOWHERE: Fact = Fact::Inert("the object is in force nowhere; select workloads with selector");

forms! {
    /// `spec`.
    pub(in crate::crd) TELEMETRY {
        "selector": Holds::Of(&SELECTOR), "Which workloads; without it those of the namespace, in the root namespace all.";
        "targetRef": Holds::Of(&REFERENCE), "What it is for, instead of a selector. Superseded by targetRefs.", NOWHERE;
        "targetRefs": Holds::List(&Holds::Of(&REFERENCE)), "What it is for, instead of a selector.", NOWHERE, MOST_TARGETS;
        "accessLogging": Holds::List(&Holds::Of(&LOGGING)), "What is logged.";
        "metrics": Holds::List(&Holds::Of(&METRICS)), "What is counted.", Fact::Inert("");
        "tracing": Holds::List(&Holds::Of(&TRACING)), "What is traced.", Fact::Inert("");
    } with [ONE_OF_THREE];

    LOGGING {
        "match": Holds::Of(&SIDE), "Which side of a call.";
        "providers": Holds::List(&Holds::Of(&PROVIDER)), "Where lines go; without any, where a wider object or MeshConfig says.";
        "disabled": Holds::Bool, "Whether nothing is logged.", Fact::Default("false"), Fact::Nullable;
        "filter": Holds::Of(&FILTER), "What is logged; without it everything.";
    };

    FILTER {
        "expression": Holds::Text, "Comparisons of response.code, response.flags, response.grpc_status and connection.mtls, joined by `&&`, \
            `||`, `!`. A rule with another one is left out, and said.";
    };

    /// An entry of `tracing`.
    TRACING {
        "match": Holds::Of(&SIDE), "Which side of a call.";
        "providers": Holds::List(&Holds::Of(&PROVIDER)), "Where spans go.";
        "randomSamplingPercentage": Holds::Number(0.0, 100.0), "Share of the requests that are traced.", Fact::Least(0), Fact::Most(100), Fact::Nullable;
        "disableSpanReporting": Holds::Bool, "Whether no span is sent.", Fact::Nullable;
        "customTags": Holds::Map(&Holds::Of(&TAG)), "What spans say besides.";
        "useRequestIdForTraceSampling": Holds::Bool, "Whether x-request-id decides about sampling.", Fact::Nullable;
        "enableIstioTags": Holds::Bool, "Whether spans have the mesh's own tags.", Fact::Nullable;
        "disableContextPropagation": Holds::Bool, "Whether no trace headers are sent.", Fact::Nullable;
    };

    SIDE {
        "mode": MODE, "Which.";
    };

    PROVIDER {
        "name": Holds::Filled, "A provider of MeshConfig.", Fact::Required, Fact::LeastLength(1);
    };

    TAG {
        "literal": Holds::Of(&LITERAL), "A value.";
        "environment": Holds::Of(&VARIABLE), "A variable of the proxy's environment.";
        "header": Holds::Of(&VARIABLE), "A header of the request.";
        "formatter": Holds::Of(&LITERAL), "Operators of access logs.";
    } with [Fact::OneOf(&["literal", "environment", "header", "formatter"])] => one_source;

    LITERAL {
        "value": Holds::Filled, "The value.", Fact::Required, Fact::LeastLength(1);
    };

    VARIABLE {
        "name": Holds::Filled, "Its name.", Fact::Required, Fact::LeastLength(1);
        "defaultValue": Holds::Text, "The value where there is none.";
    };

    /// An entry of `metrics`.
    METRICS {
        "providers": Holds::List(&Holds::Of(&PROVIDER)), "Where metrics go.";
        "overrides": Holds::List(&Holds::Of(&OVERRIDE)), "What is different from the default.";
        "reportingInterval": Holds::Span, "How often connections report.";
    };

    OVERRIDE {
        "match": Holds::Of(&SELECTED), "Of which metrics.";
        "disabled": Holds::Bool, "Whether they are not kept.", Fact::Nullable;
        "tagOverrides": Holds::Map(&Holds::Of(&TAG_OVERRIDE)), "Tags that are added, changed or taken out.";
    };

    SELECTED {
        "metric": METRIC, "A metric of the mesh.";
        "customMetric": Holds::Filled, "Another one by name.", Fact::LeastLength(1);
        "mode": MODE, "Which side of a call.";
    } with [Fact::OneOf(&["metric", "customMetric"])] => one_metric;

    TAG_OVERRIDE {
        "operation": Holds::Word(&["UPSERT", "REMOVE"]), "What is done.";
        "value": Holds::Judged(expression), "Expression of the value.";
    } with [
        Fact::Rule("!has(self.operation) || self.operation != 'UPSERT' || self.value != ''",
            "value must be set when operation is UPSERT"),
        Fact::Rule("!has(self.operation) || self.operation != 'REMOVE' || !has(self.value)",
            "value must not be set when operation is REMOVE"),
    ] => with_value;
}

fn expression(item: &Item<'_>) {
    filter::look(item);
}

fn one_source(f: &mut Fields<'_>) {
    let sources = ["literal", "environment", "header", "formatter"];
    if sources.into_iter().filter(|source| f.has(source)).count() != 1 {
        f.one_is_required::<()>(&sources, format!("exactly one of {} must be set", sources.join(", ")));
    }
}

fn one_metric(f: &mut Fields<'_>) {
    if f.has("metric") && f.has("customMetric") {
        f.invalid::<()>("metric and customMetric are mutually exclusive");
    }
}

fn with_value(f: &mut Fields<'_>) {
    let removes = f.opt_string("operation").as_deref() == Some("REMOVE");
    let has_value = f.opt_string("value").is_some_and(|value| !value.is_empty());
    if removes && has_value {
        f.invalid::<()>("a tag that is taken out has no value");
    }
    if !removes && !has_value {
        f.one_is_required::<()>(&["value"], "a value is required");
    }
}
