//! What a rule of a VirtualService holds that nothing acts on yet: faults, cross-origin rules, copies.

use super::super::{matching, names};
use super::PORT;
use crate::crd::{
    form::{Fact, Holds, WHOLE_SPAN, forms},
    node::Value,
    reader::{Fields, Item},
};

forms! {
    /// `fault` of a rule.
    pub(super) FAULT {
        "delay": Holds::Of(&DELAY), "Requests that are held back.";
        "abort": Holds::Of(&ABORT), "Requests that are answered at once.";
    } => fault;

    DELAY {
        "percent": Holds::Whole(0, 100), "Share of the requests, as a whole number. Superseded by percentage.", Fact::Signed;
        "percentage": Holds::Of(&SHARE), "Share of the requests; without it, none.";
        "fixedDelay": Holds::Span, "How long.";
        "exponentialDelay": Holds::Judged(never_served), "Must be left out: it never had an effect.", Fact::Forbidden, WHOLE_SPAN;
    } with [Fact::OneOf(&["fixedDelay", "exponentialDelay"])] => delay;

    ABORT {
        "percentage": Holds::Of(&SHARE), "Share of the requests; without it, none.";
        "httpStatus": Holds::Whole(200, 599), "Status of the answer.", Fact::Signed;
        "grpcStatus": Holds::Judged(grpc_status), "gRPC status of the answer, by its name.";
        "http2Error": Holds::Judged(never_served), "Must be left out: it never had an effect.", Fact::Forbidden;
    } with [Fact::OneOf(&["httpStatus", "grpcStatus", "http2Error"])] => abort;

    SHARE {
        "value": Holds::Number(0.0, 100.0), "In percent: 0, or 0.0001 to 100.";
    } => share;

    /// `corsPolicy` of a rule.
    pub(super) CORS {
        "allowOrigin": Holds::List(&Holds::Text), "Superseded by allowOrigins.";
        "allowOrigins": Holds::List(&Holds::Of(&ORIGIN)), "Who may call from a browser.";
        "allowMethods": Holds::List(&Holds::Judged(method)), "With which methods.";
        "allowHeaders": Holds::List(&Holds::Judged(header)), "With which headers.";
        "exposeHeaders": Holds::List(&Holds::Judged(header)), "Which headers of answers scripts see.";
        "maxAge": Holds::Judged(seconds), "How long a browser may remember it, in whole seconds.", WHOLE_SPAN;
        "allowCredentials": Holds::Bool, "Whether cookies may come along.", Fact::Nullable;
        "unmatchedPreflights": Holds::Word(&["UNSPECIFIED", "FORWARD", "IGNORE"]), "Where other preflights go.",
            Fact::Default("FORWARD");
    };

    ORIGIN {
        "exact": Holds::Filled, "The origin.";
        "prefix": Holds::Filled, "What it begins with.";
        "regex": Holds::Judged(expression), "Regular expression for it.";
    } with [Fact::OneOf(&["exact", "prefix", "regex"])] => one_kind;

    /// `mirror` of a rule.
    pub(super) MIRROR {
        "host": Holds::Filled, "Host that copies go to.", Fact::Required;
        "port": Holds::Of(&PORT), "Port of the host.";
        "subset": Holds::Judged(subset), "Subset of the host.";
    };

    /// An entry of `mirrors`.
    pub(super) MIRRORS {
        "destination": Holds::Of(&MIRROR), "Where copies go.", Fact::Required;
        "percentage": Holds::Of(&MIRROR_SHARE), "Share of the requests; all without it.";
    };

    /// `mirrorPercentage` of a rule.
    pub(super) MIRROR_SHARE {
        "value": Holds::Number(0.0, 100.0), "In percent.";
    };
}

fn one_kind(f: &mut Fields<'_>) {
    let kinds = ["exact", "prefix", "regex"];
    if kinds.into_iter().filter(|kind| f.has(kind)).count() != 1 {
        f.one_is_required::<()>(&kinds, "exactly one of exact, prefix and regex must be set");
    }
}

fn expression(item: &Item<'_>) {
    matching::pattern(item);
}

fn method(item: &Item<'_>) {
    const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE"];
    if let Some(method) = item.string().filter(|method| !KNOWN.contains(&&**method) && &**method != "*") {
        item.invalid::<()>(format!("{method:.20?} is no method; one of {} is, in capitals", KNOWN.join(", ")));
    }
}

fn header(item: &Item<'_>) {
    if let Some(name) = item.string().filter(|name| !matching::is_header_name(name) && &**name != "*") {
        item.invalid::<()>(format!("{name:.40?} is no name of a header"));
    }
}

fn seconds(item: &Item<'_>) {
    if item.duration().is_some_and(|age| age.subsec_nanos() != 0 || age.is_zero()) {
        item.invalid::<()>("must be of whole seconds, at least one");
    }
}

fn fault(f: &mut Fields<'_>) {
    if !f.has("delay") && !f.has("abort") {
        f.one_is_required::<()>(&["delay", "abort"], "one of delay and abort is required");
    }
}

fn delay(f: &mut Fields<'_>) {
    if !f.has("fixedDelay") && !f.has("exponentialDelay") {
        f.one_is_required::<()>(&["fixedDelay"], "fixedDelay must say how long");
    }
}

fn abort(f: &mut Fields<'_>) {
    let statuses = ["httpStatus", "grpcStatus", "http2Error"];
    if statuses.into_iter().filter(|name| f.has(name)).count() != 1 {
        f.one_is_required::<()>(&["httpStatus", "grpcStatus"], "exactly one of httpStatus and grpcStatus must be set");
    }
}

fn never_served(item: &Item<'_>) {
    item.invalid::<()>("has never had an effect: leave it out");
}

/// The names of gRPC's statuses.
const GRPC_STATUSES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

fn grpc_status(item: &Item<'_>) {
    if let Some(status) = item.string().filter(|status| !GRPC_STATUSES.contains(&&**status)) {
        item.invalid::<()>(format!("{status:.40?} is no status of gRPC; write a name such as UNAVAILABLE"));
    }
}

fn share(f: &mut Fields<'_>) {
    let tiny = |item: &Item<'_>| matches!(item.node().value, Value::Float(number) if number > 0.0 && number < 0.0001);
    if let Some(item) = f.item("value").filter(tiny) {
        item.invalid::<()>("is neither 0 nor at least 0.0001");
    }
}

fn subset(item: &Item<'_>) {
    if let Some(name) = item.string().filter(|name| !name.is_empty() && !names::is_subset(name)) {
        item.invalid::<()>(format!("{name:.80?} is not a valid name of a subset"));
    }
}
