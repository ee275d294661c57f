//! BackendTLSPolicy, XBackend and XBackendTrafficPolicy: how backends are reached.

use super::reference::{LOCAL, SECRET_OBJECT, TARGET_SECTION};
use super::rules;
use super::session::SESSION;
use super::values::{AUTHORITIES, HOST, SPAN, TEXT_63, TEXT_4096, URI, WILD_HOST};
use crate::crd::form::{Fact, Holds, forms};

forms! {
    /// `spec`.
    pub(in crate::crd) BACKEND_TLS_POLICY {
        "options": Holds::Map(&TEXT_4096), "Settings of an implementation.", Fact::MostEntries(16);
        "targetRefs": Holds::List(&Holds::Of(&TARGET_SECTION)), "Services that it is for.", Fact::Required, Fact::LeastEntries(1), Fact::MostEntries(16);
        "validation": Holds::Of(&VALIDATION), "How certificates of backends are checked.", Fact::Required;
    } with [Fact::Strict] => rules::backend_tls_policy;

    pub(super) VALIDATION {
        "caCertificateRefs": Holds::List(&Holds::Of(&LOCAL)), "Authorities of the certificates.", Fact::MostEntries(8);
        "hostname": HOST, "Name that is asked for (SNI), and that the certificate must have unless subjectAltNames say otherwise.", Fact::Required;
        "subjectAltNames": Holds::List(&Holds::Of(&ALT_NAME)), "Names of which the certificate must have one.", Fact::MostEntries(5);
        "wellKnownCACertificates": AUTHORITIES, "Authorities that need no object: `System`, or a word of an implementation.";
    } with [Fact::Strict] => rules::validation;

    pub(super) ALT_NAME {
        "hostname": WILD_HOST, "The host name.";
        "type": Holds::Word(&["Hostname", "URI"]), "What the name is.", Fact::Required;
        "uri": URI, "The URI.";
    } with [Fact::Strict] => rules::alt_name;

    /// `spec`.
    pub(in crate::crd) X_BACKEND {
        "externalHostname": Holds::Of(&EXTERNAL_HOST), "The host outside.";
        "port": Holds::Of(&BACKEND_PORT), "Its port.", Fact::Required;
        "protocol": Holds::Word(&["TCP", "HTTP", "HTTP2", "HTTP11", "H2C", "MCP"]), "What it speaks.";
        "tls": Holds::Of(&X_TLS), "TLS towards it.";
        "type": Holds::Word(&["ExternalHostname"]), "What the backend is.", Fact::Required;
    } with [Fact::Strict] => rules::x_backend;

    pub(super) EXTERNAL_HOST {
        "hostname": HOST, "Its name; no IP address, and not within the cluster.", Fact::Required;
    } with [Fact::Strict] => rules::external_host;

    pub(super) BACKEND_PORT {
        "name": TEXT_63, "Name of the port.";
        "port": Holds::Port, "Its number.", Fact::Required;
    } with [Fact::Strict];

    pub(super) X_TLS {
        "clientCertificateRef": Holds::Of(&SECRET_OBJECT), "Certificate that is shown.";
        "mode": Holds::Word(&["None", "ServerOnly", "ClientAndServer"]), "Which sides show a certificate.", Fact::Required;
        "validation": Holds::Of(&VALIDATION), "How its certificate is checked.";
    } with [Fact::Strict] => rules::x_tls;

    /// `spec`.
    pub(in crate::crd) X_TRAFFIC_POLICY {
        "retryConstraint": Holds::Of(&RETRY_CONSTRAINT), "How many attempts more there may be.";
        "sessionPersistence": Holds::Of(&SESSION), "How requests of a session stay with one backend.";
        "targetRefs": Holds::List(&Holds::Of(&LOCAL)), "Services that it is for.", Fact::Required, Fact::LeastEntries(1), Fact::MostEntries(16);
    } with [Fact::Strict] => rules::x_traffic_policy;

    pub(super) RETRY_CONSTRAINT {
        "budget": Holds::Of(&BUDGET), "Share of requests that may be attempts more.", Fact::Default("20 percent over 10s");
        "minRetryRate": Holds::Of(&RATE), "Attempts more that are always allowed.", Fact::Default("10 in 1s");
    } with [Fact::Strict];

    pub(super) BUDGET {
        "interval": SPAN, "Time over which it is counted, 1s to 1h.", Fact::Default("10s");
        "percent": Holds::Whole(0, 100), "The percentage.", Fact::Default("20");
    } with [Fact::Strict] => rules::budget;

    pub(super) RATE {
        "count": Holds::Whole(1, 1000000), "How many.";
        "interval": SPAN, "In which time, up to 1h.";
    } with [Fact::Strict] => rules::rate;
}
