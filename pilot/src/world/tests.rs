use super::*;
use crate::source::memory;
use mesh_config::{
    crd,
    diagnostic::{ObjectRef, Origin},
    model::{
        Authorization, Labels, Sidecar,
        authorization::{Action, Rule},
        peer_authentication::MtlsMode,
        settings::OutboundPolicy,
    },
    name::NamespacedName,
};

fn config(name: &str, mesh: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}, namespace: istio-system}}, data: {{mesh: {mesh:?}}}}}\n"
    )
}

fn upsert(world: &mut World, text: &str) {
    world.apply(memory::batch("f", text));
}

fn remove(world: &mut World, kind: ObjectKind, name: NamespacedName) -> Touched {
    let id = ObjectId { cluster: CLUSTER.into(), kind: kind.into(), name };
    world.apply(Batch { source: SourceId::Memory, changes: vec![Change::Delete(id)] })
}

fn delete(world: &mut World, name: &str) {
    remove(world, ObjectKind::ConfigMap, NamespacedName::new("istio-system", name));
}

const SERVICE: &str =
    "{apiVersion: v1, kind: Service, metadata: {name: cart, namespace: shop}, spec: {ports: [{port: 80}]}}\n";

fn visibility(world: &World) -> mesh_config::model::Visibility {
    let service = world.parsed().find_map(|(_, parsed)| match parsed {
        Parsed::Service(service) => Some(service.visibility(&world.context().default_service_export_to)),
        _ => None,
    });
    service.unwrap()
}

#[test]
fn objects_are_read_again_when_mesh_config_changes_their_meaning() {
    let mut world = World::default();
    upsert(&mut world, SERVICE);
    assert!(visibility(&world).includes(&"other".into()));
    upsert(&mut world, &config("istio", "defaultServiceExportTo: [\".\"]"));
    assert!(!visibility(&world).includes(&"other".into()));
    delete(&mut world, "istio");
    assert!(visibility(&world).includes(&"other".into()));
}

#[test]
fn a_mesh_config_that_cannot_be_read_leaves_the_last_good_one() {
    let mut world = World::default();
    upsert(&mut world, &config("istio", "outboundTrafficPolicy: {mode: REGISTRY_ONLY}"));
    upsert(&mut world, &config("istio", "trustDomain: [1]"));
    assert_eq!(world.settings().outbound_policy, OutboundPolicy::RegistryOnly);
    assert!(said(&world).any(|note| note.object.kind.as_ref() == "ConfigMap"));
    delete(&mut world, "istio");
    assert_eq!(world.settings().outbound_policy, OutboundPolicy::AllowAny);
}

#[test]
fn only_the_own_namespaces_and_revisions_config_map_is_mesh_config() {
    let elsewhere = config("istio", "rootNamespace: tenant").replace("istio-system", "tenant");
    let mut world = World::default();
    upsert(&mut world, &elsewhere);
    upsert(&mut world, &config("istio-canary", "trustDomain: canary"));
    assert_eq!(world.settings(), Settings::default());
    assert_eq!(said(&world).map(|note| note.severity).max(), Some(Severity::Info));
    upsert(&mut world, &config("istio", "trustDomain: main"));
    assert_eq!(world.settings().trust_domain.as_str(), "main");
    assert_eq!(world.settings().root_namespace.as_str(), "istio-system");

    let mut base = MeshConfig::default();
    base.context.mesh_config = NamespacedName::new("mesh", "istio-canary");
    let mut world = World::with_mesh_config(base);
    upsert(&mut world, &config("istio-canary", "trustDomain: other"));
    upsert(&mut world, &config("istio-canary", "trustDomain: canary").replace("istio-system", "mesh"));
    let settings = world.settings();
    assert_eq!((settings.trust_domain.as_str(), settings.root_namespace.as_str()), ("canary", "mesh"));
}

