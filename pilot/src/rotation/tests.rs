//! Whole rotations against an API server in memory: several pilots, their restarts, and proxies that do not answer.

use super::*;
use crate::kubernetes::fake::FakeServer;
use base64::{Engine, prelude::BASE64_STANDARD};
use mesh_ca::{
    Lifetimes,
    alarm::Alarms,
    follow::{Follow, Held, Place},
    root::self_signed,
    store::StoreError,
};
use mesh_config::{
    identity::{SpiffeId, TrustDomain},
    root_rotation::{REQUEST, SECRET, STATE, State},
};
use mesh_runtime::{
    clock,
    snapshot::Reader,
    telemetry::metrics::Registry,
    testing::{handshake, mesh_profile},
    tls::{
        client::ClientTls,
        material::{Identity, Roots},
        server::{ClientAuth, ServerProfile, ServerTls, TrustPolicy},
        verify::ExpectedPeer,
    },
};
use parking_lot::Mutex;
use serde_json::json;

const SECRETS: &str = "/api/v1/namespaces/istio-system/secrets";
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A pilot of several.
struct Pilot {
    rotator: Rotator,
    seen: Option<Held>,
    /// What its clients have acknowledged.
    acknowledged: Arc<Mutex<Vec<String>>>,
    maps: watch::Sender<Standing>,
}

impl Pilot {
    async fn start(server: &FakeServer, clock: &WallClock) -> Pilot {
        let secrets = Arc::new(RootSecrets::new(server.client(), "istio-system"));
        let make = {
            let clock = clock.clone();
            move || self_signed(&TrustDomain::default(), clock.now())
        };
        let (root, held) = secrets.open_or_create(&make, clock).await.unwrap();
        let authority = Authority::new(TrustDomain::default(), root, Lifetimes::default()).beside(held.beside);
        let authority = Arc::new(authority.among_others());
        let acknowledged: Arc<Mutex<Vec<String>>> = Arc::default();
        let own = {
            let (authority, acknowledged, clock) = (authority.clone(), acknowledged.clone(), clock.clone());
            Arc::new(move || {
                let told = fingerprints(&authority.roots());
                let behind = usize::from(*acknowledged.lock() != told);
                let names = vec!["cart-1.shop".to_owned(); behind];
                let report = Report::of(&authority, String::new(), clock.now());
                Report { told, clients: 1, behind, behind_names: names, ..report }
            })
        };
        let identity = authority.issue_local(&id("istiod"), &[], DAY, clock.now()).unwrap();
        let (maps, standing) = watch::channel(Standing::default());
        let rotator = Rotator {
            secrets,
            authority: authority.clone(),
            make: Box::new(make),
            clock: clock.clone(),
            leads: watch::channel(true).1,
            maps: standing,
            own,
            peers: Peers {
                client: server.client(),
                namespace: "istio-system".to_owned(),
                own: Some("istiod-1".to_owned()),
                port: 1,
                names: vec!["istiod.istio-system.svc".into()],
                authority,
                identity: Reader::fixed(Arc::new(identity)),
            },
            told: watch::Sender::new(None),
        };
        Pilot { rotator, seen: None, acknowledged, maps }
    }

    fn authority(&self) -> &Authority {
        &self.rotator.authority
    }

    /// Looks at the Secrets, as every pilot does.
    async fn follow(&mut self) -> Result<(), StoreError> {
        let (now, held) = (self.rotator.clock.now(), self.rotator.secrets.read().await?);
        self.authority().turn(now);
        if held != self.seen
            && let Some(held) = &held
        {
            let Ok(root) = Root::from_stored(&held.stored, now) else { return Ok(()) };
            self.authority().offer(root, held.beside.clone(), now);
        }
        self.seen = held;
        Ok(())
    }

    /// Everybody hears what this pilot trusts.
    fn all_hear(&self) {
        *self.acknowledged.lock() = fingerprints(&self.authority().roots());
        let roots = self.authority().roots().pem().into();
        self.maps.send_replace(Standing { roots, owed: Some(Vec::new()) });
    }

    async fn lead(&mut self, known_since: &mut Option<u64>) {
        self.rotator.look(known_since).await.unwrap();
        self.follow().await.unwrap();
    }

