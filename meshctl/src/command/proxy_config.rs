//! What one proxy is configured with, in istioctl's columns. From its admin port, from a file of the same form, or
//! from pilot: then it is what the proxy makes of what pilot gave it.

mod dump;
mod from_parts;
mod rows;

use crate::{
    cli::{ProxyConfigCommand, Target},
    context::Context,
    remote,
    report::Report,
    usage::Usage,
};
use anyhow::{Context as _, Result, bail};
use dump::Dump;
use rows::{ClusterFilter, EndpointFilter, ListenerFilter};
use serde_json::Value;

/// Path of the dump on the admin port.
const PATH: &str = "/debug/config_dump";

impl ProxyConfigCommand {
    /// Whose configuration, and from where.
    pub(crate) fn target(&self) -> &Target {
        match self {
            ProxyConfigCommand::Cluster { target, .. }
            | ProxyConfigCommand::Endpoint { target, .. }
            | ProxyConfigCommand::Listener { target, .. }
            | ProxyConfigCommand::Route { target, .. }
            | ProxyConfigCommand::Secret { target } => target,
        }
    }
}

/// Lists one section.
pub(crate) fn run(what: &ProxyConfigCommand, context: &Context) -> Result<Report> {
    let dump = fetch(what.target(), context)?;
    Ok(match what {
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
    })
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