#[test]
fn what_was_touched_says_how_soon_to_compile() {
    let mut world = World::default();
    let entry =
        "{apiVersion: networking.istio.io/v1, kind: WorkloadEntry, metadata: {name: a}, spec: {address: 10.0.0.1}}\n";
    let touched = |mut batch: Batch, world: &mut World| {
        batch.changes.retain(|change| matches!(change, Change::Upsert(..)));
        world.apply(batch).endpoints_only()
    };
    assert!(touched(memory::batch("f", entry), &mut world));
    assert!(!touched(memory::batch("f", SERVICE), &mut world));
    assert!(remove(&mut world, ObjectKind::Pod, NamespacedName::new("a", "b")).is_empty());
}

#[test]
fn what_says_nothing_new_touches_nothing() {
    let mut world = World::default();
    let apply = |world: &mut World, text: &str| {
        let batch = memory::batch("f", text);
        let changes = batch.changes.into_iter().filter(|change| matches!(change, Change::Upsert(..))).collect();
        world.apply(Batch { source: SourceId::ApiServer, changes })
    };
    let cart = || ObjectId::new(ObjectKind::Service, NamespacedName::new("shop", "cart"));
    let said = || {
        let mut touched = Touched::of(cart());
        touched.findings = true;
        touched
    };
    assert_eq!(apply(&mut world, SERVICE), Touched::of(cart()));
    assert_eq!(apply(&mut world, &SERVICE.replace("}}", "}, status: {loadBalancer: {}}}")), Touched::default());
    assert_eq!(apply(&mut world, &SERVICE.replace("80", "81")), Touched::of(cart()));
    let labelled = SERVICE.replace("80", "81").replace("name: cart", "labels: {a: b}, name: cart");
    assert_eq!(apply(&mut world, &labelled), Touched::of(cart()));
    let broken = labelled.replace("81", "0");
    assert_eq!((apply(&mut world, &broken), apply(&mut world, &broken)), (said(), said()));
    let secret = "{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: shop}, data: {password: eA==}}\n";
    assert_eq!(apply(&mut world, secret), Touched::default());
}

#[test]
fn namespaces_that_no_selector_selects_do_not_count() {
    let services = |world: &World| world.parsed().filter(|(_, p)| matches!(p, Parsed::Service(_))).count();
    let namespace =
        |labels: &str| format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: shop, labels: {{{labels}}}}}}}\n");
    let mut world = World::default();
    upsert(&mut world, &(SERVICE.to_owned() + "---\n" + &namespace("a: b")));
    assert_eq!(services(&world), 1);
    upsert(&mut world, &config("istio", "discoverySelectors: [{matchLabels: {a: c}}, {matchLabels: {d: e}}]"));
    assert_eq!(services(&world), 0);
    #[cfg(feature = "serve")]
    assert_eq!(world.chosen_namespaces(), Some([].into()));
    upsert(&mut world, &namespace("d: e"));
    assert_eq!(services(&world), 1);
    #[cfg(feature = "serve")]
    assert_eq!(world.chosen_namespaces(), Some(["shop".into()].into()));
    upsert(&mut world, &namespace("a: b"));
    assert_eq!(services(&world), 0);
    upsert(&mut world, &config("istio", "rootNamespace: shop, discoverySelectors: [{matchLabels: {a: c}}]"));
    assert_eq!(services(&world), 0, "it is a broken text");
    upsert(&mut world, &config("istio", "{rootNamespace: shop, discoverySelectors: [{matchLabels: {a: c}}]}"));
    assert_eq!(services(&world), 1, "the root namespace counts in any case");
    delete(&mut world, "istio");
    assert_eq!(services(&world), 1);
}

#[test]
fn objects_of_another_revision_do_not_count() {
    let with = |label: &str| {
        "{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: a, namespace: shop, labels: {LABEL}}}\n"
            .replace("LABEL", label)
    };
    let counts = |world: World, label: &str| {
        let mut world = world;
        upsert(&mut world, &with(label));
        (world.parsed().count(), world.holds().count())
    };
    let own = || World::default().of_revision("canary");
    assert_eq!(counts(own(), ""), (1, 1));
    assert_eq!(counts(own(), "istio.io/rev: canary"), (1, 1));
    assert_eq!(counts(own(), "istio.io/rev: default"), (0, 0));
    assert_eq!(counts(World::default(), "istio.io/rev: default"), (1, 1));
    let mut world = own();
    upsert(&mut world, &SERVICE.replace("name: cart", "labels: {istio.io/rev: other}, name: cart"));
    assert_eq!(world.parsed().count(), 1, "a Service is nobody's alone");
}

