use super::*;
use crate::redirect::{iptables, nft};

fn of(line: &str) -> Result<Plan> {
    let words = line.split(' ').map(|word| if word == "''" { "" } else { word });
    plan(&Redirect::of(words).unwrap(), false)
}

/// What the injected init container passes.
const USUAL: &str = "-p 15001 -z 15006 -u 1337 -m REDIRECT -i * -x '' -b * -d 15090,15021,15020";

/// The lines of one chain.
fn chain(text: &str, name: &str) -> Vec<String> {
    let lines = text.lines().skip_while(|line| line.trim() != format!("chain {name} {{"));
    let lines = lines.skip(1).take_while(|line| line.trim() != "}").map(|line| line.trim().replace("counter ", ""));
    lines.filter(|line| !line.starts_with("type ") && !line.starts_with("meta nfproto")).collect()
}

#[test]
fn the_usual_settings_capture_all_but_the_proxys_own_and_what_stays_in_the_pod() {
    let text = nft::text(&of(USUAL).unwrap());
    assert_eq!(
        chain(&text, "inbound"),
        [
            "tcp dport 15008 return",
            "tcp dport 15090 return",
            "tcp dport 15021 return",
            "tcp dport 15020 return",
            "meta l4proto tcp jump to-inbound",
        ]
    );
    assert_eq!(
        chain(&text, "outbound"),
        [
            "oifname \"lo\" ip saddr 127.0.0.6/32 return",
            "oifname \"lo\" ip daddr != 127.0.0.1/32 tcp dport != 15008 meta skuid 1337 jump to-inbound",
            "oifname \"lo\" meta skuid != { 1337 } return",
            "meta skuid 1337 return",
            "oifname \"lo\" ip daddr != 127.0.0.1/32 tcp dport != 15008 meta skgid 1337 jump to-inbound",
            "oifname \"lo\" meta skgid != { 1337 } return",
            "meta skgid 1337 return",
            "ip daddr 127.0.0.1/32 return",
            "jump to-outbound",
        ]
    );
    assert_eq!(chain(&text, "to-inbound"), ["meta l4proto tcp redirect to :15006"]);
    assert_eq!(chain(&text, "to-outbound"), ["meta l4proto tcp redirect to :15001"]);
    assert_eq!(chain(&text, "prerouting"), ["meta l4proto tcp jump inbound"]);
}

#[test]
fn what_should_have_been_captured_and_was_not_is_reset() {
    let text = nft::text(&of(USUAL).unwrap());
    let leaving = chain(&text, "leaving");
    assert_eq!(leaving.first().unwrap(), "ct status dnat return");
    assert_eq!(
        leaving.last().unwrap(),
        "meta l4proto tcp tcp flags & (fin | syn | rst | ack) == syn reject with tcp reset"
    );
    assert_eq!(leaving.iter().filter(|line| line.ends_with("return")).count(), leaving.len() - 1);
    // Nothing is captured: nothing is reset.
    assert!(chain(&nft::text(&of("-b * -m REDIRECT").unwrap()), "leaving").is_empty());
}

#[test]
fn ports_and_ranges_are_left_out_or_taken_alone() {
    let text = nft::text(&of("-b 80,443 -d 9 -o 5432 -x 10.1.0.0/16,10.2.0.9 -q 27017 -i 10.0.0.0/8 -c eth1").unwrap());
    assert_eq!(chain(&text, "inbound"), ["tcp dport 80 jump to-inbound", "tcp dport 443 jump to-inbound"]);
    assert_eq!(chain(&text, "prerouting")[0], "iifname \"eth1\" return");
    let outbound = chain(&text, "outbound");
    assert_eq!(outbound[..3], ["oifname \"eth1\" return", "tcp dport 5432 return", "udp dport 5432 return"]);
    assert_eq!(
        outbound[outbound.len() - 4..],
        [
            "ip daddr 10.1.0.0/16 return",
            "ip daddr 10.2.0.9/32 return",
            "tcp dport 27017 jump to-outbound",
            "ip daddr 10.0.0.0/8 jump to-outbound",
        ]
    );
}

#[test]
fn nothing_inbound_is_captured_without_ports_or_in_mode_none() {
    for line in ["-i *", "-i * -b * -m NONE"] {
        let text = nft::text(&of(line).unwrap());
        assert!(chain(&text, "inbound").is_empty() && chain(&text, "prerouting").is_empty(), "{text}");
    }
}

