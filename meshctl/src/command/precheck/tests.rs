use super::*;

fn codes(messages: &[Message]) -> Vec<(Level, &str)> {
    messages.iter().map(|message| (message.level, message.code)).collect()
}

fn webhook(revision: &str, namespace: &str) -> (String, String, String) {
    ("hook".to_owned(), revision.to_owned(), namespace.to_owned())
}

#[test]
fn a_fresh_cluster_has_nothing_against_it() {
    let facts = Facts {
        version: Some((1, 36)),
        namespaces: vec![("shop".to_owned(), None), ("lab".to_owned(), Some("privileged".to_owned()))],
        ..Facts::default()
    };
    assert_eq!(judge(&facts, "istio-system", None), []);
}

#[test]
fn namespaces_that_refuse_the_init_container_are_named() {
    let namespaces = ["baseline", "restricted"].map(|level| (level.to_owned(), Some(level.to_owned()))).into();
    let said = judge(&Facts { namespaces, ..Facts::default() }, "istio-system", None);
    assert_eq!(codes(&said), [(Level::Warning, "pod-security"); 2]);
    assert_eq!(said[0].origin, "Namespace baseline");
    assert!(said[1].text.contains("\"restricted\"") && said[1].text.contains("NET_ADMIN"), "{}", said[1].text);
}

#[test]
fn an_old_kubernetes_and_missing_rights_are_errors() {
    let facts = Facts { version: Some((1, 28)), forbidden: vec!["create clusterroles".to_owned()], ..Facts::default() };
    let said = judge(&facts, "istio-system", None);
    assert_eq!(codes(&said), [(Level::Error, "IST0142"), (Level::Error, "IST0141")]);
    assert_eq!(said[0].text, "Kubernetes 1.28 is too old: the mesh needs 1.32 or newer");
}

#[test]
fn another_control_plane_matters_only_where_it_takes_the_same_namespaces() {
    let with = |hook| Facts { webhooks: vec![hook], ..Facts::default() };
    let said = judge(&with(webhook("default", "their-mesh")), "istio-system", None);
    assert_eq!(codes(&said), [(Level::Error, "another-control-plane")]);
    let said = judge(&with(webhook("default", "their-mesh")), "istio-system", Some("ours"));
    assert_eq!(codes(&said), [(Level::Info, "another-control-plane")]);
    let said = judge(&with(webhook("default", "istio-system")), "istio-system", None);
    assert_eq!(codes(&said), [(Level::Info, "installed")]);
}

#[test]
fn messages_read_as_istioctls_do() {
    let facts = Facts { version: Some((1, 28)), ..Facts::default() };
    let said = judge(&facts, "istio-system", None);
    let shown: Vec<&Message> = said.iter().collect();
    assert_eq!(log(&shown), "Error [IST0142] (Cluster) Kubernetes 1.28 is too old: the mesh needs 1.32 or newer\n");
    assert_eq!(value(&shown)[0]["level"], "Error");
}