#[test]
fn a_world_is_synced_when_every_source_is() {
    let mut world = World::default();
    assert!(!world.is_synced());
    world.register(SourceId::Files);
    upsert(&mut world, SERVICE);
    assert!(!world.is_synced());
    world.apply(Batch { source: SourceId::Files, changes: vec![Change::Synced] });
    assert!(world.is_synced());
}

fn finding(code: &'static str, severity: Severity) -> Diagnostic {
    let object = ObjectRef { kind: "".into(), namespace: "".into(), name: "".into() };
    Diagnostic { severity, code, object, field: String::new(), message: String::new(), origin: Origin::default() }
}

#[test]
fn notes_replace_those_of_their_own_source_alone() {
    let mut world = World::default();
    let mut note = |source, codes: &[&'static str]| {
        let notes = codes.iter().map(|code| finding(code, Severity::Warning)).collect();
        world.apply(Batch { source, changes: vec![Change::Notes(notes)] });
        said(&world).map(|note| note.code).collect::<Vec<_>>()
    };
    note(SourceId::Files, &["a", "b"]);
    assert_eq!(note(SourceId::Memory, &["c"]), ["a", "b", "c"]);
    assert_eq!(note(SourceId::Files, &["d"]), ["d", "c"]);
}

#[test]
fn of_an_object_that_two_sources_have_the_first_sources_counts() {
    let mut world = World::default();
    upsert(&mut world, &policy("[{}]"));
    let mut batch = memory::batch("g", &policy(GOOD));
    batch.source = SourceId::Files;
    world.apply(batch.clone());
    assert_eq!(parsed_policy(&world).unwrap().rules[0].operations.len(), 1);
    assert!(is_noted(&world, "duplicate-object"));
    batch.changes = vec![Change::Delete(ObjectId {
        cluster: CLUSTER.into(),
        kind: ObjectKind::AuthorizationPolicy.into(),
        name: NamespacedName::new("shop", "cart"),
    })];
    world.apply(batch);
    assert_eq!(parsed_policy(&world).unwrap().rules, [Rule::default()]);
    assert!(!is_noted(&world, "duplicate-object"));
}

#[test]
fn the_content_of_objects_is_never_printed() {
    let secret =
        "{apiVersion: v1, kind: Secret, metadata: {name: pair}, stringData: {tls.crt: chain, tls.key: hidden}}\n";
    let batch = memory::batch("f", secret);
    assert_eq!(format!("{:?}", batch.changes), "[Upsert(Secret default/pair), Synced]");
}

#[test]
fn the_cluster_domain_is_the_processs_whatever_mesh_config_says() {
    let mut base = MeshConfig::default();
    base.context.cluster_domain = "example.local".into();
    base.settings.cluster_domain = "example.local".into();
    let mut world = World::with_mesh_config(base);
    upsert(&mut world, &config("istio", "trustDomain: td"));
    assert_eq!((&*world.settings().cluster_domain, world.settings().trust_domain.as_str()), ("example.local", "td"));
    assert_eq!(&*world.context().cluster_domain, "example.local");
}

fn policy(rules: &str) -> String {
    format!(
        "{{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {{name: cart, namespace: shop}}, \
         spec: {{action: DENY, rules: {rules}}}}}\n"
    )
}

fn parsed_policy(world: &World) -> Option<Authorization> {
    world.parsed().find_map(|(_, parsed)| match parsed {
        Parsed::AuthorizationPolicy(policy) => Some(policy.clone()),
        _ => None,
    })
}

fn methods(world: &World) -> Option<usize> {
    Some(parsed_policy(world)?.rules.first()?.operations.len())
}

fn is_noted(world: &World, code: &str) -> bool {
    said(world).any(|note| note.code == code)
}

const GOOD: &str = "[{to: [{operation: {methods: [DELETE]}}]}]";
const BAD: &str = "[{to: [{operation: {method: [DELETE]}}]}]";

