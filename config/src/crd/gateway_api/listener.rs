//! Listeners, of gateways and of listener sets.

use super::reference::{PARENT_GATEWAY, SECRET_OBJECT, SELECTOR};
use super::rules;
use super::values::{GROUP, HOST, KIND, PROTOCOL, TEXT_4096, WILD_HOST};
use crate::crd::form::{Fact, Holds, forms};

forms! {
    pub(super) LISTENER {
        "allowedRoutes": Holds::Of(&ALLOWED_ROUTES), "Routes that may be attached.", Fact::Default("those of the same namespace");
        "hostname": WILD_HOST, "Host that it is for; every host if absent.";
        "name": HOST, "Its name.", Fact::Required;
        "port": Holds::Port, "Its port.", Fact::Required;
        "protocol": PROTOCOL, "What clients speak: HTTP, HTTPS, TLS, TCP, UDP, or a word of an implementation.", Fact::Required;
        "tls": Holds::Of(&LISTENER_TLS), "TLS towards clients.";
    } with [Fact::Strict] => rules::listener;

    pub(super) ALLOWED_ROUTES {
        "kinds": Holds::List(&Holds::Of(&ROUTE_KIND)), "Kinds of routes; those of the protocol if absent.", Fact::MostEntries(8);
        "namespaces": Holds::Of(&ROUTE_NAMESPACES), "Namespaces of routes.", Fact::Default("from: Same");
    } with [Fact::Strict];

    pub(super) ROUTE_KIND {
        "group": GROUP, "Group of the route's kind.", Fact::Default("gateway.networking.k8s.io");
        "kind": KIND, "The route's kind.", Fact::Required;
    } with [Fact::Strict];

    pub(super) ROUTE_NAMESPACES {
        "from": Holds::Word(&["All", "Selector", "Same"]), "Which namespaces.", Fact::Default("Same");
        "selector": Holds::Of(&SELECTOR), "Labels of the namespaces, where they are selected.";
    } with [Fact::Strict];

    pub(super) LISTENER_TLS {
        "certificateRefs": Holds::List(&Holds::Of(&SECRET_OBJECT)), "Certificates and their keys.", Fact::MostEntries(64);
        "mode": Holds::Word(&["Terminate", "Passthrough"]), "Whether TLS ends here or is passed on.", Fact::Default("Terminate");
        "options": Holds::Map(&TEXT_4096), "Settings of an implementation.", Fact::MostEntries(16);
    } with [Fact::Strict] => rules::listener_tls;

    /// `spec`.
    pub(in crate::crd) LISTENER_SET {
        "listeners": Holds::List(&Holds::Of(&LISTENER)), "What is listened on.", Fact::Required, Fact::LeastEntries(1), Fact::MostEntries(64), Fact::KeyedBy("name");
        "parentRef": Holds::Of(&PARENT_GATEWAY), "Gateway that they are added to.", Fact::Required;
    } with [Fact::Strict] => rules::listener_set;
}
