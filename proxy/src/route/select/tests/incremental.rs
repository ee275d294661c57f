//! A state that came about change by change decides as one that got the same parts at once.

use super::*;
use crate::snapshot::{outbound::lookup, workloads::Asking};
use mesh_config::model::Kind;
use proptest::prelude::*;

const HOSTS: [&str; 4] = ["shop/a.shop.svc.cluster.local", "x/b.example", "x/*.c.example", "y/b.example"];

fn target_of(which: usize) -> &'static str {
    let text = HOSTS[which];
    &text[text.find('/').unwrap() + 1..]
}

/// A part out of a small world: kind, which of its kind, one of two values.
fn part(kind: u8, which: usize, value: u8) -> Part {
    let number = if value == 0 { 80 } else { 81 };
    let protocol = if value == 0 { Protocol::Http } else { Protocol::Auto };
    let own = service(HOSTS[which], &format!("10.0.0.{which}"), &[(number, protocol), (90, Protocol::Tcp)]);
    let to = target_of((which + usize::from(value) + 1) % HOSTS.len());
    match kind {
        0 => indexed(&own),
        1 => in_use(&own)[1].clone(),
        2 => Part::Destination(Arc::new(destination(
            &format!("shop/d{which}"),
            target_of(which),
            if value == 0 { &["v1"] } else { &["v1", "v2"] },
        ))),
        3 => {
            let rules = vec![
                when(vec![prefix("/v2")], send_to(&[(&format!("{}:80/v2", to.replace('*', "w")), 1)])),
                send_to(&[(&to.replace('*', "w"), 1)]),
            ];
            Part::Route(Arc::new(route(&format!("shop/r{which}"), &[target_of(which)], i64::from(value), rules)))
        }
        _ => {
            let hosts: &[&str] = if value == 0 { &["*/*"] } else { &["x/*"] };
            let tcp = EgressListener { protocol: Protocol::Tcp, ..listener(90, hosts) };
            Part::Sidecar(Arc::new(sidecar("shop/s", vec![listener(80, hosts), tcp, egress(None, hosts)])))
        }
    }
}

fn everything(state: &State) -> Vec<String> {
    let mut all = Vec::new();
    let keys = [on(80), on(81), DestinationKey::Egress("127.0.1.1_80".into())];
    for name in ["a", "b.example", "w.c.example", "10.0.0.1", "nobody"] {
        for path in ["/", "/v2"] {
            all.extend(keys.iter().map(|key| said(&ask(state, key, name, path))));
        }
    }
    let services = HOSTS.map(|h| DestinationKey::Service(key(h), port(81)));
    all.extend(services.iter().map(|key| said(&ask(state, key, "any", "/"))));
    for address in ["10.0.0.0:80", "10.0.0.1:81", "10.0.0.2:90", "9.9.9.9:90"] {
        let original = address.parse().unwrap();
        all.push(format!("{:?}", lookup(state.snapshot(), original, Asking::All).key(original)));
    }
    let single = state.snapshot().outbound.egress("127.0.1.1_90").map(|e| e.single.clone());
    all.push(format!("{single:?} {:?}", state.snapshot().listeners));
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn changes_lead_where_a_fresh_start_leads(
        changes in prop::collection::vec((0u8..5, 0usize..4, 0u8..2, any::<bool>()), 1..40),
    ) {
        let mut grown = state(Role::Sidecar, []);
        let mut parts: std::collections::BTreeMap<(Kind, String), Part> = Default::default();
        for (kind, which, value, add) in changes {
            let part = part(kind, which, value);
            let id = (part.kind(), part.name().to_string());
            if add {
                parts.insert(id, part.clone());
                push(&mut grown, part);
            } else {
                parts.remove(&id);
                grown.apply(Changes { removed: vec![(part.kind(), part.name())], ..Changes::default() });
            }
        }
        let fresh = state(Role::Sidecar, parts.into_values());
        prop_assert_eq!(everything(&grown), everything(&fresh));
    }
}
