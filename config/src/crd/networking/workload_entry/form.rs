//! Forms of workloads: WorkloadEntry, also where it stands inside other objects, and the selectors for workloads that
//! traffic objects have.

use crate::crd::{
    form::{Fact, Holds, forms},
    reader::Fields,
};
use crate::model::Labels;

/// What API servers are told about a port.
pub(in crate::crd::networking) const PORT_RANGE: Fact =
    Fact::Rule("self >= 1 && self <= 65535", "port must be between 1-65535");

/// What API servers are told about a unix socket, whatever else an entry must have.
pub(in crate::crd::networking) const NO_PORTS_ON_SOCKETS: Fact = Fact::Rule(
    "!has(self.address) || !self.address.startsWith('unix://') || !has(self.ports)",
    "UDS may not include ports",
);

forms! {
    /// `spec` of a WorkloadEntry, an endpoint of a ServiceEntry.
    pub(in crate::crd) WORKLOAD_ENTRY {
        "address": Holds::Text, "Where the workload listens: an IP address, a DNS name where the service's resolution is DNS, or \
            `unix:///path` or `unix://@name`. May be left out beside a network.",
            Fact::MostLength(256),
            Fact::Rule("!self.startsWith('unix://') || self.substring(7).startsWith('/') || self.substring(7).startsWith('@')",
                "UDS must be an absolute path or abstract socket"),
            Fact::Rule("!self.startsWith('unix://') || !self.endsWith('/')", "UDS may not be a dir");
        "ports": Holds::Map(&Holds::Port), "Port of the workload for each port of the service, by the port's name there.",
            Fact::Default("the service's target port"),
            Fact::MostEntries(128), Fact::Each(&[PORT_RANGE]),
            Fact::Rule("self.all(name, size(name) < 63 && name.matches('^[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?$'))",
                "port name must be valid");
        "labels": Holds::Labels, "Labels of the workload.", Fact::MostEntries(256);
        "network": Holds::Text, "Network that the workload is in. It does not influence balancing yet.", Fact::Default("one flat network"), Fact::MostLength(2048);
        "locality": Holds::Text, "Where the workload runs: `region/zone/subzone`. It does not influence balancing yet.", Fact::MostLength(2048);
        "weight": Holds::Whole(0, u32::MAX as i64), "Its share of the requests, relative to others.", Fact::Default("1");
        "serviceAccount": Holds::Text, "Service account that the workload proves to be.", Fact::MostLength(253);
    } with [
        Fact::Rule("has(self.address) || has(self.network)", "Address is required"),
        NO_PORTS_ON_SOCKETS,
    ];

    /// `workloadSelector` of traffic objects.
    pub(in crate::crd::networking) WORKLOAD_SELECTOR {
        "labels": Holds::Map(&Holds::Text), "Labels that a workload must have, all of them.",
            Fact::MostEntries(256),
            Fact::Each(&[Fact::MostLength(63), Fact::Rule("!self.contains('*')", "wildcard is not supported in selector")]);
    } => checked;
}

/// What a `workloadSelector` selects by.
pub(in crate::crd::networking) fn labels(f: &mut Fields<'_>) -> Labels {
    let labels = f.selector("labels");
    if labels.is_empty() {
        f.warn("no-effect", "has no labels: it selects every workload of the namespace");
    }
    labels
}

fn checked(f: &mut Fields<'_>) {
    labels(f);
}
