//! EnvoyFilter: patches of Envoy's configuration. Nothing here is Envoy, so none is acted on.

use super::{
    matching::repeats_a_repetition,
    workload_entry::form::{PORT_RANGE, WORKLOAD_SELECTOR},
};
use crate::crd::{
    form::{Fact, Holds, forms},
    reader::{Fields, Item},
    target::{self, REFERENCE},
};
use crate::matcher;

const PLACES: [&str; 12] = [
    "INVALID",
    "LISTENER",
    "FILTER_CHAIN",
    "NETWORK_FILTER",
    "HTTP_FILTER",
    "ROUTE_CONFIGURATION",
    "VIRTUAL_HOST",
    "HTTP_ROUTE",
    "CLUSTER",
    "EXTENSION_CONFIG",
    "BOOTSTRAP",
    "LISTENER_FILTER",
];
/// What HTTP filters stand in.
const CONNECTION_MANAGERS: [&str; 2] =
    ["envoy.filters.network.http_connection_manager", "envoy.http_connection_manager"];
const CONTEXTS: Holds = Holds::Word(&["ANY", "SIDECAR_INBOUND", "SIDECAR_OUTBOUND", "GATEWAY", "WAYPOINT"]);
const OPERATIONS: Holds = Holds::Word(&[
    "INVALID",
    "MERGE",
    "ADD",
    "REMOVE",
    "INSERT_BEFORE",
    "INSERT_AFTER",
    "INSERT_FIRST",
    "REPLACE",
    "MERGE_AND_REPLACE_LIST",
]);
const PORT: Holds = Holds::Whole(0, 65_535);

forms! {
    /// `spec`.
    pub(in crate::crd) ENVOY_FILTER {
        "workloadSelector": Holds::Of(&WORKLOAD_SELECTOR), "Which workloads; without it, those of the namespace.";
        "targetRefs": Holds::List(&Holds::Of(&REFERENCE)), "What it is for, instead of a selector.", Fact::MostEntries(16);
        "configPatches": Holds::List(&Holds::Of(&CONFIG_PATCH)), "The patches, in order.";
        "priority": Holds::Whole(i32::MIN as i64, i32::MAX as i64), "Order among filters: the lesser comes first.",
            Fact::Default("0");
    } with [Fact::Rule(
        "!(has(self.targetRefs) && has(self.workloadSelector))",
        "only one of targetRefs or workloadSelector can be set",
    )] => target::one_way;

    CONFIG_PATCH {
        "applyTo": Holds::Word(&PLACES), "What is patched.";
        "match": Holds::Of(&OBJECT_MATCH), "Which of them.";
        "patch": Holds::Of(&PATCH), "The patch.";
    } => config_patch;

    OBJECT_MATCH {
        "context": CONTEXTS, "Of which proxies.";
        "proxy": Holds::Of(&PROXY), "Of which versions and metadata of proxies.";
        "listener": Holds::Of(&LISTENER), "Which listener, chain and filter.";
        "routeConfiguration": Holds::Of(&ROUTES), "Which routes.";
        "cluster": Holds::Of(&CLUSTER), "Which cluster.";
        "waypoint": Holds::Of(&WAYPOINT), "Which part of a waypoint.";
    } with [
        Fact::OneOf(&["listener", "routeConfiguration", "cluster", "waypoint"]),
        Fact::Rule(
            "has(self.waypoint) == (has(self.context) && self.context == 'WAYPOINT')",
            "only support waypointMatch when context is WAYPOINT",
        ),
    ] => one_object;

    PROXY {
        "proxyVersion": Holds::Judged(expression), "Regular expression for the version.";
        "metadata": Holds::Map(&Holds::Text), "Metadata that a proxy must have.";
    };

    LISTENER {
        "portNumber": PORT, "Its port.";
        "portName": Holds::Text, "Name of its port.";
        "name": Holds::Text, "Its name.";
        "listenerFilter": Holds::Text, "A listener filter by name.";
        "filterChain": Holds::Of(&FILTER_CHAIN), "A filter chain.";
    };

    FILTER_CHAIN {
        "name": Holds::Text, "Its name.";
        "sni": Holds::Text, "Server name that it matches.";
        "transportProtocol": Holds::Text, "Transport protocol that it matches.";
        "applicationProtocols": Holds::Text, "Application protocols that it matches, separated by commas.";
        "destinationPort": PORT, "Port that it matches.";
        "filter": Holds::Of(&FILTER), "A filter of it.";
        "transportSocket": Holds::Text, "Its transport socket.";
    };

    FILTER {
        "name": Holds::Text, "Its name.";
        "subFilter": Holds::Of(&NAMED), "A filter within it.";
    } => filter;

    NAMED {
        "name": Holds::Text, "Its name.";
    };

    ROUTES {
        "portNumber": PORT, "Port that they are for.";
        "portName": Holds::Text, "Name of that port.";
        "gateway": Holds::Text, "Gateway that they are for, namespace/name.";
        "name": Holds::Text, "Name of the route configuration.";
        "vhost": Holds::Of(&VIRTUAL_HOST), "A virtual host.";
    };

    VIRTUAL_HOST {
        "name": Holds::Text, "Its name.";
        "domainName": Holds::Text, "A domain of it.";
        "route": Holds::Of(&ROUTE), "A route of it.";
    };

    ROUTE {
        "name": Holds::Text, "Its name.";
        "action": Holds::Word(&["ANY", "ROUTE", "REDIRECT", "DIRECT_RESPONSE"]), "What it does.";
    };

    CLUSTER {
        "portNumber": PORT, "Port of the service.";
        "service": Holds::Text, "Host of the service.";
        "subset": Holds::Text, "Subset of the service.";
        "name": Holds::Text, "Name of the cluster.";
    };

    WAYPOINT {
        "portNumber": PORT, "Port of the service.", PORT_RANGE;
        "filter": Holds::Of(&FILTER), "A filter.";
        "route": Holds::Of(&NAMED), "A route.";
    };

    PATCH {
        "operation": OPERATIONS, "What is done.";
        "value": Holds::Struct, "What is put in: a message of Envoy as JSON.";
        "filterClass": Holds::Word(&["UNSPECIFIED", "AUTHN", "AUTHZ", "STATS"]), "Where a new filter goes.";
    } => patch;
}

