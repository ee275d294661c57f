//! GRPCRoute: where gRPC calls go.

use super::http_filter::{HEADER_FILTER, MIRROR};
use super::reference::{LOCAL, PARENT};
use super::rules;
use super::session::SESSION;
use super::values::{FILLED_4096, GROUP, HEADER_NAME, HOST, KIND, NAME, NAMESPACE, TEXT_1024, WILD_HOST};
use crate::crd::form::{Fact, Holds, forms};

forms! {
    /// `spec`.
    pub(in crate::crd) GRPC_ROUTE {
        "hostnames": Holds::List(&WILD_HOST), "Hosts that it is for; those of the listener if absent.", Fact::MostEntries(16);
        "parentRefs": Holds::List(&Holds::Of(&PARENT)), "Gateways, listener sets or services that it is attached to.", Fact::MostEntries(32);
        "rules": Holds::List(&Holds::Of(&GRPC_RULE)), "Where it sends what it takes.", Fact::MostEntries(16);
        "useDefaultGateways": Holds::Word(&["All", "None"]), "Whether it is attached to default gateways, and to which. Experimental channel.";
    } with [Fact::Strict] => rules::request_route;

    pub(super) GRPC_RULE {
        "backendRefs": Holds::List(&Holds::Of(&GRPC_BACKEND)), "Where to send.", Fact::MostEntries(16);
        "filters": Holds::List(&Holds::Of(&GRPC_FILTER)), "What is done to requests and answers.", Fact::MostEntries(16);
        "matches": Holds::List(&Holds::Of(&GRPC_MATCH)), "What the rule is for: any of these; everything if absent.", Fact::MostEntries(64);
        "name": HOST, "Name of the rule, unique in its route.";
        "sessionPersistence": Holds::Of(&SESSION), "How requests of a session stay with one backend. Experimental channel.";
    } with [Fact::Strict] => rules::grpc_rule;

    pub(super) GRPC_BACKEND {
        "filters": Holds::List(&Holds::Of(&GRPC_FILTER)), "What is done to calls that go there, and to their answers.", Fact::MostEntries(16);
        "group": GROUP, "API group of the object; empty for Kubernetes' core.", Fact::Default("empty");
        "kind": KIND, "Its kind.", Fact::Default("Service");
        "name": NAME, "Its name.", Fact::Required;
        "namespace": NAMESPACE, "Its namespace, the referring object's own if absent.";
        "port": Holds::Port, "Its port; a Service needs one.";
        "weight": Holds::Whole(0, 1000000), "Its share of requests or connections, against the sum of all.", Fact::Default("1");
    } with [Fact::Strict] => rules::request_backend;

    pub(super) GRPC_FILTER {
        "extensionRef": Holds::Of(&LOCAL), "An object that says what is done.";
        "requestHeaderModifier": Holds::Of(&HEADER_FILTER), "Headers of calls that are changed.";
        "requestMirror": Holds::Of(&MIRROR), "Where a copy of each call goes.";
        "responseHeaderModifier": Holds::Of(&HEADER_FILTER), "Headers of answers that are changed.";
        "type": Holds::Word(&["ResponseHeaderModifier", "RequestHeaderModifier", "RequestMirror", "ExtensionRef"]), "What it does: the field of that name must be set, and no other.", Fact::Required;
    } with [Fact::Strict] => rules::filter;

    pub(super) GRPC_MATCH {
        "headers": Holds::List(&Holds::Of(&GRPC_HEADER_MATCH)), "Headers, all of which must match.", Fact::MostEntries(16), Fact::KeyedBy("name");
        "method": Holds::Of(&METHOD_MATCH), "Service and method of the call.";
    } with [Fact::Strict];

    pub(super) GRPC_HEADER_MATCH {
        "name": HEADER_NAME, "Name of the header.", Fact::Required;
        "type": Holds::Word(&["Exact", "RegularExpression"]), "How the value is compared.", Fact::Default("Exact");
        "value": FILLED_4096, "The value, or an expression.", Fact::Required;
    } with [Fact::Strict];

    pub(super) METHOD_MATCH {
        "method": TEXT_1024, "The method; any if absent.";
        "service": TEXT_1024, "The service; any if absent.";
        "type": Holds::Word(&["Exact", "RegularExpression"]), "How both are compared.", Fact::Default("Exact");
    } with [Fact::Strict] => rules::method_match;
}