    fn waits_for(&self) -> Vec<String> {
        self.rotator.told.borrow().clone().unwrap().waiting
    }

    fn issue(&self, account: &str) -> Identity {
        let now = self.rotator.clock.now();
        self.authority().issue_local(&id(account), &[], DAY, now).unwrap()
    }

    fn signer(&self) -> String {
        fingerprints(&self.authority().vouching()).remove(0)
    }
}

fn id(account: &str) -> SpiffeId {
    SpiffeId::new(TrustDomain::default(), "istio-system", account)
}

/// Whether two workloads that are told these roots come together.
async fn meet(one: &Identity, other: &Identity, told: &Authority, clock: &WallClock) -> bool {
    let roots = Arc::new(Roots::new([(TrustDomain::default(), told.roots())]));
    let of = |identity: &Identity| {
        Reader::fixed(Arc::new(Identity { material: identity.material.clone(), roots: roots.clone() }))
    };
    let server = ServerTls::new(of(one), TrustPolicy::default()).with_clock(clock.clone());
    let client = ClientTls::new(of(other)).with_clock(clock.clone());
    let profile = ServerProfile::new([], ClientAuth::Required);
    let (wanted, any) = (mesh_profile(&[], "a.b"), ExpectedPeer::any());
    let (accepted, connected) = handshake((&server, &profile), (&client, &wanted, &any), 4096).await;
    accepted.is_ok() && connected.is_ok()
}

fn ask(server: &FakeServer, request: &str) {
    let path = format!("{SECRETS}/{SECRET}");
    let mut object = server.object(&path).unwrap_or_else(|| json!({"metadata": {"name": SECRET}}));
    if !object["metadata"]["annotations"].is_object() {
        object["metadata"]["annotations"] = json!({});
    }
    object["metadata"]["annotations"][REQUEST] = request.into();
    server.put(&path, Some(object));
}

fn plug_in(server: &FakeServer, given: &Stored) {
    let encoded = |text: &str| BASE64_STANDARD.encode(text);
    let (certificate, key, roots) = (encoded(&given.certificate), encoded(given.key.text()), encoded(&given.roots));
    let data = json!({"tls.crt": certificate, "tls.key": key, "ca.crt": roots});
    server.put(&format!("{SECRETS}/cacerts"), Some(json!({"metadata": {"name": "cacerts"}, "data": data})));
}

fn written(server: &FakeServer) -> State {
    let object = server.object(&format!("{SECRETS}/{SECRET}")).unwrap();
    serde_json::from_str(object["metadata"]["annotations"][STATE].as_str().unwrap()).unwrap()
}

fn cluster() -> (FakeServer, WallClock) {
    let server = FakeServer::default();
    server.put("/api/v1/namespaces/istio-system/pods", Some(json!({"metadata": {}, "items": []})));
    (server, WallClock::manual(clock::system_now()))
}

fn later(clock: &WallClock, by: Duration) {
    clock.set(clock.now() + by);
}

#[tokio::test]
async fn another_root_signs_when_everybody_knows_it_and_the_one_before_goes_with_its_last_certificate() {
    let (server, clock) = cluster();
    let mut one = Pilot::start(&server, &clock).await;
    let mut other = Pilot::start(&server, &clock).await;
    let (old, before, mut known) = (one.signer(), one.issue("before"), None);
    ask(&server, "rotate 1");
    one.lead(&mut known).await;
    other.follow().await.unwrap();
    assert_eq!((one.signer(), other.signer()), (old.clone(), old.clone()));
    assert_eq!((one.authority().roots().certificates().len(), other.authority().roots()), (2, one.authority().roots()));

    // Neither the proxy nor the namespaces have said that they know it.
    later(&clock, DAY);
    one.lead(&mut known).await;
    later(&clock, DAY);
    one.lead(&mut known).await;
    let maps = "the ConfigMaps of the roots do not say it yet";
    assert_eq!(one.waits_for(), ["proxy cart-1.shop has not acknowledged it (this pilot)", maps]);
    assert_eq!(one.signer(), old);
    one.all_hear();
    let before = if clock.now() > before.material.not_after { one.issue("before") } else { before };
    one.lead(&mut known).await;
    assert_eq!(one.waits_for(), [""; 0]);
    later(&clock, Duration::from_secs(decide::KNOWN_FOR));
    for _ in 0..3 {
        one.lead(&mut known).await;
    }
    assert_eq!(written(&server).phase, Phase::Idle);
    let new = one.signer();
    assert_ne!(new, old);
    // The other has not looked yet: who has a certificate of either is believed by whoever hears either.
    let (late, early) = (other.issue("late"), one.issue("early"));
    for told in [one.authority(), other.authority()] {
        assert!(meet(&late, &early, told, &clock).await && meet(&early, &before, told, &clock).await);
    }
    other.follow().await.unwrap();
    assert_eq!((other.signer(), other.authority().roots()), (new.clone(), one.authority().roots()));
    let restarted = Pilot::start(&server, &clock).await;
    assert_eq!((restarted.signer(), restarted.authority().roots()), (new, one.authority().roots()));

    // The last certificate of the old one has ended, and nobody believes it.
    later(&clock, DAY + Duration::from_secs(61));
    one.lead(&mut known).await;
    other.follow().await.unwrap();
    for pilot in [&one, &other] {
        assert_eq!(*pilot.authority().roots(), *pilot.authority().vouching());
    }
    assert_eq!(written(&server).past, []);
}

