//! Form of a Gateway, and of the TLS of servers, which a Sidecar's listeners have too.

use crate::crd::form::{Fact, Holds, forms};

/// Versions of TLS.
const VERSIONS: Holds = Holds::Word(&["TLS_AUTO", "TLSV1_0", "TLSV1_1", "TLSV1_2", "TLSV1_3"]);
const TEXTS: Holds = Holds::List(&Holds::Text);
const LEFT_OUT: Fact = Fact::Inert("the server is left out");
const SERVED: Fact = Fact::Inert("TLS 1.2 and 1.3 are served");

forms! {
    /// `spec`.
    pub(in crate::crd) GATEWAY {
        "selector": Holds::Map(&Holds::Text), "Labels of the gateway workloads that serve it, in every namespace; none: all of them.";
        "servers": Holds::List(&Holds::Of(&SERVER)), "What is listened on; at least one.";
    };

    /// An entry of `servers`.
    pub(super) SERVER {
        "port": Holds::Of(&PORT), "The port.", Fact::Required;
        "bind": Holds::Text, "Address that is listened on. A unix socket is not served yet.", Fact::Default("all");
        "hosts": TEXTS, "Hosts that are served, each `[namespace/]name`: only VirtualServices of the namespace (`.` for the Gateway's \
            own, `*` for any) are bound, for hosts that fit the name.", Fact::Required;
        "tls": Holds::Of(&SERVER_TLS), "TLS of the port.";
        "defaultEndpoint": Holds::Text, "Was never served.", Fact::Inert("it never had an effect");
        "name": Holds::Text, "Name of the server.", Fact::Inert("it is for statistics alone");
    };

    /// `port` of a server.
    pub(super) PORT {
        "number": Holds::Port, "Number of the port. Where the gateway's Service maps it, the target port is bound.", Fact::Required;
        "protocol": Holds::Text, "HTTP, HTTPS, HTTP2, GRPC, GRPC-WEB, TLS, TCP, MONGO, MYSQL or REDIS.", Fact::Required;
        "name": Holds::Text, "Name of the port, unique in the Gateway.", Fact::Required;
        "targetPort": Holds::Whole(0, u32::MAX as i64), "Deprecated.", Fact::Inert("it never had an effect");
    };

    /// `tls` of a server.
    pub(in crate::crd::networking) SERVER_TLS {
        "httpsRedirect": Holds::Bool, "On a plain-text port: requests are answered with 301 to HTTPS.", Fact::Default("false");
        "mode": Holds::Word(&["PASSTHROUGH", "SIMPLE", "MUTUAL", "AUTO_PASSTHROUGH", "ISTIO_MUTUAL", "OPTIONAL_MUTUAL"]),
            "Where TLS ends and whether clients must show a certificate. A server with AUTO_PASSTHROUGH or OPTIONAL_MUTUAL is left out, \
            and said.",
            Fact::Default("PASSTHROUGH");
        "credentialName": Holds::Text, "Secret with the certificate, in the namespace of the gateway's pods.";
        "credentialNames": TEXTS, "Secrets with certificates for several kinds of keys.", LEFT_OUT,
            Fact::LeastEntries(1), Fact::MostEntries(2);
        "serverCertificate": Holds::Text, "File with the certificate.", LEFT_OUT;
        "privateKey": Holds::Text, "File with its key.", LEFT_OUT;
        "caCertificates": Holds::Text, "File with authorities that clients' certificates must come from.", LEFT_OUT;
        "tlsCertificates": Holds::List(&Holds::Of(&FILES)), "Certificates in files for several kinds of keys.", LEFT_OUT,
            Fact::LeastEntries(1), Fact::MostEntries(2);
        "caCrl": Holds::Text, "File with certificates of clients that were revoked.", LEFT_OUT;
        "caCertCredentialName": Holds::Text, "Secret or ConfigMap with the authorities.", LEFT_OUT;
        "subjectAltNames": TEXTS, "Names of which a client's certificate must have one.", LEFT_OUT;
        "verifyCertificateSpki": TEXTS, "Hashes of keys of which a client's must be one.", LEFT_OUT;
        "verifyCertificateHash": TEXTS, "Hashes of certificates of which a client's must be one.", LEFT_OUT;
        "insecureSkipVerify": Holds::Bool, "Whether clients' certificates are taken unseen.", LEFT_OUT, Fact::Nullable;
        "minProtocolVersion": VERSIONS, "Least version of TLS.", SERVED, Fact::Default("TLSV1_2");
        "maxProtocolVersion": VERSIONS, "Greatest version of TLS.", SERVED, Fact::Default("TLSV1_3");
        "cipherSuites": TEXTS, "Cipher suites that are offered.", Fact::Inert("the strong ones are offered");
        "ecdhCurves": TEXTS, "Groups for the exchange of keys.", Fact::Inert("the strong ones are offered");
        "alpnProtocols": TEXTS, "Protocols that are offered to clients.", Fact::Inert("h2 and http/1.1 are offered");
    } with [
        Fact::Rule("!(has(self.credentialNames) && has(self.tlsCertificates))",
            "only one of credentialName or tlsCertificates can be set"),
        Fact::Rule("!(has(self.credentialName) && has(self.credentialNames))",
            "only one of credentialName or credentialNames can be set"),
    ];

    FILES {
        "serverCertificate": Holds::Text, "File with the certificate.";
        "privateKey": Holds::Text, "File with its key.";
        "caCertificates": Holds::Text, "File with authorities that clients' certificates must come from.";
    };
}