fn config_patch(f: &mut Fields<'_>) {
    f.required("patch");
    let Some(place) = f.required("applyTo") else { return };
    if place.node().as_str() == Some("INVALID") {
        place.invalid::<()>("must say what is patched");
        return;
    }
    let Some(place) = place.string() else { return };
    let object = match &*place {
        "LISTENER" | "FILTER_CHAIN" | "NETWORK_FILTER" | "HTTP_FILTER" => Some("listener"),
        "ROUTE_CONFIGURATION" | "VIRTUAL_HOST" | "HTTP_ROUTE" => Some("routeConfiguration"),
        "CLUSTER" => Some("cluster"),
        _ => None,
    };
    f.object("match", |f| {
        for other in ["listener", "routeConfiguration", "cluster"] {
            if object.is_some_and(|object| object != other) && f.has(other) {
                f.invalid::<()>(format!("{place} cannot be matched by {other}"));
            }
        }
        let sub_filter = f.item("listener").and_then(|l| l.node().get("filterChain")?.get("filter")?.get("subFilter"));
        if sub_filter.is_some() && &*place != "HTTP_FILTER" {
            f.invalid::<()>("a subFilter is for applyTo HTTP_FILTER alone");
        }
        f.ignore_rest();
        Some(())
    });
    f.object("patch", |f| {
        let operation = f.opt_string("operation").unwrap_or_default();
        if &*operation == "REPLACE" && !["HTTP_FILTER", "NETWORK_FILTER", "LISTENER_FILTER"].contains(&&*place) {
            f.warn("no-effect", "REPLACE is for filters alone");
        }
        if f.opt_string("filterClass").is_some_and(|class| &*class != "UNSPECIFIED") && &*place != "HTTP_FILTER" {
            f.warn("no-effect", "filterClass is for applyTo HTTP_FILTER alone");
        }
        f.ignore_rest();
        Some(())
    });
}

fn patch(f: &mut Fields<'_>) {
    if let Some(item) = f.item("value") {
        value(&item);
    }
    match f.opt_string("operation").as_deref() {
        None | Some("INVALID") => drop(f.one_is_required::<()>(&["operation"], "operation must say what is done")),
        Some("REMOVE") => {}
        Some(operation) if !f.has("value") => {
            f.one_is_required::<()>(&["value"], format!("{operation} needs a value"));
        }
        Some(_) => {}
    }
}

fn one_object(f: &mut Fields<'_>) {
    let objects = ["listener", "routeConfiguration", "cluster", "waypoint"];
    let there: Vec<&str> = objects.into_iter().filter(|name| f.has(name)).collect();
    if there.len() > 1 {
        f.invalid::<()>(format!("only one of {} may be set", there.join(" and ")));
    }
    let is_waypoint = f.opt_string("context").as_deref() == Some("WAYPOINT");
    if is_waypoint != f.has("waypoint") {
        f.invalid::<()>("context WAYPOINT and a match of waypoint go together");
    }
}

fn filter(f: &mut Fields<'_>) {
    let name = f.opt_string("name").unwrap_or_default();
    if name.is_empty() {
        f.one_is_required::<()>(&["name"], "name is required: which filter it is");
    }
    if let Some(item) = f.item("subFilter") {
        if !name.is_empty() && !CONNECTION_MANAGERS.contains(&&*name) {
            f.invalid::<()>(format!("a subFilter stands within {} alone", CONNECTION_MANAGERS[0]));
        }
        if item.node().get("name").and_then(|name| name.as_str()).is_none_or(str::is_empty) {
            item.invalid::<()>("name is required: which filter it is");
        }
    }
}

fn expression(item: &Item<'_>) {
    let Some(text) = item.string() else { return };
    if repeats_a_repetition(&text) {
        item.invalid::<()>("is no regular expression: it repeats what is a repetition already");
    } else if let Err(error) = matcher::expression(&text) {
        let reason = error.to_string();
        item.invalid::<()>(format!("is no regular expression: {}", reason.lines().last().unwrap_or(&reason)));
    }
}

/// Envoy's own messages are not known here, but each of them calls its name by a text.
fn value(item: &Item<'_>) {
    item.map(|key, item| {
        if key == "name" {
            item.string();
        }
        None::<()>
    });
}