#[tokio::test]
async fn whoever_leads_next_goes_on_and_one_that_is_restarted_knows_what_the_others_know() {
    let (server, clock) = cluster();
    let (mut first, mut known) = (Pilot::start(&server, &clock).await, None);
    let old = first.signer();
    ask(&server, "rotate 1");
    first.lead(&mut known).await;
    let announced = first.authority().roots();
    drop(first);

    let (mut second, mut known) = (Pilot::start(&server, &clock).await, None);
    assert_eq!((second.signer(), second.authority().roots()), (old.clone(), announced.clone()));
    second.all_hear();
    second.lead(&mut known).await;
    later(&clock, Duration::from_secs(decide::KNOWN_FOR));
    second.lead(&mut known).await;
    assert_eq!(written(&server).phase, Phase::Switching);
    // Gone between the two writings.
    drop(second);
    let (mut third, mut known) = (Pilot::start(&server, &clock).await, None);
    assert_eq!((third.signer(), third.authority().roots()), (old.clone(), announced.clone()));
    third.lead(&mut known).await;
    drop(third);
    let (mut fourth, mut known) = (Pilot::start(&server, &clock).await, None);
    assert_ne!(fourth.signer(), old);
    assert_eq!(fourth.authority().roots(), announced);
    fourth.lead(&mut known).await;
    assert_eq!((written(&server).phase, fourth.authority().roots()), (Phase::Idle, announced));
    // Asked for once, done once.
    let signer = fourth.signer();
    fourth.lead(&mut known).await;
    assert_eq!(fourth.signer(), signer);
}

#[tokio::test]
async fn what_is_given_up_leaves_nothing_behind() {
    let (server, clock) = cluster();
    let (mut pilot, mut known) = (Pilot::start(&server, &clock).await, None);
    let own = server.object(&format!("{SECRETS}/istio-ca-secret"));
    ask(&server, "rotate 1");
    pilot.lead(&mut known).await;
    ask(&server, "abort 2");
    pilot.lead(&mut known).await;
    assert_eq!(*pilot.authority().roots(), *pilot.authority().vouching());
    let state = written(&server);
    assert_eq!((&*state.handled, state.phase, state.past), ("2", Phase::Idle, Vec::new()));
    assert_eq!(server.object(&format!("{SECRETS}/{SECRET}")).unwrap()["data"], json!({}));
    assert_eq!(server.object(&format!("{SECRETS}/istio-ca-secret")), own);
}

#[tokio::test]
async fn a_pilot_that_cannot_be_asked_is_waited_for_by_its_name() {
    let (server, clock) = cluster();
    let pod =
        |name: &str, phase: &str| json!({"metadata": {"name": name}, "status": {"phase": phase, "podIP": "127.0.0.1"}});
    let pods = json!([pod("istiod-1", "Running"), pod("istiod-2", "Running"), pod("istiod-3", "Succeeded")]);
    server.put("/api/v1/namespaces/istio-system/pods", Some(json!({"metadata": {}, "items": pods})));
    let (mut pilot, mut known) = (Pilot::start(&server, &clock).await, None);
    ask(&server, "rotate 1");
    pilot.lead(&mut known).await;
    pilot.all_hear();
    pilot.lead(&mut known).await;
    let waiting = pilot.waits_for();
    assert!(matches!(&waiting[..], [one] if one.starts_with("pilot istiod-2 cannot be asked: ")), "{waiting:?}");
    assert_eq!(known, None);
}

