//! Keys from files and Secrets, and certificates of our own that servers outside the mesh ask for.

use super::*;
use mesh_config::{
    model::{Credential, destination::SecretKeys},
    name::NamespacedName,
};
use mesh_runtime::{clock, tls::material::Certificate};
use std::time::Duration;
use tokio::sync::mpsc;

/// A server that asks for certificates of its clients' authority, and a connector that lives as long as it does.
struct Exchange {
    server: TestCa,
    clients: TestCa,
    connector: Connector,
    heard: tokio::sync::Mutex<mpsc::UnboundedReceiver<Option<Vec<String>>>>,
}

impl Exchange {
    fn new() -> Self {
        let (server, clients) = (TestCa::new("outside"), TestCa::new("clients"));
        let serving = Serving {
            certificates: vec![server.server_certificate(&["ext.example"])],
            client_ca: Some(clients.bundle()),
            subject_alt_names: Vec::new(),
        };
        let tls = Rc::new(ServerTls::with_certificates(Reader::fixed(Arc::new(serving))));
        let (told, heard) = mpsc::unbounded_channel();
        let dial = Dial::Memory(Rc::new(move |_: &PeerAddress| {
            let (near, far) = duplex(1 << 16);
            let (tls, told) = (tls.clone(), told.clone());
            tokio::task::spawn_local(async move {
                let accepted = tls.accept(far, &ServerProfile::new([], ClientAuth::Required)).await;
                let peer = accepted.ok().and_then(|(_, accepted)| accepted.peer);
                told.send(peer.map(|peer| peer.dns.clone())).unwrap();
            });
            Some(near)
        }));
        let connector = Connector::new(dial, Some(Arc::new(ClientTls::anonymous())));
        Exchange { server, clients, connector, heard: tokio::sync::Mutex::new(heard) }
    }

    fn client(&self, name: &str) -> Arc<Certificate> {
        self.clients.server_certificate(&[name])
    }

    fn credential(&self, pair: Option<&Certificate>, ca: &str) -> Arc<Credential> {
        let nothing = Credential::nothing(NamespacedName::new("shop", "pair"));
        let ca_pem = ca.to_owned().into();
        Arc::new(match pair {
            Some(pair) => {
                Credential { ca_pem, chain_pem: pair.chain_pem().into(), key_pem: pair.key_pem().into(), ..nothing }
            }
            None => Credential { ca_pem, ..nothing },
        })
    }

    /// The names in the certificate that the server saw; none: it had to refuse. Or why we made no connection.
    async fn shown(&self, rule: &SimpleTls, secret: Secret) -> Result<Option<Vec<String>>, String> {
        let cluster = Cluster { secret, ..cluster(rule.clone(), &[]) };
        let target = Target {
            address: &PeerAddress::Ip("10.9.9.9:443".parse().unwrap()),
            callee: None,
            cluster: &cluster,
            settings: &Settings::default(),
            server_name: Some(&"ext.example".into()),
            speaks: Speaks::Http1,
        };
        let (_io, upstream, _) = self.connector.io(&target).await.map_err(|(error, _)| reason(error))?;
        assert!(!upstream.in_mesh, "whatever is shown there, nobody outside proves to be of the mesh");
        Ok(self.heard.lock().await.recv().await.unwrap())
    }
}

fn by_secret(shows_certificate: bool) -> SimpleTls {
    let keys = UpstreamKeys::Secret(SecretKeys { name: "pair".into(), shows_certificate });
    SimpleTls { keys, ..SimpleTls::default() }
}

#[tokio::test]
async fn a_certificate_in_files_is_shown_and_its_successor_by_the_next_connection() {
    let exchange = async {
        let exchange = Exchange::new();
        let dir = tempfile::tempdir().unwrap();
        let place = |name: &str| text(&dir.path().join(name));
        let put = |pair: &Certificate| {
            std::fs::write(&*place("chain.pem"), pair.chain_pem()).unwrap();
            std::fs::write(&*place("key.pem"), pair.key_pem()).unwrap();
        };
        std::fs::write(&*place("roots.pem"), exchange.server.root_pem()).unwrap();
        let certificate = CertificateFiles { chain: place("chain.pem"), key: place("key.pem") };
        let files = KeyFiles { roots: Some(place("roots.pem")), certificate: Some(certificate) };
        let rule = SimpleTls { keys: UpstreamKeys::Files(files.clone()), ..SimpleTls::default() };
        let refused = exchange.shown(&rule, Secret::Unnamed).await.unwrap_err();
        assert!(refused.contains("the certificate in ") && refused.contains("No such file"), "{refused}");

        put(&exchange.client("one"));
        assert_eq!(exchange.shown(&rule, Secret::Unnamed).await, Ok(Some(vec!["one".to_owned()])));
        put(&exchange.client("two"));
        assert_eq!(exchange.shown(&rule, Secret::Unnamed).await, Ok(Some(vec!["two".to_owned()])));

        // SIMPLE shows nothing, and the server refuses that.
        let files = KeyFiles { certificate: None, ..files };
        let simple = SimpleTls { keys: UpstreamKeys::Files(files), ..SimpleTls::default() };
        assert_eq!(exchange.shown(&simple, Secret::Unnamed).await, Ok(None));
    };
    LocalSet::new().run_until(exchange).await;
}

