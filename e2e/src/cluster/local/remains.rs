//! What a cluster has of the machine, found again from its state folder alone, and its removal. Each kind of thing is found by
//! what is there, never by a list of ours that a crash could have left wrong: processes by their mark, containers by the ids
//! for which containerd keeps folders, mounts by their place, links and namespaces by the cluster's prefix once its link on
//! the host says that it is this one's.

use super::{
    machine::{MARK, PART},
    network,
    plan::Plan,
};
use crate::command::run;
use anyhow::{Context, Result, bail};
use mesh_runtime::clock;
use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs,
    os::unix::{ffi::OsStringExt, net::UnixStream},
    path::{Path, PathBuf},
    thread::sleep,
    time::Duration,
};

/// How long what was killed may take to be gone.
const GONE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(20);
/// Where kubelets link the logs of containers, whatever they are told.
const LOG_LINKS: &str = "/var/log/containers";
/// Where containerd's plug-ins of networks remember what they gave.
const CNI_RESULTS: &str = "/var/lib/cni/results";
/// Where kubelets listen for plug-ins of devices; the last one that was started has it.
const DEVICES: &str = "/var/lib/kubelet/device-plugins/kubelet.sock";
/// Folders of all those, the inner ones first.
const FOLDERS: [&str; 7] = [
    LOG_LINKS,
    CNI_RESULTS,
    "/var/lib/cni",
    "/var/lib/kubelet/device-plugins",
    "/var/lib/kubelet",
    "/run/containerd/s",
    "/run/containerd",
];

/// Removes all of it. What is gone already is no failure, what is still there afterwards is one.
pub(super) fn remove(state: &Path) -> Result<()> {
    if !state.exists() {
        return Ok(());
    }
    let plan = Plan::read(state)?;
    // First whoever would start others anew; shims end in order below, as they leave their sockets otherwise.
    kill("KILL", || Ok(marked(state)?.into_iter().filter(|found| !found.is_shim).map(|found| found.id).collect()))?;
    let containers = plan.as_ref().map(containers).unwrap_or_default();
    kill("KILL", || Ok(contained(&containers)))?;
    kill("TERM", || Ok(marked(state)?.into_iter().map(|found| found.id).collect()))
        .or_else(|_| kill("KILL", || Ok(marked(state)?.into_iter().map(|found| found.id).collect())))?;
    unmount(state)?;
    if let Some(plan) = &plan {
        network::remove(plan)?;
    }
    cgroups(&containers).iter().for_each(|cgroup| drop(fs::remove_dir(cgroup)));
    remove_files(state, &containers);
    fs::remove_dir_all(state).with_context(|| format!("cannot remove {}", state.display()))
}

/// Names of the parts that run.
pub(super) fn running(state: &Path) -> Result<BTreeSet<String>> {
    Ok(marked(state)?.into_iter().filter(|found| !found.is_shim).map(|found| found.part).collect())
}

/// The processes of a part.
pub(super) fn of_part(state: &Path, part: &str) -> Result<Vec<u32>> {
    let found = marked(state)?.into_iter().filter(|found| !found.is_shim && found.part == part);
    Ok(found.map(|found| found.id).collect())
}

/// Ends a part at once.
pub(super) fn end(state: &Path, part: &str) -> Result<()> {
    kill("KILL", || of_part(state, part))
}

/// A process of the cluster.
struct Found {
    id: u32,
    part: String,
    /// Whether it is what stands between containerd and a pod.
    is_shim: bool,
}

/// Every process that carries the mark of this cluster. Containers do not: their environment is their own.
fn marked(state: &Path) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    for id in processes()? {
        let process = Path::new("/proc").join(id.to_string());
        // It may have ended meanwhile.
        let Ok(environment) = fs::read(process.join("environ")) else { continue };
        let value = |name: &str| {
            let named = |line: &&[u8]| line.split(|byte| *byte == b'=').next() == Some(name.as_bytes());
            environment.split(|byte| *byte == 0).find(named).map(|line| line[name.len() + 1..].to_vec())
        };
        if value(MARK).is_some_and(|mark| Path::new(&OsString::from_vec(mark)) == state) {
            let part = String::from_utf8_lossy(&value(PART).unwrap_or_default()).into_owned();
            let program = fs::read_link(process.join("exe")).unwrap_or_default();
            let is_shim = program.file_name().is_some_and(|name| name.to_string_lossy().contains("shim"));
            found.push(Found { id, part, is_shim });
        }
    }
    Ok(found)
}