#[tokio::test]
async fn a_root_that_is_plugged_in_is_not_rotated_and_what_it_took_the_place_of_is_remembered_for_all() {
    let (server, clock) = cluster();
    let (mut one, mut known) = (Pilot::start(&server, &clock).await, None);
    let (old, before) = (one.signer(), one.issue("before"));
    let given = self_signed(&TrustDomain::default(), clock.now()).unwrap();
    plug_in(&server, &given);
    one.follow().await.unwrap();
    assert_eq!((one.signer(), one.authority().roots().certificates().len()), (old.clone(), 2));
    later(&clock, Duration::from_secs(30));
    one.follow().await.unwrap();
    assert_ne!(one.signer(), old);
    ask(&server, "rotate 1");
    one.lead(&mut known).await;
    assert!(written(&server).said.contains("Secret cacerts"));
    one.lead(&mut known).await;

    let restarted = Pilot::start(&server, &clock).await;
    assert_eq!((restarted.signer(), restarted.authority().roots()), (one.signer(), one.authority().roots()));
    assert!(meet(&before, &restarted.issue("after"), restarted.authority(), &clock).await);
    later(&clock, DAY + Duration::from_secs(60));
    one.lead(&mut known).await;
    assert_eq!(written(&server).past, []);
}

/// Nothing is watched, so there is no event that could be missed.
#[tokio::test(start_paused = true)]
async fn a_root_that_is_plugged_in_signs_within_a_minute_whatever_is_told_of_it() {
    let (server, clock) = cluster();
    let pilot = Pilot::start(&server, &clock).await;
    let (authority, old) = (pilot.rotator.authority.clone(), pilot.signer());
    let alarms = Alarms::new(&Registry::new()).unwrap();
    let place = pilot.rotator.secrets.clone();
    let follow = Follow { authority: authority.clone(), place, clock: clock.clone(), alarms };
    let (_signal, watch) = drain::channel();
    let _following = tokio::spawn(follow.run(watch, || {}));
    let given = self_signed(&TrustDomain::default(), clock.now()).unwrap();
    plug_in(&server, &given);
    let mut waited = Duration::ZERO;
    while pilot.signer() == old {
        assert!(waited < Duration::from_secs(60));
        tokio::time::sleep(Duration::from_secs(1)).await;
        waited += Duration::from_secs(1);
        later(&clock, Duration::from_secs(1));
    }
    assert_eq!(authority.vouching().pem(), given.roots);
}

#[tokio::test]
async fn a_root_that_has_ended_is_recovered_from_without_a_restart() {
    let (server, clock) = cluster();
    let (mut one, mut known) = (Pilot::start(&server, &clock).await, None);
    let mut other = Pilot::start(&server, &clock).await;
    let old = one.signer();
    later(&clock, 3651 * DAY);
    assert!(one.authority().issue_local(&id("late"), &[], DAY, clock.now()).is_err());
    ask(&server, "rotate 1");
    one.lead(&mut known).await;
    assert!(written(&server).said.contains("meshctl ca recover"));
    ask(&server, "recover 2");
    one.lead(&mut known).await;
    other.follow().await.unwrap();
    assert_ne!(one.signer(), old);
    assert_eq!((other.signer(), one.authority().roots()), (one.signer(), one.authority().vouching()));
    assert!(meet(&one.issue("a"), &other.issue("b"), other.authority(), &clock).await);
    assert_eq!(written(&server).handled, "2");
}

#[tokio::test]
async fn an_api_server_that_is_away_changes_nothing() {
    let (server, clock) = cluster();
    let (mut pilot, mut known) = (Pilot::start(&server, &clock).await, None);
    ask(&server, "rotate 1");
    pilot.lead(&mut known).await;
    let roots = pilot.authority().roots();
    server.say(Some((503, "")));
    assert!(pilot.rotator.look(&mut known).await.is_err() && pilot.follow().await.is_err());
    assert_eq!(pilot.authority().roots(), roots);
}
