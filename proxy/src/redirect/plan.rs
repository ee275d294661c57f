//! Which connections come to the proxy, as chains of rules that both back ends write down. Where a rule returns, the
//! connection goes its way as if there were no proxy.
//!
//! Translation alone would let some pass: the kernel remembers a connection of the proxy's that was reset for ten seconds,
//! untranslated, and takes a new one of the application's with the same ports for it. So the chain of what is captured is gone
//! through a second time behind translation, and a beginning that should have been captured and was not is reset.

use super::settings::Redirect;
use anyhow::{Context, Result, bail};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use mesh_runtime::carried;
use std::{net::Ipv6Addr, str::FromStr};

const LOOPBACK: &str = "lo";

/// Chains with what is in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Both versions of IP; otherwise version 4 alone.
    pub ipv6: bool,
    /// In an order in which each comes before those that jump to it.
    pub chains: Vec<(Chain, Vec<Rule>)>,
    /// What was asked for and is not done.
    pub notes: Vec<String>,
}

/// A chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chain {
    /// To the proxy's inbound port.
    ToInbound,
    /// To the proxy's outbound port.
    ToOutbound,
    /// Of what arrives, what is captured.
    Inbound,
    /// Of what the application dials, what is captured.
    Outbound,
    /// Everything that arrives.
    Prerouting,
    /// Everything that is dialled here.
    Output,
    /// Everything that is about to leave.
    Leaving,
    /// Everything that arrives, before it is translated.
    Arriving,
}

/// What is done with what matches all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub matches: Vec<Match>,
    pub verdict: Verdict,
}

/// A property of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// It came in by this interface.
    In(String),
    /// It goes out by this interface.
    Out(String),
    From(IpNet),
    To(IpNet),
    NotTo(IpNet),
    Tcp,
    TcpPort(u16),
    NotTcpPort(u16),
    UdpPort(u16),
    /// A process of this user sent it.
    User(u32),
    /// A process of none of these sent it.
    NotUsers(Vec<u32>),
    Group(u32),
    NotGroups(Vec<u32>),
    /// It begins a connection.
    Begins,
    /// Its connection was sent elsewhere than it was dialled to.
    Translated,
    /// It belongs to no connection that is known.
    Invalid,
}

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Return,
    Jump(Chain),
    /// To a port of this machine.
    Redirect(u16),
    /// The connection is reset.
    Reset,
    Drop,
}

impl Rule {
    fn new(matches: impl Into<Vec<Match>>, verdict: Verdict) -> Self {
        Rule { matches: matches.into(), verdict }
    }

    /// Whether it can match packets of this version of IP.
    pub fn is_of(&self, ipv6: bool) -> bool {
        self.matches.iter().all(|one| match one {
            Match::From(net) | Match::To(net) | Match::NotTo(net) => matches!(net, IpNet::V6(_)) == ipv6,
            _ => true,
        })
    }
}

