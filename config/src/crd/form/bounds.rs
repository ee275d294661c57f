//! Bounds of fields, where validation holds to them as an API server does.

use super::{Fact, Holds};
use crate::crd::node::{Node, Value};
use crate::crd::reader::Item;

/// Reports a value of another type than its field has, where texts are not taken for numbers, and lists and maps that are
/// outside of their bounds.
pub(super) fn check(holds: Holds, facts: &[Fact], item: &Item<'_>) {
    let is_text = matches!(item.node().value, Value::String(_));
    if is_text && matches!(holds, Holds::Bool | Holds::Whole(..) | Holds::Number(..) | Holds::Port) {
        item.invalid::<()>("must not be a text: take the quotes away");
    }
    let entries: &[Node] = match &item.node().value {
        Value::Seq(entries) => entries,
        _ => &[],
    };
    let count = match &item.node().value {
        Value::Seq(entries) => entries.len(),
        Value::Map(entries) => entries.len(),
        _ => return,
    };
    if let Holds::List(of) = holds {
        drop(item.list(|item| {
            check(*of, &[], &item);
            None::<()>
        }));
    }
    for fact in facts {
        let wrong = match fact {
            Fact::LeastEntries(least) if count < *least as usize => format!("has {count} entries, and needs {least}"),
            Fact::MostEntries(most) if count > *most as usize => {
                format!("has {count} entries, of which there may be {most}")
            }
            Fact::KeyedBy(name) => match repeated(entries.iter().filter_map(|entry| entry.get(name))) {
                Some(value) => format!("has two entries whose {name} is {value}"),
                None => continue,
            },
            Fact::Distinct => match repeated(entries.iter()) {
                Some(value) => format!("has {value} twice"),
                None => continue,
            },
            _ => continue,
        };
        item.invalid::<()>(wrong);
    }
}

/// The first text or number that stood before.
fn repeated<'a>(values: impl Iterator<Item = &'a Node>) -> Option<String> {
    let mut seen = std::collections::BTreeSet::new();
    let shown = values.filter_map(|node| match &node.value {
        Value::String(text) => Some(text.clone()),
        Value::Int(number) => Some(number.to_string()),
        _ => None,
    });
    shown.into_iter().find(|value| !seen.insert(value.clone()))
}
