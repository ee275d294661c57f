use super::*;
use mesh_config::model::{
    index::IndexKind,
    service::{Resolution, ServicePort},
};

fn entry(key: &str, addresses: &[&str], ports: &[(u16, Protocol)]) -> Arc<IndexEntry> {
    Arc::new(IndexEntry {
        key: key.parse().unwrap(),
        kind: IndexKind::Service,
        addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
        ports: ports
            .iter()
            .map(|(number, protocol)| ServicePort {
                number: Port::new(*number).unwrap(),
                name: "".into(),
                protocol: *protocol,
            })
            .collect(),
        resolution: Resolution::Static,
        headless: key.contains("headless"),
    })
}

fn index(entries: &[Arc<IndexEntry>]) -> Index {
    let mut index = Index::new("shop".into(), "cluster.local");
    entries.iter().for_each(|e| index.insert(e.clone()));
    index
}

fn sample() -> Index {
    index(&[
        entry("shop/cart.shop.svc.cluster.local", &["10.0.0.1/32"], &[(80, Protocol::Http)]),
        entry("other/pay.other.svc.cluster.local", &["10.0.0.2/32"], &[(80, Protocol::Http), (90, Protocol::Tcp)]),
        entry("shop/headless.shop.svc.cluster.local", &[], &[(6379, Protocol::Tcp)]),
        entry("x/*.example.com", &[], &[(443, Protocol::Tls)]),
        entry("x/*.a.example.com", &[], &[(443, Protocol::Tls)]),
        entry("x/net", &["10.9.0.0/16", "10.8.0.1/32"], &[(5000, Protocol::Tcp)]),
        entry("x/subnet", &["10.9.1.0/24"], &[(5000, Protocol::Tcp)]),
    ])
}

#[test]
fn names_are_resolved_as_a_client_in_its_namespace_means_them() {
    let index = sample();
    let cart = Some("shop/cart.shop.svc.cluster.local");
    let pay = Some("other/pay.other.svc.cluster.local");
    let headless = Some("shop/headless.shop.svc.cluster.local");
    for (name, want) in [
        ("cart.shop.svc.cluster.local", cart),
        ("cart.shop.svc.cluster.local.", cart),
        ("cart", cart),
        ("cart.shop", cart),
        ("cart.shop.svc", cart),
        ("pay", None),
        ("pay.other", pay),
        ("pay.other.svc", pay),
        ("cart.", None),
        ("cart.other", None),
        ("pod-0.headless", headless),
        ("pod-0.headless.shop.svc.cluster.local", headless),
        ("pod-0.cart.shop.svc.cluster.local", None),
        ("10.0.0.2", pay),
        ("10.0.0.3", None),
        ("a.example.com", None),
        ("*.example.com", None),
    ] {
        let found = index.find_exact(name, |_| true).map(|e| e.key.to_string());
        assert_eq!(found.as_deref(), want, "{name}");
    }
    assert!(index.find_exact("cart", |e| e.ports[0].number.get() == 81).is_none());
}

#[test]
fn the_longest_wildcard_wins() {
    let index = sample();
    for (name, want) in [
        ("w.example.com", Some("x/*.example.com")),
        ("w.a.example.com", Some("x/*.a.example.com")),
        ("a.example.com", Some("x/*.example.com")),
        ("example.com", None),
        (".example.com", None),
    ] {
        let found = index.find_wildcard(name, |_| true).map(|e| e.key.to_string());
        assert_eq!(found.as_deref(), want, "{name}");
    }
}

#[test]
fn addresses_come_before_blocks_and_long_prefixes_before_short_ones() {
    let index = sample();
    for (address, want) in [
        ("10.0.0.1", vec!["shop/cart.shop.svc.cluster.local"]),
        ("10.8.0.1", vec!["x/net"]),
        ("10.9.2.1", vec!["x/net"]),
        ("10.9.1.1", vec!["x/subnet", "x/net"]),
        ("10.1.1.1", vec![]),
    ] {
        let found: Vec<String> = index.at(address.parse().unwrap()).map(|e| e.key.to_string()).collect();
        assert_eq!(found, want, "{address}");
    }
}

#[test]
fn the_own_namespace_comes_first_where_two_have_a_host() {
    let index = index(&[entry("a/host", &[], &[]), entry("shop/host", &[], &[]), entry("b/host", &[], &[])]);
    let namespaces: Vec<&str> = index.by_host("host").iter().map(|e| e.key.namespace.as_str()).collect();
    assert_eq!(namespaces, ["shop", "a", "b"]);
}

#[test]
fn what_is_taken_out_leaves_nothing_behind() {
    let mut index = sample();
    let keys: Vec<ServiceKey> = index.iter().map(|e| e.key.clone()).collect();
    assert_eq!(index.len(), 7);
    for key in &keys {
        assert!(index.remove(key));
        assert!(!index.remove(key));
    }
    assert!(index.is_empty() && index.addresses.is_empty() && index.blocks.is_empty());
    assert!(index.ports.is_empty() && index.wildcard_lengths.is_empty());
}

#[test]
fn an_entry_that_comes_again_replaces_the_old_one() {
    let mut index = sample();
    index.insert(entry("shop/cart.shop.svc.cluster.local", &["10.0.0.7/32"], &[(81, Protocol::Http)]));
    assert_eq!(index.len(), 7);
    assert!(index.at("10.0.0.1".parse().unwrap()).next().is_none());
    assert_eq!(index.port(Port::new(80).unwrap()).unwrap().http, 1);
    assert_eq!(index.port(Port::new(81).unwrap()).unwrap().http, 1);
    assert_eq!(index.port(Port::new(90).unwrap()).unwrap().others.len(), 1);
}

#[test]
fn short_names_depend_on_where_the_client_is() {
    let index = sample();
    let mut own = index.other_names("cart.shop.svc.cluster.local");
    own.sort();
    assert_eq!(own, ["cart", "cart.shop", "cart.shop.svc", "cart.shop.svc.cluster.local."]);
    assert_eq!(
        index.other_names("pay.other.svc.cluster.local"),
        ["pay.other.svc.cluster.local.", "pay.other", "pay.other.svc"]
    );
    assert_eq!(index.other_names("a.example.com"), ["a.example.com."]);
}
