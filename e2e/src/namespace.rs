//! Network namespaces, for drills in which the kernel captures connections as it does beside a real workload: one
//! for a server with its sidecar, one for everybody else, and a cable between them.
//!
//! Needs root, `ip` and `nft`. Names carry the id of this process: what a crashed run left behind is found by it and
//! removed before the next run. Nothing outside of the two namespaces is touched.

mod inside;
pub(crate) mod processes;

pub use inside::Inside;

use crate::command::{output, output_of, run};
use anyhow::Context;
use mesh_proxy::redirect::{Redirect, nft, plan::plan};
use std::{
    fs::File,
    net::Ipv4Addr,
    path::Path,
    process::Stdio,
    sync::atomic::{AtomicU32, Ordering},
};

const PREFIX: &str = "ferromesh-";
/// The group whose connections the rules let pass, as Istio's do: the sidecar's own.
pub const PROXY_GROUP: u32 = 1337;
/// Where the server is.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 10);

/// The address of the peer with this number; pilot is 1.
pub fn peer(number: u8) -> Ipv4Addr {
    assert!((1..=9).contains(&number), "peers have addresses of their own");
    Ipv4Addr::new(10, 77, 0, number)
}

/// What an injected init container asks for.
const USUAL: [&str; 14] =
    ["-p", "15001", "-z", "15006", "-u", "1337", "-m", "REDIRECT", "-i", "*", "-b", "*", "-d", "15090,15021,15020"];

/// The rules of a sidecar, as `proxy redirect` writes them.
fn rules() -> anyhow::Result<String> {
    let settings = Redirect::of(USUAL).map_err(anyhow::Error::msg)?;
    Ok(nft::text(&plan(&settings, false)?))
}

/// Two namespaces with a cable between them; gone with this value.
pub struct Pair {
    /// The server's, where connections are captured.
    pub server: Namespace,
    /// Everybody else's.
    pub peers: Namespace,
}

impl Pair {
    /// Makes them, after removing what dead processes have left.
    ///
    /// # Errors
    /// What the system does not allow.
    pub fn create() -> anyhow::Result<Pair> {
        let pair = Pair::bare()?;
        pair.server.rules(&rules()?)?;
        Ok(pair)
    }

    /// The same without rules: nothing is captured yet.
    ///
    /// # Errors
    /// What the system does not allow.
    pub fn bare() -> anyhow::Result<Pair> {
        remove_leftovers()?;
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let named = |end: &str| format!("{PREFIX}{}-{number}-{end}", std::process::id());
        let (server, peers) = (Namespace::create(named("server"))?, Namespace::create(named("peers"))?);
        let (at, to) = (server.name.as_str(), peers.name.as_str());
        run("ip", &["link", "add", "cable", "netns", at, "type", "veth", "peer", "name", "cable", "netns", to])?;
        server.plug(&[SERVER])?;
        peers.plug(&(1..=9).map(peer).collect::<Vec<_>>())?;
        Ok(Pair { server, peers })
    }
}

/// A namespace; its processes end and it goes with this value.
pub struct Namespace {
    name: String,
}

impl Namespace {
    fn create(name: String) -> anyhow::Result<Namespace> {
        run("ip", &["netns", "add", &name])?;
        let namespace = Namespace { name };
        run("ip", &["-n", &namespace.name, "link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    fn plug(&self, addresses: &[Ipv4Addr]) -> anyhow::Result<()> {
        for address in addresses {
            run("ip", &["-n", &self.name, "addr", "add", &format!("{address}/24"), "dev", "cable"])?;
        }
        run("ip", &["-n", &self.name, "link", "set", "cable", "up"])
    }

    /// Gives a script to nft.
    ///
    /// # Errors
    /// When nft does not take it.
    pub fn rules(&self, rules: &str) -> anyhow::Result<()> {
        output_of("ip", &["netns", "exec", &self.name, "nft", "-f", "-"], rules).map(drop)
    }

    /// Runs a program there to its end and gives what it wrote.
    ///
    /// # Errors
    /// When it says that it failed.
    pub fn output(&self, program: &str, words: &[&str]) -> anyhow::Result<String> {
        output("ip", &[&["netns", "exec", &self.name, program], words].concat())
    }

    /// What a thread enters it by.
    fn door(&self) -> anyhow::Result<File> {
        let file = Path::new("/run/netns").join(&self.name);
        File::open(&file).with_context(|| format!("cannot open {}", file.display()))
    }

    /// A program that will run in the namespace, in this group, and end with the calling thread.
    pub fn command(&self, program: &Path, group: u32) -> tokio::process::Command {
        let mut command = tokio::process::Command::new("ip");
        command.args(["netns", "exec", &self.name, "setpriv", "--pdeathsig", "KILL", "--clear-groups"]);
        command.args(["--regid", &group.to_string()]).arg(program).stdin(Stdio::null()).kill_on_drop(true);
        command
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

/// Removes the namespaces of processes that are no more.
fn remove_leftovers() -> anyhow::Result<()> {
    for line in output("ip", &["netns", "list"])?.lines() {
        let Some(name) = line.split_whitespace().next() else { continue };
        let process = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if process.is_some_and(|id| id.parse::<u32>().is_ok() && !Path::new("/proc").join(id).exists()) {
            remove(name);
        }
    }
    Ok(())
}

/// Ends what runs in a namespace, then removes it; what is gone already is no failure.
fn remove(name: &str) {
    let own = std::process::id().to_string();
    for id in output("ip", &["netns", "pids", name]).unwrap_or_default().split_whitespace() {
        if id != own {
            let _ = run("kill", &["-KILL", id]);
        }
    }
    let _ = run("ip", &["netns", "del", name]);
}
