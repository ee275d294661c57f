//! Names of parts, each with a version, in a row: what a client holds is most of what it costs, and a tree of it would be half empty.
//! Many change at once, and a client may say to hold as many as it likes, so a row is never moved along for each of them.

use mesh_config::{model::PartName, wire::Version};

/// In the order of the names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::discovery) struct Versions(Vec<(PartName, Version)>);

impl Versions {
    pub(in crate::discovery) fn len(&self) -> usize {
        self.0.len()
    }

    pub(in crate::discovery) fn get(&self, name: &str) -> Option<Version> {
        self.place(name).ok().map(|at| self.0[at].1)
    }

    pub(in crate::discovery) fn has(&self, name: &str) -> bool {
        self.place(name).is_ok()
    }

    /// Takes these in, each name once; those that are there already have another version then.
    pub(in crate::discovery) fn update(&mut self, changed: impl IntoIterator<Item = (PartName, Version)>) {
        let mut new = Vec::new();
        for (name, version) in changed {
            match self.place(name.as_str()) {
                Ok(at) => self.0[at].1 = version,
                Err(_) => new.push((name, version)),
            }
        }
        if !new.is_empty() {
            // Two rows in order, mostly: sorting merges them.
            self.0.append(&mut new);
            self.0.sort_by(|(one, _), (other, _)| one.cmp(other));
        }
    }

    pub(in crate::discovery) fn remove<'a>(&mut self, names: impl IntoIterator<Item = &'a str>) {
        let mut gone: Vec<usize> = names.into_iter().filter_map(|name| self.place(name).ok()).collect();
        if gone.is_empty() {
            return;
        }
        gone.sort_unstable();
        gone.dedup();
        let (mut gone, mut at) = (gone.into_iter().peekable(), 0..);
        self.0.retain(|_| at.next().and_then(|at| gone.next_if_eq(&at)).is_none());
    }

    pub(in crate::discovery) fn iter(&self) -> impl Iterator<Item = (&PartName, Version)> {
        self.0.iter().map(|(name, version)| (name, *version))
    }

    /// Those whose names begin with this.
    pub(in crate::discovery) fn under<'a>(
        &'a self,
        prefix: &str,
    ) -> impl Iterator<Item = (&'a PartName, Version)> + use<'a> {
        let from = self.place(prefix).unwrap_or_else(|at| at);
        let count = self.0[from..].partition_point(|(name, _)| name.as_str().starts_with(prefix));
        self.0[from..from + count].iter().map(|(name, version)| (name, *version))
    }

    fn place(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(other, _)| other.as_str().cmp(name))
    }
}

#[cfg(test)]
mod tests {
    use super::Versions;
    use mesh_config::{
        model::{Kind, PartName},
        wire::Version,
    };
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn name() -> impl Strategy<Value = String> {
        "[ab/]{0,3}"
    }

    fn step() -> impl Strategy<Value = (BTreeMap<String, u64>, Vec<String>)> {
        (prop::collection::btree_map(name(), any::<u64>(), 0..9), prop::collection::vec(name(), 0..9))
    }

    proptest! {
        #[test]
        fn it_says_what_a_map_says(steps in prop::collection::vec(step(), 0..9), prefix in "[ab/]{0,2}") {
            let (mut versions, mut map) = (Versions::default(), BTreeMap::<PartName, Version>::new());
            for (changed, gone) in steps {
                let of = |(name, number): (&String, &u64)| {
                    (PartName(name.as_str().into()), Version::of(Kind::Service, &number.to_le_bytes()))
                };
                versions.update(changed.iter().map(of));
                map.extend(changed.iter().map(of));
                versions.remove(gone.iter().map(String::as_str));
                map.retain(|name, _| !gone.iter().any(|gone| gone == name.as_str()));
                for name in gone.iter().chain(changed.keys()) {
                    prop_assert_eq!(versions.get(name), map.get(name.as_str()).copied());
                }
            }
            let all = |of: &BTreeMap<PartName, Version>| {
                of.iter().map(|(name, version)| (name.clone(), *version)).collect::<Vec<_>>()
            };
            let mut under = map.clone();
            under.retain(|name, _| name.as_str().starts_with(&prefix));
            let own = |(name, version): (&PartName, Version)| (name.clone(), version);
            prop_assert_eq!(versions.under(&prefix).map(own).collect::<Vec<_>>(), all(&under));
            prop_assert_eq!(versions.iter().map(own).collect::<Vec<_>>(), all(&map));
            prop_assert_eq!(versions.len(), map.len());
        }
    }
}
