//! What one proxy is configured with, in istioctl's columns. From its admin port, from a file of the same form, or
//! from pilot: then it is what the proxy makes of what pilot gave it.

mod all;
mod dump;
mod from_parts;
mod rows;

use super::log_level;
use crate::{
    cli::{ProxyConfigCommand, Target},
    context::Context,
    remote,
    report::Report,
    usage::Usage,
};
use all::Section;
use anyhow::{Context as _, Result, bail};
use dump::Dump;
use rows::{ClusterFilter, EndpointFilter, ListenerFilter};
use serde_json::Value;

/// Path of the dump on the admin port.
const PATH: &str = "/debug/config_dump";

impl ProxyConfigCommand {
    /// In which form it is shown.
    pub(crate) fn output(&self) -> &str {
        match self {
            ProxyConfigCommand::Log(args) => &args.output,
            other => other.target().map_or("", |target| &target.output),
        }
    }

    /// Whose configuration, and from where; of the log nothing is configuration.
    fn target(&self) -> Option<&Target> {
        match self {
            ProxyConfigCommand::Cluster { target, .. }
            | ProxyConfigCommand::Endpoint { target, .. }
            | ProxyConfigCommand::Listener { target, .. }
            | ProxyConfigCommand::Route { target, .. }
            | ProxyConfigCommand::Secret { target }
            | ProxyConfigCommand::All { target, .. } => Some(target),
            ProxyConfigCommand::Log(_) => None,
        }
    }
}

/// Lists one section, or all; or has to do with the log.
pub(crate) fn run(what: &ProxyConfigCommand, context: &Context) -> Result<Report> {
    match (what, what.target()) {
        (ProxyConfigCommand::Log(args), _) => log_level::of_proxies(args, context),
        (ProxyConfigCommand::All { .. }, Some(target)) => every(what, fetch(target, context)?),
        (_, Some(target)) => Ok(section(what, fetch(target, context)?)),
        (_, None) => unreachable!("only the log has no target"),
    }
}

fn section(what: &ProxyConfigCommand, dump: Dump) -> Report {
    match what {
        ProxyConfigCommand::Cluster { fqdn, direction, subset, port, .. } => {
            let filter = ClusterFilter { texts: [fqdn, direction, subset].map(|t| t.as_deref()), port: *port };
            rows::clusters(dump.clusters, &filter)
        }
        ProxyConfigCommand::Endpoint { address, port, cluster, status, .. } => {
            let [address, cluster, status] = [address, cluster, status].map(|t| t.as_deref());
            rows::endpoints(dump.endpoints, &EndpointFilter { address, port: *port, cluster, status })
        }
        ProxyConfigCommand::Listener { address, port, kind, verbose, .. } => {
            let filter = ListenerFilter { address: address.as_deref(), port: *port, kind: kind.as_deref() };
            rows::listeners(dump.listeners, &filter, *verbose)
        }
        ProxyConfigCommand::Route { name, verbose, .. } => rows::routes(dump.routes, name.as_deref(), *verbose),
        ProxyConfigCommand::Secret { .. } => rows::secrets(dump.secrets),
        ProxyConfigCommand::All { .. } | ProxyConfigCommand::Log(_) => unreachable!("it is no section"),
    }
}

/// All sections, each with the filters that are of it.
fn every(what: &ProxyConfigCommand, dump: Dump) -> Result<Report> {
    let ProxyConfigCommand::All { filters, with_headers, .. } = what else { unreachable!("it was looked at before") };
    let value = serde_json::to_value(&dump).context("cannot write JSON")?;
    let [fqdn, direction, subset] = [&filters.fqdn, &filters.direction, &filters.subset].map(|text| text.as_deref());
    let (address, port, kind) = (filters.address.as_deref(), filters.port, filters.kind.as_deref());
    let clusters = rows::clusters(dump.clusters, &ClusterFilter { texts: [fqdn, direction, subset], port });
    let listeners = rows::listeners(dump.listeners, &ListenerFilter { address, port, kind }, filters.verbose);
    let endpoints = EndpointFilter { address, port, cluster: None, status: None };
    let endpoints = rows::endpoints(dump.endpoints, &endpoints);
    let routes = rows::routes(dump.routes, filters.name.as_deref(), filters.verbose);
    let section = |title, word, column, report| Section { title, word, column, called: "NAME", report };
    let secrets = section("SECRET", "secret/", "RESOURCE NAME", rows::secrets(dump.secrets));
    let sections = [
        section("CLUSTER", "cluster/", "SERVICE FQDN", clusters),
        section("LISTENER", "listener/", "ADDRESSES", listeners),
        section("ROUTE", "route/", "NAME", routes),
        Section { called: "RESOURCE NAME", ..secrets },
        section("ENDPOINTS", "endpoint/", "ENDPOINT", endpoints),
    ];
    Ok(Report::text(all::text(&sections, *with_headers)?, value))
}

fn fetch(target: &Target, context: &Context) -> Result<Dump> {
    if let Some(file) = &target.file {
        let text = match file.as_os_str() == "-" {
            true => std::io::read_to_string(std::io::stdin()).context("cannot read standard input")?,
            false => std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?,
        };
        let value: Value = serde_json::from_str(&text).with_context(|| format!("{} is not JSON", file.display()))?;
        return Dump::read(&value).with_context(|| format!("{} is not a configuration dump", file.display()));
    }
    if let Some(admin) = &target.admin {
        let value = remote::admin_json(admin, PATH, target.xds.timeout)?;
        return Dump::read(&value)
            .with_context(|| format!("what http://{admin}{PATH} answered is not a configuration dump"));
    }
    let named = "no proxy to ask: name its pod, [TYPE/]NAME[.NAMESPACE], or give --admin HOST:PORT or --file FILE";
    let proxy = target.proxy.as_deref().ok_or_else(|| Usage::new(named))?;
    if target.xds.xds_address.is_none() {
        let value = remote::pod_json(proxy, target.proxy_admin_port, PATH, target.xds.timeout, context)?;
        return Dump::read(&value)
            .with_context(|| format!("what proxy {proxy} answered to {PATH} is not a configuration dump"));
    }
    let answer = remote::pilot_config(&target.xds, context, &proxy_name(proxy, context)?)?.value;
    match Dump::read(&answer) {
        Some(dump) => Ok(dump),
        None => from_parts::dump(&answer),
    }
}

/// `[pod/]NAME[.NAMESPACE]` as pilot knows it.
pub(crate) fn proxy_name(text: &str, context: &Context) -> Result<String> {
    let name = match text.split_once('/') {
        None => text,
        Some(("pod" | "pods" | "po", name)) => name,
        Some((kind, _)) => {
            bail!(Usage::new(format!("{kind} {text:?} can only be looked up in a cluster; name the proxy itself")))
        }
    };
    Ok(match name.contains('.') {
        true => name.to_owned(),
        false => format!("{name}.{}", context.namespace()),
    })
}