/// The rules that settings mean.
///
/// # Errors
/// What is wrong with them, by their flag.
pub fn plan(settings: &Redirect, has_ipv6: bool) -> Result<Plan> {
    let captures_inbound = match settings.mode.as_str() {
        "REDIRECT" => true,
        "NONE" => false,
        "TPROXY" => {
            bail!("-m TPROXY is not served: REDIRECT keeps the client's address in x-forwarded-for and in policies")
        }
        other => bail!("-m {other:?} is neither REDIRECT nor NONE"),
    };
    let mut notes = Vec::new();
    if settings.redirect_dns {
        notes.push(
            "ISTIO_META_DNS_CAPTURE is without effect: the proxy serves no DNS, and names are asked of the cluster's"
                .to_owned(),
        );
    }
    let inbound = if captures_inbound { inbound(settings)? } else { Vec::new() };
    let outbound = outbound(settings, has_ipv6)?;
    let leaving = leaving(&outbound);
    let mut prerouting = Vec::new();
    for name in words(&settings.exclude_interfaces) {
        prerouting.push(Rule::new([Match::In(name.clone())], Verdict::Return));
    }
    for name in words(&settings.virtual_interfaces) {
        for net in ranges("-i", &settings.outbound_ranges)? {
            let mut matches = vec![Match::In(name.clone())];
            matches.extend(net.map(Match::To));
            prerouting.push(Rule::new(matches, Verdict::Jump(Chain::ToOutbound)));
        }
        prerouting.push(Rule::new([Match::In(name)], Verdict::Return));
    }
    if !inbound.is_empty() {
        prerouting.push(Rule::new([Match::Tcp], Verdict::Jump(Chain::Inbound)));
    }
    let arriving = match settings.drop_invalid {
        true => vec![Rule::new([Match::Tcp, Match::Invalid], Verdict::Drop)],
        false => Vec::new(),
    };
    let to = |port| vec![Rule::new([Match::Tcp], Verdict::Redirect(port))];
    let chains = vec![
        (Chain::ToInbound, to(settings.inbound_port)),
        (Chain::ToOutbound, to(settings.outbound_port)),
        (Chain::Inbound, inbound),
        (Chain::Outbound, outbound),
        (Chain::Prerouting, prerouting),
        (Chain::Output, vec![Rule::new([], Verdict::Jump(Chain::Outbound))]),
        (Chain::Leaving, leaving),
        (Chain::Arriving, arriving),
    ];
    Ok(Plan { ipv6: has_ipv6, chains, notes })
}

fn inbound(settings: &Redirect) -> Result<Vec<Rule>> {
    let mut rules = Vec::new();
    match settings.inbound_ports.trim() {
        "" => {}
        "*" => {
            rules.push(Rule::new([Match::TcpPort(settings.tunnel_port)], Verdict::Return));
            for port in ports("-d", &settings.exclude_inbound_ports)? {
                rules.push(Rule::new([Match::TcpPort(port)], Verdict::Return));
            }
            rules.push(Rule::new([Match::Tcp], Verdict::Jump(Chain::ToInbound)));
        }
        list => {
            for port in ports("-b", list)? {
                rules.push(Rule::new([Match::TcpPort(port)], Verdict::Jump(Chain::ToInbound)));
            }
        }
    }
    Ok(rules)
}

fn outbound(settings: &Redirect, has_ipv6: bool) -> Result<Vec<Rule>> {
    let loopback: Ipv4Net = parse("ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR", &settings.loopback)?;
    let mut own = vec![IpNet::V4(loopback)];
    let mut passthrough = vec![IpNet::from(std::net::IpAddr::V4(carried::FROM_V4))];
    if has_ipv6 {
        own.push(IpNet::V6(Ipv6Net::from(Ipv6Addr::LOCALHOST)));
        passthrough.push(IpNet::from(std::net::IpAddr::V6(carried::FROM_V6)));
    }
    let wanted = ranges("-i", &settings.outbound_ranges)?;
    let captures_loopback = wanted.iter().flatten().any(|net| net.addr().is_loopback());
    let mut rules = Vec::new();
    for name in words(&settings.exclude_interfaces) {
        rules.push(Rule::new([Match::Out(name)], Verdict::Return));
    }
    for port in ports("-o", &settings.exclude_outbound_ports)? {
        rules.push(Rule::new([Match::TcpPort(port)], Verdict::Return));
        rules.push(Rule::new([Match::UdpPort(port)], Verdict::Return));
    }
    let on_loopback = || Match::Out(LOOPBACK.to_owned());
    for net in passthrough {
        rules.push(Rule::new([on_loopback(), Match::From(net)], Verdict::Return));
    }
    let groups = if settings.groups.is_empty() { &settings.users } else { &settings.groups };
    let owners = [
        (settings.users.iter().copied().map(Match::User).collect::<Vec<_>>(), Match::NotUsers(settings.users.clone())),
        (groups.iter().copied().map(Match::Group).collect(), Match::NotGroups(groups.clone())),
    ];
    for (each, others) in owners {
        // The proxy calls its own application at an address of the pod, as a client does that dialled a Service.
        for owner in &each {
            for net in &own {
                let matches =
                    [on_loopback(), Match::NotTo(*net), Match::NotTcpPort(settings.tunnel_port), owner.clone()];
                rules.push(Rule::new(matches, Verdict::Jump(Chain::ToInbound)));
            }
        }
        // The application calls itself.
        if !captures_loopback {
            rules.push(Rule::new([on_loopback(), others], Verdict::Return));
        }
        for owner in each {
            rules.push(Rule::new([owner], Verdict::Return));
        }
    }
    rules.extend(owner_groups(settings)?);
    rules.extend(own.iter().map(|net| Rule::new([Match::To(*net)], Verdict::Return)));
    for net in ranges("-x", &settings.exclude_outbound_ranges)? {
        let net = net.context("-x \"*\": a list of ranges is wanted; to capture nothing give -i nothing")?;
        rules.push(Rule::new([Match::To(net)], Verdict::Return));
    }
    for port in ports("-q", &settings.outbound_ports)? {
        rules.push(Rule::new([Match::TcpPort(port)], Verdict::Jump(Chain::ToOutbound)));
    }
    for net in wanted {
        let matches: Vec<Match> = net.map(Match::To).into_iter().collect();
        rules.push(Rule::new(matches, Verdict::Jump(Chain::ToOutbound)));
    }
    Ok(rules)
}

