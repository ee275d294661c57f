//! Metrics and tracing: known, and not acted on.

use super::filter;
use crate::crd::{
    form::{Holds, forms},
    reader::{Fields, Item},
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

forms! {
    /// An entry of `tracing`.
    pub(super) TRACING {
        "match": Holds::Of(&SIDE), "Which side of a call.";
        "providers": Holds::List(&Holds::Of(&PROVIDER)), "Where spans go.";
        "randomSamplingPercentage": Holds::Number(0.0, 100.0), "Share of the requests that are traced.";
        "disableSpanReporting": Holds::Bool, "Whether no span is sent.";
        "customTags": Holds::Map(&Holds::Of(&TAG)), "What spans say besides.";
        "useRequestIdForTraceSampling": Holds::Bool, "Whether x-request-id decides about sampling.";
        "enableIstioTags": Holds::Bool, "Whether spans have the mesh's own tags.";
        "disableContextPropagation": Holds::Bool, "Whether no trace headers are sent.";
    };

    SIDE {
        "mode": MODE, "Which.";
    };

    PROVIDER {
        "name": Holds::Filled, "A provider of MeshConfig.";
    } => named;

    TAG {
        "literal": Holds::Of(&LITERAL), "A value.";
        "environment": Holds::Of(&VARIABLE), "A variable of the proxy's environment.";
        "header": Holds::Of(&VARIABLE), "A header of the request.";
        "formatter": Holds::Of(&LITERAL), "Operators of access logs.";
    } => one_source;

    LITERAL {
        "value": Holds::Filled, "The value.";
    };

    VARIABLE {
        "name": Holds::Filled, "Its name.";
        "defaultValue": Holds::Text, "The value where there is none.";
    } => named;

    /// An entry of `metrics`.
    pub(super) METRICS {
        "providers": Holds::List(&Holds::Of(&PROVIDER)), "Where metrics go.";
        "overrides": Holds::List(&Holds::Of(&OVERRIDE)), "What is different from the default.";
        "reportingInterval": Holds::Span, "How often connections report.";
    };

    OVERRIDE {
        "match": Holds::Of(&SELECTED), "Of which metrics.";
        "disabled": Holds::Bool, "Whether they are not kept.";
        "tagOverrides": Holds::Map(&Holds::Of(&TAG_OVERRIDE)), "Tags that are added, changed or taken out.";
    };

    SELECTED {
        "metric": METRIC, "A metric of the mesh.";
        "customMetric": Holds::Filled, "Another one by name.";
        "mode": MODE, "Which side of a call.";
    } => one_metric;

    TAG_OVERRIDE {
        "operation": Holds::Word(&["UPSERT", "REMOVE"]), "What is done.";
        "value": Holds::Judged(expression), "Expression of the value.";
    } => with_value;
}

fn expression(item: &Item<'_>) {
    filter::look(item);
}

fn named(f: &mut Fields<'_>) {
    f.required("name");
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