#[tokio::test]
async fn a_secret_has_roots_and_certificate_and_its_successor_counts_for_the_next_connection() {
    let exchange = async {
        let exchange = Exchange::new();
        let roots = exchange.server.root_pem();
        let [one, two] = ["one", "two"].map(|name| exchange.client(name));
        let [first, second] = [&one, &two].map(|pair| exchange.credential(Some(pair), &roots));
        let from = clock::system_now() - Duration::from_secs(3600);
        let uris = ["spiffe://cluster.local/ns/shop/sa/web"];
        let named = exchange.clients.issue(&uris, &["three"], from, from + Duration::from_secs(86_400));
        let third = exchange.credential(Some(&named), &roots);
        for (secret, name) in [(&first, "one"), (&first, "one"), (&second, "two"), (&third, "three")] {
            let shown = exchange.shown(&by_secret(true), Secret::Here(secret.clone())).await;
            assert_eq!(shown, Ok(Some(vec![name.to_owned()])));
        }
        // SIMPLE takes the roots alone, and shows nothing of what the Secret holds besides.
        assert_eq!(exchange.shown(&by_secret(false), Secret::Here(second)).await, Ok(None));
        let other = exchange.credential(Some(&one), &TestCa::new("other").root_pem());
        let refused = exchange.shown(&by_secret(true), Secret::Here(other)).await.unwrap_err();
        assert!(refused.contains("no chain leads from it to a trusted root"), "{refused}");
        assert_eq!(exchange.heard.lock().await.recv().await, Some(None));
        // Without verifying anybody, no roots are needed.
        let unverified = SimpleTls { insecure_skip_verify: true, ..by_secret(true) };
        let no_roots = exchange.credential(Some(&one), "");
        assert_eq!(exchange.shown(&unverified, Secret::Here(no_roots)).await, Ok(Some(vec!["one".to_owned()])));
    };
    LocalSet::new().run_until(exchange).await;
}

#[tokio::test]
async fn tls_of_the_application_passes_a_rule_that_is_for_gateways_and_nothing_else_does() {
    let withheld = || Secret::Withheld(NamespacedName::new("shop", "pair"));
    let connect = async {
        let dial = Dial::Memory(Rc::new(|_: &PeerAddress| Some(duplex(16).0)));
        let connector = Connector::new(dial, Some(Arc::new(ClientTls::anonymous())));
        let mut connected = Vec::new();
        for (protocol, speaks) in [
            (Protocol::Https, Speaks::Tcp),
            (Protocol::Https, Speaks::Http1),
            (Protocol::Https, Speaks::Http2),
            (Protocol::Tcp, Speaks::Tcp),
        ] {
            let cluster = Cluster { secret: withheld(), protocol, ..cluster(by_secret(true), &[]) };
            let target = Target {
                address: &PeerAddress::Ip("10.9.9.9:443".parse().unwrap()),
                callee: None,
                cluster: &cluster,
                settings: &Settings::default(),
                server_name: None,
                speaks,
            };
            connected.push(connector.io(&target).await.is_ok());
        }
        connected
    };
    assert_eq!(LocalSet::new().run_until(connect).await, [true, false, false, false]);
}

#[tokio::test]
async fn a_secret_that_lacks_what_is_needed_makes_no_connection_and_says_so() {
    let exchange = async {
        let exchange = Exchange::new();
        let (roots, pair) = (exchange.server.root_pem(), exchange.client("one"));
        let name = NamespacedName::new("shop", "pair");
        let cases = [
            (Secret::Missing(name.clone()), "there is no Secret shop/pair here"),
            (Secret::Withheld(name), "Secret shop/pair is not given to sidecars by a rule for all clients"),
            (Secret::Here(exchange.credential(None, &roots)), "it has no certificate with a key"),
            (Secret::Here(exchange.credential(Some(&pair), "")), "it has no CA for the server's certificate"),
            (Secret::Here(exchange.credential(Some(&pair), "no roots")), "contains no certificate"),
        ];
        for (secret, want) in cases {
            let refused = exchange.shown(&by_secret(true), secret).await.unwrap_err();
            assert!(refused.starts_with("TLS error: ") && refused.contains(want), "{refused}");
        }
    };
    LocalSet::new().run_until(exchange).await;
}
