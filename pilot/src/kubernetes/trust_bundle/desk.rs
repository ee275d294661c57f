//! Which namespace's ConfigMap is to be written next. Pure: events and times in.

use crate::kubernetes::pace::Pace;
use kube::{Resource, runtime::watcher::Event};
use std::collections::BTreeSet;
use tokio::time::Instant;

/// Most namespaces that are named to who waits for all.
const NAMED: usize = 20;

/// What is known of the cluster, and what is owed to it.
#[derive(Default)]
pub(super) struct Desk {
    namespaces: Listed,
    /// Namespaces whose ConfigMap is as it should be.
    right: Listed,
    pace: Pace<String>,
}

/// Names, and those of a list that is being read.
#[derive(Default)]
struct Listed {
    names: BTreeSet<String>,
    coming: BTreeSet<String>,
    is_read: bool,
}

impl Desk {
    /// A namespace came, changed or went.
    pub(super) fn namespace<K: Resource>(&mut self, event: Event<K>, counts: impl Fn(&K) -> bool) {
        self.namespaces.take(event, counts, |namespace| namespace.meta().name.clone());
        if self.namespaces.is_read {
            let names = &self.namespaces.names;
            self.pace.keep(|namespace| names.contains(namespace));
        }
    }

    /// A ConfigMap came, changed or went.
    pub(super) fn map<K: Resource>(&mut self, event: Event<K>, counts: impl Fn(&K) -> bool) {
        self.right.take(event, counts, |map| map.meta().namespace.clone());
    }

    /// They should say something else from now on.
    pub(super) fn all_are_wrong(&mut self) {
        self.right.names.clear();
        self.right.coming.clear();
        self.pace.clear();
    }

    /// Some of the namespaces that are `chosen` where something else is written; `None`: that is not known yet.
    pub(super) fn some_owed(&self, chosen: impl Fn(&str) -> bool) -> Option<Vec<String>> {
        let owed = self.namespaces.names.difference(&self.right.names).filter(|name| chosen(name));
        (self.namespaces.is_read && self.right.is_read).then(|| owed.take(NAMED).cloned().collect())
    }

    /// Where to write next, of the namespaces that are `chosen`, and when: as soon as it is known what is there.
    pub(super) fn due(&self, now: Instant, chosen: impl Fn(&str) -> bool) -> Option<(String, Instant)> {
        if !self.namespaces.is_read || !self.right.is_read {
            return None;
        }
        let owed = self.namespaces.names.difference(&self.right.names).filter(|name| chosen(name));
        let due = owed.map(|name| (self.pace.due(name.as_str(), now), name));
        due.min().map(|(at, name)| (name.clone(), at))
    }

    /// It was written, or was right already; or the namespace takes none. Whether somebody else must be writing too.
    pub(super) fn written(&mut self, namespace: &str, right: bool, now: Instant) -> bool {
        match right {
            true => self.right.names.insert(namespace.to_owned()),
            // It comes back as another.
            false => self.namespaces.names.remove(namespace),
        };
        self.pace.count(namespace.to_owned(), now)
    }

    /// It could not be written.
    pub(super) fn failed(&mut self, namespace: &str, now: Instant) {
        self.pace.count(namespace.to_owned(), now);
    }
}

impl Listed {
    fn take<K>(&mut self, event: Event<K>, counts: impl Fn(&K) -> bool, name: impl Fn(&K) -> Option<String>) {
        match event {
            Event::Apply(object) => {
                let Some(name) = name(&object) else { return };
                match counts(&object) {
                    true => self.names.insert(name),
                    false => self.names.remove(&name),
                };
            }
            Event::Delete(object) => {
                if let Some(name) = name(&object) {
                    self.names.remove(&name);
                }
            }
            Event::Init => self.coming.clear(),
            Event::InitApply(object) => {
                let name = name(&object).filter(|_| counts(&object));
                self.coming.extend(name);
            }
            Event::InitDone => {
                self.names = std::mem::take(&mut self.coming);
                self.is_read = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::Namespace;
    use mesh_runtime::clock;

    fn all(_: &str) -> bool {
        true
    }

    fn named(name: &str) -> Namespace {
        let mut made = Namespace::default();
        made.metadata.name = Some(name.to_owned());
        made.metadata.namespace = Some(name.to_owned());
        made
    }

    fn read(desk: &mut Desk, namespaces: &[&str], right: &[&str]) {
        desk.namespace(Event::<Namespace>::Init, |_| true);
        namespaces.iter().for_each(|name| desk.namespace(Event::InitApply(named(name)), |_| true));
        desk.namespace(Event::<Namespace>::InitDone, |_| true);
        desk.map(Event::<Namespace>::Init, |_| true);
        right.iter().for_each(|name| desk.map(Event::InitApply(named(name)), |_| true));
        desk.map(Event::<Namespace>::InitDone, |_| true);
    }

    #[test]
    fn what_is_not_right_is_written_once_all_is_known() {
        let (mut desk, now) = (Desk::default(), clock::now());
        desk.namespace(Event::Apply(named("early")), |_| true);
        assert_eq!(desk.due(now, all), None);
        read(&mut desk, &["a", "b"], &["a"]);
        assert_eq!(desk.due(now, all), Some(("b".to_owned(), now)));
        assert_eq!(desk.some_owed(all), Some(vec!["b".to_owned()]));
        assert_eq!(desk.due(now, |name| name == "a"), None);
        desk.written("b", true, now);
        assert_eq!(desk.due(now, all), None);
        // Edited, deleted, and right again.
        desk.map(Event::Apply(named("a")), |_| false);
        assert_eq!(desk.due(now, all), Some(("a".to_owned(), now)));
        desk.map(Event::Apply(named("a")), |_| true);
        assert_eq!(desk.due(now, all), None);
        desk.map(Event::Delete(named("a")), |_| true);
        assert_eq!(desk.due(now, all), Some(("a".to_owned(), now)));
        desk.namespace(Event::Delete(named("a")), |_| true);
        assert_eq!(desk.due(now, all), None);
        desk.all_are_wrong();
        assert_eq!(desk.due(now, all), Some(("b".to_owned(), now)));
    }

    #[test]
    fn a_namespace_that_takes_none_is_owed_none_until_it_comes_back() {
        let (mut desk, now) = (Desk::default(), clock::now());
        read(&mut desk, &["a"], &[]);
        desk.written("a", false, now);
        assert_eq!(desk.due(now, all), None);
        desk.namespace(Event::Apply(named("a")), |_| true);
        assert!(desk.due(now, all).is_some());
    }
}
