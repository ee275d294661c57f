use super::*;
use crate::{
    snapshot,
    testing::{TestCa, eventually},
};
use mesh_config::identity::SpiffeId;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn renewal_is_due_around_the_middle_of_life() {
    let ca = TestCa::new("cluster.local");
    let id = SpiffeId::new(ca.domain().clone(), "shop", "cart");
    let start = SystemTime::UNIX_EPOCH + HOUR * 400_000;
    let material = ca.material_valid(&id, start, start + HOUR * 24);
    let mut rng = fastrand::Rng::with_seed(1);
    for _ in 0..100 {
        let wait = due(&material, SystemTime::UNIX_EPOCH, &mut rng).duration_since(start).unwrap();
        assert!(wait >= HOUR * 10 && wait <= HOUR * 14, "{wait:?}");
    }
    // A certificate that was dated back by most of its life is not renewed at once.
    let obtained = start + HOUR * 20;
    let wait = due(&material, obtained, &mut rng).duration_since(obtained).unwrap();
    assert!(wait >= HOUR && wait <= HOUR * 3, "{wait:?}");
}

/// A rotation over a clock that stands, whose source fails every second time.
fn rotation(ca: Arc<TestCa>, wall: &WallClock) -> (Rotation<String>, Registry) {
    let registry = Registry::new();
    let (count, clock) = (AtomicUsize::new(0), wall.clone());
    let fetch: Fetch<String> = Arc::new(move |_| {
        let failed = count.fetch_add(1, Ordering::Relaxed) % 2 == 0;
        let id = SpiffeId::new(ca.domain().clone(), "shop", "cart");
        let material = ca.material_valid(&id, clock.now(), clock.now() + HOUR * 24);
        let identity = Identity { material, roots: ca.roots() };
        Box::pin(async move { if failed { Err("not now".to_owned()) } else { Ok(identity) } })
    });
    let metrics = Metrics::new(&registry).unwrap();
    (Rotation { fetch, metrics, wall: wall.clone(), state_dir: None, early: Arc::default() }, registry)
}

#[tokio::test(start_paused = true)]
async fn a_new_certificate_is_published_when_due_although_an_attempt_fails() {
    let wall = WallClock::manual(SystemTime::UNIX_EPOCH + HOUR * 400_000);
    let (rotation, registry) = rotation(Arc::new(TestCa::new("cluster.local")), &wall);
    let (signal, watch) = drain::channel();
    let first = rotation.obtain(&watch).await.unwrap();
    let (publisher, reader) = snapshot::publisher(first.clone());
    let task = tokio::spawn(rotation.run(publisher, watch));

    wall.set(wall.now() + HOUR * 9);
    tokio::time::sleep(HOUR).await;
    assert_eq!(reader.version(), 1);
    wall.set(wall.now() + HOUR * 6);
    eventually(HOUR, || reader.version() == 2).await;

    let serial = reader.get().material.serial.clone();
    assert_ne!(serial, first.material.serial);
    eventually(HOUR, || registry.render().contains(&format!("mesh_certificate_info{{serial=\"{serial}\"}} 1"))).await;
    let text = registry.render();
    assert!(!text.contains(&first.material.serial), "{text}");
    assert!(text.contains("mesh_certificate_renewals_total{result=\"failure\"} 2"), "{text}");
    signal.drain(HOUR).await;
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_has_no_certificate_has_one_soon_after_the_authority_is_back() {
    let (ca, back) = (TestCa::new("cluster.local"), Arc::new(AtomicBool::new(false)));
    let is_back = back.clone();
    let fetch: Fetch<String> = Arc::new(move |_| {
        let identity = Identity { material: ca.material("shop", "cart"), roots: ca.roots() };
        let answer = if is_back.load(Ordering::Relaxed) { Ok(identity) } else { Err("not there".to_owned()) };
        Box::pin(async move { answer })
    });
    let metrics = Metrics::new(&Registry::new()).unwrap();
    let rotation = Rotation { fetch, metrics, wall: WallClock::system(), state_dir: None, early: Arc::default() };
    let (_signal, watch) = drain::channel();
    let obtained = tokio::spawn(async move { rotation.obtain(&watch).await });
    tokio::time::sleep(HOUR).await;
    assert!(!obtained.is_finished());
    back.store(true, Ordering::Relaxed);
    tokio::time::timeout(URGENT, obtained).await.unwrap().unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_the_wait_for_an_authority_that_never_answers() {
    let metrics = Metrics::new(&Registry::new()).unwrap();
    let fetch: Fetch<String> = Arc::new(|_| Box::pin(std::future::pending()));
    let rotation = Rotation { fetch, metrics, wall: WallClock::system(), state_dir: None, early: Arc::default() };
    let (signal, watch) = drain::channel();
    let waiting = tokio::spawn(async move { rotation.obtain(&watch).await.is_none() });
    signal.drain(HOUR).await;
    assert!(waiting.await.unwrap());
}
