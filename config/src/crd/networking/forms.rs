//! Messages inside traffic objects that nothing acts on yet.

use super::{matching, names};
use crate::crd::{
    form::{Holds, forms},
    reader::{Fields, Item},
};

const PERCENT: Holds = Holds::Number(0.0, 100.0);
const COUNT: Holds = Holds::Whole(0, u32::MAX as i64);
const NUMBER: Holds = Holds::Whole(0, i32::MAX as i64);

forms! {
    /// `fault` of a rule.
    pub(super) FAULT {
        "delay": Holds::Of(&DELAY), "Requests that are held back.";
        "abort": Holds::Of(&ABORT), "Requests that are answered at once.";
    } => fault;

    DELAY {
        "percent": Holds::Whole(0, 100), "Share of the requests, as a whole number. Superseded by percentage.";
        "percentage": Holds::Of(&SHARE), "Share of the requests; all without it.";
        "fixedDelay": Holds::Span, "How long.";
        "exponentialDelay": Holds::Span, "Mean of a random time; never had an effect.";
    } => delay;

    ABORT {
        "percentage": Holds::Of(&SHARE), "Share of the requests; all without it.";
        "httpStatus": Holds::Whole(200, 599), "Status of the answer.";
        "grpcStatus": Holds::Filled, "gRPC status of the answer.";
        "http2Error": Holds::Text, "Never had an effect.";
    } => abort;

    SHARE {
        "value": PERCENT, "In percent.";
    };

    /// `corsPolicy` of a rule.
    pub(super) CORS {
        "allowOrigin": Holds::List(&Holds::Text), "Superseded by allowOrigins.";
        "allowOrigins": Holds::List(&Holds::Of(&ORIGIN)), "Who may call from a browser.";
        "allowMethods": Holds::List(&Holds::Judged(method)), "With which methods.";
        "allowHeaders": Holds::List(&Holds::Judged(header)), "With which headers.";
        "exposeHeaders": Holds::List(&Holds::Judged(header)), "Which headers of answers scripts see.";
        "maxAge": Holds::Judged(seconds), "How long a browser may remember it.";
        "allowCredentials": Holds::Bool, "Whether cookies may come along.";
        "unmatchedPreflights": Holds::Word(&["UNSPECIFIED", "FORWARD", "IGNORE"]), "Where other preflights go.";
    };

    ORIGIN {
        "exact": Holds::Filled, "The origin.";
        "prefix": Holds::Filled, "What it begins with.";
        "regex": Holds::Judged(expression), "Regular expression for it.";
    } => one_kind;

    /// `mirror` of a rule.
    pub(super) MIRROR {
        "host": Holds::Filled, "Host that copies go to.";
        "port": Holds::Of(&PORT), "Port of the host.";
        "subset": Holds::Text, "Subset of the host.";
    } => with_host;

    /// An entry of `mirrors`.
    pub(super) MIRRORS {
        "destination": Holds::Of(&MIRROR), "Where copies go.";
        "percentage": Holds::Of(&SHARE), "Share of the requests; all without it.";
    } => with_destination;

    /// `mirrorPercentage` of a rule.
    pub(super) MIRROR_SHARE {
        "value": PERCENT, "In percent.";
    };

    PORT {
        "number": Holds::Port, "The port.";
    };

    /// `tunnel`.
    pub(super) TUNNEL {
        "protocol": Holds::Word(&["CONNECT", "POST"]), "How it is asked for.";
        "targetHost": Holds::Judged(single_host), "Where it ends.";
        "targetPort": Holds::Port, "Port where it ends.";
    } => tunnel;

    /// `proxyProtocol`.
    pub(super) PROXY_PROTOCOL {
        "version": Holds::Word(&["V1", "V2"]), "Version of the header.";
    };

    /// `retryBudget`.
    pub(super) RETRY_BUDGET {
        "percent": PERCENT, "Share of the requests that may be retries.";
        "minRetryConcurrency": COUNT, "Retries that are always allowed.";
    };

    /// `warmup`.
    pub(super) WARMUP {
        "duration": Holds::Span, "How long a new endpoint warms up.";
        "minimumPercent": PERCENT, "Its least share of its weight.";
        "aggression": Holds::Number(1.0, f64::MAX), "How fast its share grows.";
    } => warmup;

    /// `localityLbSetting`.
    pub(in crate::crd) LOCALITY {
        "enabled": Holds::Bool, "Whether localities count.";
        "distribute": Holds::List(&Holds::Of(&DISTRIBUTE)), "Shares of localities.";
        "failover": Holds::List(&Holds::Of(&FAILOVER)), "Where calls go when a region fails.";
        "failoverPriority": Holds::List(&Holds::Filled), "Labels that order endpoints.";
    } => locality;

    DISTRIBUTE {
        "from": Holds::Filled, "Locality of the client.";
        "to": Holds::Map(&Holds::Whole(1, 100)), "Share of each locality, in percent.";
    } => distribute;

    FAILOVER {
        "from": Holds::Filled, "Region that fails.";
        "to": Holds::Filled, "Region that takes over.";
    } => failover;

    /// `outlierDetection`.
    pub(in crate::crd) OUTLIERS {
        "consecutiveErrors": NUMBER, "Superseded by consecutive5xxErrors and consecutiveGatewayErrors.";
        "splitExternalLocalOriginErrors": Holds::Bool, "Whether failures to connect count apart.";
        "consecutiveLocalOriginFailures": COUNT, "Failures to connect in a row that eject an endpoint.";
        "consecutiveGatewayErrors": COUNT, "Answers 502, 503, 504 in a row that eject an endpoint.";
        "consecutive5xxErrors": COUNT, "Answers 5xx in a row that eject an endpoint.";
        "interval": Holds::Span, "Time between two looks.";
        "baseEjectionTime": Holds::Span, "Least time of an ejection, times how often there was one.";
        "maxEjectionPercent": Holds::Whole(0, 100), "Most endpoints that are ejected at a time, in percent.";
        "minHealthPercent": Holds::Whole(0, 100), "Below this share of healthy endpoints, all are used.";
    };

    /// `consistentHash`.
    pub(super) CONSISTENT_HASH {
        "httpHeaderName": Holds::Filled, "Header that is hashed.";
        "httpCookie": Holds::Of(&COOKIE), "Cookie that is hashed, and set where there is none.";
        "useSourceIp": Holds::Bool, "Whether the caller's address is hashed.";
        "httpQueryParameterName": Holds::Filled, "Query parameter that is hashed.";
        "ringHash": Holds::Of(&RING), "A ring, and its size.";
        "maglev": Holds::Of(&MAGLEV), "A Maglev table, and its size.";
        "minimumRingSize": COUNT, "Superseded by ringHash.";
    } => hash;

    COOKIE {
        "name": Holds::Filled, "Name.";
        "path": Holds::Text, "Path that is set with it.";
        "ttl": Holds::SpanOrZero, "How long it lives; 0: the session.";
        "attributes": Holds::List(&Holds::Of(&ATTRIBUTE)), "What else is set with it.";
    } => cookie;

    ATTRIBUTE {
        "name": Holds::Filled, "Name.";
        "value": Holds::Text, "Value.";
    };

    RING {
        "minimumRingSize": COUNT, "Least number of places.";
    };

    MAGLEV {
        "tableSize": Holds::Whole(2, 5_000_011), "Number of places, a prime.";
    };

    /// `inboundConnectionPool` of a Sidecar, `connectionPool` of a listener of it.
    pub(in crate::crd) POOL {
        "tcp": Holds::Of(&TCP), "Of connections.";
        "http": Holds::Of(&HTTP), "Of requests.";
    } => pool;

    TCP {
        "maxConnections": NUMBER, "Most connections.";
        "connectTimeout": Holds::Span, "How long connecting may take.";
        "tcpKeepalive": Holds::Of(&KEEPALIVE), "Probes of idle connections.";
        "maxConnectionDuration": Holds::Span, "How old a connection becomes.";
        "idleTimeout": Holds::SpanOrZero, "How long one may be idle.";
    };

    /// `tcpKeepalive`.
    pub(in crate::crd) KEEPALIVE {
        "probes": COUNT, "How many, before it counts as broken.";
        "time": Holds::Span, "Idle time before the first.";
        "interval": Holds::Span, "Time from one to the next.";
    };

    HTTP {
        "http1MaxPendingRequests": NUMBER, "Most requests that wait for a connection.";
        "http2MaxRequests": NUMBER, "Most requests at a time.";
        "maxRequestsPerConnection": NUMBER, "Most requests of one connection.";
        "maxRetries": NUMBER, "Most retries at a time.";
        "idleTimeout": Holds::Span, "How long a connection may be idle.";
        "h2UpgradePolicy": Holds::Word(&["DEFAULT", "DO_NOT_UPGRADE", "UPGRADE"]), "Whether HTTP/1.1 goes on as HTTP/2.";
        "useClientProtocol": Holds::Bool, "Whether the caller's protocol is kept.";
        "maxConcurrentStreams": NUMBER, "Most streams of one connection.";
        "http2KeepAlive": Holds::Struct, "Pings of idle connections.";
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
    if item.duration().is_some_and(|age| age.subsec_nanos() != 0) {
        item.invalid::<()>("must be of whole seconds");
    }
}

fn fault(f: &mut Fields<'_>) {
    if !f.has("delay") && !f.has("abort") {
        f.one_is_required::<()>(&["delay", "abort"], "one of delay and abort is required");
    }
}

fn delay(f: &mut Fields<'_>) {
    if f.has("fixedDelay") == f.has("exponentialDelay") {
        f.one_is_required::<()>(&["fixedDelay"], "fixedDelay must say how long");
    }
}

fn abort(f: &mut Fields<'_>) {
    if !["httpStatus", "grpcStatus", "http2Error"].into_iter().any(|name| f.has(name)) {
        f.one_is_required::<()>(&["httpStatus", "grpcStatus"], "one of httpStatus and grpcStatus is required");
    }
}

fn single_host(item: &Item<'_>) {
    if names::literal_host(item).is_some_and(|host| host.is_wildcard()) {
        item.invalid::<()>("must be a single host, not a wildcard");
    }
}

fn tunnel(f: &mut Fields<'_>) {
    f.required("targetHost");
    f.required("targetPort");
}

fn warmup(f: &mut Fields<'_>) {
    f.required("duration");
}

fn locality(f: &mut Fields<'_>) {
    let there: Vec<_> = ["distribute", "failover"].into_iter().filter(|name| f.has(name)).collect();
    if there.len() > 1 {
        f.invalid::<()>("distribute and failover are mutually exclusive");
    }
}

fn distribute(f: &mut Fields<'_>) {
    f.required("from");
    let shares = f.map("to", |_, item| item.i64());
    if shares.iter().sum::<i64>() != 100 {
        f.invalid::<()>("the shares must add up to 100");
    }
}

fn failover(f: &mut Fields<'_>) {
    let (from, to) = (f.string("from"), f.string("to"));
    if from.is_some() && from == to {
        f.invalid::<()>("a region cannot take over from itself");
    }
}

fn with_host(f: &mut Fields<'_>) {
    f.required("host");
}

fn with_destination(f: &mut Fields<'_>) {
    f.required("destination");
}

fn hash(f: &mut Fields<'_>) {
    let keys = ["httpHeaderName", "httpCookie", "useSourceIp", "httpQueryParameterName"];
    if keys.into_iter().filter(|key| f.has(key)).count() != 1 {
        f.one_is_required::<()>(&keys, format!("exactly one of {} must be set", keys.join(", ")));
    }
    let size = f.object("maglev", |f| f.item("tableSize")?.i64());
    if size.is_some_and(|size| size > 2 && !is_prime(size)) {
        f.invalid::<()>("the size of a Maglev table is a prime");
    }
}

fn is_prime(number: i64) -> bool {
    number > 1 && (2..).take_while(|d| d * d <= number).all(|d| number % d != 0)
}

fn cookie(f: &mut Fields<'_>) {
    f.required("name");
    let mut seen = std::collections::BTreeSet::new();
    f.list("attributes", |item| {
        let name = item.node().get("name")?.as_str()?;
        if !seen.insert(name.to_ascii_lowercase()) {
            item.invalid::<()>(format!("the attribute {name:.40} is listed twice"));
        }
        None::<()>
    });
}

fn pool(f: &mut Fields<'_>) {
    if !f.has("tcp") && !f.has("http") {
        f.one_is_required::<()>(&["tcp", "http"], "one of tcp and http is required");
    }
}
