use super::*;
use futures_util::FutureExt;
use mesh_runtime::telemetry::metrics::Registry;

const BOUNDS: fn() -> ClientBounds = || ClientBounds {
    max_streams: 8,
    max_streams_per_source: 5,
    max_streams_per_account: 2,
    max_said: 100,
    ..ClientBounds::default()
};

fn shares() -> Shares {
    Shares::new(BOUNDS(), Metrics::new(&Registry::new()).unwrap())
}

fn admit(shares: &Shares, account: &str, source: u8, workloads: usize) -> Result<Arc<Share>, Full> {
    shares.admit(NamespacedName::new("web", account), [127, 0, 0, source].into(), workloads)
}

fn gave_way(share: &Share) -> bool {
    share.gives_way().now_or_never().is_some()
}

#[test]
fn an_account_has_streams_by_its_workloads_and_keeps_out_nobody_else() {
    let shares = shares();
    let mut held: Vec<_> = (0..4).map(|_| admit(&shares, "a", 1, 1).unwrap()).collect();
    assert_eq!(admit(&shares, "a", 1, 1).unwrap_err(), Full::AccountStreams { workloads: 1 });
    // A workload more, but one address has only so many.
    held.push(admit(&shares, "a", 1, 2).unwrap());
    assert_eq!(admit(&shares, "a", 1, 2).unwrap_err(), Full::SourceStreams);
    held.extend((0..2).map(|_| admit(&shares, "b", 2, 0).unwrap()));
    held.push(admit(&shares, "c", 3, 0).unwrap());
    assert_eq!(admit(&shares, "d", 4, 9).unwrap_err(), Full::Streams);
    drop(held);
    let inside = shares.lock();
    assert_eq!((inside.streams, inside.accounts.len(), inside.sources.len()), (0, 0, 0));
}

#[test]
fn the_address_with_most_streams_of_an_account_gives_way_to_one_with_fewer() {
    let shares = shares();
    let mut greedy: Vec<_> = (0..4).map(|_| admit(&shares, "a", 1, 1).unwrap()).collect();
    let sibling = admit(&shares, "a", 2, 1).unwrap();
    assert_eq!(greedy.iter().map(|share| gave_way(share)).collect::<Vec<_>>(), [true, false, false, false]);
    greedy.remove(0);
    let second = admit(&shares, "a", 2, 1).unwrap();
    assert!(gave_way(&greedy[0]) && !gave_way(&sibling));
    greedy.remove(0);
    // Both have two.
    assert_eq!(admit(&shares, "a", 2, 1).unwrap_err(), Full::AccountStreams { workloads: 1 });
    drop((greedy, sibling, second));
}

#[test]
fn what_is_said_counts_for_the_address_and_for_the_account() {
    let shares = shares();
    let first = admit(&shares, "a", 1, 1).unwrap();
    assert_eq!(first.keeps(Keeps::Names, 60), Ok(()));
    assert_eq!(first.keeps(Keeps::Message, 41), Err(Full::Said { most: 100 }));
    assert_eq!(first.keeps(Keeps::Message, 0), Ok(()));
    let beside = admit(&shares, "a", 1, 1).unwrap();
    assert_eq!(beside.keeps(Keeps::Message, 41), Err(Full::Said { most: 100 }));
    drop(beside);
    assert_eq!(first.keeps(Keeps::Message, 40), Ok(()));
    // Two addresses have what their account may; a third has nothing left.
    let second = admit(&shares, "a", 2, 1).unwrap();
    assert_eq!(second.keeps(Keeps::Names, 100), Ok(()));
    drop(first);
    let third = admit(&shares, "a", 3, 1).unwrap();
    assert_eq!(third.keeps(Keeps::Names, 100), Ok(()));
    let fourth = admit(&shares, "a", 4, 1).unwrap();
    assert_eq!(fourth.keeps(Keeps::Names, 1), Err(Full::Said { most: 200 }));
    assert_eq!(admit(&shares, "b", 4, 0).unwrap().keeps(Keeps::Names, 100), Ok(()));
}
