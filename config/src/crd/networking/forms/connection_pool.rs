//! Limits of connections and requests, and when an endpoint is left out.

use super::{COUNT, NUMBER};
use crate::crd::{
    form::{Fact, Holds, forms},
    reader::Fields,
};

forms! {
    /// `outlierDetection`.
    pub(in crate::crd) OUTLIERS {
        "consecutiveErrors": NUMBER, "Superseded by consecutive5xxErrors and consecutiveGatewayErrors.", Fact::Signed;
        "splitExternalLocalOriginErrors": Holds::Bool, "Whether failures to connect count apart.";
        "consecutiveLocalOriginFailures": COUNT, "Failures to connect in a row that eject an endpoint; with splitExternalLocalOriginErrors alone.", Fact::Nullable;
        "consecutiveGatewayErrors": COUNT, "Answers 502, 503, 504 in a row that eject an endpoint.", Fact::Nullable;
        "consecutive5xxErrors": COUNT, "Answers 5xx in a row that eject an endpoint.", Fact::Default("5"), Fact::Nullable;
        "interval": Holds::Span, "Time between two looks.", Fact::Default("10s");
        "baseEjectionTime": Holds::Span, "Least time of an ejection, times how often there was one.", Fact::Default("30s");
        "maxEjectionPercent": Holds::Whole(0, 100), "Most endpoints that are ejected at a time, in percent.", Fact::Default("10"), Fact::Signed;
        "minHealthPercent": Holds::Whole(0, 100), "Below this share of healthy endpoints, all are used.", Fact::Default("0"), Fact::Signed;
        "failurePercentageThreshold": Holds::Whole(0, 100), "Share of failures that ejects an endpoint, in percent.",
            Fact::Least(0), Fact::Most(100), Fact::Nullable;
        "outlierDetectionHttpErrorCodes": Holds::List(&Holds::Whole(100, 599)), "Statuses that count as errors, beside 5xx.",
            Fact::Each(&[Fact::Least(100), Fact::Most(599)]);
    } => outliers;

    /// `connectionPool` of a DestinationRule, `inboundConnectionPool` of a Sidecar, `connectionPool` of a listener of it.
    pub(in crate::crd) POOL {
        "tcp": Holds::Of(&TCP), "Of connections.";
        "http": Holds::Of(&HTTP), "Of requests.";
    } => pool;

    TCP {
        "maxConnections": NUMBER, "Most connections.", Fact::Default("no limit"), Fact::Signed;
        "connectTimeout": Holds::Span, "How long connecting may take.", Fact::Default("10s");
        "tcpKeepalive": Holds::Of(&KEEPALIVE), "Probes of idle connections.";
        "maxConnectionDuration": Holds::Span, "How old a connection becomes.", Fact::Default("no limit");
        "idleTimeout": Holds::SpanOrZero, "How long one may be idle; 0: without limit.";
    };

    /// `tcpKeepalive`.
    pub(in crate::crd) KEEPALIVE {
        "probes": COUNT, "How many, before it counts as broken.", Fact::Default("that of the system");
        "time": Holds::Span, "Idle time before the first.", Fact::Default("that of the system");
        "interval": Holds::Span, "Time from one to the next.", Fact::Default("that of the system");
    };

    /// `http`.
    pub(in crate::crd::networking) HTTP {
        "http1MaxPendingRequests": NUMBER, "Most requests that wait for a connection.", Fact::Default("no limit"), Fact::Signed;
        "http2MaxRequests": NUMBER, "Most requests at a time.", Fact::Default("no limit"), Fact::Signed;
        "maxRequestsPerConnection": NUMBER, "Most requests of one connection.", Fact::Default("no limit"), Fact::Signed;
        "maxRetries": NUMBER, "Most retries at a time.", Fact::Default("no limit"), Fact::Signed;
        "idleTimeout": Holds::Span, "How long a connection may be idle.", Fact::Default("1h");
        "h2UpgradePolicy": Holds::Word(&["DEFAULT", "DO_NOT_UPGRADE", "UPGRADE"]), "Whether HTTP/1.1 goes on as HTTP/2.",
            Fact::Default("h2UpgradePolicy of MeshConfig");
        "useClientProtocol": Holds::Bool, "Whether the caller's protocol is kept; excludes UPGRADE.", Fact::Default("false");
        "maxConcurrentStreams": NUMBER, "Most streams of one HTTP/2 connection.", Fact::Default("2147483647"), Fact::Signed;
        "http2KeepAlive": Holds::Of(&PING), "Pings of idle HTTP/2 connections.", Fact::Inert("");
    };

    PING {
        "interval": Holds::Span, "Time from one to the next.";
        "timeout": Holds::Span, "How long an answer may take.";
    };
}

fn outliers(f: &mut Fields<'_>) {
    let apart = f.bool("splitExternalLocalOriginErrors").unwrap_or(false);
    if let Some(item) = f.item("consecutiveLocalOriginFailures").filter(|_| !apart)
        && item.i64().is_some_and(|count| count > 0)
    {
        item.invalid::<()>("counts only with splitExternalLocalOriginErrors");
    }
}

fn pool(f: &mut Fields<'_>) {
    if !f.has("tcp") && !f.has("http") {
        f.one_is_required::<()>(&["tcp", "http"], "one of tcp and http is required");
    }
}
