use super::*;
use crate::{conn::Memo, snapshot::listener::DestinationKey};
use mesh_config::name::Port;

const IDLE: Duration = Duration::from_secs(3600);

fn conn(direction: Direction) -> Rc<Connection> {
    let port = Port::new(80).unwrap();
    Rc::new(Connection {
        id: 0,
        direction,
        key: DestinationKey::HttpPort(port),
        listener_port: port,
        local: "10.0.0.1:80".parse().unwrap(),
        remote: "10.0.0.2:4000".parse().unwrap(),
        secured: None,
        asked_for: None,
        memo: Memo::default(),
    })
}

#[tokio::test(start_paused = true)]
async fn only_idle_connections_are_asked_to_finish() {
    let connections = Rc::new(Connections::default());
    let (idle, busy) = (
        connections.add(&conn(Direction::Inbound), clock::now()),
        connections.add(&conn(Direction::Inbound), clock::now()),
    );
    let mut request = busy.entry.begin();
    let later = clock::now() + IDLE * 2;
    connections.sweep(later);
    assert_eq!((idle.entry.wish(), busy.entry.wish()), (Wish::Finish, Wish::Serve));
    request.end(later, None);
    connections.sweep(later);
    assert_eq!(busy.entry.wish(), Wish::Serve, "it was busy until now");
}

#[tokio::test(start_paused = true)]
async fn a_connection_rests_when_nothing_is_half_done() {
    let connections = Rc::new(Connections::default());
    let one = connections.add(&conn(Direction::Inbound), clock::now());
    let entry = &one.entry;
    let later = |n| clock::now() + QUIET * n;
    connections.sweep(later(2));
    assert!(!entry.may_rest(), "nobody has said that it can");
    entry.serves();
    connections.sweep(clock::now());
    assert!(!entry.may_rest(), "it is young");
    connections.sweep(later(2));
    assert!(entry.may_rest());
    let mut request = entry.begin();
    connections.sweep(later(4));
    assert!(!entry.may_rest(), "it carries a request");
    request.end(later(4), None);
    connections.sweep(later(6));
    assert!(entry.may_rest());
    entry.flushed(false);
    assert!(!entry.may_rest(), "the answer is not out");
    entry.flushed(true);
    entry.heard();
    assert!(!entry.may_rest(), "the next head has begun");
}

#[tokio::test(start_paused = true)]
async fn connections_that_fall_quiet_together_are_asked_one_lot_at_a_time() {
    let connections = Rc::new(Connections::default());
    let all: Vec<_> = (0..AT_ONCE + 1).map(|_| connections.add(&conn(Direction::Inbound), clock::now())).collect();
    all.iter().for_each(|one| one.entry.serves());
    let later = clock::now() + QUIET * 2;
    for want in [AT_ONCE, AT_ONCE + 1] {
        connections.sweep(later);
        assert_eq!(all.iter().filter(|one| one.entry.may_rest()).count(), want);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_not_read_to_its_end_keeps_its_connection_awake() {
    let connections = Rc::new(Connections::default());
    let one = connections.add(&conn(Direction::Inbound), clock::now());
    one.entry.serves();
    drop(one.entry.begin());
    connections.sweep(clock::now() + QUIET * 2);
    assert!(!one.entry.may_rest());
}

#[tokio::test]
async fn a_drain_reaches_connections_that_come_later() {
    let connections = Rc::new(Connections::default());
    let first = connections.add(&conn(Direction::Inbound), clock::now());
    connections.ask_all(Wish::Finish);
    let second = connections.add(&conn(Direction::Inbound), clock::now());
    assert_eq!((first.entry.wish(), second.entry.wish()), (Wish::Finish, Wish::Finish));
    drop(first);
    assert_eq!(connections.len(), 1);
}

#[tokio::test]
async fn connections_of_the_application_are_spared_until_all_are_asked() {
    let connections = Rc::new(Connections::default());
    let add = |direction| connections.add(&conn(direction), clock::now());
    let first = [add(Direction::Outbound), add(Direction::Inbound), add(Direction::Gateway)];
    connections.ask_arrived(Wish::Finish);
    let then = [add(Direction::Outbound), add(Direction::Inbound), add(Direction::Gateway)];
    for lot in [&first, &then] {
        assert_eq!(lot.each_ref().map(|one| one.entry.wish()), [Wish::Serve, Wish::Finish, Wish::Finish]);
    }
    connections.ask_all(Wish::Finish);
    assert!(first.iter().chain(&then).all(|one| one.entry.wish() == Wish::Finish));
}
