//! What the kernel says of this process, and how a row is printed.

use std::{fs, time::Duration};

/// Time that this process's threads were on processors.
pub(super) fn cpu() -> Duration {
    let tasks = fs::read_dir("/proc/self/task").expect("Linux has it");
    let of = |task: fs::DirEntry| fs::read_to_string(task.path().join("schedstat")).ok();
    let nanos = |text: String| text.split(' ').next().and_then(|first| first.parse::<u64>().ok());
    Duration::from_nanos(tasks.filter_map(|task| task.ok().and_then(of).and_then(nanos)).sum())
}

/// A line of the kernel's account of this process, in MB.
pub(super) fn memory(line: &str) -> u64 {
    let account = fs::read_to_string("/proc/self/status").expect("Linux has it");
    let found = account.lines().find_map(|text| text.strip_prefix(line)?.strip_prefix(':'));
    found.and_then(|text| text.trim().strip_suffix(" kB")?.parse().ok()).map_or(0, |kilobytes: u64| kilobytes / 1024)
}

/// From now on the highest resident size is of what comes.
#[cfg(feature = "serve")]
pub(super) fn forget_peak() {
    fs::write("/proc/self/clear_refs", "5").expect("it is its own");
}

/// One row, with its limit where it has one.
#[expect(clippy::print_stdout, reason = "its output is its result")]
pub(super) fn row(what: &str, figure: f64, unit: &str, limit: Option<f64>) {
    let judged = limit.map(|limit| format!("limit {limit}: {}", if figure <= limit { "met" } else { "missed" }));
    println!("{what:40} {figure:8.3} {unit:12} {}", judged.unwrap_or_default());
}
