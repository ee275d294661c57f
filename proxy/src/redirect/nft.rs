//! The rules as a table of nft, which the kernel takes over whole or not at all.

use super::plan::{Chain, Match, Plan, Rule, Verdict};
use ipnet::IpNet;
use std::fmt::Write as _;

/// The table, of both versions of IP; ours alone.
pub const TABLE: &str = "inet ferromesh";

/// A script that puts the rules in place of those that were there.
pub fn text(plan: &Plan) -> String {
    let mut text = removal();
    let _ = writeln!(text, "table {TABLE} {{");
    for (chain, rules) in plan.chains.iter().filter(|(_, rules)| !rules.is_empty()) {
        let _ = writeln!(text, "  chain {} {{", name(*chain));
        if let Some(hook) = hook(*chain) {
            let _ = writeln!(text, "    {hook}");
            if !plan.ipv6 {
                text.push_str("    meta nfproto ipv6 return\n");
            }
        }
        for rule in rules {
            let _ = writeln!(text, "    {}", line(rule));
        }
        text.push_str("  }\n");
    }
    text.push_str("}\n");
    text
}

/// A script that removes the rules, whether they are there or not.
pub fn removal() -> String {
    format!("table {TABLE} {{\n}}\ndelete table {TABLE}\n")
}

fn name(chain: Chain) -> &'static str {
    match chain {
        Chain::ToInbound => "to-inbound",
        Chain::ToOutbound => "to-outbound",
        Chain::Inbound => "inbound",
        Chain::Outbound => "outbound",
        Chain::Prerouting => "prerouting",
        Chain::Output => "output",
        Chain::Leaving => "leaving",
        Chain::Arriving => "arriving",
    }
}

fn hook(chain: Chain) -> Option<&'static str> {
    Some(match chain {
        Chain::Prerouting => "type nat hook prerouting priority -100; policy accept;",
        Chain::Output => "type nat hook output priority -100; policy accept;",
        Chain::Leaving => "type filter hook output priority 0; policy accept;",
        Chain::Arriving => "type filter hook prerouting priority -150; policy accept;",
        Chain::ToInbound | Chain::ToOutbound | Chain::Inbound | Chain::Outbound => return None,
    })
}

fn line(rule: &Rule) -> String {
    let mut words: Vec<String> = rule.matches.iter().map(matching).collect();
    words.push("counter".to_owned());
    words.push(match rule.verdict {
        Verdict::Return => "return".to_owned(),
        Verdict::Jump(chain) => format!("jump {}", name(chain)),
        Verdict::Redirect(port) => format!("redirect to :{port}"),
        Verdict::Reset => "reject with tcp reset".to_owned(),
        Verdict::Drop => "drop".to_owned(),
    });
    words.join(" ")
}

fn matching(one: &Match) -> String {
    match one {
        Match::In(name) => format!("iifname \"{name}\""),
        Match::Out(name) => format!("oifname \"{name}\""),
        Match::From(net) => format!("{} saddr {net}", family(net)),
        Match::To(net) => format!("{} daddr {net}", family(net)),
        Match::NotTo(net) => format!("{} daddr != {net}", family(net)),
        Match::Tcp => "meta l4proto tcp".to_owned(),
        Match::TcpPort(port) => format!("tcp dport {port}"),
        Match::NotTcpPort(port) => format!("tcp dport != {port}"),
        Match::UdpPort(port) => format!("udp dport {port}"),
        Match::User(user) => format!("meta skuid {user}"),
        Match::NotUsers(users) => format!("meta skuid != {}", set(users)),
        Match::Group(group) => format!("meta skgid {group}"),
        Match::NotGroups(groups) => format!("meta skgid != {}", set(groups)),
        Match::Begins => "tcp flags & (fin | syn | rst | ack) == syn".to_owned(),
        Match::Translated => "ct status dnat".to_owned(),
        Match::Invalid => "ct state invalid".to_owned(),
    }
}

fn family(net: &IpNet) -> &'static str {
    match net {
        IpNet::V4(_) => "ip",
        IpNet::V6(_) => "ip6",
    }
}

fn set(numbers: &[u32]) -> String {
    let list: Vec<String> = numbers.iter().map(u32::to_string).collect();
    format!("{{ {} }}", list.join(", "))
}
