//! What needs the kernel to capture connections, as it does beside a real workload.

use mesh_e2e::{
    faults::start::{Drill, STARTS, starts},
    namespace::{Inside, PROXY_GROUP, Pair, SERVER, peer},
};
use std::{io, net::SocketAddr, path::Path, time::Duration};
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpSocket},
};

#[tokio::test]
async fn a_starting_sidecar_serves_nobody_whom_it_would_refuse() {
    let all = u32::try_from(STARTS.len()).unwrap();
    let drill = Drill { starts: all, rate: 10, time: Duration::from_secs(600) };
    let found = starts(drill).await.unwrap();
    assert_eq!((found.starts(), found.problems()), (all, Vec::new()), "{:?}", found.made);
}

/// The kernel remembers a connection of the sidecar that was reset for a while; one of the application with the same
/// addresses and ports would go the way of that one, past the sidecar.
#[tokio::test]
async fn the_application_does_not_pass_by_the_sidecar_on_a_port_that_the_sidecar_has_just_had() {
    let pair = Pair::create().unwrap();
    let (server, peers) = (Inside::start(&pair.server).unwrap(), Inside::start(&pair.peers).unwrap());
    let at = SocketAddr::from((peer(4), 8081));
    let listener = peers.run(TcpListener::bind(at)).await.unwrap();
    let mut command = pair.server.command(Path::new("bash"), PROXY_GROUP);
    command.args(["-c", &format!("exec 3<>/dev/tcp/{}/{}; echo hello >&3; read -r -u 3", at.ip(), at.port())]);
    let mut sidecar = command.spawn().unwrap();
    let reset = async move {
        let (mut stream, from) = listener.accept().await.unwrap();
        // Closing before all is read resets the connection.
        stream.read_u8().await.unwrap();
        (listener, from)
    };
    let (_listener, from) = peers.run(reset).await;
    sidecar.wait().await.unwrap();
    assert_eq!(from.ip(), SERVER);
    let again = async move {
        let socket = TcpSocket::new_v4()?;
        socket.bind(from)?;
        tokio::time::timeout(Duration::from_secs(30), socket.connect(at)).await?.map(drop)
    };
    // Nobody listens where it is captured.
    assert_eq!(server.run(again).await.map_err(|e| e.kind()), Err(io::ErrorKind::ConnectionRefused));
}
