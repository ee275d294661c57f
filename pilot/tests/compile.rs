//! Golden: objects → mesh. `data/<case>/in.yaml` gives `mesh.snap`; to accept a change, run with
//! `INSTA_UPDATE=always` and read the difference.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "compile/render.rs"]
mod render;

use mesh_pilot::{
    offline,
    source::{Batch, SourceId},
};
use std::{fs, path::Path};

fn golden(case: &str) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(case);
    let text = fs::read_to_string(directory.join("in.yaml")).unwrap();
    let (mesh, diagnostics) = offline::compile_text(&text, None);
    let rendered = render::mesh(&mesh, &diagnostics);
    insta::with_settings!({ snapshot_path => directory, prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("mesh", rendered);
    });
}

#[test]
fn services_slices_and_pods_of_kubernetes() {
    golden("kubernetes");
}

#[test]
fn nodes_addresses_that_pods_inherit_and_namespaces_that_do_not_count() {
    golden("cluster");
}

#[test]
fn service_entries_with_workload_entries_inline_endpoints_and_names() {
    golden("service-entries");
}

#[test]
fn policies_and_what_they_change_for_endpoints() {
    golden("policies");
}

#[test]
fn objects_that_contradict_each_other() {
    golden("conflicts");
}

#[test]
fn bad_objects_remove_only_themselves() {
    golden("bad-objects");
}

#[test]
fn the_examples_compile_without_a_finding() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    for example in fs::read_dir(examples).unwrap() {
        let directory = example.unwrap().path();
        if directory.ends_with("fields") {
            // Every field there is, also those that a finding is about.
            continue;
        }
        let tree = mesh_pilot::source::file::read_tree(&directory).unwrap();
        let mut source = mesh_pilot::source::file::Directory::default();
        let mut world = mesh_pilot::World::default();
        world.apply(Batch { source: SourceId::Files, changes: source.scan(&tree).changes });
        let mesh = mesh_pilot::compile(&world, None);
        // What makes workloads means nothing to the mesh, and is in examples for a cluster.
        let found: Vec<_> = mesh.diagnostics().iter().filter(|found| found.code != "unknown-kind").collect();
        assert_eq!(found, Vec::<&mesh_config::diagnostic::Diagnostic>::new(), "{}", directory.display());
        assert!(mesh.all().count() > 1, "{}", directory.display());
    }
}
