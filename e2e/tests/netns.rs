//! What needs the kernel to capture connections, as it does beside a real workload.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use mesh_e2e::{
    by_address::Place,
    faults::start::{Drill, STARTS, starts},
    namespace::{Inside, PROXY_GROUP, Pair, SERVER, peer},
    program::ours,
    until,
};
use std::{io, net::SocketAddr, path::Path, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
};

#[tokio::test]
async fn a_starting_sidecar_serves_nobody_whom_it_would_refuse() {
    let all = u32::try_from(STARTS.len()).unwrap();
    let drill = Drill { starts: all, rate: 10, time: Duration::from_secs(600) };
    let found = starts(drill).await.unwrap();
    assert_eq!((found.starts(), found.problems()), (all, Vec::new()), "{:?}", found.made);
}

#[tokio::test]
async fn a_pod_that_is_called_by_its_address_is_called_as_who_it_is() {
    let mut place = Place::prepare().await.unwrap();
    // Mutual TLS alone is taken there, so whoever is answered has spoken it.
    assert!(place.get_past_the_sidecars().await.is_err());
    let said = place.get().await.unwrap();
    assert!(said.contains("URI=spiffe://cluster.local/ns/test/sa/client"), "{said}");
    assert_eq!(place.echo().await.unwrap(), "hello");
    assert_eq!(place.echo_of_a_headless_service().await.unwrap(), "hello");
    for (name, protocol, service) in [
        ("istio_requests_total", "http", "PassthroughCluster"),
        ("istio_tcp_connections_opened_total", "tcp", "PassthroughCluster"),
        ("istio_tcp_connections_opened_total", "tcp", "peers"),
    ] {
        let shows = |line: &&str| {
            line.starts_with(&format!("{name}{{"))
                && line.contains(r#"destination_principal="spiffe://cluster.local/ns/test/sa/one""#)
                && line.contains(r#"destination_workload="one""#)
                && line.contains(&format!("destination_service_name=\"{service}\""))
                && line.contains(&format!("request_protocol=\"{protocol}\""))
        };
        // Opaque connections are told of from time to time.
        until(name, || async {
            let metrics = place.metrics().await;
            metrics.lines().find(shows).map(str::to_owned).ok_or(metrics)
        })
        .await;
    }
    // Another account's, says pilot: what answers there is not it.
    place.write_objects("two");
    let refused = place.refused().await;
    assert!(refused.contains("503"), "{refused}");
    assert!(place.echo().await.is_err());
    assert!(place.echo_of_a_headless_service().await.is_err());
    place.write_objects("one");
    place.answered().await;
    assert_eq!(place.echo().await.unwrap(), "hello");
    // Who calls strangers is not kept by a pilot that is away; who is known is called as before.
    place.stop_pilot().await;
    assert_eq!(place.echo_of_a_stranger().await.unwrap(), "hello");
    assert_eq!(place.echo().await.unwrap(), "hello");
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

/// Runs `proxy redirect` beside the server.
fn redirect(pair: &Pair, words: &[&str]) -> anyhow::Result<String> {
    let program = ours("proxy");
    pair.server.output(program.to_str().unwrap(), &[&["redirect"], words].concat())
}

const USUAL: [&str; 10] = ["-u", "1337", "-i", "*", "-b", "*", "-d", "15090,15021,15020", "-o", "8099"];

/// Where something listens, and answers whoever connects with a word.
async fn says(inside: &Inside, at: SocketAddr, word: &'static str) {
    let listener = inside.run(TcpListener::bind(at)).await.unwrap();
    let serve = async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(word.as_bytes()).await;
        }
    };
    // Lives as long as the namespace's own runtime.
    inside.run(async move { drop(tokio::spawn(serve)) }).await;
}

/// What answers whoever connects to this address.
async fn dial(inside: &Inside, to: SocketAddr) -> io::Result<String> {
    inside
        .run(async move {
            let mut stream = tokio::time::timeout(Duration::from_secs(30), TcpStream::connect(to)).await??;
            let mut said = String::new();
            stream.read_to_string(&mut said).await?;
            Ok(said)
        })
        .await
}

#[tokio::test]
async fn written_rules_capture_what_they_say_by_each_back_end_and_go_again() {
    for back_end in ["", "--native-nftables", "--force-iptables-binary=nft", "--force-iptables-binary=legacy"] {
        let pair = Pair::bare().unwrap();
        pair.server
            .rules("table inet other {\nchain c {\ntype filter hook input priority 10; policy accept;\n}\n}\n")
            .unwrap();
        let tables = || pair.server.output("nft", &["list", "ruleset"]).unwrap();
        let mut words = USUAL.to_vec();
        words.extend((!back_end.is_empty()).then_some(back_end));
        let before = tables();
        redirect(&pair, &words).unwrap();
        let once = tables();
        // A second time changes nothing.
        redirect(&pair, &words).unwrap();
        assert_eq!(lines(&tables()), lines(&once), "{back_end}");

        let (server, peers) = (Inside::start(&pair.server).unwrap(), Inside::start(&pair.peers).unwrap());
        says(&server, "0.0.0.0:15001".parse().unwrap(), "outbound").await;
        says(&server, "0.0.0.0:15006".parse().unwrap(), "inbound").await;
        for port in [15020, 8080] {
            says(&server, SocketAddr::from(([0, 0, 0, 0], port)), "the port itself").await;
        }
        for port in [80, 8099] {
            says(&peers, SocketAddr::from((peer(4), port)), "the peer").await;
        }
        // What peers dial is captured, but for the proxy's own pages.
        assert_eq!(dial(&peers, SocketAddr::from((SERVER, 8080))).await.unwrap(), "inbound", "{back_end}");
        assert_eq!(dial(&peers, SocketAddr::from((SERVER, 15020))).await.unwrap(), "the port itself");
        // What the application dials is captured, but for ports that are left out and what stays in the pod.
        assert_eq!(dial(&server, SocketAddr::from((peer(4), 80))).await.unwrap(), "outbound", "{back_end}");
        assert_eq!(dial(&server, SocketAddr::from((peer(4), 8099))).await.unwrap(), "the peer");
        assert_eq!(dial(&server, "127.0.0.1:8080".parse().unwrap()).await.unwrap(), "the port itself");
        assert_eq!(dial(&server, SocketAddr::from((SERVER, 8080))).await.unwrap(), "the port itself");
        // What the proxy dials goes its way; only its own application, at an address of the pod, is reached as by a peer.
        let by_proxy = |to: SocketAddr| {
            let script = format!("exec 3<>/dev/tcp/{}/{}; cat <&3", to.ip(), to.port());
            let mut command = pair.server.command(Path::new("bash"), PROXY_GROUP);
            command.args(["-c", &script]).output()
        };
        let said = by_proxy(SocketAddr::from((peer(4), 80))).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&said.stdout), "the peer", "{back_end}");

        redirect(&pair, &[words.as_slice(), &["--cleanup-only"]].concat()).unwrap();
        if !back_end.contains("iptables") {
            assert_eq!(tables(), before, "{back_end}");
        }
        assert_eq!(dial(&peers, SocketAddr::from((SERVER, 8080))).await.unwrap(), "the port itself");
        assert!(tables().contains("table inet other"));
    }
}

