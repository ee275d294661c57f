//! Make before break, step by step: what a person does to the files, and what proxies are told after each step.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use mesh_config::model::{Destination, Kind, Part, Route};
use mesh_pilot::{
    Mesh, World, compile,
    source::{
        Batch, SourceId,
        file::{Directory, FileText},
    },
};
use std::{collections::BTreeMap, sync::Arc};

/// A directory that is edited file by file, and the mesh that follows it.
#[derive(Default)]
struct Steps {
    files: BTreeMap<Arc<str>, FileText>,
    directory: Directory,
    world: World,
    mesh: Option<Mesh>,
}

impl Steps {
    /// Cart with v1 and v2, all requests to v1.
    fn started() -> Self {
        let mut steps = Steps::default();
        steps.files.insert("service.yaml".into(), FileText::Text(service("cart")));
        steps.files.insert("rule.yaml".into(), FileText::Text(rule(&["v1", "v2"])));
        steps.edit("route.yaml", &route("cart", Some("v1")));
        assert_eq!(steps.seen(), ("v1".to_owned(), "v1 v2".to_owned(), Vec::new()));
        steps
    }

    /// Writes a file; an empty text removes it. Then pilot follows.
    fn edit(&mut self, file: &str, text: &str) -> &mut Self {
        match text {
            "" => self.files.remove(file),
            text => self.files.insert(file.into(), FileText::Text(text.to_owned())),
        };
        self.world.apply(Batch { source: SourceId::Files, changes: self.directory.scan(&self.files).changes });
        self.mesh = Some(compile(&self.world, self.mesh.as_ref()));
        self
    }

    /// The subset (or host) that the route names, the subsets that there are, and codes of findings.
    fn seen(&self) -> (String, String, Vec<&str>) {
        let mesh = self.mesh.as_ref().unwrap();
        let target = mesh.parts(Kind::Route).find_map(|shared| match shared.part() {
            Part::Route(route) => Some(target(route)),
            _ => None,
        });
        let subsets: Vec<String> = mesh
            .parts(Kind::Destination)
            .flat_map(|shared| match shared.part() {
                Part::Destination(rule) => names(rule),
                _ => Vec::new(),
            })
            .collect();
        let codes = mesh.diagnostics().iter().map(|d| d.code).collect();
        (target.unwrap_or_default(), subsets.join(" "), codes)
    }

    fn check(&self, target: &str, subsets: &str, codes: &[&str]) {
        assert_eq!(self.seen(), (target.to_owned(), subsets.to_owned(), codes.to_vec()));
    }
}

fn target(route: &Route) -> String {
    let target = route.targets().next().expect("it leads somewhere");
    target.subset.as_deref().unwrap_or(target.host.as_str()).to_owned()
}

fn names(rule: &Destination) -> Vec<String> {
    rule.subsets.iter().map(|subset| subset.name.to_string()).collect()
}

fn service(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{clusterIP: 10.0.0.1, ports: [{{name: http, port: 80}}]}}\n"
    )
}

fn rule(subsets: &[&str]) -> String {
    let subset = |name: &&str| format!("{{name: {name}, labels: {{version: {name}}}}}");
    let subsets = subsets.iter().map(subset).collect::<Vec<_>>().join(", ");
    format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: cart}}\nspec: {{host: cart, subsets: [{subsets}]}}\n"
    )
}

fn route(host: &str, subset: Option<&str>) -> String {
    let subset = subset.map(|name| format!(", subset: {name}")).unwrap_or_default();
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: cart}}\nspec: {{hosts: [cart], http: [{{route: [{{destination: {{host: {host}{subset}}}}}]}}]}}\n"
    )
}

#[test]
fn a_subset_stays_until_no_route_names_it() {
    let mut steps = Steps::started();
    steps.edit("rule.yaml", &rule(&["v2"])).check("v1", "v2 v1", &["subset-held"]);
    // It stays through changes of other things.
    steps.edit("other.yaml", &service("other")).check("v1", "v2 v1", &["subset-held"]);
    steps.edit("route.yaml", &route("cart", Some("v2"))).check("v2", "v2", &[]);
}

#[test]
fn a_rule_that_is_deleted_stays_with_the_subsets_that_routes_name() {
    let mut steps = Steps::started();
    steps.edit("rule.yaml", "").check("v1", "v1", &["subset-held"]);
    steps.edit("route.yaml", "").check("", "", &[]);
}

#[test]
fn a_deleted_rule_that_comes_back_counts_as_written() {
    let mut steps = Steps::started();
    steps.edit("rule.yaml", "");
    steps.edit("rule.yaml", &rule(&["v1", "v3"])).check("v1", "v1 v3", &[]);
}

