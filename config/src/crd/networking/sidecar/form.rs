//! Form of a Sidecar.

use crate::crd::{
    form::{Fact, Holds, forms},
    networking::{forms::POOL, gateway::form::SERVER_TLS, workload_entry::form::WORKLOAD_SELECTOR},
};

const CAPTURE: Holds = Holds::Word(&["DEFAULT", "IPTABLES", "NONE"]);

forms! {
    /// `spec`.
    pub(in crate::crd) SIDECAR {
        "workloadSelector": Holds::Of(&WORKLOAD_SELECTOR), "Which workloads; without it, those of the namespace.";
        "ingress": Holds::List(&Holds::Of(&INGRESS)), "Ports of the workload; others are passed through.",
            Fact::Default("the ports of its services");
        "egress": Holds::List(&Holds::Of(&EGRESS)), "What the workload may reach.", Fact::Default("all that is exported to it");
        "inboundConnectionPool": Holds::Of(&POOL), "Limits of connections to the workload.", Fact::Inert("");
        "outboundTrafficPolicy": Holds::Of(&OUTBOUND), "What becomes of calls to what is in no service.",
            Fact::Default("the mesh's");
    };

    /// An entry of `ingress`.
    pub(super) INGRESS {
        "port": Holds::Of(&PORT), "The port.", Fact::Required;
        "bind": Holds::Text, "Address that is listened on, with captureMode NONE. A unix socket is not served yet.",
            Fact::Default("all");
        "captureMode": CAPTURE, "Whether traffic for the port is captured, or the port is bound.", Fact::Default("DEFAULT");
        "defaultEndpoint": Holds::Text, "Where the application listens: 127.0.0.1:PORT, [::1]:PORT, 0.0.0.0:PORT or [::]:PORT (the address \
            of the workload), or `unix:///path`.", Fact::Default("127.0.0.1 and the port");
        "tls": Holds::Of(&SERVER_TLS), "TLS of clients that are not in the mesh.", Fact::Inert("the object is not in force");
        "connectionPool": Holds::Of(&POOL), "Limits of connections to the port.", Fact::Inert("");
    };

    EGRESS {
        "port": Holds::Of(&PORT), "The port that is listened on; without it, whatever no other has.";
        "bind": Holds::Text, "Address that is listened on. A unix socket is not served yet.",
            Fact::Default("127.0.0.1 with captureMode NONE, else all");
        "captureMode": CAPTURE, "Whether traffic for the port is captured, or the port is bound.", Fact::Default("DEFAULT");
        "hosts": Holds::List(&Holds::Text), "Hosts that may be reached, each `namespace/name`: `.` is the workload's namespace, `*` any, \
            `~` none; `~namespace/name` takes hosts out.", Fact::Required;
    };

    /// `port` of a listener.
    pub(super) PORT {
        "number": Holds::Whole(0, u32::MAX as i64), "Number of the port.";
        "protocol": Holds::Text, "HTTP, HTTP2, GRPC, GRPC-WEB, HTTPS, TLS, TCP, MONGO, MYSQL or REDIS; HTTP_PROXY is taken as HTTP, and said.",
            Fact::Default("found out for each connection");
        "name": Holds::Text, "Name of the port.";
        "targetPort": Holds::Whole(0, u32::MAX as i64), "Deprecated.", Fact::Inert("it never had an effect");
    };

    OUTBOUND {
        "mode": Holds::Word(&["REGISTRY_ONLY", "ALLOW_ANY"]), "Refused, or let through.", Fact::Default("REGISTRY_ONLY");
        "egressProxy": Holds::Of(&EGRESS_PROXY), "With ALLOW_ANY: where such calls go instead.";
    };

    EGRESS_PROXY {
        "host": Holds::Filled, "Host of the service; a name without dots is one of the namespace.", Fact::Required;
        "subset": Holds::Text, "Subset of the service.";
        "port": Holds::Of(&SELECTED), "Port of the service.", Fact::Default("its only one; validation wants it");
    };

    SELECTED {
        "number": Holds::Port, "The port.";
    };
}
