//! The tags that there are: those of webhooks, and those of Services alone.

use super::{Hooks, made};
use crate::{
    cluster::Cluster,
    command::install::write,
    context::Context,
    report::{Report, Table},
};
use anyhow::Result;
use kube::ResourceExt as _;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Tags with their revisions and namespaces.
pub(super) async fn report(context: &Context) -> Result<Report> {
    let cluster = Cluster::open(&context.kube).await?;
    let mut objects = Hooks::read(&cluster).await?.all;
    objects.extend(write::of_kind(&cluster, "Service", "istio.io/tag").await?);
    let tags =
        objects.iter().filter_map(|object| Some((made::revision(object).to_owned(), made::tag(object)?.to_owned())));
    let mut rows: BTreeMap<(String, String), Vec<String>> = tags.map(|key| (key, Vec::new())).collect();
    for (namespace, asked) in cluster.asking().await? {
        for ((_, tag), namespaces) in &mut rows {
            if *tag == asked {
                namespaces.push(namespace.name_any());
            }
        }
    }
    Ok(told(&rows))
}

/// Namespaces that ask for a tag.
pub(super) async fn users(tag: &str, cluster: &Cluster) -> Result<Vec<String>> {
    let asking = cluster.asking().await?.into_iter();
    let mut users: Vec<String> =
        asking.filter(|(_, asked)| asked == tag).map(|(namespace, _)| namespace.name_any()).collect();
    users.sort();
    Ok(users)
}

fn told(rows: &BTreeMap<(String, String), Vec<String>>) -> Report {
    let mut table = Table::new(&["TAG", "REVISION", "NAMESPACES"]).padded(1);
    let mut list: Vec<Value> = Vec::new();
    for ((revision, tag), namespaces) in rows {
        table.push(vec![tag.clone(), revision.clone(), namespaces.join(",")]);
        list.push(json!({ "tag": tag, "revision": revision, "namespaces": namespaces }));
    }
    match rows.is_empty() {
        true => Report::text("No Istio revision tags found.\n".to_owned(), Value::Array(list)),
        false => Report::table(table, Value::Array(list)),
    }
}
