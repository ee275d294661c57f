//! The fields of DestinationRule.

use super::super::names;
use super::connection_pool::{OUTLIERS, POOL};
use super::load_balancer::LOAD_BALANCER;
use super::{COUNT, PORT};
use crate::crd::{
    form::{Fact, Holds, forms},
    reader::Item,
    target::SELECTOR,
};

forms! {
    /// `spec`.
    pub(in crate::crd) DESTINATION_RULE {
        "host": Holds::Text, "Host that this is for; a short name is a service of the own namespace, *.a.b every host beneath a.b.", Fact::Required;
        "trafficPolicy": Holds::Of(&TRAFFIC_POLICY), "How the host is reached.";
        "subsets": Holds::List(&Holds::Of(&SUBSET)), "Named parts of the host's endpoints.";
        "exportTo": Holds::List(&Holds::Text), "Namespaces that see this: names, . for the own one, * for all, ~ for none.",
            Fact::Default("defaultDestinationRuleExportTo of MeshConfig");
        "workloadSelector": Holds::Of(&SELECTOR), "Calling workloads of the own namespace that this is for.";
    };

    SUBSET {
        "name": Holds::Text, "Name for VirtualServices to use; letters, digits and dashes.", Fact::Required;
        "labels": Holds::Labels, "Labels that an endpoint must have, all of them.";
        "trafficPolicy": Holds::Of(&TRAFFIC_POLICY), "How the subset is reached; what it does not say is as for the host.";
    };

    /// `trafficPolicy`.
    pub(in crate::crd::networking) TRAFFIC_POLICY {
        "loadBalancer": Holds::Of(&LOAD_BALANCER), "How an endpoint is chosen.";
        "connectionPool": Holds::Of(&POOL), "Limits of connections and requests.";
        "outlierDetection": Holds::Of(&OUTLIERS), "When an endpoint that fails is left out for a while.", Fact::Inert("");
        "tls": Holds::Of(&TLS), "How connections are secured.", Fact::Default("mutual TLS of the mesh where the endpoint can");
        "portLevelSettings": Holds::List(&Holds::Of(&PORT_POLICY)), "What holds for a port, instead of the above as a whole.",
            Fact::MostEntries(4096);
        "tunnel": Holds::Of(&TUNNEL), "Connections that are carried through another proxy.", Fact::Inert("");
        "proxyProtocol": Holds::Of(&PROXY_PROTOCOL), "A header with the caller's address before each connection.", Fact::Inert("");
        "retryBudget": Holds::Of(&RETRY_BUDGET), "How many retries there may be at a time.",
            Fact::Inert("retries are always limited to 20 % of the active requests, and three");
    };

    /// An entry of `portLevelSettings`.
    pub(in crate::crd::networking) PORT_POLICY {
        "port": Holds::Of(&PORT), "The port.";
        "loadBalancer": Holds::Of(&LOAD_BALANCER), "How an endpoint is chosen.";
        "connectionPool": Holds::Of(&POOL), "Limits of connections and requests.";
        "outlierDetection": Holds::Of(&OUTLIERS), "When an endpoint that fails is left out for a while.", Fact::Inert("");
        "tls": Holds::Of(&TLS), "How connections are secured.";
    };

    TLS {
        "mode": Holds::Word(&["DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"]), "Plain text, TLS, TLS with an own certificate, or mutual TLS of the mesh.",
            Fact::Default("DISABLE");
        "clientCertificate": Holds::Text, "File with the own certificate, for MUTUAL; read again when it changes.";
        "privateKey": Holds::Text, "File with its key, for MUTUAL.";
        "caCertificates": Holds::Text, "File with the roots that the server's certificate must come from.", Fact::Default("those of the system");
        "credentialName": Holds::Text, "Secret of the calling proxy's namespace with roots, and for MUTUAL certificate and key, instead of files. \
            Gateways get it, sidecars where the rule has a workloadSelector.";
        "caCertCredentialName": Holds::Text, "Secret with the roots alone.", Fact::Inert(NOT_SERVED);
        "subjectAltNames": Holds::List(&Holds::Text), "Names of which the server's certificate must hold one.";
        "sni": Holds::Text, "Server name that is asked for.";
        "insecureSkipVerify": Holds::Bool, "Whether the server's certificate is taken as it is.", Fact::Default("false"), Fact::Nullable;
        "caCrl": Holds::Text, "File with certificates that are revoked.", Fact::Inert(NOT_SERVED);
    };

    TUNNEL {
        "protocol": Holds::Judged(tunnel_protocol), "How it is asked for.", Fact::Default("CONNECT");
        "targetHost": Holds::Judged(single_host), "Where it ends.", Fact::Required;
        "targetPort": Holds::Port, "Port where it ends.", Fact::Required;
    };

    PROXY_PROTOCOL {
        "version": Holds::Word(&["V1", "V2"]), "Version of the header.", Fact::Default("V1");
    };

    RETRY_BUDGET {
        "percent": Holds::Number(0.0, 100.0), "Share of the active requests that may be retries.", Fact::Default("20"),
            Fact::Least(0), Fact::Most(100), Fact::Nullable;
        "minRetryConcurrency": COUNT, "Retries that are always allowed.", Fact::Default("3");
        "budgetInterval": Holds::SpanOrZero, "Time over which requests are counted.", Fact::Default("0s");
    };
}

const NOT_SERVED: &str = "the object is not served";

fn single_host(item: &Item<'_>) {
    if names::literal_host(item).is_some_and(|host| host.is_wildcard()) {
        item.invalid::<()>("must be a single host, not a wildcard");
    }
}

fn tunnel_protocol(item: &Item<'_>) {
    if let Some(protocol) = item.string().filter(|protocol| !["", "CONNECT", "POST"].contains(&&**protocol)) {
        item.invalid::<()>(format!("{protocol:.40?} is neither CONNECT nor POST"));
    }
}
