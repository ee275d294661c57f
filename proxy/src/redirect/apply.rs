//! The machine: whether it has IPv6, which commands it has, and running them.

use super::{
    iptables::{self, DOORS},
    nft,
    plan::Plan,
    settings::BackEnd,
};
use anyhow::{Context, Result, bail, ensure};
use mesh_runtime::carried;
use std::{
    fs,
    io::{ErrorKind, Write},
    process::{Command, Stdio},
};

/// Whether an interface has an address of IPv6 that others can reach.
///
/// # Errors
/// When the kernel's table cannot be read.
pub fn has_ipv6() -> Result<bool> {
    match fs::read_to_string("/proc/net/if_inet6") {
        Ok(table) => Ok(table.lines().any(is_reachable)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).context("cannot read which addresses of IPv6 there are"),
    }
}

/// A line of the kernel: address, index, prefix, scope (0 is global), flags, interface.
fn is_reachable(line: &str) -> bool {
    let fields: Vec<&str> = line.split_whitespace().collect();
    matches!(fields[..], [_, _, _, "00", _, interface] if interface != "lo")
}

/// Applies the rules; gives what took them.
///
/// # Errors
/// When nothing takes them, with what each said.
pub fn apply(plan: &Plan, back_end: BackEnd) -> Result<&'static str> {
    if plan.ipv6 {
        // Of version 4 all of 127.0.0.0/8 is this machine's.
        let address = format!("{}/128", carried::FROM_V6);
        run("ip", &["-6", "address", "replace", &address, "dev", "lo"])?;
    }
    with_any(
        back_end,
        |nft| feed("nft", &["-f", "-"], &nft::text(plan)).map(|()| nft),
        |suffix| {
            for ipv6 in versions(plan) {
                let command = command(ipv6, suffix);
                feed(&format!("{command}-restore"), &["--noflush"], &iptables::text(plan, ipv6))?;
                for (table, from, chain) in DOORS {
                    let is_empty = plan.chains.iter().any(|(one, rules)| *one == chain && rules.is_empty());
                    let door = ["-w", "-t", table, "", from, "-j", iptables::name(chain)];
                    let with = |verb| door.map(|word| if word.is_empty() { verb } else { word });
                    if !is_empty && run(&command, &with("-C")).is_err() {
                        run(&command, &with("-A"))?;
                    }
                }
            }
            Ok(())
        },
    )
}

/// Removes the rules from whatever has them; gives what that was.
///
/// # Errors
/// When there is no command to remove them with.
pub fn remove(plan: &Plan, back_end: BackEnd) -> Result<&'static str> {
    with_any(
        back_end,
        |nft| feed("nft", &["-f", "-"], &nft::removal()).map(|()| nft),
        |suffix| {
            for ipv6 in versions(plan) {
                let command = command(ipv6, suffix);
                run(&command, &["-w", "-t", "nat", "-S"])?;
                for (table, from, chain) in DOORS {
                    // What is not there need not be removed.
                    let _ = run(&command, &["-w", "-t", table, "-D", from, "-j", iptables::name(chain)]);
                }
                for table in ["nat", "filter", "mangle"] {
                    for verb in ["-F", "-X"] {
                        for chain in iptables::chains(table) {
                            let _ = run(&command, &["-w", "-t", table, verb, chain]);
                        }
                    }
                }
            }
            Ok(())
        },
    )
}

/// The first back end that does it.
fn with_any(
    back_end: BackEnd,
    nft: impl Fn(&'static str) -> Result<&'static str>,
    tables: impl Fn(&'static str) -> Result<()>,
) -> Result<&'static str> {
    let tried = match back_end {
        BackEnd::Nft => vec![BackEnd::Nft],
        BackEnd::Iptables(suffix) => vec![BackEnd::Iptables(suffix)],
        BackEnd::Any => {
            vec![BackEnd::Nft, BackEnd::Iptables("-nft"), BackEnd::Iptables("-legacy"), BackEnd::Iptables("")]
        }
    };
    let mut said = Vec::new();
    for one in tried {
        let done = match one {
            BackEnd::Iptables(suffix) => tables(suffix).map(|()| match suffix {
                "-nft" => "iptables-nft",
                "-legacy" => "iptables-legacy",
                _ => "iptables",
            }),
            BackEnd::Nft | BackEnd::Any => nft("nft"),
        };
        match done {
            Ok(name) => return Ok(name),
            Err(error) => said.push(format!("{error:#}")),
        }
    }
    bail!(
        "no rules could be written; the container needs NET_ADMIN, and the kernel nf_tables or ip_tables with NAT: {}",
        said.join("; ")
    )
}

fn versions(plan: &Plan) -> Vec<bool> {
    if plan.ipv6 { vec![false, true] } else { vec![false] }
}

/// `iptables-nft`, `ip6tables-legacy` and their like.
fn command(ipv6: bool, suffix: &str) -> String {
    format!("{}{suffix}", if ipv6 { "ip6tables" } else { "iptables" })
}

fn run(program: &str, words: &[&str]) -> Result<()> {
    let done = Command::new(program).args(words).stdin(Stdio::null()).output();
    let done = done.with_context(|| format!("cannot run {program}"))?;
    let said = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "{program} {}: {}", words.join(" "), said.trim());
    Ok(())
}

fn feed(program: &str, words: &[&str], text: &str) -> Result<()> {
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot run {program}"))?;
    if let Some(mut input) = child.stdin.take() {
        // A program that ends early says why.
        let _ = input.write_all(text.as_bytes());
    }
    let done = child.wait_with_output()?;
    ensure!(done.status.success(), "{program}: {}", String::from_utf8_lossy(&done.stderr).trim());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::is_reachable;

    #[test]
    fn only_an_address_that_others_can_reach_counts() {
        let lo = "00000000000000000000000000000001 01 80 10 80       lo";
        let link = "fe80000000000000a8bbccfffedd0001 02 40 20 80     eth0";
        let global = "fd000000000000000000000000000010 02 40 00 80     eth0";
        assert_eq!([lo, link, global].map(is_reachable), [false, false, true]);
    }
}
