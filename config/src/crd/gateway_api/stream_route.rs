//! TLSRoute, TCPRoute and UDPRoute: where connections and datagrams go.

use super::reference::PARENT;
use super::rules;
use super::values::{GROUP, HOST, KIND, NAME, NAMESPACE, WILD_HOST};
use crate::crd::form::{Fact, Holds, forms};

forms! {
    /// `spec`.
    pub(in crate::crd) TLS_ROUTE {
        "hostnames": Holds::List(&WILD_HOST), "Hosts that it is for; those of the listener if absent.", Fact::Required, Fact::LeastEntries(1), Fact::MostEntries(1024);
        "parentRefs": Holds::List(&Holds::Of(&PARENT)), "Gateways, listener sets or services that it is attached to.", Fact::MostEntries(32);
        "rules": Holds::List(&Holds::Of(&STREAM_RULE)), "Where it sends what it takes.", Fact::Required, Fact::LeastEntries(1), Fact::MostEntries(1);
        "useDefaultGateways": Holds::Word(&["All", "None"]), "Whether it is attached to default gateways, and to which. Experimental channel.";
    } with [Fact::Strict] => rules::tls_route;

    pub(super) STREAM_RULE {
        "backendRefs": Holds::List(&Holds::Of(&STREAM_BACKEND)), "Where to send.", Fact::Required, Fact::LeastEntries(1), Fact::MostEntries(16);
        "name": HOST, "Name of the rule, unique in its route.";
    } with [Fact::Strict];

    pub(super) STREAM_BACKEND {
        "group": GROUP, "API group of the object; empty for Kubernetes' core.", Fact::Default("empty");
        "kind": KIND, "Its kind.", Fact::Default("Service");
        "name": NAME, "Its name.", Fact::Required;
        "namespace": NAMESPACE, "Its namespace, the referring object's own if absent.";
        "port": Holds::Port, "Its port; a Service needs one.";
        "weight": Holds::Whole(0, 1000000), "Its share of requests or connections, against the sum of all.", Fact::Default("1");
    } with [Fact::Strict] => rules::backend;

    /// `spec`.
    pub(in crate::crd) STREAM_ROUTE {
        "parentRefs": Holds::List(&Holds::Of(&PARENT)), "Gateways, listener sets or services that it is attached to.", Fact::MostEntries(32);
        "rules": Holds::List(&Holds::Of(&STREAM_RULE)), "Where it sends what it takes.", Fact::Required, Fact::LeastEntries(1), Fact::MostEntries(1);
        "useDefaultGateways": Holds::Word(&["All", "None"]), "Whether it is attached to default gateways, and to which. Experimental channel.";
    } with [Fact::Strict] => rules::route;
}
