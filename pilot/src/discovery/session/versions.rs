//! Names of parts, each with a version, in a row: what a client holds is most of what it costs, is told in the order of names,
//! and seldom changes in its middle.

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

    pub(in crate::discovery) fn insert(&mut self, name: PartName, version: Version) {
        match self.place(name.as_str()) {
            Ok(at) => self.0[at].1 = version,
            Err(at) => self.0.insert(at, (name, version)),
        }
    }

    pub(in crate::discovery) fn remove(&mut self, name: &str) {
        if let Ok(at) = self.place(name) {
            self.0.remove(at);
        }
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
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
        let count = self.0[from..].iter().take_while(|(name, _)| name.as_str().starts_with(prefix)).count();
        self.0[from..from + count].iter().map(|(name, version)| (name, *version))
    }

    fn place(&self, name: &str) -> Result<usize, usize> {
        match self.0.last() {
            // What comes is told in this order.
            Some((last, _)) if last.as_str() < name => Err(self.0.len()),
            _ => self.0.binary_search_by(|(other, _)| other.as_str().cmp(name)),
        }
    }
}

/// Of names in any order, each of them once.
impl FromIterator<(PartName, Version)> for Versions {
    fn from_iter<I: IntoIterator<Item = (PartName, Version)>>(all: I) -> Self {
        let mut versions = Versions::default();
        all.into_iter().for_each(|(name, version)| versions.insert(name, version));
        versions
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

    proptest! {
        #[test]
        fn it_says_what_a_map_says(steps in prop::collection::vec(("[ab/]{0,3}", any::<Option<u64>>()), 0..40), prefix in "[ab/]{0,2}") {
            let (mut versions, mut map) = (Versions::default(), BTreeMap::<PartName, Version>::new());
            for (name, step) in steps {
                match step.map(|number| Version::of(Kind::Service, &number.to_le_bytes())) {
                    Some(version) => {
                        versions.insert(PartName(name.as_str().into()), version);
                        map.insert(PartName(name.as_str().into()), version);
                    }
                    None => {
                        versions.remove(&name);
                        map.remove(name.as_str());
                    }
                }
                prop_assert_eq!(versions.get(&name), map.get(name.as_str()).copied());
            }
            let all = |of: &BTreeMap<PartName, Version>| of.iter().map(|(name, version)| (name.clone(), *version)).collect::<Vec<_>>();
            let mut under = map.clone();
            under.retain(|name, _| name.as_str().starts_with(&prefix));
            let own = |(name, version): (&PartName, Version)| (name.clone(), version);
            prop_assert_eq!(versions.under(&prefix).map(own).collect::<Vec<_>>(), all(&under));
            prop_assert_eq!(versions.iter().map(own).collect::<Vec<_>>(), all(&map));
            prop_assert_eq!(versions.len(), map.len());
        }
    }
}
