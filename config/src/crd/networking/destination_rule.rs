//! DestinationRule: how clients reach a service. One object; merging is the compiler's.

use super::{names, traffic_policy::traffic_policy};
use crate::kind::ObjectKind;
use crate::{
    crd::{
        Object, ParseContext,
        reader::{Fields, Item},
    },
    model::{Destination, Labels, Visibility, destination::Subset},
};
use std::{collections::BTreeSet, sync::Arc};

/// The whole rule.
pub(in crate::crd) fn destination_rule(
    object: &Object,
    f: &mut Fields<'_>,
    context: &ParseContext,
) -> Option<Destination> {
    let host = f.required("host").and_then(|item| names::service_host(&item, object, context));
    let workload_selector = f.object("workloadSelector", |f| Some(f.selector("matchLabels")));
    let visibility = visibility(f, object, context, workload_selector.as_ref());
    let policy = f.object("trafficPolicy", |f| traffic_policy(f)).unwrap_or_default();
    let mut known = BTreeSet::new();
    let subsets = f.list("subsets", |item| item.object(|f| subset(f, &mut known)));
    Some(Destination {
        object: ObjectKind::DestinationRule,
        name: object.name(),
        host: host?,
        precedence: object.precedence(),
        visibility: visibility?,
        workload_selector,
        policy,
        subsets,
    })
}

/// A rule for certain workloads is its own namespace's.
fn visibility(
    f: &mut Fields<'_>,
    object: &Object,
    context: &ParseContext,
    selector: Option<&Labels>,
) -> Option<Visibility> {
    let own = Visibility::Namespaces([(&*object.meta.namespace).into()].into());
    if selector.is_none() {
        return names::visibility(f, object, &context.default_destination_rule_export_to);
    }
    if names::visibility(f, object, &[".".into()])? != own {
        let wrong = "a rule with a workloadSelector is for its own namespace: leave exportTo out, or write \".\"";
        return f.item("exportTo")?.invalid(wrong);
    }
    Some(own)
}

fn subset(f: &mut Fields<'_>, known: &mut BTreeSet<Arc<str>>) -> Option<Subset> {
    let name = f.required("name").and_then(|item| subset_name(&item, known));
    let labels = names::labels(f, "labels");
    let policy = f.object("trafficPolicy", |f| traffic_policy(f)).unwrap_or_default();
    Some(Subset { name: name?, labels, policy })
}

fn subset_name(item: &Item<'_>, known: &mut BTreeSet<Arc<str>>) -> Option<Arc<str>> {
    let name = item.string()?;
    if !names::is_subset(&name) {
        return item.invalid(format!("{name:?} is not a valid subset name: use at most 63 letters, digits and dashes"));
    }
    if !known.insert(name.clone()) {
        return item.invalid(format!("subset {name} is listed twice"));
    }
    Some(name)
}
