//! WorkloadGroup: what the WorkloadEntries of workloads are made from that register themselves.

use super::workload_entry::form::{NO_PORTS_ON_SOCKETS, PORT_RANGE, WORKLOAD_ENTRY};
use crate::crd::{
    form::{self, Fact, Form, Holds, forms},
    node::Value,
    reader::{Fields, Item},
};

const NUMBER: Holds = Holds::Whole(0, i32::MAX as i64);

/// `template`: a WorkloadEntry without an address.
static TEMPLATE: Form = Form { fields: WORKLOAD_ENTRY.fields, together: &[NO_PORTS_ON_SOCKETS], rule: Some(template) };

forms! {
    /// `spec`.
    pub(in crate::crd) WORKLOAD_GROUP {
        "metadata": Holds::Of(&METADATA), "What each entry gets.";
        "template": Holds::Of(&TEMPLATE), "The entry; its address is the workload's.", Fact::Required;
        "probe": Holds::Of(&PROBE), "When a workload is healthy.";
    };

    METADATA {
        "labels": Holds::Labels, "Labels.", Fact::MostEntries(256);
        "annotations": Holds::Map(&Holds::Text), "Annotations.", Fact::MostEntries(256);
    };

    PROBE {
        "initialDelaySeconds": NUMBER, "How long after the start the first probe comes.", Fact::Signed, Fact::Least(0), Fact::Default("0");
        "timeoutSeconds": NUMBER, "How long a probe may take.", Fact::Signed, Fact::Least(0), Fact::Default("1");
        "periodSeconds": NUMBER, "How long it is from one to the next.", Fact::Signed, Fact::Least(0), Fact::Default("10");
        "successThreshold": NUMBER, "How many must succeed in a row.", Fact::Signed, Fact::Least(0), Fact::Default("1");
        "failureThreshold": NUMBER, "How many must fail in a row.", Fact::Signed, Fact::Least(0), Fact::Default("3");
        "httpGet": Holds::Of(&HTTP), "A request.";
        "tcpSocket": Holds::Of(&TCP), "A connection.";
        "exec": Holds::Of(&EXEC), "A command.";
        "grpc": Holds::Of(&GRPC), "A call of the health service.";
    } with [Fact::OneOf(&["httpGet", "tcpSocket", "exec", "grpc"])] => one_way;

    HTTP {
        "path": Holds::Text, "Path.", Fact::Default("/");
        "port": Holds::Port, "Port.", Fact::Required, PORT_RANGE;
        "host": Holds::Text, "Host that is dialled.", Fact::Default("the workload's address");
        "scheme": Holds::Judged(scheme), "HTTP or HTTPS.", Fact::Default("HTTP"),
            Fact::Rule("self in ['', 'HTTP', 'HTTPS']", "scheme must be one of [HTTP, HTTPS]");
        "httpHeaders": Holds::List(&Holds::Of(&HEADER)), "Headers.";
    };

    HEADER {
        "name": Holds::Judged(form::plain_header), "Name.", Fact::Pattern("^[-_A-Za-z0-9]+$");
        "value": Holds::Text, "Value.";
    };

    TCP {
        "host": Holds::Text, "Host that is dialled.", Fact::Default("localhost");
        "port": Holds::Port, "Port.", Fact::Required, PORT_RANGE;
    };

    EXEC {
        "command": Holds::List(&Holds::Filled), "Program and arguments.", Fact::Required, Fact::Each(&[Fact::LeastLength(1)]);
    } => command;

    GRPC {
        "port": Holds::Port, "Port.", PORT_RANGE;
        "service": Holds::Text, "Service that is asked about.";
    } => with_port;
}

fn template(f: &mut Fields<'_>) {
    if let Some(item) = f.item("address")
        && item.string().is_some_and(|address| !address.is_empty())
    {
        item.warn("no-effect", "has no effect: each workload has its own");
    }
}

fn one_way(f: &mut Fields<'_>) {
    let ways = ["httpGet", "tcpSocket", "exec", "grpc"];
    if ways.into_iter().filter(|way| f.has(way)).count() != 1 {
        f.one_is_required::<()>(&ways, format!("exactly one of {} must be set", ways.join(", ")));
    }
}

fn scheme(item: &Item<'_>) {
    if let Some(scheme) = item.string().filter(|scheme| !["", "HTTP", "HTTPS"].contains(&&**scheme)) {
        item.invalid::<()>(format!("{scheme:.20?} is neither HTTP nor HTTPS"));
    }
}

fn with_port(f: &mut Fields<'_>) {
    f.required("port");
}

fn command(f: &mut Fields<'_>) {
    if let Some(item) = f.item("command")
        && item.node().value == Value::Seq(Vec::new())
    {
        item.invalid::<()>("a command is required");
    }
}
