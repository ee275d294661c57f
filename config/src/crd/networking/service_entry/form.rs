//! Form of a ServiceEntry.

use crate::crd::{
    form::{Fact, Holds, forms},
    networking::workload_entry::form::{PORT_RANGE, WORKLOAD_ENTRY, WORKLOAD_SELECTOR},
};

forms! {
    /// `spec`.
    pub(in crate::crd) SERVICE_ENTRY {
        "hosts": Holds::List(&Holds::Text), "Names of the service; a first label `*` stands for any.",
            Fact::Required, Fact::LeastEntries(1), Fact::MostEntries(256),
            Fact::Each(&[Fact::Rule("self != '*'", "hostname cannot be wildcard")]);
        "addresses": Holds::List(&Holds::Text), "Virtual addresses of the service, or blocks such as 10.1.0.0/16 with resolution NONE \
            or STATIC.",
            Fact::Default("one that the mesh picks, or none"), Fact::MostEntries(256), Fact::Each(&[Fact::MostLength(64)]);
        "ports": Holds::List(&Holds::Of(&PORT)), "Ports of the service.",
            Fact::MostEntries(256), Fact::KeyedBy("name"),
            Fact::Rule("self.all(a, self.exists_one(b, a.number == b.number))", "port number cannot be duplicated");
        "location": Holds::Word(&["MESH_EXTERNAL", "MESH_INTERNAL"]), "Whether the servers belong to the mesh.",
            Fact::Default("MESH_EXTERNAL");
        "resolution": Holds::Word(&["NONE", "STATIC", "DNS", "DNS_ROUND_ROBIN", "DYNAMIC_DNS"]),
            "How endpoints are found: connections go where they were going, to the endpoints' addresses, or to what names resolve to. \
            DYNAMIC_DNS is not served yet.",
            Fact::Default("NONE");
        "endpoints": Holds::List(&Holds::Of(&WORKLOAD_ENTRY)), "The servers. With DNS and none, the hosts are resolved.",
            Fact::MostEntries(4096);
        "workloadSelector": Holds::Of(&WORKLOAD_SELECTOR), "Pods and WorkloadEntries of the namespace that are the servers, instead of \
            endpoints.";
        "exportTo": Holds::List(&Holds::Text), "Namespaces that see the service: `.` its own, `*` all, `~` none.",
            Fact::Default("defaultServiceExportTo of MeshConfig");
        "subjectAltNames": Holds::List(&Holds::Text), "Names of which the servers' certificates must have one.";
    } with [
        Fact::Rule("!(has(self.workloadSelector) && has(self.endpoints))", "only one of WorkloadSelector or Endpoints can be set"),
        Fact::Rule(
            "!has(self.addresses) || !has(self.resolution) || self.resolution in ['NONE', 'STATIC'] || \
            !self.addresses.exists(address, address.contains('/'))",
            "CIDR addresses are allowed only for NONE/STATIC resolution types",
        ),
        Fact::Rule(
            "!has(self.endpoints) || size(self.endpoints) == 0 || (has(self.resolution) && self.resolution != 'NONE')",
            "NONE mode cannot set endpoints",
        ),
        Fact::Rule(
            "!has(self.endpoints) || size(self.endpoints) <= 1 || !has(self.resolution) || self.resolution != 'DNS_ROUND_ROBIN'",
            "DNS_ROUND_ROBIN mode cannot have multiple endpoints",
        ),
    ];

    PORT {
        "number": Holds::Port, "The port that clients call.", Fact::Required, PORT_RANGE;
        "name": Holds::Text, "Name of the port, unique here.", Fact::Required, Fact::MostLength(256);
        "protocol": Holds::Text, "HTTP, HTTP2, GRPC, GRPC-WEB, HTTPS, TLS, TCP, MONGO, MYSQL, REDIS or UDP.",
            Fact::Default("found out for each connection"), Fact::MostLength(256);
        "targetPort": Holds::Port, "Port of the servers.", Fact::Default("number"), PORT_RANGE;
    };
}
