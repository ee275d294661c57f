//! What changes cost pilot, on processors: the rows that `make bench` prints.

mod crowd;

use crowd::{PODS, one};
use mesh_pilot::{Mesh, World, compile::Compiler, source::Change, world::Touched};
use std::{fs, time::Duration};

const SERVICES: usize = 1_000;
const RULES: usize = 200;
const TIMES: usize = 100;

#[expect(clippy::print_stdout, reason = "its output is its result")]
fn main() {
    let mut world = World::default();
    let mut compiler = Compiler::default();
    let before = cpu();
    world.apply(crowd::all(SERVICES, RULES));
    println!("{:40} {:?}", "read", cpu() - before);
    let before = cpu();
    let mut mesh = compiler.compile(&world, &Touched::EVERYTHING, None);
    println!("{:40} {:?}", "compile, first", cpu() - before);
    type Make = fn(usize) -> Change;
    let rows: [(&str, Make); 4] = [
        ("one endpoint", |n| crowd::slice(n / 2, PODS - (n + 1) % 2)),
        ("one pod's label", |n| crowd::pod(n / 2, 3, ["v2", "v1"][n % 2])),
        ("one Service", |n| crowd::service(n / 2, [81, 80][n % 2])),
        ("one route", |n| crowd::route(n / 2, [2, 1][n % 2])),
    ];
    for (row, make) in rows {
        let mut took = Duration::ZERO;
        for n in 0..TIMES {
            let change = make(n);
            let before = cpu();
            let touched = world.apply(one(change));
            let next = compiler.compile(&world, &touched, Some(&mesh));
            took += cpu() - before;
            assert!(next.version() > mesh.version(), "{row}");
            let old: Mesh = std::mem::replace(&mut mesh, next);
            let before = cpu();
            drop(old);
            took += cpu() - before;
        }
        println!("{row:40} {:.2} ms", took.as_secs_f64() * 1e3 / TIMES as f64);
    }
    println!("{:40} {} MB", "resident", memory("VmRSS"));
    println!("{:40} {} MB", "peak", memory("VmHWM"));
}

/// Time that this process's threads were on processors.
fn cpu() -> Duration {
    let tasks = fs::read_dir("/proc/self/task").expect("Linux has it");
    let of = |task: fs::DirEntry| fs::read_to_string(task.path().join("schedstat")).ok();
    let nanos = |text: String| text.split(' ').next().and_then(|first| first.parse::<u64>().ok());
    Duration::from_nanos(tasks.filter_map(|task| task.ok().and_then(of).and_then(nanos)).sum())
}

/// A line of the kernel's account of this process, in MB.
fn memory(line: &str) -> u64 {
    let account = fs::read_to_string("/proc/self/status").expect("Linux has it");
    let found = account.lines().find_map(|text| text.strip_prefix(line)?.strip_prefix(':'));
    found.and_then(|text| text.trim().strip_suffix(" kB")?.parse().ok()).map_or(0, |kilobytes: u64| kilobytes / 1024)
}
