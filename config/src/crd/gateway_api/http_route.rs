//! HTTPRoute: where HTTP requests go.

use super::http_filter::HTTP_FILTER;
use super::reference::PARENT;
use super::rules;
use super::session::SESSION;
use super::values::{
    FILLED_1024, GROUP, HEADER_NAME, HEADER_VALUE, HOST, KIND, NAME, NAMESPACE, SPAN, TEXT_1024, WILD_HOST,
};
use crate::crd::form::{Fact, Holds, forms};

forms! {
    /// `spec`.
    pub(in crate::crd) HTTP_ROUTE {
        "hostnames": Holds::List(&WILD_HOST), "Hosts that it is for; those of the listener if absent.", Fact::MostEntries(16);
        "parentRefs": Holds::List(&Holds::Of(&PARENT)), "Gateways, listener sets or services that it is attached to.", Fact::MostEntries(32);
        "rules": Holds::List(&Holds::Of(&HTTP_RULE)), "Where it sends what it takes.", Fact::Default("one that takes everything"), Fact::LeastEntries(1), Fact::MostEntries(16);
        "useDefaultGateways": Holds::Word(&["All", "None"]), "Whether it is attached to default gateways, and to which. Experimental channel.";
    } with [Fact::Strict] => rules::request_route;

    pub(super) HTTP_RULE {
        "backendRefs": Holds::List(&Holds::Of(&HTTP_BACKEND)), "Where to send.", Fact::MostEntries(16);
        "filters": Holds::List(&Holds::Of(&HTTP_FILTER)), "What is done to requests and answers.", Fact::MostEntries(16);
        "matches": Holds::List(&Holds::Of(&HTTP_MATCH)), "What the rule is for: any of these; everything if absent.", Fact::Default("every path"), Fact::MostEntries(64);
        "name": HOST, "Name of the rule, unique in its route.";
        "retry": Holds::Of(&RETRY), "When to try again. Experimental channel.";
        "sessionPersistence": Holds::Of(&SESSION), "How requests of a session stay with one backend. Experimental channel.";
        "timeouts": Holds::Of(&TIMEOUTS), "How long a request may take.";
    } with [Fact::Strict] => rules::http_rule;

    pub(super) HTTP_BACKEND {
        "filters": Holds::List(&Holds::Of(&HTTP_FILTER)), "What is done to requests that go there, and to their answers.", Fact::MostEntries(16);
        "group": GROUP, "API group of the object; empty for Kubernetes' core.", Fact::Default("empty");
        "kind": KIND, "Its kind.", Fact::Default("Service");
        "name": NAME, "Its name.", Fact::Required;
        "namespace": NAMESPACE, "Its namespace, the referring object's own if absent.";
        "port": Holds::Port, "Its port; a Service needs one.";
        "weight": Holds::Whole(0, 1000000), "Its share of requests or connections, against the sum of all.", Fact::Default("1");
    } with [Fact::Strict] => rules::request_backend;

    pub(super) HTTP_MATCH {
        "headers": Holds::List(&Holds::Of(&HTTP_HEADER_MATCH)), "Headers, all of which must match.", Fact::MostEntries(16), Fact::KeyedBy("name");
        "method": Holds::Word(&["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"]), "The method.";
        "path": Holds::Of(&PATH_MATCH), "The path.", Fact::Default("prefix /");
        "queryParams": Holds::List(&Holds::Of(&QUERY_MATCH)), "Parameters of the query, all of which must match.", Fact::MostEntries(16), Fact::KeyedBy("name");
    } with [Fact::Strict];

    pub(super) HTTP_HEADER_MATCH {
        "name": HEADER_NAME, "Name of the header.", Fact::Required;
        "type": Holds::Word(&["Exact", "RegularExpression"]), "How the value is compared.", Fact::Default("Exact");
        "value": HEADER_VALUE, "The value, or an expression.", Fact::Required;
    } with [Fact::Strict];

    pub(super) PATH_MATCH {
        "type": Holds::Word(&["Exact", "PathPrefix", "RegularExpression"]), "How the path is compared.", Fact::Default("PathPrefix");
        "value": TEXT_1024, "The path, its prefix, or an expression.", Fact::Default("/");
    } with [Fact::Strict] => rules::path_match;

    pub(super) QUERY_MATCH {
        "name": HEADER_NAME, "Name of the parameter.", Fact::Required;
        "type": Holds::Word(&["Exact", "RegularExpression"]), "How the value is compared.", Fact::Default("Exact");
        "value": FILLED_1024, "The value, or an expression.", Fact::Required;
    } with [Fact::Strict];

    pub(super) RETRY {
        "attempts": Holds::Whole(1, i32::MAX as i64), "How often at most.";
        "backoff": SPAN, "Least time between two attempts.";
        "codes": Holds::List(&Holds::Whole(400, 599)), "Statuses that are tried again.", Fact::Distinct;
    } with [Fact::Strict];

    pub(super) TIMEOUTS {
        "backendRequest": SPAN, "For one attempt at a backend; 0s is no limit.";
        "request": SPAN, "For the whole of it; 0s is no limit.";
    } with [Fact::Strict] => rules::timeouts;
}
