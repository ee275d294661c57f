//! What becomes of an API server's objects when it does well, badly, and nothing at all. Time is paused: waits pass when
//! nothing else can happen.

mod fake;

use super::*;
use crate::object::ObjectId;
use fake::Fake;
use serde_json::{Value, json};
use std::time::Duration;

const SERVICES: &str = "/api/v1/services";
const NAMESPACES: &str = "/api/v1/namespaces";
const PODS: &str = "/api/v1/pods";
const DEFINED: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const POLICIES: &str = "/apis/security.istio.io/v1/peerauthentications";
const POLICIES_BEFORE: &str = "/apis/security.istio.io/v1beta1/peerauthentications";
const POLICY: &str = "peerauthentications.security.istio.io";

/// What a receiver knows of the objects: which are there, with their label `v`.
struct Mirror {
    batches: mpsc::Receiver<Batch>,
    objects: BTreeMap<String, String>,
    notes: Vec<String>,
    synced: bool,
}

impl Mirror {
    fn of(fake: &Fake) -> Self {
        let (send, batches) = mpsc::channel(4);
        let mesh_config = NamespacedName::new("istio-system", "istio");
        tokio::spawn(follow(fake.client(), mesh_config, send));
        Mirror { batches, objects: BTreeMap::new(), notes: Vec::new(), synced: false }
    }

    async fn synced(fake: &Fake) -> Self {
        let mut mirror = Mirror::of(fake);
        mirror.until(|mirror| mirror.synced).await;
        mirror
    }

    /// Takes batches until something holds.
    async fn until(&mut self, holds: impl Fn(&Mirror) -> bool) {
        while !holds(self) {
            let next = tokio::time::timeout(Duration::from_secs(3600), self.batches.recv()).await;
            let Ok(Some(batch)) = next else {
                panic!("{:?} {:?} synced: {}", self.objects, self.notes, self.synced);
            };
            assert_eq!(batch.source, SourceId::ApiServer);
            batch.changes.into_iter().for_each(|change| self.take(change));
        }
    }

    fn take(&mut self, change: Change) {
        let word = |id: &ObjectId| format!("{} {}", id.kind, id.name);
        match change {
            Change::Upsert(id, object) => {
                let label = object.meta.labels.get("v").map(|v| v.to_string()).unwrap_or_default();
                self.objects.insert(word(&id), label);
            }
            Change::Delete(id) => {
                self.objects.remove(&word(&id));
            }
            Change::Notes(notes) => self.notes = notes.iter().map(ToString::to_string).collect(),
            Change::Synced => self.synced = true,
        }
    }

    async fn until_has(&mut self, expected: &[(&str, &str)]) {
        let expected: BTreeMap<String, String> =
            expected.iter().map(|(name, version)| ((*name).to_owned(), (*version).to_owned())).collect();
        self.until(|mirror| mirror.objects == expected).await;
    }

    async fn until_noted(&mut self, word: &str) {
        self.until(|mirror| mirror.notes.iter().any(|note| note.contains(word))).await;
    }
}

fn version(v: &str) -> Value {
    json!({"metadata": {"labels": {"v": v}}})
}

#[tokio::test(start_paused = true)]
async fn all_that_is_there_comes_before_it_is_synced_and_changes_follow() {
    for no_streaming in [false, true] {
        let fake = Fake::default();
        fake.with(|state| state.no_streaming = no_streaming);
        fake.put(NAMESPACES, "shop", version("1"));
        (0..1100).for_each(|i| fake.put(PODS, &format!("shop/p{i:04}"), version("1")));
        let mut mirror = Mirror::synced(&fake).await;
        assert_eq!(mirror.objects.len(), 1101);
        assert_eq!(mirror.objects.get("Namespace /shop").map(String::as_str), Some("1"));

        fake.put(PODS, "shop/p0007", version("2"));
        (8..1100).for_each(|i| fake.delete(PODS, &format!("shop/p{i:04}")));
        fake.delete(NAMESPACES, "shop");
        (0..7).for_each(|i| fake.delete(PODS, &format!("shop/p{i:04}")));
        mirror.until_has(&[("Pod shop/p0007", "2")]).await;
        assert_eq!(mirror.notes, [] as [&str; 0]);
        assert_eq!(fake.asked(PODS, "continue="), if no_streaming { 2 } else { 0 });
    }
}

