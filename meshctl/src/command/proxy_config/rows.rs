//! Filters, order and cells of the tables; the same entries as JSON.

use super::dump::{Cluster, Endpoint, Listener, Route, Secret};
use crate::report::{Report, Table};
use serde::Serialize;
use serde_json::Value;
use std::{cmp::Reverse, collections::BTreeMap};

fn value_of<T: Serialize>(list: &[T]) -> Value {
    serde_json::to_value(list).expect("plain data with text keys")
}

fn dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

fn number(port: u16) -> String {
    if port == 0 { "-".to_owned() } else { port.to_string() }
}

/// `NAMESPACE/NAME` as istioctl writes it, `NAME.NAMESPACE`.
fn dotted(object: &str) -> String {
    match object.split_once('/') {
        Some((namespace, name)) => format!("{name}.{namespace}"),
        None => object.to_owned(),
    }
}

/// What passes through a listener; told from its destination where the proxy says only which way it is for.
fn passes(listener: &Listener) -> &str {
    match listener.kind.as_str() {
        kind @ ("HTTP" | "TCP" | "HTTP+TCP" | "UNKNOWN") => kind,
        _ if listener.destination.starts_with("Route:") => "HTTP",
        _ if listener.destination.starts_with("Cluster: inbound") => "HTTP+TCP",
        _ if listener.destination.starts_with("Cluster:") => "TCP",
        _ => "UNKNOWN",
    }
}

/// On clusters: parts of the whole name.
pub(super) struct ClusterFilter<'a> {
    pub(super) texts: [Option<&'a str>; 3],
    /// 0: all.
    pub(super) port: u16,
}

/// `pc cluster`.
pub(super) fn clusters(mut list: Vec<Cluster>, filter: &ClusterFilter<'_>) -> Report {
    if list.is_empty() {
        return Report::text("no clusters found\n".into(), Value::Array(Vec::new()));
    }
    let in_name = |c: &Cluster, text: &str| c.name.to_ascii_lowercase().contains(&text.to_ascii_lowercase());
    list.retain(|c| {
        filter.texts.iter().flatten().all(|text| in_name(c, text))
            && (filter.port == 0 || c.name.contains(&format!("|{}|", filter.port)))
    });
    list.sort_by(|a, b| (&a.fqdn, &a.subset, a.port, &a.direction).cmp(&(&b.fqdn, &b.subset, b.port, &b.direction)));
    let mut table = Table::new(&["SERVICE FQDN", "PORT", "SUBSET", "DIRECTION", "TYPE", "DESTINATION RULE"]);
    for c in &list {
        table.push(vec![
            c.fqdn.clone(),
            number(c.port),
            dash(&c.subset),
            dash(&c.direction),
            c.kind.clone(),
            dotted(&c.destination_rule),
        ]);
    }
    Report::table(table, value_of(&list))
}

/// On endpoints: whole texts, without case.
pub(super) struct EndpointFilter<'a> {
    pub(super) address: Option<&'a str>,
    /// 0: all.
    pub(super) port: u16,
    pub(super) cluster: Option<&'a str>,
    pub(super) status: Option<&'a str>,
}

/// `pc endpoint`.
pub(super) fn endpoints(mut list: Vec<Endpoint>, filter: &EndpointFilter<'_>) -> Report {
    let is = |wanted: Option<&str>, text: &str| wanted.is_none_or(|w| w.eq_ignore_ascii_case(text));
    list.retain(|e| {
        is(filter.address, &e.address)
            && is(filter.cluster, &e.cluster)
            && is(filter.status, &e.status)
            && (filter.port == 0 || filter.port == e.port)
    });
    list.sort_by(|a, b| (&a.address, a.port, &a.cluster).cmp(&(&b.address, b.port, &b.cluster)));
    let mut table = Table::new(&["ENDPOINT", "STATUS", "OUTLIER CHECK", "CLUSTER"]);
    for e in &list {
        let place = match e.port {
            0 => e.address.clone(),
            port if e.address.contains(':') => format!("[{}]:{port}", e.address),
            port => format!("{}:{port}", e.address),
        };
        table.push(vec![place, e.status.clone(), dash(&e.outlier), e.cluster.clone()]);
    }
    Report::table(table, value_of(&list))
}

/// On listeners, without case.
pub(super) struct ListenerFilter<'a> {
    pub(super) address: Option<&'a str>,
    /// 0: all.
    pub(super) port: u16,
    pub(super) kind: Option<&'a str>,
}

