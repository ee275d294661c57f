//! Against an ordered map, over any changes.

use super::*;
use mesh_config::model::{IndexEntry, ServiceKey};
use proptest::{collection::btree_map, prelude::*};

/// An entry of the index; what it says is its name alone, so another host is another name.
fn part(n: u16, says: bool) -> Part {
    let host = format!("h{n:03}.example").parse().unwrap();
    let key = ServiceKey { namespace: "n".into(), host };
    let entry = IndexEntry::virtual_host(key);
    let kind = if says { mesh_config::model::index::IndexKind::Service } else { entry.kind };
    Part::Index(Arc::new(IndexEntry { kind, ..entry }))
}

fn said(changes: &BTreeMap<u16, Option<bool>>) -> Said {
    changes.iter().map(|(n, says)| (part(*n, false).name(), says.map(|says| part(*n, says)))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn parts_are_those_of_a_map_and_differences_are_what_was_said(
        steps in proptest::collection::vec(btree_map(0..700u16, prop_oneof![Just(None), any::<bool>().prop_map(Some)], 0..400), 1..6),
    ) {
        let mut parts = Parts::default();
        let mut map: BTreeMap<PartName, Part> = BTreeMap::new();
        for step in steps {
            let before = map.clone();
            for (name, part) in said(&step) {
                match part {
                    Some(part) => map.insert(name, part),
                    None => map.remove(&name),
                };
            }
            let next = parts.after(said(&step));
            prop_assert_eq!(next.is_none(), before == map);
            let next = next.unwrap_or_else(|| Parts { runs: parts.runs.clone() });
            let listed: Vec<(PartName, Part)> = next.iter().map(|p| (p.name.clone(), p.part.clone())).collect();
            prop_assert_eq!(&listed, &map.clone().into_iter().collect::<Vec<_>>());
            prop_assert!(next.runs.iter().all(|run| !run.is_empty() && run.len() <= MOST));

            let mut want: Vec<PartName> = before.keys().chain(map.keys()).cloned().collect();
            want.sort();
            want.dedup();
            want.retain(|name| before.get(name) != map.get(name));
            let found: Vec<PartName> = differences(Some(&parts), Some(&next))
                .into_iter()
                .filter_map(|(was, is)| is.or(was).map(|part| part.name.clone()))
                .collect();
            prop_assert_eq!(found, want);

            for n in 0..700 {
                let name = part(n, false).name();
                prop_assert_eq!(next.get(name.as_str()).map(|p| &p.part), map.get(&name));
            }
            for prefix in ["n/h0", "n/h35", "n/h699", "a", "z", ""] {
                let got: Vec<&PartName> = next.starting_with(prefix).map(|p| &p.name).collect();
                let want: Vec<&PartName> = map.keys().filter(|name| name.as_str().starts_with(prefix)).collect();
                prop_assert_eq!(got, want);
            }
            parts = next;
        }
    }
}
