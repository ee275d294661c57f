use super::*;
use crate::{
    conn::PeerAddress,
    error::Error,
    snapshot::{
        cluster::{Cluster, ClusterKey},
        fixture::{key, port},
    },
    upstream::connect::{Connector, Dial},
};
use mesh_config::model::{Protocol, Settings, destination::EffectivePolicy, service::Resolution};
use mesh_runtime::{
    snapshot::Reader,
    testing::TestCa,
    tls::server::{ClientAuth, ServerProfile, ServerTls, Serving},
};
use std::{cell::RefCell, path::Path, rc::Rc};
use tokio::{io::duplex, sync::oneshot, task::LocalSet};

mod mutual;

/// A server outside the mesh, whose certificate carries `names`, and the roots that vouch for it.
struct Outside {
    ca: TestCa,
    names: Vec<&'static str>,
    dir: tempfile::TempDir,
}

impl Outside {
    fn new(names: &[&'static str]) -> Self {
        let (ca, dir) = (TestCa::new("outside"), tempfile::tempdir().unwrap());
        std::fs::write(dir.path().join("roots.pem"), ca.root_pem()).unwrap();
        Outside { ca, names: names.to_vec(), dir }
    }

    fn rule(&self) -> SimpleTls {
        roots(&self.dir.path().join("roots.pem"))
    }

    /// Connects as this rule and the service's own names say, for a request to `host`. Gives the server name that
    /// arrived, or why there is no connection.
    async fn ask(&self, rule: SimpleTls, service: &[&str], host: Option<&str>) -> Result<Option<String>, String> {
        let (told, heard) = oneshot::channel();
        let told = Rc::new(RefCell::new(Some(told)));
        let certificates = vec![self.ca.server_certificate(&self.names)];
        let server = Rc::new(ServerTls::with_certificates(Reader::fixed(Arc::new(Serving {
            certificates,
            ..Serving::default()
        }))));
        let dial = Dial::Memory(Rc::new(move |_: &PeerAddress| {
            let (near, far) = duplex(1 << 16);
            let (server, told) = (server.clone(), told.clone());
            tokio::task::spawn_local(async move {
                let accepted = server.accept(far, &ServerProfile::new([], ClientAuth::None)).await;
                let sni = accepted.ok().and_then(|(_, accepted)| accepted.sni);
                // Nobody listens any more when the client has refused.
                let _ = told.take().expect("one connection").send(sni);
            });
            Some(near)
        }));
        let connector = Connector::new(dial, Some(Arc::new(ClientTls::anonymous())));
        let cluster = cluster(rule, service);
        let host: Option<Arc<str>> = host.map(Arc::from);
        let target = Target {
            address: &PeerAddress::Ip("10.9.9.9:443".parse().unwrap()),
            callee: None,
            cluster: &cluster,
            settings: &Settings::default(),
            server_name: host.as_ref(),
            speaks: if host.is_some() { Speaks::Http1 } else { Speaks::Tcp },
        };
        let connect = async {
            let _open = connector.io(&target).await.map_err(|(error, _)| reason(error))?;
            Ok(heard.await.unwrap())
        };
        LocalSet::new().run_until(connect).await
    }
}

fn reason(error: Error) -> String {
    match error {
        Error::Connect { reason, .. } => reason.to_string(),
        other => panic!("{other:?}"),
    }
}

fn text(path: &Path) -> Arc<str> {
    path.to_str().unwrap().into()
}

/// A rule that believes the roots in a file.
fn roots(path: &Path) -> SimpleTls {
    let keys = UpstreamKeys::Files(KeyFiles { roots: Some(text(path)), certificate: None });
    SimpleTls { keys, ..SimpleTls::default() }
}

fn names_of(names: &[&str]) -> Vec<Arc<str>> {
    names.iter().map(|name| Arc::from(*name)).collect()
}

fn cluster(rule: SimpleTls, service: &[&str]) -> Cluster {
    Cluster {
        id: crate::snapshot::cluster::ClusterId(0),
        key: ClusterKey::Outbound { service: key("shop/ext.example"), port: port(443), subset: None },
        name: "outbound|443||ext.example".into(),
        sni: "outbound_.443_._.ext.example".into(),
        protocol: Protocol::Http,
        resolution: Resolution::Static,
        subset_labels: Default::default(),
        policy: EffectivePolicy { tls: Some(UpstreamTls::Simple(rule)), ..EffectivePolicy::default() },
        secret: Secret::Unnamed,
        external: true,
        subject_alt_names: names_of(service).into(),
        service_host: "ext.example".into(),
        service_name: "ext.example".into(),
        service_namespace: "shop".into(),
        endpoints: Default::default(),
        local: None,
    }
}

#[tokio::test]
async fn the_service_names_whom_to_believe_where_the_rule_does_not() {
    let server = Outside::new(&["names.example"]);
    let sent = Ok(Some("ext.example".to_owned()));
    assert_eq!(server.ask(server.rule(), &["names.example"], Some("ext.example")).await, sent);
    assert_eq!(server.ask(server.rule(), &["x.example", "NAMES.example"], Some("ext.example")).await, sent);
    // A certificate for the host alone is not what the service says.
    let host = Outside::new(&["ext.example"]);
    let refused = host.ask(host.rule(), &["names.example"], Some("ext.example")).await.unwrap_err();
    assert!(refused.contains(r#"it names ["ext.example"], not one of ["names.example"]"#), "{refused}");
    // The rule's names come first.
    let rule = SimpleTls { subject_alt_names: names_of(&["ext.example"]), ..host.rule() };
    assert_eq!(host.ask(rule, &["names.example"], Some("ext.example")).await, sent);
    // And for opaque bytes all the same.
    assert_eq!(server.ask(server.rule(), &["names.example"], None).await, Ok(None));
    host.ask(host.rule(), &["names.example"], None).await.unwrap_err();
}

#[tokio::test]
async fn the_name_that_is_verified_need_not_be_the_one_that_is_sent() {
    let server = Outside::new(&["ext.example", "10.9.9.9", "2001:db8::9"]);
    assert_eq!(server.ask(server.rule(), &[], Some("ext.example")).await, Ok(Some("ext.example".to_owned())));
    // Addresses are not sent, but must be in the certificate.
    assert_eq!(server.ask(server.rule(), &[], Some("10.9.9.9")).await, Ok(None));
    assert_eq!(server.ask(server.rule(), &[], Some("2001:db8::9")).await, Ok(None));
    for host in ["10.9.9.8", "2001:db8::8", "other.example", ""] {
        let refused = server.ask(server.rule(), &[], Some(host)).await.unwrap_err();
        assert!(refused.contains(&format!("not one of [{host:?}]")), "{refused}");
    }
    // What the rule sends is what is verified, whatever the request's host.
    let rule = |sni: &str| SimpleTls { sni: Some(sni.into()), ..server.rule() };
    assert_eq!(server.ask(rule("ext.example"), &[], Some("a.example")).await, Ok(Some("ext.example".to_owned())));
    server.ask(rule("a.example"), &[], Some("ext.example")).await.unwrap_err();
}

#[tokio::test]
async fn roots_that_are_no_file_make_no_connection() {
    let server = Outside::new(&["ext.example"]);
    let pipe = server.dir.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for (path, reason) in [
        (pipe.as_path(), "it is not a regular file"),
        (Path::new("/dev/zero"), "it is not a regular file"),
        (Path::new("/none"), "No such file"),
    ] {
        let refused = server.ask(roots(path), &[], Some("ext.example")).await.unwrap_err();
        assert!(refused.contains(&format!("roots in {} cannot be used: {reason}", path.display())), "{refused}");
    }
}
