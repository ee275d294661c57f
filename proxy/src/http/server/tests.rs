use super::*;
use crate::{
    conn::Direction,
    snapshot::listener::DestinationKey,
    testing::{Proxy, port, run},
};
use mesh_runtime::clock;
use tokio::io::duplex;

fn served(proxy: &Proxy) -> Rc<Served> {
    let conn = proxy.connection(Direction::Outbound, DestinationKey::HttpPort(port(80)), 80);
    let registered = proxy.requests.connections.add(&conn, clock::now());
    Served::new(proxy.requests.clone(), conn, registered.entry.clone())
}

// Sizes, because they count once a connection: what a connection holds all the time, and what it holds while it is
// served (hyper's buffers come on top of that).

#[test]
fn a_resting_connection_is_small() {
    run(async {
        let proxy = Proxy::sidecar([]);
        let future = http1(Bytes::new(), duplex(1).1, served(&proxy));
        let bytes = size_of_val(&future);
        assert!(bytes <= 384, "{bytes} bytes");
        let bytes = size_of::<Served>() + size_of::<Entry>();
        assert!(bytes <= 384, "{bytes} bytes");
    });
}

#[test]
fn a_served_connection_is_no_more_than_hyper() {
    run(async {
        let proxy = Proxy::sidecar([]);
        let future = requests(Bytes::new(), duplex(1).1, served(&proxy));
        let bytes = size_of_val(&future);
        assert!(bytes <= 1536, "{bytes} bytes");
    });
}

/// The size of the future in the box that a function returns.
fn boxed<A, F>(_: impl Fn(A) -> Pin<Box<F>>) -> usize {
    size_of::<F>()
}

#[test]
fn a_request_is_small() {
    let bytes = boxed(|(served, request): (Rc<Served>, Request<Incoming>)| Box::pin(answered(served, request)));
    assert!(bytes <= 2048, "{bytes} bytes");
}