fn owner_groups(settings: &Redirect) -> Result<Vec<Rule>> {
    let numbers =
        |flag: &str, text: &str| -> Result<Vec<u32>> { words(text).iter().map(|word| parse(flag, word)).collect() };
    if settings.owner_groups.trim() == "*" {
        let excluded = numbers("ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE", &settings.exclude_owner_groups)?;
        return Ok(excluded.into_iter().map(|group| Rule::new([Match::Group(group)], Verdict::Return)).collect());
    }
    let only = numbers("ISTIO_OUTBOUND_OWNER_GROUPS", &settings.owner_groups)?;
    Ok(vec![Rule::new([Match::NotGroups(only)], Verdict::Return)])
}

/// The same chain, behind translation.
fn leaving(outbound: &[Rule]) -> Vec<Rule> {
    let mut rules = vec![Rule::new([Match::Translated], Verdict::Return)];
    for rule in outbound {
        let mut rule = rule.clone();
        match rule.verdict {
            Verdict::Jump(Chain::ToOutbound) => {
                // What has a port is TCP already.
                if !rule.matches.iter().any(|one| matches!(one, Match::TcpPort(_))) {
                    rule.matches.insert(0, Match::Tcp);
                }
                rule.matches.push(Match::Begins);
                rule.verdict = Verdict::Reset;
            }
            _ => rule.verdict = Verdict::Return,
        }
        rules.push(rule);
    }
    // Without anything to reset it says nothing.
    if rules.iter().all(|rule| rule.verdict == Verdict::Return) { Vec::new() } else { rules }
}

fn words(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn ports(flag: &str, text: &str) -> Result<Vec<u16>> {
    words(text).iter().map(|word| parse(flag, word)).collect()
}

/// `None` for every address.
fn ranges(flag: &str, text: &str) -> Result<Vec<Option<IpNet>>> {
    if text.trim() == "*" {
        return Ok(vec![None]);
    }
    let range = |word: &String| match word.contains('/') {
        true => parse::<IpNet>(flag, word).map(|net| Some(net.trunc())),
        false => parse::<std::net::IpAddr>(flag, word).map(|address| Some(IpNet::from(address))),
    };
    words(text).iter().map(range).collect()
}

fn parse<T: FromStr>(flag: &str, word: &str) -> Result<T> {
    word.parse().ok().with_context(|| format!("{flag}: {word:?} is not what is wanted there"))
}

#[cfg(test)]
mod tests;
