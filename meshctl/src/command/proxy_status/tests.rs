use super::*;
use crate::report::Format;
use serde_json::json;

fn answer(pilot: &str) -> Vec<FromPilot> {
    let value = json!([
        {"proxy": "web-1.shop", "id": "sidecar~127.0.1.2~web-1.shop~x", "cluster": "Kubernetes", "namespace": "shop",
         "serviceAccount": "web", "role": "sidecar", "version": "0.1.0", "proof": "token", "connectedAt": 1,
         "kinds": {"Index": {"status": "synced", "sent": 4, "acknowledged": 4, "parts": 7, "refused": {}},
                   "Service": {"status": "refused", "sent": 4, "acknowledged": 4, "parts": 1,
                               "refused": {"shop/a": "level 9"}}}},
        {"proxy": "cart-1.store", "cluster": "Kubernetes", "namespace": "store", "version": "0.1.0",
         "kinds": {"Index": {"status": "stale", "sent": 5, "acknowledged": 4}}},
        {"proxy": "new.shop", "namespace": "shop"}
    ]);
    vec![FromPilot { pilot: pilot.to_owned(), revision: None, value, version: None }]
}

fn text(wanted: Option<&str>, namespace: Option<&str>, verbosity: u8) -> String {
    report(&answer("127.0.0.1:15010"), wanted, namespace, verbosity).unwrap().render(Format::Table).unwrap()
}

#[test]
fn proxies_are_listed_by_name() {
    insta::assert_snapshot!(text(None, None, 0), @r"
    NAME             CLUSTER        ISTIOD              VERSION     SUBSCRIBED TYPES
    cart-1.store     Kubernetes     127.0.0.1:15010     0.1.0       1 (Index)
    new.shop                        127.0.0.1:15010                 0
    web-1.shop       Kubernetes     127.0.0.1:15010     0.1.0       2 (Index,Service)
    ");
}

#[test]
fn each_type_has_a_column_when_asked() {
    insta::assert_snapshot!(text(None, Some("shop"), 1), @r"
    NAME           CLUSTER        Index       Service     ISTIOD              VERSION
    new.shop                      IGNORED     IGNORED     127.0.0.1:15010
    web-1.shop     Kubernetes     SYNCED      ERROR       127.0.0.1:15010     0.1.0
    ");
}

#[test]
fn one_proxy_shows_what_it_refused() {
    insta::assert_snapshot!(text(Some("web-1.shop"), None, 0), @r"
    TYPE        STATUS     SENT     ACKNOWLEDGED     PARTS     REFUSED
    Index       SYNCED     4        4                7         -
    Service     ERROR      4        4                1         shop/a: level 9
    ");
}

#[test]
fn a_proxy_that_is_not_connected_is_an_error() {
    let error = report(&answer("p:1"), Some("gone.shop"), None, 0).unwrap_err().to_string();
    assert_eq!(error, "proxy \"gone.shop\" is not connected to p:1");
}

#[test]
fn a_namespace_without_proxies_gives_the_header_alone() {
    assert_eq!(text(None, Some("nowhere"), 0).lines().count(), 1);
}