#[test]
fn a_rule_that_moves_to_another_host_leaves_the_old_one_its_subset() {
    let mut steps = Steps::started();
    let moved = rule(&["v1"]).replace("host: cart", "host: other");
    steps.edit("rule.yaml", &moved).check("v1", "v1 v1", &["subset-held"]);
    steps.edit("rule.yaml", &rule(&["v9"]).replace("host: cart", "host: other")).check("v1", "v9 v1", &["subset-held"]);
    steps.edit("route.yaml", &route("cart", None)).check("cart.default.svc.cluster.local", "v9", &[]);
}

#[test]
fn rules_for_bytes_hold_their_subsets_and_wait_for_them_too() {
    let bytes = |subset| route("cart", Some(subset)).replace("http:", "tcp:");
    let mut steps = Steps::started();
    steps.edit("route.yaml", &bytes("v1")).check("v1", "v1 v2", &[]);
    steps.edit("rule.yaml", &rule(&["v2"])).check("v1", "v2 v1", &["subset-held"]);
    steps.edit("route.yaml", &bytes("v3")).check("v1", "v2 v1", &["route-held", "subset-held"]);
    steps.edit("route.yaml", &bytes("v2")).check("v2", "v2", &[]);
}

#[test]
fn a_route_waits_for_its_subset() {
    let mut steps = Steps::started();
    steps.edit("route.yaml", &route("cart", Some("v3"))).check("v1", "v1 v2", &["route-held"]);
    // Meanwhile what the version before needs is held too.
    steps.edit("rule.yaml", &rule(&["v2"])).check("v1", "v2 v1", &["route-held", "subset-held"]);
    steps.edit("rule.yaml", &rule(&["v2", "v3"])).check("v3", "v2 v3", &[]);
}

#[test]
fn a_route_waits_for_its_host() {
    let mut steps = Steps::started();
    steps.edit("route.yaml", &route("new", None)).check("v1", "v1 v2", &["route-held"]);
    steps.edit("new.yaml", &service("new")).check("new.default.svc.cluster.local", "v1 v2", &[]);
}

#[test]
fn a_route_with_nothing_before_it_is_in_force_as_written() {
    let mut steps = Steps::default();
    steps.edit("service.yaml", &service("cart"));
    steps.edit("route.yaml", &route("cart", Some("v1"))).check("v1", "", &["missing-destination"]);
    // A version before it that is no better does not hold it back.
    steps.edit("route.yaml", &route("cart", Some("v2"))).check("v2", "", &["missing-destination"]);
    steps.edit("rule.yaml", &rule(&["v2"])).check("v2", "v2", &[]);
}

#[test]
fn a_route_whose_service_goes_is_told_so() {
    let mut steps = Steps::started();
    steps.edit("service.yaml", "").check("v1", "v1 v2", &["missing-destination"]);
}

#[test]
fn a_new_version_that_names_what_was_just_removed_keeps_it() {
    let mut steps = Steps::started();
    // Both at once: the route moves to v2, the rule loses it.
    steps.files.insert("rule.yaml".into(), FileText::Text(rule(&["v1"])));
    steps.edit("route.yaml", &route("cart", Some("v2"))).check("v2", "v1 v2", &["subset-held"]);
}

#[test]
fn what_says_the_same_stays_the_same_part() {
    let mut steps = Steps::started();
    let before: Vec<_> = steps.mesh.as_ref().unwrap().all().cloned().collect();
    let version = steps.mesh.as_ref().unwrap().version();
    steps.edit("service.yaml", &format!("# a comment\n{}", service("cart")));
    let mesh = steps.mesh.as_ref().unwrap();
    assert_eq!(mesh.version(), version);
    // A route's and rule's place in the files is part of what they say; theirs did not move.
    assert!(mesh.all().zip(&before).all(|(new, old)| Arc::ptr_eq(new, old)));

    let old = steps.mesh.take().unwrap();
    let new = compile(&steps.world, Some(&old));
    assert!(mesh_pilot::changed(&old, &new).is_empty());
    steps.mesh = Some(new);
    steps.edit("route.yaml", &route("cart", Some("v2")));
    let keys = mesh_pilot::changed(&old, steps.mesh.as_ref().unwrap());
    let names: Vec<_> = keys.upserted.values().flatten().map(|name| name.as_str()).collect();
    assert_eq!((names, keys.removed.is_empty()), (vec!["VirtualService/default/cart"], true));
    assert!(steps.mesh.as_ref().unwrap().version() > old.version());
}