#[test]
fn an_object_that_breaks_keeps_its_last_good_version_until_it_is_mended_or_deleted() {
    let mut world = World::default();
    upsert(&mut world, &policy(BAD));
    assert!(!is_noted(&world, "last-good-kept"));

    upsert(&mut world, &policy(GOOD));
    assert_eq!(methods(&world), Some(1));
    upsert(&mut world, &policy(BAD));
    upsert(&mut world, &policy("[{form: []}]"));
    assert_eq!(methods(&world), Some(1), "however often it breaks");
    assert!(is_noted(&world, "last-good-kept") && is_noted(&world, "unknown-field"));

    upsert(&mut world, &policy("[{}]"));
    assert_eq!(methods(&world), Some(0));
    assert!(!is_noted(&world, "last-good-kept"));
    upsert(&mut world, &policy(BAD));
    delete_policy(&mut world);
    assert_eq!(parsed_policy(&world), None);
    upsert(&mut world, &policy(BAD));
    assert_eq!(methods(&world), Some(0), "a deleted object is forgotten: something stands in for the new one");
}

#[test]
fn an_object_with_a_bad_entry_is_in_force_without_it_unless_it_was_good_before() {
    let rules = |rules: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: cart, namespace: shop}}\n\
             spec: {{hosts: [cart], http: [{rules}]}}\n"
        )
    };
    let names = |world: &World| {
        let route = world.parsed().find_map(|(_, parsed)| match parsed {
            Parsed::VirtualService(route) => Some(route),
            _ => None,
        });
        route.unwrap().rules.iter().map(|rule| rule.name.to_string()).collect::<Vec<_>>()
    };
    let rule = |name: &str| format!("{{name: {name}, route: [{{destination: {{host: cart}}}}]}}");
    let bad = "{name: bad, timeout: soon, route: [{destination: {host: cart}}]}";
    let mut world = World::default();
    upsert(&mut world, &rules(&format!("{bad}, {}", rule("one"))));
    assert_eq!(names(&world), ["one"]);
    assert!(is_noted(&world, "in-force-in-part") && is_noted(&world, "invalid-field"));
    // In part, again.
    upsert(&mut world, &rules(&format!("{bad}, {}", rule("two"))));
    assert_eq!(names(&world), ["two"]);
    // Nothing of it can be read: what was in force stays.
    upsert(&mut world, &rules("7"));
    assert_eq!(names(&world), ["two"]);
    // A version that was good as a whole comes before a part of a later one.
    upsert(&mut world, &rules(&rule("three")));
    assert!(!is_noted(&world, "in-force-in-part") && !is_noted(&world, "last-good-kept"));
    upsert(&mut world, &rules(&format!("{bad}, {}", rule("four"))));
    assert_eq!(names(&world), ["three"]);
    assert!(is_noted(&world, "last-good-kept"));
}

fn delete_policy(world: &mut World) {
    remove(world, ObjectKind::AuthorizationPolicy, NamespacedName::new("shop", "cart"));
}

#[test]
fn what_narrows_access_and_was_never_good_has_a_stand_in_until_it_is_mended_or_deleted() {
    let mut world = World::default();
    upsert(&mut world, &policy(BAD).replace("spec: {", "spec: {selector: {matchLabels: {app: cart}}, "));
    let denies = Authorization {
        name: NamespacedName::new("shop", "cart"),
        selector: [("app", "cart")].into_iter().collect(),
        action: Action::Deny,
        dry_run: false,
        rules: vec![Rule::default()],
    };
    assert_eq!(parsed_policy(&world), Some(denies.clone()));
    assert!(is_noted(&world, STANDS_IN) && is_noted(&world, "unknown-field"));
    // A selector that cannot be read selects all.
    for unreadable in ["{matchLabel: {app: cart}}", "{matchLabels: {'': cart}}", "{matchLabels: {app: [cart]}}"] {
        upsert(&mut world, &policy(BAD).replace("spec: {", &format!("spec: {{selector: {unreadable}, ")));
        let all = Authorization { selector: Labels::default(), ..denies.clone() };
        assert_eq!(parsed_policy(&world), Some(all), "{unreadable}");
    }
    upsert(&mut world, &config("istio", "defaultServiceExportTo: [\".\"]"));
    assert_eq!(parsed_policy(&world), Some(Authorization { selector: Labels::default(), ..denies }));
    assert_eq!(world.to_keep().count(), 0, "a stand-in is never kept");
    delete_policy(&mut world);
    assert_eq!(parsed_policy(&world), None);
    assert!(!is_noted(&world, STANDS_IN));
    upsert(&mut world, &policy(BAD));
    upsert(&mut world, &policy(GOOD));
    assert_eq!(methods(&world), Some(1));
    assert!(!is_noted(&world, STANDS_IN));
}

