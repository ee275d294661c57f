//! The rules as iptables-restore reads them, one text a version of IP. Chains of ours are emptied and filled; what leads into
//! them from the kernel's own is added once.

use super::plan::{Chain, Match, Plan, Rule, Verdict};
use std::fmt::Write as _;

/// Tables, the kernel's chain in them, and ours that it leads to.
pub const DOORS: [(&str, &str, Chain); 4] = [
    ("nat", "PREROUTING", Chain::Prerouting),
    ("nat", "OUTPUT", Chain::Output),
    ("filter", "OUTPUT", Chain::Leaving),
    ("mangle", "PREROUTING", Chain::Arriving),
];

/// A text for `iptables-restore --noflush`, without what leads into our chains.
pub fn text(plan: &Plan, ipv6: bool) -> String {
    let mut text = String::new();
    for table in ["nat", "filter", "mangle"] {
        let of_table: Vec<&(Chain, Vec<Rule>)> =
            plan.chains.iter().filter(|(chain, rules)| table_of(*chain) == table && !rules.is_empty()).collect();
        if of_table.is_empty() {
            continue;
        }
        let _ = writeln!(text, "*{table}");
        for (chain, _) in &of_table {
            let _ = writeln!(text, ":{} - [0:0]", name(*chain));
        }
        for (chain, rules) in &of_table {
            for rule in rules.iter().filter(|rule| rule.is_of(ipv6)) {
                let _ = writeln!(text, "-A {}{}", name(*chain), words(rule));
            }
        }
        text.push_str("COMMIT\n");
    }
    text
}

/// Our chains of a table, those first that others lead to last.
pub fn chains(table: &str) -> impl Iterator<Item = &'static str> {
    const ALL: [Chain; 8] = [
        Chain::Prerouting,
        Chain::Output,
        Chain::Outbound,
        Chain::Inbound,
        Chain::ToOutbound,
        Chain::ToInbound,
        Chain::Leaving,
        Chain::Arriving,
    ];
    ALL.into_iter().filter(move |chain| table_of(*chain) == table).map(name)
}

/// Of a chain, the name that it has in tables.
pub fn name(chain: Chain) -> &'static str {
    match chain {
        Chain::ToInbound => "FERROMESH_TO_INBOUND",
        Chain::ToOutbound => "FERROMESH_TO_OUTBOUND",
        Chain::Inbound => "FERROMESH_INBOUND",
        Chain::Outbound => "FERROMESH_OUTBOUND",
        Chain::Prerouting => "FERROMESH_PREROUTING",
        Chain::Output => "FERROMESH_OUTPUT",
        Chain::Leaving => "FERROMESH_LEAVING",
        Chain::Arriving => "FERROMESH_ARRIVING",
    }
}

fn table_of(chain: Chain) -> &'static str {
    match chain {
        Chain::Leaving => "filter",
        Chain::Arriving => "mangle",
        _ => "nat",
    }
}

fn words(rule: &Rule) -> String {
    let mut text = String::new();
    // A protocol is said once, and before what needs it.
    let needs_tcp = |one: &Match| matches!(one, Match::Tcp | Match::TcpPort(_) | Match::NotTcpPort(_) | Match::Begins);
    let is_tcp = rule.matches.iter().any(needs_tcp) || matches!(rule.verdict, Verdict::Redirect(_) | Verdict::Reset);
    if is_tcp {
        text.push_str(" -p tcp");
    }
    for one in &rule.matches {
        let _ = match one {
            Match::In(name) => write!(text, " -i {name}"),
            Match::Out(name) => write!(text, " -o {name}"),
            Match::From(net) => write!(text, " -s {net}"),
            Match::To(net) => write!(text, " -d {net}"),
            Match::NotTo(net) => write!(text, " ! -d {net}"),
            Match::Tcp => Ok(()),
            Match::TcpPort(port) => write!(text, " --dport {port}"),
            Match::NotTcpPort(port) => write!(text, " ! --dport {port}"),
            Match::UdpPort(port) => write!(text, " -p udp --dport {port}"),
            Match::User(user) => write!(text, " -m owner --uid-owner {user}"),
            Match::NotUsers(users) => users.iter().try_for_each(|user| write!(text, " -m owner ! --uid-owner {user}")),
            Match::Group(group) => write!(text, " -m owner --gid-owner {group}"),
            Match::NotGroups(groups) => {
                groups.iter().try_for_each(|group| write!(text, " -m owner ! --gid-owner {group}"))
            }
            Match::Begins => write!(text, " --syn"),
            Match::Translated => write!(text, " -m conntrack --ctstate DNAT"),
            Match::Invalid => write!(text, " -m conntrack --ctstate INVALID"),
        };
    }
    let _ = match rule.verdict {
        Verdict::Return => write!(text, " -j RETURN"),
        Verdict::Jump(chain) => write!(text, " -j {}", name(chain)),
        Verdict::Redirect(port) => write!(text, " -j REDIRECT --to-ports {port}"),
        Verdict::Reset => write!(text, " -j REJECT --reject-with tcp-reset"),
        Verdict::Drop => write!(text, " -j DROP"),
    };
    text
}
