//! The root is what lives longest: it is kept, never replaced by itself, and not used when it would not be believed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "authority/world.rs"]
mod world;

use mesh_ca::{
    root::{Root, self_signed},
    store::{
        Store, Stored,
        file::{CERTIFICATE, FileStore, KEY, ROOTS},
        memory::MemoryStore,
    },
    token::{PRIVATE_KEY, PUBLIC_KEY, SigningKey},
};
use mesh_config::identity::TrustDomain;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::Barrier,
    time::{Duration, SystemTime},
};
use world::{World, call, midday, plain_csr};

fn open(dir: &Path) -> Result<Root, mesh_ca::Failure> {
    Root::open_or_create(&FileStore::new(dir), &TrustDomain::default(), midday())
}

fn refused(stored: Stored, now: SystemTime, words: &str) {
    let error = Root::open(&MemoryStore::holding(stored), now).err().expect("refused").to_string();
    assert!(error.contains(words), "{error:?} does not say {words:?}");
}

#[tokio::test]
async fn the_root_outlives_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("made/when/needed");
    let first = World::with_root(open(&dir).unwrap());
    let before = first.issued(call(&plain_csr())).await;
    drop(first);
    let second = World::with_root(open(&dir).unwrap());
    let after = second.issued(call(&plain_csr())).await;
    assert_eq!(before[1], after[1], "the root");
    assert_ne!(before[0], after[0]);
}

#[test]
fn only_the_owner_may_read_it_and_nothing_is_left_over() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("root");
    open(&dir).unwrap();
    assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    let mut names: Vec<String> = Vec::new();
    for entry in fs::read_dir(&dir).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.path());
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(names, [".lock", CERTIFICATE, KEY, ROOTS]);
}

#[test]
fn processes_that_start_at_once_agree_on_one_root() {
    let dir = tempfile::tempdir().unwrap();
    let start = Barrier::new(4);
    let bundles: Vec<String> = std::thread::scope(|scope| {
        let one = || {
            start.wait();
            open(dir.path()).unwrap().bundle().pem()
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(one)).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert!(bundles.iter().all(|pem| *pem == bundles[0]));
}

#[test]
fn a_root_that_is_there_in_part_or_broken_is_never_replaced() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).unwrap();
    let certificate = fs::read(dir.path().join(CERTIFICATE)).unwrap();
    fs::remove_file(dir.path().join(KEY)).unwrap();
    assert!(open(dir.path()).err().expect("refused").to_string().contains(KEY));
    fs::write(dir.path().join(KEY), "broken").unwrap();
    assert!(open(dir.path()).err().expect("refused").to_string().contains(KEY));
    assert_eq!(fs::read(dir.path().join(CERTIFICATE)).unwrap(), certificate);
}

#[test]
fn a_start_that_crashed_before_the_end_begins_anew() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(KEY), "left over").unwrap();
    fs::write(dir.path().join("ca-key.new-1"), "left over").unwrap();
    open(dir.path()).unwrap();
}

#[test]
fn material_that_would_not_be_believed_is_refused() {
    let trust_domain = TrustDomain::default();
    let made = || self_signed(&trust_domain, midday()).unwrap();
    let (one, other) = (made(), made());
    refused(Stored { key: other.key.clone(), ..one.clone() }, midday(), "does not belong to");
    refused(Stored { roots: other.certificate.clone(), ..one.clone() }, midday(), "would not be trusted");
    refused(Stored { certificate: "x".into(), ..one.clone() }, midday(), "no certificate");
    refused(one.clone(), midday() + Duration::from_secs(3651 * 24 * 3600), "expires at");
    let leaf = World::new().authority.issue_local(
        &"spiffe://cluster.local/ns/a/sa/b".parse().unwrap(),
        &[],
        Duration::from_secs(3600),
        midday(),
    );
    let leaf = leaf.unwrap();
    let leaf = leaf.material.certificate();
    let no_ca = Stored { certificate: leaf.chain_pem(), key: leaf.key_pem().into(), ..one.clone() };
    refused(Stored { roots: String::new(), ..no_ca }, midday(), "not the certificate of an authority");
    let both = Stored { roots: format!("{}{}", other.roots, one.roots), ..one };
    assert_eq!(Root::open(&MemoryStore::holding(both), midday()).unwrap().bundle().certificates().len(), 2);
}

#[test]
fn an_empty_store_is_no_given_root() {
    let error = Root::open(&MemoryStore::default(), midday()).err().expect("refused").to_string();
    assert_eq!(error, "memory contains no ca-cert.pem");
    assert_eq!(FileStore::new("/nonexistent").load().unwrap(), None);
}

#[test]
fn the_token_key_is_kept_too() {
    let dir = tempfile::tempdir().unwrap();
    let first = SigningKey::load_or_create(dir.path()).unwrap();
    let second = SigningKey::load_or_create(dir.path()).unwrap();
    assert_eq!(first.public_pem(), second.public_pem());
    assert_eq!(fs::read_to_string(dir.path().join(PUBLIC_KEY)).unwrap(), first.public_pem());
    assert_eq!(fs::metadata(dir.path().join(PRIVATE_KEY)).unwrap().permissions().mode() & 0o777, 0o600);
}