#[test]
fn a_policy_that_would_have_refused_nobody_has_no_stand_in() {
    for harmless in [
        policy(BAD).replace("DENY", "AUDIT"),
        policy(BAD).replace("namespace: shop", "namespace: shop, annotations: {istio.io/dry-run: \"true\"}"),
        policy(BAD).replace("spec: {", "spec: {targetRefs: [{kind: Gateway, name: a}], "),
    ] {
        let mut world = World::default();
        upsert(&mut world, &harmless);
        assert_eq!(parsed_policy(&world), None, "{harmless}");
    }
}

#[test]
fn a_peer_authentication_that_cannot_be_read_is_strict() {
    let mut world = World::default();
    upsert(
        &mut world,
        "{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: a, namespace: shop}, \
         spec: {selector: {matchLabels: {app: cart}}, mtls: {mod: STRICT}}}\n",
    );
    let Some((_, Parsed::PeerAuthentication(policy))) = world.parsed().next() else { panic!() };
    assert_eq!((policy.mode, policy.ports.len()), (Some(MtlsMode::Strict), 0));
    assert_eq!(policy.selector, Some([("app", "cart")].into_iter().collect()));
}

fn sidecar(spec: &str) -> Sidecar {
    let mut world = World::default();
    upsert(
        &mut world,
        &format!(
            "{{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {{name: a, namespace: shop}}, spec: {spec}}}\n"
        ),
    );
    assert!(is_noted(&world, STANDS_IN), "{spec}");
    let Some((_, Parsed::Sidecar(sidecar))) = world.parsed().next() else { panic!("{spec}") };
    sidecar.clone()
}

#[test]
fn a_sidecar_that_cannot_be_read_lets_out_what_can_be_read_of_its_egress_alone() {
    let hosts = |sidecar: &Sidecar| -> Vec<String> {
        assert_eq!(sidecar.outbound_policy, Some(OutboundPolicy::RegistryOnly));
        sidecar.egress.iter().flat_map(|l| &l.hosts).map(|h| h.host.to_string()).collect()
    };
    let with_ingress_tls = "{ingress: [{port: {number: 80, name: a, protocol: HTTPS}, tls: {mode: SIMPLE}}], \
                            outboundTrafficPolicy: {mode: REGISTRY_ONLY}}";
    assert_eq!(sidecar(with_ingress_tls).egress, [], "everything in the registry");
    let one_wrong = sidecar("{egress: [{port: {number: 80}, hosts: [no-slash]}, {hosts: [\"./cart.shop\"]}], x: 1}");
    assert_eq!(hosts(&one_wrong), ["cart.shop"]);
    for nothing in ["{egress: [{hosts: [no-slash]}]}", "{egress: 1}", "{egres: [{hosts: [\"./*\"]}]}"] {
        let sidecar = sidecar(nothing);
        assert_eq!((hosts(&sidecar).len(), sidecar.egress.len()), (0, 1), "{nothing}");
    }
}

