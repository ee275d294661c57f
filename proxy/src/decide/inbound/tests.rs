use super::*;
use crate::snapshot::fixture;
use mesh_config::{kind::Role, model::Part};
use std::sync::Arc;

fn policy(mode: MtlsMode, protocol: Protocol) -> PortPolicy {
    let parts = [
        fixture::instance(&[], &[(8080, "shop/cart", 80, protocol)]),
        Part::PeerAuthentication(Arc::new(fixture::mutual_tls("shop/mode", mode))),
    ];
    let state = fixture::state(Role::Sidecar, parts);
    state.snapshot().local().unwrap().inbound.port(fixture::port(8080))
}

fn hello(alpn: &[&str]) -> Detected {
    Detected::Tls(ClientHello { sni: None, alpn: alpn.iter().map(|p| p.as_bytes().to_vec()).collect() })
}

/// A letter for each admission, so that a whole mode is one line.
fn letter(admission: Admission) -> char {
    match admission {
        Admission::Requests => 'r',
        Admission::Opaque { sealed: false } => 'o',
        Admission::Opaque { sealed: true } => 's',
        Admission::Terminate { requests: true } => 'R',
        Admission::Terminate { requests: false } => 'O',
        Admission::Refuse(Refused::PlainText) => 'p',
        Admission::Refuse(_) => 'f',
    }
}

#[test]
fn mode_declaration_and_first_bytes_decide_together() {
    use MtlsMode::{Disable, Permissive, Strict};
    let said = [
        Detected::Http1,
        Detected::Http2,
        Detected::Opaque,
        Detected::NeedMore,
        hello(&["istio-http/1.1", "istio"]),
        hello(&["istio-peer-exchange", "istio"]),
        hello(&["h2", "http/1.1"]),
        hello(&[]),
    ];
    for (mode, protocol, want) in [
        (Disable, Protocol::Http, "rrrrRRff"),
        (Disable, Protocol::Tcp, "ooooOOss"),
        (Disable, Protocol::Auto, "rrooROss"),
        (Permissive, Protocol::Http, "rrrrRRff"),
        (Permissive, Protocol::Http2, "rrrrRRff"),
        (Permissive, Protocol::Tcp, "ooooOOss"),
        (Permissive, Protocol::Tls, "ooooOOss"),
        (Permissive, Protocol::Auto, "rrooROss"),
        (Strict, Protocol::Http, "ppppRRRR"),
        (Strict, Protocol::Tcp, "ppppOOOO"),
        (Strict, Protocol::Auto, "ppppROOO"),
    ] {
        let policy = policy(mode, protocol);
        let got: String = said.iter().map(|said| letter(admit(&policy, said))).collect();
        assert_eq!(got, want, "{mode:?} {protocol:?}");
    }
}

#[test]
fn only_what_nothing_declares_is_looked_at_for_requests() {
    use MtlsMode::{Disable, Permissive, Strict};
    let of = |mode, protocol| {
        let Opening { look, silence } = opening(&policy(mode, protocol));
        (look, silence)
    };
    for mode in [Disable, Permissive] {
        assert_eq!(of(mode, Protocol::Http), (Look::Tls, Silence::Waits));
        assert_eq!(of(mode, Protocol::Grpc), (Look::Tls, Silence::Waits));
        assert_eq!(of(mode, Protocol::Tcp), (Look::Tls, Silence::Dials));
        assert_eq!(of(mode, Protocol::Auto), (Look::Everything, Silence::Dials));
    }
    for protocol in [Protocol::Http, Protocol::Tcp, Protocol::Auto] {
        assert_eq!(of(Strict, protocol), (Look::Tls, Silence::Ends));
    }
}
