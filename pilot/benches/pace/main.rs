//! What changes cost pilot, on processors: the rows of pilot in `make bench`.
//!
//! `cargo bench -p mesh-pilot --bench pace [-- ROW]`. Without feature `serve` the rows of compiling alone.

mod crowd;
#[cfg(feature = "serve")]
mod files;
mod measure;
#[cfg(feature = "serve")]
mod streams;

use crowd::{PODS, one};
use measure::{cpu, memory, row};
use mesh_pilot::{Mesh, World, compile::Compiler, world::Touched};
use std::time::Duration;

const SERVICES: usize = 1_000;
const RULES: usize = 200;
const TIMES: usize = 100;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    match &words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        #[cfg(feature = "serve")]
        ["clients", plain, dir, count] => {
            streams::clients(plain, std::path::Path::new(dir), count.parse().expect("a number"));
        }
        #[cfg(feature = "serve")]
        ["streams"] => streams::measure(SERVICES, RULES),
        #[cfg(feature = "serve")]
        ["files"] => files::measure(SERVICES, RULES),
        [] => {
            compile("");
            // In a process of its own, whose memory is no other's.
            #[cfg(feature = "serve")]
            {
                files::measure(SERVICES, RULES);
                streams::in_own_process();
            }
        }
        [only, ..] => compile(only),
    }
}

fn compile(only: &str) {
    let mut world = World::default();
    let mut compiler = Compiler::default();
    let before = cpu();
    world.apply(crowd::all(SERVICES, RULES));
    row("read", (cpu() - before).as_secs_f64() * 1e3, "ms", None);
    let before = cpu();
    let mut mesh = compiler.compile(&world, &Touched::EVERYTHING, None);
    row("compile, first", (cpu() - before).as_secs_f64() * 1e3, "ms", None);
    type Make = fn(usize) -> crowd::Made;
    let rows: [(&str, Make, f64); 4] = [
        ("one endpoint", |n| crowd::slice(n / 2, PODS - (n + 1) % 2), 5.0),
        ("one pod's label", |n| crowd::pod(n / 2, 3, ["v2", "v1"][n % 2]), 25.0),
        ("one Service", |n| crowd::service(n / 2, [81, 80][n % 2]), 25.0),
        ("one route", |n| crowd::route(n / 2, [2, 1][n % 2]), 25.0),
    ];
    for (what, make, limit) in rows.into_iter().filter(|(row, ..)| row.contains(only)) {
        let mut took = Duration::ZERO;
        for n in 0..TIMES {
            let change = one(make(n));
            let before = cpu();
            let touched = world.apply(change);
            let next = compiler.compile(&world, &touched, Some(&mesh));
            let is_new = next.version() > mesh.version();
            drop(std::mem::replace::<Mesh>(&mut mesh, next));
            took += cpu() - before;
            assert!(is_new, "{what}");
        }
        row(what, took.as_secs_f64() * 1e3 / TIMES as f64, "ms", Some(limit));
    }
    row("resident", memory("VmRSS") as f64, "MB", None);
}
