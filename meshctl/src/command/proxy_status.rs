//! Which proxies are connected to pilot, and how far each is with what it was sent.

use super::proxy_config::proxy_name;
use crate::{
    cli::ProxyStatusArgs,
    context::Context,
    remote::{self, FromPilot},
    report::{Report, Table},
};
use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// One client of pilot, as pilot reports it; what is missing is empty.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Client {
    /// Which pilot it is connected to; we know, it does not say.
    #[serde(skip)]
    pilot: String,
    /// `NAME.NAMESPACE`.
    proxy: String,
    cluster: String,
    namespace: String,
    version: String,
    kinds: BTreeMap<String, KindState>,
}

/// How far it is with one kind of parts.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct KindState {
    /// `synced`, `stale`, `refused`, `not sent`.
    status: String,
    sent: u64,
    acknowledged: u64,
    parts: u64,
    refused: BTreeMap<String, String>,
}

/// Lists all proxies, or the state of one.
pub(crate) fn run(args: &ProxyStatusArgs, context: &Context) -> Result<Report> {
    let answers = remote::pilot_clients(&args.xds, context)?;
    let wanted = args.proxy.as_deref().map(|proxy| proxy_name(proxy, context)).transpose()?;
    report(&answers, wanted.as_deref(), context.only_namespace(), args.verbosity)
}

fn report(answers: &[FromPilot], wanted: Option<&str>, namespace: Option<&str>, verbosity: u8) -> Result<Report> {
    let mut clients: Vec<(Client, &Value)> = Vec::new();
    for answer in answers {
        let list = answer.value.as_array().context("pilot's answer is not a list of clients")?;
        let of_pilot = |v| Some((Client { pilot: answer.pilot.clone(), ..Client::deserialize(v).ok()? }, v));
        clients.extend(list.iter().filter_map(of_pilot));
    }
    clients.sort_by(|a, b| a.0.proxy.cmp(&b.0.proxy));
    match wanted {
        Some(name) => {
            clients.retain(|(c, _)| c.proxy == name);
            match clients.last() {
                Some((client, value)) => Ok(Report::table(of_one(client), (*value).clone())),
                None => {
                    let pilots: Vec<&str> = answers.iter().map(|answer| &*answer.pilot).collect();
                    bail!("proxy {name:?} is not connected to {}", pilots.join(", "))
                }
            }
        }
        None => {
            clients.retain(|(c, _)| namespace.is_none_or(|ns| ns == c.namespace));
            let value = clients.iter().map(|(_, v)| (*v).clone()).collect();
            let clients: Vec<Client> = clients.into_iter().map(|(c, _)| c).collect();
            let table = if verbosity == 0 { short(&clients) } else { by_kind(&clients) };
            Ok(Report::table(table, value))
        }
    }
}

fn short(clients: &[Client]) -> Table {
    let mut table = Table::new(&["NAME", "CLUSTER", "ISTIOD", "VERSION", "SUBSCRIBED TYPES"]);
    for client in clients {
        let kinds: Vec<&str> = client.kinds.keys().map(String::as_str).collect();
        let types = match kinds.len() {
            0 => "0".to_owned(),
            count => format!("{count} ({})", kinds.join(",")),
        };
        let [proxy, cluster, pilot] = [&client.proxy, &client.cluster, &client.pilot].map(String::clone);
        table.push(vec![proxy, cluster, pilot, client.version.clone(), types]);
    }
    table
}

fn by_kind(clients: &[Client]) -> Table {
    let kinds: BTreeSet<&String> = clients.iter().flat_map(|c| c.kinds.keys()).collect();
    let mut header = vec!["NAME", "CLUSTER"];
    header.extend(kinds.iter().map(|k| k.as_str()));
    header.extend(["ISTIOD", "VERSION"]);
    let mut table = Table::new(&header);
    for client in clients {
        let mut row = vec![client.proxy.clone(), client.cluster.clone()];
        row.extend(kinds.iter().map(|kind| client.kinds.get(*kind).map_or("IGNORED".to_owned(), cell)));
        row.extend([client.pilot.clone(), client.version.clone()]);
        table.push(row);
    }
    table
}

fn cell(state: &KindState) -> String {
    match state.status.as_str() {
        "refused" => "ERROR".to_owned(),
        other => other.to_ascii_uppercase(),
    }
}

fn of_one(client: &Client) -> Table {
    let mut table = Table::new(&["TYPE", "STATUS", "SENT", "ACKNOWLEDGED", "PARTS", "REFUSED"]);
    for (kind, state) in &client.kinds {
        let refused: Vec<String> = state.refused.iter().map(|(name, reason)| format!("{name}: {reason}")).collect();
        table.push(vec![
            kind.clone(),
            cell(state),
            state.sent.to_string(),
            state.acknowledged.to_string(),
            state.parts.to_string(),
            if refused.is_empty() { "-".to_owned() } else { refused.join("; ") },
        ]);
    }
    table
}

#[cfg(test)]
mod tests;
