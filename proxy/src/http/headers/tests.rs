use super::*;
use crate::{conn::Memo, snapshot::listener::DestinationKey};
use mesh_config::name::Port;

fn conn(direction: Direction) -> Connection {
    let port = Port::new(80).unwrap();
    Connection {
        id: 1,
        direction,
        key: DestinationKey::HttpPort(port),
        listener_port: port,
        local: "10.0.0.1:80".parse().unwrap(),
        remote: "10.0.0.9:4000".parse().unwrap(),
        secured: None,
        asked_for: None,
        memo: Memo::default(),
    }
}

fn head(uri: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = http::Request::builder().uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn run(direction: Direction, uri: &str, headers: &[(&str, &str)]) -> Result<(Parts, Request), Error> {
    let mut head = head(uri, headers);
    let facts = request(&mut head, &conn(direction), &Settings::default(), || 7, || None).map_err(|(e, _)| e)?;
    Ok((head, facts))
}

fn text(head: &Parts, name: &str) -> String {
    let all: Vec<_> = head.headers.get_all(name).iter().map(|v| v.to_str().unwrap()).collect();
    all.join("|")
}

#[test]
fn nobody_may_steer_the_proxy_by_headers() {
    let headers =
        [("host", "a"), ("x-envoy-retry-on", "5xx"), ("x-envoy-max-retries", "9"), ("x-envoy-attempt-count", "3")];
    let (head, _) = run(Direction::Outbound, "/", &headers).unwrap();
    assert_eq!(text(&head, "x-envoy-retry-on") + &text(&head, "x-envoy-max-retries"), "");
    assert_eq!(text(&head, "x-envoy-attempt-count"), "3");
}

#[test]
fn a_sidecar_leaves_forwarded_headers_and_a_gateway_appends() {
    let headers =
        [("host", "a"), ("x-forwarded-for", "1.2.3.4"), ("x-forwarded-proto", "https"), ("x-request-id", "mine")];
    let (head, facts) = run(Direction::Outbound, "/", &headers).unwrap();
    assert_eq!(text(&head, "x-forwarded-for"), "1.2.3.4");
    assert_eq!((text(&head, "x-forwarded-proto").as_str(), text(&head, "x-request-id").as_str()), ("https", "mine"));
    assert_eq!(facts.client, Some("1.2.3.4".parse().unwrap()));

    let (head, facts) = run(Direction::Gateway, "/", &headers).unwrap();
    assert_eq!(text(&head, "x-forwarded-for"), "1.2.3.4,10.0.0.9");
    assert_eq!((text(&head, "x-forwarded-proto").as_str(), facts.client), ("http", None));
    assert_ne!(text(&head, "x-request-id"), "mine");
    assert_eq!(text(&head, "x-envoy-external-address"), "10.0.0.9");
}

#[test]
fn client_certificates_are_told_by_us_alone() {
    let headers = [("host", "a"), ("x-forwarded-client-cert", "By=forged")];
    for direction in [Direction::Outbound, Direction::Inbound, Direction::Gateway] {
        let (head, _) = run(direction, "/", &headers).unwrap();
        assert_eq!(text(&head, "x-forwarded-client-cert"), "", "{direction:?}");
    }
    let mut mine = head("/", &headers);
    let element = || Some(HeaderValue::from_static("By=b;Hash=h;Subject=\"\";URI=u"));
    request(&mut mine, &conn(Direction::Inbound), &Settings::default(), || 7, element).unwrap();
    assert_eq!(text(&mine, "x-forwarded-client-cert"), "By=forged,By=b;Hash=h;Subject=\"\";URI=u");
}

#[test]
fn request_ids_are_version_four_uuids() {
    let id = request_id(u128::MAX);
    assert_eq!(id, "ffffffff-ffff-4fff-bfff-ffffffffffff");
    assert_eq!(request_id(0), "00000000-0000-4000-8000-000000000000");
}