#[tokio::test(start_paused = true)]
async fn only_the_one_config_map_and_no_secrets_of_other_programs_are_asked_for() {
    let fake = Fake::default();
    Mirror::synced(&fake).await;
    fake.with(|state| {
        let of = |plural: &str| state.asked.iter().filter(|asked| asked.contains(plural)).cloned().collect::<Vec<_>>();
        let (maps, secrets) = (of("configmaps"), of("secrets"));
        assert!(maps.iter().all(|asked| {
            asked.starts_with("/api/v1/namespaces/istio-system/configmaps?fieldSelector=metadata.name%3Distio&")
        }));
        assert!(
            secrets.iter().all(|asked| asked.contains("fieldSelector=type%21%3Dhelm.sh%2Frelease.v1%2Ctype%21%3D"))
        );
        assert!(!maps.is_empty() && !secrets.is_empty());
    });
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_breaks_goes_on_where_it_was() {
    let fake = Fake::default();
    fake.put(SERVICES, "shop/a", version("1"));
    let mut mirror = Mirror::synced(&fake).await;
    fake.put(SERVICES, "shop/b", version("1"));
    mirror.until_has(&[("Service shop/a", "1"), ("Service shop/b", "1")]).await;
    fake.with(|state| state.down = true);
    fake.hang_up();
    fake.put(SERVICES, "shop/b", version("2"));
    fake.delete(SERVICES, "shop/a");
    mirror.until_noted("Service").await;
    assert_eq!(mirror.objects.len(), 2, "while the API server is away nothing is");
    fake.with(|state| state.down = false);
    mirror.until_has(&[("Service shop/b", "2")]).await;
    mirror.until(|mirror| mirror.notes.is_empty()).await;
    assert_eq!(fake.asked(SERVICES, "sendInitialEvents"), 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_deleted_while_the_api_server_forgot_is_gone() {
    for no_streaming in [false, true] {
        let fake = Fake::default();
        fake.with(|state| state.no_streaming = no_streaming);
        fake.put(SERVICES, "shop/a", version("1"));
        fake.put(SERVICES, "shop/b", version("1"));
        let mut mirror = Mirror::synced(&fake).await;
        fake.with(|state| state.down = true);
        fake.hang_up();
        fake.delete(SERVICES, "shop/a");
        fake.put(SERVICES, "shop/c", version("1"));
        fake.compact();
        fake.with(|state| state.down = false);
        mirror.until_has(&[("Service shop/b", "1"), ("Service shop/c", "1")]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_whose_pages_are_forgotten_is_read_in_one() {
    let fake = Fake::default();
    fake.with(|state| (state.no_streaming, state.pages_expire) = (true, true));
    (0..1100).for_each(|i| fake.put(PODS, &format!("shop/p{i:04}"), version("1")));
    assert_eq!(Mirror::synced(&fake).await.objects.len(), 1100);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_synced_before_the_api_server_says_that_all_was_sent() {
    let fake = Fake::default();
    fake.with(|state| state.unfinished.insert(SERVICES.to_owned()));
    fake.put(SERVICES, "shop/a", version("1"));
    let mut mirror = Mirror::of(&fake);
    mirror.until_has(&[("Service shop/a", "1")]).await;
    fake.put(SERVICES, "shop/b", version("1"));
    mirror.until_has(&[("Service shop/a", "1"), ("Service shop/b", "1")]).await;
    assert!(!mirror.synced);
    fake.finish(SERVICES);
    mirror.until(|mirror| mirror.synced).await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_api_server_is_asked_again_in_another_way() {
    let fake = Fake::default();
    fake.with(|state| state.unfinished.insert(SERVICES.to_owned()));
    fake.put(SERVICES, "shop/a", version("1"));
    let mirror = Mirror::synced(&fake).await;
    assert_eq!(mirror.objects.len(), 1);
    assert!(fake.asked(SERVICES, "limit=500") > 0);
}

#[tokio::test(start_paused = true)]
async fn a_kind_is_followed_while_it_is_defined() {
    let fake = Fake::default();
    let mut mirror = Mirror::synced(&fake).await;
    assert_eq!(fake.asked(POLICIES, ""), 0);
    // Defined, and not served yet.
    fake.with(|state| state.missing.extend([POLICIES.to_owned(), POLICIES_BEFORE.to_owned()]));
    fake.put(POLICIES, "shop/a", version("1"));
    fake.put(DEFINED, POLICY, json!({}));
    mirror.until_noted("PeerAuthentication: the API server does not serve it").await;
    fake.with(|state| state.missing.clear());
    mirror.until_has(&[("PeerAuthentication shop/a", "1")]).await;
    mirror.until(|mirror| mirror.notes.is_empty()).await;
    // A definition that goes takes the objects with it.
    fake.delete(DEFINED, POLICY);
    mirror.until_has(&[]).await;
    fake.put(DEFINED, POLICY, json!({}));
    mirror.until_has(&[("PeerAuthentication shop/a", "1")]).await;
}

#[tokio::test(start_paused = true)]
async fn objects_stay_when_a_kind_that_is_defined_is_not_served_for_a_while() {
    let fake = Fake::default();
    fake.put(DEFINED, POLICY, json!({}));
    fake.put(POLICIES, "shop/a", version("1"));
    let mut mirror = Mirror::synced(&fake).await;
    fake.with(|state| state.missing.extend([POLICIES.to_owned(), POLICIES_BEFORE.to_owned()]));
    fake.hang_up();
    mirror.until_noted("PeerAuthentication: the API server does not serve it").await;
    mirror.until_has(&[("PeerAuthentication shop/a", "1")]).await;
}

#[tokio::test(start_paused = true)]
async fn the_first_version_that_is_served_counts() {
    let fake = Fake::default();
    fake.put(DEFINED, POLICY, json!({}));
    fake.with(|state| state.missing.insert(POLICIES.to_owned()));
    fake.put(POLICIES_BEFORE, "shop/a", version("1"));
    let mirror = Mirror::synced(&fake).await;
    assert_eq!(mirror.objects.into_keys().collect::<Vec<_>>(), ["PeerAuthentication shop/a"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_forbidden_is_waited_for_and_named() {
    let fake = Fake::default();
    fake.with(|state| state.forbidden.extend([PODS.to_owned(), SERVICES.to_owned()]));
    let mut mirror = Mirror::of(&fake);
    mirror.until_noted("Pod, Service: the API server forbids it").await;
    assert!(!mirror.synced);
    fake.with(|state| state.forbidden.clear());
    mirror.until(|mirror| mirror.synced).await;
    mirror.until(|mirror| mirror.notes.is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_too_long_is_left_out_and_the_others_are_not() {
    let fake = Fake::default();
    fake.put(SERVICES, "shop/a", version("1"));
    let mut mirror = Mirror::synced(&fake).await;
    let long = json!({"metadata": {"labels": {"v": "2"}}, "data": "x".repeat(wire::MAX_EVENT)});
    fake.put(SERVICES, "shop/a", long);
    fake.put(SERVICES, "shop/b", version("1"));
    mirror.until_noted("Service: an object is longer than").await;
    mirror.until_has(&[("Service shop/a", "1"), ("Service shop/b", "1")]).await;
}

#[tokio::test(start_paused = true)]
async fn an_event_that_makes_no_sense_leaves_the_objects_and_begins_anew() {
    let fake = Fake::default();
    fake.put(SERVICES, "shop/a", version("1"));
    let mut mirror = Mirror::synced(&fake).await;
    fake.say(SERVICES, "{\"type\": \"MODIFIED\", \"object\": {");
    fake.put(SERVICES, "shop/b", version("1"));
    mirror.until_has(&[("Service shop/a", "1"), ("Service shop/b", "1")]).await;
    assert_eq!(fake.asked(SERVICES, "sendInitialEvents"), 2);
}

#[tokio::test(start_paused = true)]
async fn an_object_that_cannot_be_read_stays_as_it_was_until_it_can_or_is_gone() {
    let fake = Fake::default();
    fake.put(SERVICES, "shop/a", version("1"));
    let mut mirror = Mirror::synced(&fake).await;
    fake.put(SERVICES, "shop/a", json!({"metadata": {"labels": {"v": 2}}}));
    mirror.until_noted("Service shop/a").await;
    mirror.until_has(&[("Service shop/a", "1")]).await;
    fake.hang_up();
    fake.put(SERVICES, "shop/a", version("3"));
    mirror.until_has(&[("Service shop/a", "3")]).await;
    mirror.until(|mirror| mirror.notes.is_empty()).await;
    fake.put(SERVICES, "shop/a", json!({"metadata": {"labels": {"v": 2}}}));
    mirror.until_noted("Service shop/a").await;
    fake.delete(SERVICES, "shop/a");
    mirror.until_has(&[]).await;
    mirror.until(|mirror| mirror.notes.is_empty()).await;
}
