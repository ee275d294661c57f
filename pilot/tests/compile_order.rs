//! Property: whatever order changes come in, and whatever was there in between, the mesh is that of the objects.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "compile/render.rs"]
mod render;

use mesh_pilot::{
    Mesh, World, compile,
    source::{Batch, Change, SourceId, memory},
};
use proptest::prelude::*;
use std::{fs, path::Path};

const CASES: [&str; 7] = ["bad-objects", "cluster", "conflicts", "kubernetes", "policies", "scope", "service-entries"];

fn changes(case: usize) -> Vec<Change> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(CASES[case]).join("in.yaml");
    memory::batch("objects", &fs::read_to_string(path).unwrap()).changes
}

fn batch(changes: Vec<Change>) -> Batch {
    Batch { source: SourceId::Memory, changes }
}

/// A case, an order of its changes, and which of them come, go and come again.
fn orders() -> impl Strategy<Value = (usize, Vec<(Change, bool)>)> {
    (0..CASES.len()).prop_flat_map(|case| {
        let all = changes(case);
        let again = proptest::collection::vec(any::<bool>(), all.len());
        (Just(case), Just(all).prop_shuffle(), again)
            .prop_map(|(case, all, again)| (case, all.into_iter().zip(again).collect()))
    })
}

fn rendered(mesh: &Mesh) -> String {
    render::mesh(mesh, mesh.diagnostics())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_changes_does_not_matter((case, order) in orders()) {
        let mut world = World::default();
        for (change, again) in order {
            if let (Change::Upsert(id, _), true) = (&change, again) {
                world.apply(batch(vec![change.clone()]));
                world.apply(batch(vec![Change::Delete(id.clone())]));
            }
            world.apply(batch(vec![change]));
        }
        let mut straight = World::default();
        straight.apply(batch(changes(case)));
        prop_assert_eq!(rendered(&compile(&world, None)), rendered(&compile(&straight, None)));
    }
}