#[test]
fn calls_of_the_application_to_itself_are_captured_only_where_loopback_is_asked_for() {
    let usual = nft::text(&of("-i 10.0.0.0/8").unwrap());
    assert!(chain(&usual, "outbound").iter().any(|line| line == "oifname \"lo\" meta skuid != { 1337 } return"));
    let asked = nft::text(&of("-i 127.0.0.0/8,10.0.0.0/8").unwrap());
    assert!(!chain(&asked, "outbound").iter().any(|line| line.contains("skuid !=")));
}

#[test]
fn groups_of_owners_are_left_out_or_taken_alone() {
    let mut settings = Redirect::of(["-i", "*"]).unwrap();
    settings.exclude_owner_groups = "202,203".to_owned();
    let lines = chain(&nft::text(&plan(&settings, false).unwrap()), "outbound");
    assert!(lines.contains(&"meta skgid 202 return".to_owned()) && lines.contains(&"meta skgid 203 return".to_owned()));
    settings.owner_groups = "7".to_owned();
    let lines = chain(&nft::text(&plan(&settings, false).unwrap()), "outbound");
    assert!(
        lines.contains(&"meta skgid != { 7 } return".to_owned())
            && !lines.contains(&"meta skgid 202 return".to_owned())
    );
}

#[test]
fn version_6_has_rules_of_its_own_where_the_pod_has_it() {
    let settings = Redirect::of(["-i", "*", "-b", "*"]).unwrap();
    let both = plan(&settings, true).unwrap();
    let lines = chain(&nft::text(&both), "outbound");
    assert!(lines.contains(&"oifname \"lo\" ip6 saddr ::6/128 return".to_owned()), "{lines:?}");
    assert!(lines.contains(&"ip6 daddr ::1/128 return".to_owned()));
    assert!(!nft::text(&both).contains("nfproto"));
    // Otherwise packets of version 6 are left alone.
    assert!(nft::text(&plan(&settings, false).unwrap()).contains("meta nfproto ipv6 return"));
    let [four, six] = [false, true].map(|ipv6| iptables::text(&both, ipv6));
    assert!(four.contains("127.0.0.6/32") && !four.contains("::6/128"));
    assert!(six.contains("::6/128") && !six.contains("127.0.0.6/32"));
}

#[test]
fn iptables_gets_the_same_rules() {
    let text = iptables::text(&of(USUAL).unwrap(), false);
    for line in [
        "-A FERROMESH_INBOUND -p tcp --dport 15008 -j RETURN",
        "-A FERROMESH_INBOUND -p tcp -j FERROMESH_TO_INBOUND",
        "-A FERROMESH_OUTBOUND -p tcp -o lo ! -d 127.0.0.1/32 ! --dport 15008 -m owner --uid-owner 1337 -j FERROMESH_TO_INBOUND",
        "-A FERROMESH_OUTBOUND -o lo -m owner ! --uid-owner 1337 -j RETURN",
        "-A FERROMESH_OUTBOUND -m owner --gid-owner 1337 -j RETURN",
        "-A FERROMESH_TO_OUTBOUND -p tcp -j REDIRECT --to-ports 15001",
        "-A FERROMESH_LEAVING -m conntrack --ctstate DNAT -j RETURN",
        "-A FERROMESH_LEAVING -p tcp --syn -j REJECT --reject-with tcp-reset",
    ] {
        assert!(text.lines().any(|one| one == line), "{line}\n{text}");
    }
}

#[test]
fn what_is_not_served_or_makes_no_sense_is_refused_by_its_flag() {
    for (line, said) in [
        ("-m TPROXY", "TPROXY is not served"),
        ("-m SOMEHOW", "neither REDIRECT nor NONE"),
        ("-b 80,http", "-b: \"http\""),
        ("-i 10.0.0.0/33", "-i: \"10.0.0.0/33\""),
        ("-i 10.0.0.0/8 -x *", "-x \"*\""),
    ] {
        let error = format!("{:#}", of(line).unwrap_err());
        assert!(error.contains(said), "{line}: {error}");
    }
    assert_eq!(of("-i * --redirect-dns").unwrap().notes.len(), 1);
}
