use super::*;
use crate::source::memory;
use mesh_config::model::settings::OutboundPolicy;

fn config(name: &str, mesh: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}, namespace: istio-system}}, data: {{mesh: {mesh:?}}}}}\n"
    )
}

fn upsert(world: &mut World, text: &str) {
    world.apply_all(memory::changes("f", text));
}

fn delete(world: &mut World, name: &str) {
    let config_map =
        ObjectId { group: "".into(), kind: "ConfigMap".into(), name: NamespacedName::new("istio-system", name) };
    world.apply(Change::Delete(config_map));
}

const SERVICE: &str =
    "{apiVersion: v1, kind: Service, metadata: {name: cart, namespace: shop}, spec: {ports: [{port: 80}]}}\n";

fn visibility(world: &World) -> mesh_config::model::Visibility {
    let service = world.parsed().find_map(|(_, parsed)| match parsed {
        Parsed::KubeService(service) => Some(service.visibility.clone()),
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
    assert!(world.notes().any(|note| note.object.kind.as_ref() == "ConfigMap"));
    delete(&mut world, "istio");
    assert_eq!(world.settings().outbound_policy, OutboundPolicy::AllowAny);
}

#[test]
fn a_revisions_mesh_config_counts_where_there_is_no_other() {
    let mut world = World::default();
    upsert(&mut world, &config("istio-canary", "trustDomain: canary"));
    assert_eq!(world.settings().trust_domain.as_str(), "canary");
    upsert(&mut world, &config("istio", "trustDomain: main"));
    assert_eq!(world.settings().trust_domain.as_str(), "main");
    delete(&mut world, "istio");
    assert_eq!(world.settings().trust_domain.as_str(), "canary");
}

#[test]
fn what_was_touched_says_how_soon_to_compile() {
    let mut world = World::default();
    let entry =
        "{apiVersion: networking.istio.io/v1, kind: WorkloadEntry, metadata: {name: a}, spec: {address: 10.0.0.1}}\n";
    let touched = |changes: Vec<Change>, world: &mut World| {
        let objects = changes.into_iter().filter(|change| matches!(change, Change::Upsert(_)));
        world.apply_all(objects).endpoints_only()
    };
    assert!(touched(memory::changes("f", entry), &mut world));
    assert!(!touched(memory::changes("f", SERVICE), &mut world));
    assert!(
        world
            .apply(Change::Delete(ObjectId {
                group: "".into(),
                kind: "Pod".into(),
                name: NamespacedName::new("a", "b")
            }))
            .is_empty()
    );
    assert!(!world.is_synced());
    world.apply(Change::Synced);
    assert!(world.is_synced());
}

#[test]
fn the_content_of_objects_is_never_printed() {
    let secret =
        "{apiVersion: v1, kind: Secret, metadata: {name: pair}, stringData: {tls.crt: chain, tls.key: hidden}}\n";
    let changes = memory::changes("f", secret);
    assert_eq!(format!("{changes:?}"), "[Upsert(Secret default/pair), Synced]");
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

fn methods(world: &World) -> Option<usize> {
    world.parsed().find_map(|(_, parsed)| match parsed {
        Parsed::Authorization(policy) => Some(policy.rules.len()),
        _ => None,
    })
}

fn is_noted(world: &World, code: &str) -> bool {
    world.notes().any(|note| note.code == code)
}

const GOOD: &str = "[{to: [{operation: {methods: [DELETE]}}]}]";
const BAD: &str = "[{to: [{operation: {method: [DELETE]}}]}]";

#[test]
fn an_object_that_breaks_keeps_its_last_good_version_until_it_is_mended_or_deleted() {
    let mut world = World::default();
    upsert(&mut world, &policy(BAD));
    assert_eq!(methods(&world), None, "new and broken means nothing");
    assert!(!is_noted(&world, "last-good-kept"));

    upsert(&mut world, &policy(GOOD));
    assert_eq!(methods(&world), Some(1));
    upsert(&mut world, &policy(BAD));
    upsert(&mut world, &policy("[{form: []}]"));
    assert_eq!(methods(&world), Some(1), "however often it breaks");
    assert!(is_noted(&world, "last-good-kept") && is_noted(&world, "unknown-field"));

    upsert(&mut world, &policy("[]"));
    assert_eq!(methods(&world), Some(0));
    assert!(!is_noted(&world, "last-good-kept"));
    upsert(&mut world, &policy(BAD));
    let name = NamespacedName::new("shop", "cart");
    world.apply(Change::Delete(ObjectId {
        group: "security.istio.io".into(),
        kind: "AuthorizationPolicy".into(),
        name,
    }));
    assert_eq!(methods(&world), None);
    upsert(&mut world, &policy(BAD));
    assert_eq!(methods(&world), None, "a deleted object is forgotten");
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