#[test]
fn a_mesh_config_that_was_never_good_lets_nothing_unknown_out() {
    for (text, policy) in [
        ("outboundTrafficPolicy: {mode: REGISTRY_ONLI}", OutboundPolicy::RegistryOnly),
        ("outboundTrafficPolicy: {mode: ALLOW_ANY}\nconnectTimeout: soon", OutboundPolicy::AllowAny),
        ("outboundTrafficPolicy: {mode: REGISTRY_ONLY}\nconnectTimeout: soon", OutboundPolicy::RegistryOnly),
        ("trustDomain: [", OutboundPolicy::RegistryOnly),
    ] {
        let mut world = World::default();
        upsert(&mut world, &config("istio", text));
        assert_eq!(world.settings().outbound_policy, policy, "{text}");
        assert!(is_noted(&world, STANDS_IN), "{text}");
    }
}

fn files(changes: Vec<Change>) -> Batch {
    Batch { source: SourceId::Files, changes }
}

/// A world of a process that starts, with what one before it kept of the policy.
fn restarted() -> World {
    let mut before = World::default();
    upsert(&mut before, &policy(GOOD));
    let mut world = World::default();
    world.restore(SourceId::Files, before.to_keep());
    world
}

fn objects(text: &str) -> Vec<Change> {
    let upserts = memory::batch("f", text).changes.into_iter();
    upserts.filter(|change| matches!(change, Change::Upsert(..))).collect()
}

#[test]
fn a_good_version_outlives_the_process() {
    let mut world = restarted();
    world.apply(files([objects(&policy(BAD)), vec![Change::Synced]].concat()));
    assert_eq!(methods(&world), Some(1));
    assert!(is_noted(&world, "last-good-kept") && !is_noted(&world, STANDS_IN));
    assert_eq!(world.to_keep().count(), 1, "and the next one");
    upsert_files(&mut world, "[]");
    assert_eq!(parsed_policy(&world).unwrap().rules, []);
}

fn upsert_files(world: &mut World, rules: &str) {
    world.apply(files(objects(&policy(rules))));
}

#[test]
fn a_kept_version_of_an_object_that_is_gone_goes_when_its_source_is_seen_whole() {
    let mut world = restarted();
    assert_eq!(methods(&world), Some(1));
    let broken = Change::Notes(vec![finding("broken-document", Severity::Error)]);
    world.apply(files(vec![broken, Change::Synced]));
    assert_eq!(methods(&world), Some(1), "the file that cannot be read may hold it");
    assert!(is_noted(&world, "last-good-kept"));
    world.apply(files(vec![Change::Notes(Vec::new())]));
    assert_eq!(parsed_policy(&world), None);
}

#[test]
fn a_kept_version_is_read_again_when_mesh_config_changes_its_meaning() {
    let mut world = World::default();
    upsert(&mut world, SERVICE);
    upsert(&mut world, &SERVICE.replace("80", "none"));
    assert!(visibility(&world).includes(&"other".into()) && is_noted(&world, "last-good-kept"));
    upsert(&mut world, &config("istio", "defaultServiceExportTo: [\".\"]"));
    assert!(!visibility(&world).includes(&"other".into()) && is_noted(&world, "last-good-kept"));
}

#[test]
fn only_kinds_that_are_said_to_depend_on_mesh_config_do() {
    let mut exports = ParseContext::default();
    for list in [
        &mut exports.default_service_export_to,
        &mut exports.default_virtual_service_export_to,
        &mut exports.default_destination_rule_export_to,
    ] {
        *list = vec![".".into()];
    }
    exports.root_namespace = "other".into();
    exports.trust_domain = "other".parse().unwrap();
    let data = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let tree = crate::source::file::read_tree(&data).unwrap();
    let mut kinds = std::collections::BTreeSet::new();
    for (path, text) in tree {
        let crate::source::file::FileText::Text(text) = text else { panic!("{path}") };
        for object in crd::read_text(&path, &text).0 {
            kinds.insert(object.group_kind());
            if !crd::depends_on_context(&object.group_kind()) {
                let read = |context| crd::parse(&object, context);
                assert_eq!(read(&exports), read(&ParseContext::default()), "{:?}", object.reference());
            }
        }
    }
    assert!(kinds.len() > 12, "{kinds:?}");
}

/// Everything that is said about objects.
fn said(world: &World) -> impl Iterator<Item = Diagnostic> {
    world.holds().flat_map(|(_, holds)| holds.findings).chain(world.notes())
}