/// `pc listener`.
pub(super) fn listeners(mut list: Vec<Listener>, filter: &ListenerFilter<'_>, verbose: bool) -> Report {
    if list.is_empty() {
        return Report::text("no listeners found\n".into(), Value::Array(Vec::new()));
    }
    let is = |wanted: Option<&str>, text: &str| wanted.is_none_or(|w| w.eq_ignore_ascii_case(text));
    list.retain(|l| {
        is(filter.address, &l.address) && is(filter.kind, passes(l)) && (filter.port == 0 || filter.port == l.port)
    });
    list.sort_by(|a, b| {
        (a.port, &a.address, passes(a), Reverse(&a.destination)).cmp(&(
            b.port,
            &b.address,
            passes(b),
            Reverse(&b.destination),
        ))
    });
    if verbose {
        let mut table = Table::new(&["ADDRESSES", "PORT", "MATCH", "DESTINATION"]).padded(1);
        for l in &list {
            let matches = if l.matches.is_empty() { "ALL" } else { &l.matches };
            table.push(vec![l.address.clone(), l.port.to_string(), matches.to_owned(), l.destination.clone()]);
        }
        return Report::table(table, value_of(&list));
    }
    let mut table = Table::new(&["ADDRESSES", "PORT", "TYPE"]).padded(1);
    let mut sockets: Vec<Vec<String>> =
        list.iter().map(|l| vec![l.address.clone(), l.port.to_string(), passes(l).to_owned()]).collect();
    sockets.dedup();
    sockets.into_iter().for_each(|row| table.push(row));
    Report::table(table, value_of(&list))
}

/// `pc route`.
pub(super) fn routes(mut list: Vec<Route>, name: Option<&str>, verbose: bool) -> Report {
    if list.is_empty() {
        return Report::text("no routes found\n".into(), Value::Array(Vec::new()));
    }
    list.retain(|r| name.is_none_or(|n| n == r.name));
    // Numbers ascending, then names; the routes of a virtual host stay in their order.
    let rank = |r: &Route| (r.name.parse::<u32>().unwrap_or(u32::MAX), r.name.clone(), r.virtual_host.clone());
    list.sort_by_cached_key(rank);
    let value = value_of(&list);
    if verbose {
        let mut table = Table::new(&["NAME", "VHOST NAME", "DOMAINS", "MATCH", "VIRTUAL SERVICE"]);
        for r in &list {
            table.push(vec![
                r.name.clone(),
                r.virtual_host.clone(),
                domains(&r.domains),
                r.matches.clone(),
                dotted(&r.object),
            ]);
        }
        return Report::table(table, value);
    }
    let mut counts: BTreeMap<(u32, &str), Vec<&str>> = BTreeMap::new();
    for r in &list {
        let hosts = counts.entry((r.name.parse().unwrap_or(u32::MAX), &r.name)).or_default();
        if hosts.last() != Some(&r.virtual_host.as_str()) {
            hosts.push(&r.virtual_host);
        }
    }
    let mut table = Table::new(&["NAME", "VIRTUAL HOSTS"]);
    counts.into_iter().for_each(|((_, name), hosts)| table.push(vec![name.to_owned(), hosts.len().to_string()]));
    Report::table(table, value)
}

/// Two and how many more, without the forms that say the same: with port, with a dot behind, `name.namespace.svc`.
fn domains(all: &[String]) -> String {
    let doubled = |d: &str| d.strip_suffix(".svc").is_some_and(|short| all.iter().any(|other| other == short));
    let with_port = |d: &str| d.rsplit_once(':').is_some_and(|(_, p)| p.parse::<u16>().is_ok() && !d.starts_with('['));
    let shown: Vec<&str> =
        all.iter().map(String::as_str).filter(|d| !with_port(d) && !d.ends_with('.') && !doubled(d)).collect();
    match &shown[..] {
        [a, b, _, ..] => format!("{a}, {b} + {} more...", shown.len() - 2),
        few => few.join(", "),
    }
}

/// `pc secret`.
pub(super) fn secrets(list: Vec<Secret>) -> Report {
    if list.is_empty() {
        return Report::text("No active or warming secrets found.\n".into(), Value::Array(Vec::new()));
    }
    let mut header = vec!["RESOURCE NAME", "TYPE", "STATUS", "VALID CERT", "SERIAL NUMBER", "NOT AFTER", "NOT BEFORE"];
    let with_domain = list.iter().all(|s| !s.trust_domain.is_empty());
    if with_domain {
        header.push("TRUST DOMAIN");
    }
    let mut table = Table::new(&header);
    for s in &list {
        let mut row = vec![
            s.name.clone(),
            s.kind.clone(),
            s.status.clone(),
            s.valid.to_string(),
            s.serial.clone(),
            s.not_after.clone(),
            s.not_before.clone(),
        ];
        if with_domain {
            row.push(s.trust_domain.clone());
        }
        table.push(row);
    }
    Report::table(table, value_of(&list))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_shortened() {
        let check = |all: &[&str], want: &str| {
            let all: Vec<String> = all.iter().map(|d| d.to_string()).collect();
            assert_eq!(domains(&all), want);
        };
        check(&["*"], "*");
        check(&["a.b.svc.cluster.local", "a.b.svc.cluster.local:80", "a"], "a.b.svc.cluster.local, a");
        check(
            &["a.b.svc.cluster.local", "a.b.svc.cluster.local.", "a", "a.b.svc", "a.b", "10.0.0.1"],
            "a.b.svc.cluster.local, a + 2 more...",
        );
    }
}
