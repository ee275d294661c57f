//! DestinationRules of one namespace, host, selector and visibility become one: subsets are united, the oldest
//! rule with a policy of its own gives it.

use super::context::{Inputs, Notes};
use mesh_config::{
    model::{Destination, Labels, Visibility, destination::TrafficPolicy},
    name::{Host, Namespace},
};
use std::collections::{HashMap, hash_map::Entry};

/// What rules have in common that are merged. Visibility is compared aside, as it has no order.
type Subject<'a> = (&'a Namespace, &'a Host, Option<&'a Labels>);

/// All rules, merged.
pub(super) fn merge(inputs: &Inputs<'_>, notes: &mut Notes) -> Vec<Destination> {
    let mut merged: Vec<Destination> = Vec::with_capacity(inputs.destination_rules.len());
    let mut places: HashMap<(Subject<'_>, &Visibility), usize> = HashMap::new();
    for input in &inputs.destination_rules {
        let rule = input.value;
        let subject = (&rule.name.namespace, &rule.host, rule.workload_selector.as_ref());
        let first = match places.entry((subject, &rule.visibility)) {
            Entry::Vacant(place) => {
                place.insert(merged.len());
                merged.push(rule.clone());
                continue;
            }
            Entry::Occupied(place) => &mut merged[*place.get()],
        };
        for subset in &rule.subsets {
            match first.subset(&subset.name) {
                None => first.subsets.push(subset.clone()),
                Some(_) => {
                    let message =
                        format!("{} already has a subset {}, which takes precedence", first.name, subset.name);
                    notes.conflict(input.object, first.name.clone(), "duplicate-subset", "spec.subsets", message);
                }
            }
        }
        if first.policy == TrafficPolicy::default() {
            first.policy = rule.policy.clone();
        } else if rule.policy != TrafficPolicy::default() {
            let message = format!("{} for the same host is older, and its policy takes precedence", first.name);
            notes.conflict(
                input.object,
                first.name.clone(),
                "conflicting-traffic-policy",
                "spec.trafficPolicy",
                message,
            );
        }
    }
    merged
}
