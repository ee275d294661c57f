//! Which Ingress' status is to be written next. Pure: events and times in.

use crate::{
    kubernetes::pace::Pace,
    object::{Point, Reached},
};
use k8s_openapi::api::networking::v1::Ingress;
use kube::runtime::watcher::Event;
use mesh_config::name::NamespacedName;
use std::collections::{BTreeMap, BTreeSet};
use tokio::time::Instant;

/// What statuses say.
type Said = BTreeMap<NamespacedName, BTreeSet<Point>>;

/// What is known of the cluster.
#[derive(Default)]
pub(super) struct Desk {
    said: Said,
    /// Of a list that is being read.
    coming: Said,
    is_read: bool,
    pace: Pace<NamespacedName>,
}

impl Desk {
    /// An Ingress came, changed or went.
    pub(super) fn take(&mut self, event: Event<Ingress>) {
        match event {
            Event::Apply(ingress) => self.said.extend(read(&ingress)),
            Event::Delete(ingress) => {
                if let Some((name, _)) = read(&ingress) {
                    self.is_gone(&name);
                }
            }
            Event::Init => self.coming.clear(),
            Event::InitApply(ingress) => self.coming.extend(read(&ingress)),
            Event::InitDone => {
                self.said = std::mem::take(&mut self.coming);
                self.is_read = true;
                let said = &self.said;
                self.pace.keep(|ingress| said.contains_key(ingress));
            }
        }
    }

    /// Whose status to write next, and when, as soon as it is known what is there: one that says something else than it is
    /// to. An Ingress that nobody has seen yet waits.
    pub(super) fn due(&self, reached: &Reached, now: Instant) -> Option<(NamespacedName, Instant)> {
        let wrong = |name: &&NamespacedName| self.said.get(*name).is_some_and(|said| *said != reached.points);
        let owed = reached.ingresses.iter().filter(|_| self.is_read).filter(wrong);
        owed.map(|name| (self.pace.due(name, now), name)).min().map(|(at, name)| (name.clone(), at))
    }

    /// It was written, or was right already. Whether somebody else must be writing too.
    pub(super) fn written(&mut self, ingress: &NamespacedName, points: &BTreeSet<Point>, now: Instant) -> bool {
        self.said.insert(ingress.clone(), points.clone());
        self.pace.count(ingress.clone(), now)
    }

    /// It could not be written.
    pub(super) fn failed(&mut self, ingress: &NamespacedName, now: Instant) {
        self.pace.count(ingress.clone(), now);
    }

    /// There is none of this name any more.
    pub(super) fn is_gone(&mut self, ingress: &NamespacedName) {
        self.said.remove(ingress);
        self.pace.keep(|known| known != ingress);
    }
}

/// An Ingress, and what its status says.
fn read(ingress: &Ingress) -> Option<(NamespacedName, BTreeSet<Point>)> {
    let meta = &ingress.metadata;
    let name = NamespacedName::new(meta.namespace.as_deref()?, meta.name.as_deref()?);
    let status = ingress.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let said = status.and_then(|balancer| balancer.ingress.as_ref()).into_iter().flatten();
    let text = |text: &Option<String>| text.as_deref().unwrap_or_default().into();
    Some((name, said.map(|point| Point { hostname: text(&point.hostname), ip: text(&point.ip) }).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_runtime::clock;

    fn ingress(name: &str, ip: &str) -> Ingress {
        let points = if ip.is_empty() { "[]".to_owned() } else { format!("[{{\"ip\": \"{ip}\"}}]") };
        let text = format!(
            "{{\"metadata\": {{\"name\": \"{name}\", \"namespace\": \"shop\"}}, \"status\": {{\"loadBalancer\": \
             {{\"ingress\": {points}}}}}}}"
        );
        serde_json::from_str(&text).unwrap()
    }

    fn named(name: &str) -> NamespacedName {
        NamespacedName::new("shop", name)
    }

    fn reached(names: &[&str], ip: &str) -> Reached {
        let point = Point { hostname: "".into(), ip: ip.into() };
        Reached { ingresses: names.iter().map(|name| named(name)).collect(), points: [point].into() }
    }

    #[test]
    fn what_differs_is_written_once_all_is_known_and_what_is_not_ours_never() {
        let (mut desk, now) = (Desk::default(), clock::now());
        let ours = reached(&["a", "b", "not-seen"], "192.0.2.1");
        desk.take(Event::Apply(ingress("b", "")));
        assert_eq!(desk.due(&ours, now), None);
        desk.take(Event::Init);
        for (name, ip) in [("a", "192.0.2.1"), ("b", ""), ("foreign", "192.0.2.9")] {
            desk.take(Event::InitApply(ingress(name, ip)));
        }
        desk.take(Event::InitDone);
        assert_eq!(desk.due(&ours, now), Some((named("b"), now)));
        assert!(!desk.written(&named("b"), &ours.points, now));
        assert_eq!(desk.due(&ours, now), None);
        // Our own writing comes back, somebody else's too.
        desk.take(Event::Apply(ingress("b", "192.0.2.1")));
        assert_eq!(desk.due(&ours, now), None);
        desk.take(Event::Apply(ingress("b", "192.0.2.7")));
        assert!(desk.due(&ours, now).is_some_and(|(name, at)| name == named("b") && at > now));
        // The gateway has another address, or the Ingress goes.
        assert_eq!(desk.due(&reached(&["a"], "192.0.2.2"), now), Some((named("a"), now)));
        desk.take(Event::Delete(ingress("b", "")));
        assert_eq!(desk.due(&ours, now), None);
    }

    #[test]
    fn what_cannot_be_written_waits() {
        let (mut desk, now) = (Desk::default(), clock::now());
        [Event::Init, Event::InitApply(ingress("a", "")), Event::InitDone].into_iter().for_each(|e| desk.take(e));
        let ours = reached(&["a"], "192.0.2.1");
        desk.failed(&named("a"), now);
        assert!(desk.due(&ours, now).is_some_and(|(_, at)| at > now));
        desk.is_gone(&named("a"));
        assert_eq!(desk.due(&ours, now), None);
    }
}