/// Rules without how often each was met.
fn lines(rules: &str) -> Vec<String> {
    let counted = |word: &str| word.chars().all(|c| c.is_ascii_digit());
    rules
        .lines()
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let kept = words.iter().enumerate().filter(|(at, word)| {
                let before = at.checked_sub(1).and_then(|at| words.get(at)).copied();
                !(counted(word) && matches!(before, Some("packets" | "bytes")))
            });
            kept.map(|(_, word)| *word).collect::<Vec<_>>().join(" ")
        })
        .collect()
}

#[tokio::test]
async fn version_6_is_captured_where_the_pod_has_it() {
    let pair = Pair::bare().unwrap();
    let [server_at, peer_at] = ["fd00::10", "fd00::4"].map(|text| text.parse::<std::net::Ipv6Addr>().unwrap());
    pair.server.output("ip", &["address", "add", "fd00::10/64", "dev", "cable", "nodad"]).unwrap();
    pair.peers.output("ip", &["address", "add", "fd00::4/64", "dev", "cable", "nodad"]).unwrap();
    redirect(&pair, &USUAL).unwrap();
    redirect(&pair, &USUAL).unwrap();
    // Where the proxy dials its application from.
    assert!(pair.server.output("ip", &["-6", "address", "show", "dev", "lo"]).unwrap().contains("inet6 ::6/128"));
    let (server, peers) = (Inside::start(&pair.server).unwrap(), Inside::start(&pair.peers).unwrap());
    says(&server, "[::]:15001".parse().unwrap(), "outbound").await;
    says(&server, "[::]:15006".parse().unwrap(), "inbound").await;
    says(&server, "[::]:8080".parse().unwrap(), "the port itself").await;
    says(&peers, SocketAddr::from((peer_at, 80)), "the peer").await;
    assert_eq!(dial(&peers, SocketAddr::from((server_at, 8080))).await.unwrap(), "inbound");
    assert_eq!(dial(&server, SocketAddr::from((peer_at, 80))).await.unwrap(), "outbound");
    assert_eq!(dial(&server, "[::1]:8080".parse().unwrap()).await.unwrap(), "the port itself");
    assert_eq!(dial(&peers, SocketAddr::from((SERVER, 8080))).await.unwrap(), "inbound");
}
