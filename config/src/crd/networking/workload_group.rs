//! WorkloadGroup: what the WorkloadEntries of workloads are made from that register themselves.

use crate::crd::{
    form::{Holds, forms},
    reader::{Fields, Item},
};

const NUMBER: Holds = Holds::Whole(0, i32::MAX as i64);

forms! {
    /// `spec`.
    pub(in crate::crd) WORKLOAD_GROUP {
        "metadata": Holds::Of(&METADATA), "What each entry gets.";
        "template": Holds::Of(&TEMPLATE), "The entry; its address is the workload's.";
        "probe": Holds::Of(&PROBE), "When a workload is healthy.";
    } => workload_group;

    METADATA {
        "labels": Holds::Labels, "Labels.";
        "annotations": Holds::Map(&Holds::Text), "Annotations.";
    };

    TEMPLATE {
        "address": Holds::Text, "Must be left out.";
        "ports": Holds::Map(&Holds::Port), "Ports by the names that the service has for them.";
        "labels": Holds::Labels, "Labels.";
        "network": Holds::Text, "Network that the workload is in.";
        "locality": Holds::Text, "Where it is: region/zone/subzone.";
        "weight": Holds::Whole(0, u32::MAX as i64), "Its share of the requests.";
        "serviceAccount": Holds::Text, "Account that it proves.";
    } => template;

    PROBE {
        "initialDelaySeconds": NUMBER, "How long after the start the first probe comes.";
        "timeoutSeconds": NUMBER, "How long a probe may take.";
        "periodSeconds": NUMBER, "How long it is from one to the next.";
        "successThreshold": NUMBER, "How many must succeed in a row.";
        "failureThreshold": NUMBER, "How many must fail in a row.";
        "httpGet": Holds::Of(&HTTP), "A request.";
        "tcpSocket": Holds::Of(&TCP), "A connection.";
        "exec": Holds::Of(&EXEC), "A command.";
        "grpc": Holds::Of(&GRPC), "A call of the health service.";
    } => one_way;

    HTTP {
        "path": Holds::Text, "Path.";
        "port": Holds::Port, "Port.";
        "host": Holds::Text, "Host that is dialled.";
        "scheme": Holds::Word(&["HTTP", "HTTPS"]), "Scheme.";
        "httpHeaders": Holds::List(&Holds::Of(&HEADER)), "Headers.";
    } => with_port;

    HEADER {
        "name": Holds::Text, "Name.";
        "value": Holds::Text, "Value.";
    };

    TCP {
        "host": Holds::Text, "Host that is dialled.";
        "port": Holds::Port, "Port.";
    } => with_port;

    EXEC {
        "command": Holds::List(&Holds::Text), "Program and arguments.";
    } => command;

    GRPC {
        "port": Holds::Port, "Port.";
        "service": Holds::Text, "Service that is asked about.";
    } => with_port;
}

fn workload_group(f: &mut Fields<'_>) {
    f.required("template");
}

fn template(f: &mut Fields<'_>) {
    if let Some(item) = f.item("address")
        && item.string().is_some_and(|address| !address.is_empty())
    {
        item.invalid::<()>("must not be set: each workload has its own");
    }
}

fn one_way(f: &mut Fields<'_>) {
    let ways = ["httpGet", "tcpSocket", "exec", "grpc"];
    if ways.into_iter().filter(|way| f.has(way)).count() != 1 {
        f.one_is_required::<()>(&ways, format!("exactly one of {} must be set", ways.join(", ")));
    }
}

fn with_port(f: &mut Fields<'_>) {
    f.required("port");
}

fn command(f: &mut Fields<'_>) {
    let program = |item: &Item<'_>| item.node().as_str().is_some_and(|text| !text.is_empty());
    if !f.list("command", |item| Some(program(&item))).first().copied().unwrap_or_default() {
        f.one_is_required::<()>(&["command"], "a command is required");
    }
}
