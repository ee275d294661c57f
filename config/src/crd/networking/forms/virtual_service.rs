//! The fields of VirtualService.

use super::http_rule::{CORS, FAULT, MIRROR, MIRROR_SHARE, MIRRORS};
use super::{PORT, STRING_MATCH};
use crate::crd::{
    form::{Fact, Holds, forms},
    networking::{opaque_rule, retry::RETRIES},
    reader::Item,
};

const MATCHES: Holds = Holds::Map(&Holds::Of(&STRING_MATCH));
/// Numbers of 32 bits with a sign that must not be negative.
const WEIGHT: Holds = Holds::Whole(0, i32::MAX as i64);

forms! {
    /// `spec`.
    pub(in crate::crd) VIRTUAL_SERVICE {
        "hosts": Holds::List(&Holds::Text), "Hosts that the rules are for; a short name is a service of the own namespace, *.a.b every host beneath a.b. Required unless other VirtualServices delegate to this one.";
        "gateways": Holds::List(&Holds::Text), "Where the rules apply: gateways as name or namespace/name, and mesh for all sidecars.", Fact::Default("mesh");
        "http": Holds::List(&Holds::Of(&HTTP_RULE)), "Rules for requests; the first that matches counts.";
        "tls": Holds::List(&Holds::Of(&TLS_RULE)), "Rules for TLS connections that are passed on as they are, by server name.";
        "tcp": Holds::List(&Holds::Of(&TCP_RULE)), "Rules for other connections.";
        "exportTo": Holds::List(&Holds::Text), "Namespaces that see this: names, . for the own one, * for all, ~ for none.",
            Fact::Default("defaultVirtualServiceExportTo of MeshConfig");
    };

    /// An entry of `http`.
    pub(in crate::crd::networking) HTTP_RULE {
        "name": Holds::Text, "Name of the route in logs.";
        "match": Holds::List(&Holds::Of(&HTTP_MATCH)), "Which requests: those that any entry matches; all without one.";
        "route": Holds::List(&Holds::Of(&HTTP_ROUTE)), "Where requests go, by weight.";
        "redirect": Holds::Of(&REDIRECT), "Answers with a redirect instead.";
        "directResponse": Holds::Of(&DIRECT_RESPONSE), "Answers at once instead.";
        "delegate": Holds::Of(&DELEGATE), "VirtualService whose rules continue this one.", Fact::Inert("the rule is left out");
        "rewrite": Holds::Of(&REWRITE), "What is changed before a request is forwarded.";
        "timeout": Holds::Span, "How long a request may take, all attempts together.", Fact::Default("no limit");
        "retries": Holds::Of(&RETRIES), "When a request is sent again.", Fact::Default("defaultHttpRetryPolicy of MeshConfig");
        "fault": Holds::Of(&FAULT), "Delays and errors that are put in on purpose.", Fact::Inert("");
        "mirror": Holds::Of(&MIRROR), "Where a copy of each request goes.", Fact::Inert("");
        "mirrors": Holds::List(&Holds::Of(&MIRRORS)), "Several places that copies go to; excludes mirror.", Fact::Inert("");
        "mirrorPercent": Holds::Whole(0, 100), "Share that is copied. Superseded by mirrorPercentage.", Fact::Inert(""), Fact::Nullable;
        "mirror_percent": Holds::Whole(0, 100), "As mirrorPercent.", Fact::Inert(""), Fact::Nullable;
        "mirrorPercentage": Holds::Of(&MIRROR_SHARE), "Share of the requests that mirror copies; all without it.", Fact::Inert("");
        "corsPolicy": Holds::Of(&CORS), "Who may call from scripts of other origins.", Fact::Inert("");
        "headers": Holds::Of(&HEADERS), "Changes of headers.";
    };

    /// An entry of `match` of it.
    pub(in crate::crd::networking) HTTP_MATCH {
        "name": Holds::Text, "Name that is added to the rule's in logs.";
        "uri": Holds::Of(&STRING_MATCH), "Path and query as one text.";
        "scheme": Holds::Of(&STRING_MATCH), "Scheme of the request.";
        "method": Holds::Of(&STRING_MATCH), "Method of the request.";
        "authority": Holds::Of(&STRING_MATCH), "Host that the request names.";
        "headers": MATCHES, "Headers that must match, by name; an empty match asks whether there is one.";
        "withoutHeaders": MATCHES, "Headers that must not match.";
        "queryParams": MATCHES, "Query parameters that must match, by name.";
        "port": Holds::Port, "Port that the request came to.";
        "sourceLabels": Holds::Labels, "Labels that the calling workload must have.";
        "sourceNamespace": Holds::Text, "Namespace of the calling workload.";
        "gateways": Holds::List(&Holds::Text), "Which of the VirtualService's gateways.", Fact::Default("all of them");
        "ignoreUriCase": Holds::Bool, "Whether small and capital letters are the same in uri, for exact and prefix.", Fact::Default("false");
        "statPrefix": Holds::Text, "Prefix of metrics about the route.", Fact::Inert("");
    };

    HTTP_ROUTE {
        "destination": Holds::Of(&DESTINATION), "Where requests go.", Fact::Required;
        "weight": WEIGHT, "Its share, as against the others; one alone needs none.", Fact::Default("0"), Fact::Signed;
        "headers": Holds::Of(&HEADERS), "Changes of headers of what goes there.";
    };

    /// A host, with a port and subset.
    DESTINATION {
        "host": Holds::Text, "The host; a short name is a service of the own namespace.", Fact::Required;
        "subset": Holds::Text, "Subset that a DestinationRule declares.";
        "port": Holds::Of(&PORT), "Port of the host; without it, the one that the request came to.";
    };

    HEADERS {
        "request": Holds::Of(&CHANGE), "Of requests, before they are forwarded.";
        "response": Holds::Of(&CHANGE), "Of answers, before they are returned.";
    };

    CHANGE {
        "set": Holds::Map(&Holds::Text), "Headers that are replaced; %…% stands for what logs can say, %% for a percent sign.";
        "add": Holds::Map(&Holds::Text), "Headers that are added.";
        "remove": Holds::List(&Holds::Text), "Headers that are removed.";
    };

    REDIRECT {
        "uri": Holds::Text, "Path and query of the new address.";
        "prefixRewrite": Holds::Text, "What replaces the prefix that matched; excludes uri.";
        "authority": Holds::Text, "Host of the new address.";
        "port": Holds::Port, "Port of the new address.";
        "derivePort": Holds::Word(&["FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT"]), "Where the port is taken from.",
            Fact::Default("FROM_PROTOCOL_DEFAULT");
        "scheme": Holds::Text, "http or https.", Fact::Default("that of the request");
        "redirectCode": Holds::Whole(0, 308), "301, 302, 303, 307 or 308.", Fact::Default("301");
    } with [Fact::OneOf(&["port", "derivePort"])];

    DIRECT_RESPONSE {
        "status": Holds::Whole(200, 599), "Status of the answer.", Fact::Required;
        "body": Holds::Of(&BODY), "Its body, smaller than 1 MiB.";
    };

    BODY {
        "string": Holds::Text, "As text.";
        "bytes": Holds::Text, "In base64.";
    } with [Fact::OneOf(&["string", "bytes"])];

    DELEGATE {
        "name": Holds::Text, "Name of the VirtualService.";
        "namespace": Holds::Text, "Its namespace.", Fact::Default("the own one");
    };

    REWRITE {
        "uri": Holds::Text, "What replaces the path, or the prefix of it that matched.";
        "authority": Holds::Text, "What replaces the host.";
        "uriRegexRewrite": Holds::Of(&REGEX_REWRITE), "Replaces parts of the path; excludes uri.";
    };

    REGEX_REWRITE {
        "match": Holds::Text, "Regular expression for what is replaced.";
        "rewrite": Holds::Text, "What stands there instead; \\1 is what the first group matched.";
    };

    TLS_RULE {
        "match": Holds::List(&Holds::Of(&TLS_MATCH)), "Which connections: those that any entry matches.", Fact::Required;
        "route": Holds::List(&Holds::Of(&ROUTE)), "Where they go, by weight.";
    };

    TLS_MATCH {
        "sniHosts": Holds::List(&Holds::Text), "Server names, each within one of the VirtualService's hosts.", Fact::Required;
        "destinationSubnets": Holds::List(&Holds::Text), "Addresses or blocks that the connection was for.";
        "port": Holds::Port, "Port that the connection came to.";
        "sourceLabels": Holds::Labels, "Labels that the calling workload must have.";
        "gateways": Holds::List(&Holds::Text), "Which of the VirtualService's gateways.", Fact::Default("all of them");
        "sourceNamespace": Holds::Text, "Namespace of the calling workload.";
    };

    TCP_RULE {
        "match": Holds::List(&Holds::Of(&TCP_MATCH)), "Which connections: those that any entry matches; all without one.";
        "route": Holds::List(&Holds::Of(&ROUTE)), "Where they go, by weight.";
    };

    /// An entry of `match` of `tcp`.
    pub(in crate::crd::networking) TCP_MATCH {
        "destinationSubnets": Holds::List(&Holds::Text), "Addresses or blocks that the connection was for.";
        "port": Holds::Port, "Port that the connection came to.";
        "sourceSubnet": Holds::Judged(subnet), "Address or block that the connection comes from.", Fact::Inert("");
        "sourceLabels": Holds::Labels, "Labels that the calling workload must have.";
        "gateways": Holds::List(&Holds::Text), "Which of the VirtualService's gateways.", Fact::Default("all of them");
        "sourceNamespace": Holds::Text, "Namespace of the calling workload.";
    };

    ROUTE {
        "destination": Holds::Of(&DESTINATION), "Where connections go.", Fact::Required;
        "weight": WEIGHT, "Its share, as against the others; one alone needs none.", Fact::Default("0"), Fact::Signed;
    };
}

fn subnet(item: &Item<'_>) {
    opaque_rule::subnet(item);
}
