use super::*;
use crate::{detect::ClientHello, snapshot::fixture};
use mesh_config::{
    kind::Role,
    model::{
        Part,
        gateway::{Server, ServerProtocol, ServerTls},
    },
};
use std::sync::Arc;

fn secure(name: &str, hosts: &[&str]) -> Server {
    let protocol = ServerProtocol::Https(ServerTls::Secret { name: name.into(), require_client_certificate: false });
    Server { protocol, port_name: name.into(), ..fixture::server(443, hosts) }
}

fn hello(sni: Option<&str>) -> Detected {
    Detected::Tls(ClientHello { sni: sni.map(str::to_owned), alpn: Vec::new() })
}

fn said(arriving: Arriving<'_>) -> String {
    match arriving {
        Arriving::Hear => "hear".to_owned(),
        Arriving::Requests(key) => format!("{key:?}"),
        Arriving::Terminate { server, key } => {
            assert!(matches!(&key, DestinationKey::GatewayTls { server: named, .. } if *named == server.route_config));
            match &server.tls {
                ServerTls::Secret { name, .. } => name.to_string(),
                ServerTls::Mesh => "mesh".to_owned(),
            }
        }
        Arriving::Refuse(why) => why.to_string(),
    }
}

#[test]
fn servers_of_a_port_and_the_first_bytes_decide_together() {
    let servers = vec![
        fixture::server(80, &["*"]),
        secure("shop", &["shop.example"]),
        secure("all", &["*.example", "b.shop.example"]),
    ];
    let own = Part::Gateway(Arc::new(fixture::gateway("shop/edge", 1, servers)));
    let state = fixture::state(Role::Gateway, [own]);
    let (no_tls, no_server) = (Refused::NoTls.to_string(), Refused::NoServer.to_string());
    for (number, bytes, want) in [
        (80, None, "Gateway(Port(80))"),
        (443, None, "hear"),
        (443, Some(hello(Some("shop.example"))), "shop"),
        (443, Some(hello(Some("other.example"))), "all"),
        (443, Some(hello(Some("example"))), &no_server),
        (443, Some(hello(None)), &no_server),
        (443, Some(Detected::Http1), &no_tls),
        (443, Some(Detected::Http2), &no_tls),
        (443, Some(Detected::Opaque), &no_tls),
        (443, Some(Detected::NeedMore), &no_tls),
        (443, Some(Detected::TooLong), &no_tls),
        (8080, None, &no_server),
    ] {
        assert_eq!(said(arriving(state.snapshot(), fixture::port(number), bytes.as_ref())), want, "{number} {bytes:?}");
    }
}