fn processes() -> Result<Vec<u32>> {
    let entries = fs::read_dir("/proc").context("cannot read /proc")?;
    Ok(entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

/// Signals what `find` finds until it finds nothing more.
fn kill(signal: &str, find: impl Fn() -> Result<Vec<u32>>) -> Result<()> {
    let end = clock::now() + GONE;
    loop {
        let found = find()?;
        if found.is_empty() {
            return Ok(());
        }
        if clock::now() > end {
            bail!("processes do not end on {signal}: {found:?}");
        }
        let ids: Vec<_> = found.iter().map(u32::to_string).collect();
        let words: Vec<_> = ["-s", signal, "--"].into_iter().chain(ids.iter().map(String::as_str)).collect();
        // Some may have ended meanwhile.
        let _ = run("kill", &words);
        sleep(LOOK);
    }
}

/// Ids of the containers that run, or ended while nobody looked.
fn containers(plan: &Plan) -> Vec<String> {
    let tasks = plan.nodes().flat_map(|node| entries(node.folder.join("run/io.containerd.runtime.v2.task/k8s.io")));
    tasks.filter_map(|task| Some(task.file_name()?.to_str()?.to_owned())).collect()
}

fn entries(folder: impl AsRef<Path>) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// The folders of containers' cgroups, one in each hierarchy, with all below; the deepest first.
fn cgroups(containers: &[String]) -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    let mut all = Vec::new();
    // Version 2 alone has its only hierarchy at the root.
    for parent in entries(root).chain([root.to_owned()]).map(|hierarchy| hierarchy.join("k8s.io")) {
        let own = containers.iter().map(|id| parent.join(id)).filter(|own| own.is_dir());
        own.for_each(|own| collect(&own, &mut all));
        if parent.is_dir() {
            // Goes only when no other cluster has anything in it.
            all.push(parent);
        }
    }
    all
}

fn collect(folder: &Path, all: &mut Vec<PathBuf>) {
    entries(folder).filter(|entry| entry.is_dir()).for_each(|entry| collect(&entry, all));
    all.push(folder.to_owned());
}

fn contained(containers: &[String]) -> Vec<u32> {
    let text = |cgroup: PathBuf| fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    let own = cgroups(containers).into_iter().filter(|cgroup| !cgroup.ends_with("k8s.io"));
    let ids = own.map(text).flat_map(|text| text.lines().filter_map(|line| line.parse().ok()).collect::<Vec<u32>>());
    ids.filter(|id| *id != 0 && !is_dead(*id)).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Whether it has ended and nobody has asked how.
fn is_dead(id: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    // The name, which may hold anything, is in parentheses; the state follows.
    stat.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with('Z'))
}

/// Unmounts what is mounted below the folder, the last first.
fn unmount(state: &Path) -> Result<()> {
    let end = clock::now() + GONE;
    loop {
        let mounts = mounts_below(state)?;
        let Some(last) = mounts.last() else { return Ok(()) };
        if clock::now() > end {
            bail!("still mounted: {}", last.display());
        }
        for mount in mounts.iter().rev() {
            // Lazily: a process of somebody else's that looks at it does not hold us up.
            let _ = run("umount", &["-l", &mount.display().to_string()]);
        }
    }
}

fn mounts_below(state: &Path) -> Result<Vec<PathBuf>> {
    let text = fs::read_to_string("/proc/self/mountinfo").context("cannot read the mounts")?;
    let places = text.lines().filter_map(|line| line.split(' ').nth(4));
    Ok(places.map(PathBuf::from).filter(|place| place.starts_with(state)).collect())
}

/// What programs write in places of the whole machine, whatever they are told.
fn remove_files(state: &Path, containers: &[String]) {
    let links = entries(LOG_LINKS).filter(|link| fs::read_link(link).is_ok_and(|target| target.starts_with(state)));
    links.for_each(|link| drop(fs::remove_file(link)));
    let is_ours = |result: &PathBuf| {
        result.file_name().is_some_and(|name| containers.iter().any(|id| name.to_string_lossy().contains(id.as_str())))
    };
    entries(CNI_RESULTS).filter(is_ours).for_each(|result| drop(fs::remove_file(result)));
    if Path::new(DEVICES).exists() && UnixStream::connect(DEVICES).is_err() {
        let _ = fs::remove_file(DEVICES);
    }
    // Those that nobody has anything in.
    for folder in FOLDERS {
        let _ = fs::remove_dir(folder);
    }
}
