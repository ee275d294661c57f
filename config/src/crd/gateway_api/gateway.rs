//! Gateway: what is listened on, and for whom.

use super::listener::LISTENER;
use super::reference::{LOCAL, OBJECT, SECRET_OBJECT, SELECTOR};
use super::rules;
use super::values::{ADDRESS_TYPE, LABEL_VALUE, NAME, TEXT_253, TEXT_4096};
use crate::crd::form::{Fact, Holds, forms};

forms! {
    /// `spec`.
    pub(in crate::crd) KUBERNETES_GATEWAY {
        "addresses": Holds::List(&Holds::Of(&ADDRESS)), "Addresses asked for.", Fact::MostEntries(16);
        "allowedListeners": Holds::Of(&ALLOWED_LISTENERS), "Namespaces whose listener sets may be attached.";
        "defaultScope": Holds::Word(&["All", "None"]), "Whether it takes routes that name no gateway. Experimental channel.";
        "gatewayClassName": NAME, "Class that says who serves it.", Fact::Required;
        "infrastructure": Holds::Of(&INFRASTRUCTURE), "About the objects made for it.";
        "listeners": Holds::List(&Holds::Of(&LISTENER)), "What it listens on.", Fact::Required, Fact::LeastEntries(1), Fact::MostEntries(64), Fact::KeyedBy("name");
        "tls": Holds::Of(&GATEWAY_TLS), "TLS of all listeners, towards backends and clients.";
    } with [Fact::Strict] => rules::gateway;

    pub(super) ADDRESS {
        "type": ADDRESS_TYPE, "What the value is.", Fact::Default("IPAddress");
        "value": TEXT_253, "The address; one of that type is chosen if absent.";
    } with [Fact::Strict] => rules::address;

    pub(super) ALLOWED_LISTENERS {
        "namespaces": Holds::Of(&LISTENER_NAMESPACES), "The namespaces.", Fact::Default("from: None");
    } with [Fact::Strict];

    pub(super) LISTENER_NAMESPACES {
        "from": Holds::Word(&["All", "Selector", "Same", "None"]), "Which namespaces.", Fact::Default("None");
        "selector": Holds::Of(&SELECTOR), "Labels of the namespaces, where they are selected.";
    } with [Fact::Strict];

    pub(super) INFRASTRUCTURE {
        "annotations": Holds::Map(&TEXT_4096), "Annotations that they get.", Fact::MostEntries(16);
        "labels": Holds::Map(&LABEL_VALUE), "Labels that they get.", Fact::MostEntries(8);
        "parametersRef": Holds::Of(&LOCAL), "An object with more settings.";
    } with [Fact::Strict] => rules::infrastructure;

    pub(super) GATEWAY_TLS {
        "backend": Holds::Of(&BACKEND_TLS), "Towards backends.";
        "frontend": Holds::Of(&FRONTEND_TLS), "Towards clients.";
    } with [Fact::Strict];

    pub(super) BACKEND_TLS {
        "clientCertificateRef": Holds::Of(&SECRET_OBJECT), "Certificate that is shown to backends.";
    } with [Fact::Strict];

    pub(super) FRONTEND_TLS {
        "default": Holds::Of(&FRONTEND), "For ports that are not listed.", Fact::Required;
        "perPort": Holds::List(&Holds::Of(&PORT_TLS)), "For single ports.", Fact::MostEntries(64), Fact::KeyedBy("port");
    } with [Fact::Strict];

    pub(super) FRONTEND {
        "validation": Holds::Of(&CLIENT_VALIDATION), "How certificates of clients are checked.";
    } with [Fact::Strict];

    pub(super) CLIENT_VALIDATION {
        "caCertificateRefs": Holds::List(&Holds::Of(&OBJECT)), "Authorities of clients' certificates.", Fact::Required, Fact::LeastEntries(1), Fact::MostEntries(16);
        "mode": Holds::Word(&["AllowValidOnly", "AllowInsecureFallback"]), "Whether clients without a valid certificate may come in.", Fact::Default("AllowValidOnly");
    } with [Fact::Strict];

    pub(super) PORT_TLS {
        "port": Holds::Port, "The port.", Fact::Required;
        "tls": Holds::Of(&FRONTEND), "How it is there.", Fact::Required;
    } with [Fact::Strict];
}
