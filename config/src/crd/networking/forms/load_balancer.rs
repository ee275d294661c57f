//! How an endpoint is chosen: `loadBalancer` of a DestinationRule.

use super::COUNT;
use crate::crd::{
    form::{Fact, Holds, forms},
    reader::{Fields, Item},
};
use std::collections::{BTreeMap, BTreeSet};

const PERCENT: Holds = Holds::Number(0.0, 100.0);

forms! {
    /// `loadBalancer`.
    pub(in crate::crd::networking) LOAD_BALANCER {
        "simple": Holds::Word(&["UNSPECIFIED", "LEAST_CONN", "RANDOM", "PASSTHROUGH", "ROUND_ROBIN", "LEAST_REQUEST"]), "By which rule, call by call. LEAST_CONN is LEAST_REQUEST; PASSTHROUGH takes the address that the caller asked for.",
            Fact::Default("LEAST_REQUEST");
        "consistentHash": Holds::Of(&CONSISTENT_HASH), "The same endpoint for the same key.", Fact::Inert("LEAST_REQUEST is used");
        "localityLbSetting": Holds::Of(&LOCALITY), "What localities count for.", Fact::Inert("");
        "warmupDurationSecs": Holds::Span, "How long a new endpoint warms up. Superseded by warmup.", Fact::Inert("");
        "warmup": Holds::Of(&WARMUP), "How the share of a new endpoint grows.", Fact::Inert("");
        "zoneAwareLbSetting": Holds::Of(&ZONE_AWARE), "Prefers endpoints of the own zone; excludes localityLbSetting.", Fact::Inert("");
        "backendUtilization": Holds::Of(&UTILIZATION), "By the load that endpoints report.", Fact::Inert("LEAST_REQUEST is used");
    } with [Fact::OneOf(&["simple", "consistentHash", "backendUtilization"])];

    CONSISTENT_HASH {
        "httpHeaderName": Holds::Filled, "Header that is hashed.";
        "httpCookie": Holds::Of(&COOKIE), "Cookie that is hashed, and set where there is none.";
        "useSourceIp": Holds::Bool, "Whether the caller's address is hashed.";
        "httpQueryParameterName": Holds::Filled, "Query parameter that is hashed.";
        "ringHash": Holds::Of(&RING), "A ring, and its size.";
        "maglev": Holds::Of(&MAGLEV), "A Maglev table, and its size.";
        "minimumRingSize": COUNT, "Superseded by ringHash.";
    } with [
        Fact::OneOf(&["httpHeaderName", "httpCookie", "useSourceIp", "httpQueryParameterName"]),
        Fact::OneOf(&["ringHash", "maglev"]),
    ] => hash;

    COOKIE {
        "name": Holds::Filled, "Name.", Fact::Required;
        "path": Holds::Text, "Path that is set with it.";
        "ttl": Holds::SpanOrZero, "How long it lives; 0: the session.";
        "attributes": Holds::List(&Holds::Of(&ATTRIBUTE)), "What else is set with it.";
    } => cookie;

    ATTRIBUTE {
        "name": Holds::Filled, "Name.", Fact::Required;
        "value": Holds::Text, "Value.";
    };

    RING {
        "minimumRingSize": COUNT, "Least number of places.", Fact::Default("1024");
    };

    MAGLEV {
        "tableSize": Holds::Whole(2, 5_000_010), "Number of places, a prime.", Fact::Default("65537");
    } => maglev;

    /// `localityLbSetting`.
    pub(in crate::crd) LOCALITY {
        "enabled": Holds::Bool, "Whether localities count.", Fact::Default("true"), Fact::Nullable;
        "distribute": Holds::List(&Holds::Of(&DISTRIBUTE)), "Shares of localities; excludes failover and failoverPriority.";
        "failover": Holds::List(&Holds::Of(&FAILOVER)), "Where calls go when a region fails.";
        "failoverPriority": Holds::List(&Holds::Filled), "Labels that order endpoints, the first most.";
    } => locality;

    DISTRIBUTE {
        "from": Holds::Judged(place), "Locality of the client: region/zone/subzone, with * for the rest.";
        "to": Holds::Map(&Holds::Whole(1, 100)), "Share of each locality, in percent.";
    } => distribute;

    FAILOVER {
        "from": Holds::Judged(region), "Region that fails.";
        "to": Holds::Judged(region), "Region that takes over.";
    } => failover;

    ZONE_AWARE {
        "enabled": Holds::Bool, "Whether zones count.", Fact::Nullable;
        "failover": Holds::List(&Holds::Of(&FAILOVER)), "Where calls go when a region fails.";
        "failoverPriority": Holds::List(&Holds::Filled), "Labels that order endpoints, the first most.";
        "minClusterSize": Holds::Whole(1, u32::MAX as i64), "Endpoints that there must be.", Fact::Default("6"), Fact::Least(1), Fact::Nullable;
    } => regions_once;

    /// `warmup`.
    WARMUP {
        "duration": Holds::Span, "How long a new endpoint warms up.", Fact::Required;
        "minimumPercent": PERCENT, "Its least share of its weight.", Fact::Default("10"), Fact::Most(100), Fact::Nullable, Fact::Least(0);
        "aggression": Holds::Number(1.0, f64::MAX), "How fast its share grows.", Fact::Default("1"), Fact::Nullable, Fact::Least(0);
    };

    UTILIZATION {
        "errorUtilizationPenaltyPercent": COUNT, "What errors count for.";
        "metricNamesForComputingUtilization": Holds::List(&Holds::Filled), "Reported metrics that count.";
        "weightExpirationPeriod": Holds::SpanOrZero, "After which a report counts no more.";
        "weightStabilizationPeriod": Holds::SpanOrZero, "For which an endpoint must have reported.";
        "weightUpdatePeriod": Holds::SpanOrZero, "How often weights are reckoned.";
    };
}

fn hash(f: &mut Fields<'_>) {
    let keys = ["httpHeaderName", "httpCookie", "useSourceIp", "httpQueryParameterName"];
    if keys.into_iter().filter(|key| f.has(key)).count() != 1 {
        f.one_is_required::<()>(&keys, format!("exactly one of {} must be set", keys.join(", ")));
    }
    if f.has("ringHash") && f.has("maglev") {
        f.invalid::<()>("ringHash and maglev are mutually exclusive");
    }
}

fn maglev(f: &mut Fields<'_>) {
    if let Some(item) = f.item("tableSize")
        && item.i64().is_some_and(|size| size > 1 && !is_prime(size))
    {
        item.invalid::<()>("the size of a Maglev table is a prime");
    }
}

fn is_prime(number: i64) -> bool {
    number > 1 && (2..).take_while(|d| d * d <= number).all(|d| number % d != 0)
}

fn cookie(f: &mut Fields<'_>) {
    let mut seen = BTreeSet::new();
    f.list("attributes", |item| {
        let name = item.node().get("name")?.as_str()?;
        if !seen.insert(name.to_ascii_lowercase()) {
            item.invalid::<()>(format!("the attribute {name:.40} is listed twice"));
        }
        None::<()>
    });
}

/// Label of the region, by which failover between regions goes already.
const REGION: &str = "topology.kubernetes.io/region";

fn locality(f: &mut Fields<'_>) {
    let there: Vec<_> = ["distribute", "failover", "failoverPriority"].into_iter().filter(|name| f.has(name)).collect();
    if there.len() > 1 && there[0] == "distribute" {
        f.invalid::<()>(format!("distribute and {} are mutually exclusive", there[1]));
    }
    regions_once(f);
    let mut from = Places::default();
    f.list("distribute", |item| {
        from.add(&item, item.node().get("from")?.as_str()?);
        None::<()>
    });
}

fn regions_once(f: &mut Fields<'_>) {
    let by_region = f.has("failover")
        && f.list("failoverPriority", |item| item.node().as_str()).iter().any(|label| label.starts_with(REGION));
    if by_region {
        f.invalid::<()>(format!("failover and {REGION} in failoverPriority are mutually exclusive"));
    }
}

fn distribute(f: &mut Fields<'_>) {
    f.required("from");
    let mut to = Places::default();
    let shares = f.map("to", |key, item| {
        is_place(&item, key);
        to.add(&item, key);
        item.i64()
    });
    if shares.iter().fold(0_i64, |sum, share| sum.saturating_add(*share)) != 100 {
        f.invalid::<()>("the shares must add up to 100");
    }
}

/// Localities that must not overlap, by what stands before their `*`.
#[derive(Default)]
struct Places<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Places<'a> {
    /// Reports one within which another is, or the other way round.
    fn add(&mut self, item: &Item<'_>, place: &'a str) {
        let stem = place.trim_end_matches('*').trim_end_matches('/');
        if let Some(other) = self.around(stem).or_else(|| self.within(stem)) {
            item.invalid::<()>(format!("{place:.80} overlaps with {other:.80}"));
        }
        self.0.insert(stem, place);
    }

    /// The same one, or one that this one is in; without a region it is all there is.
    fn around(&self, stem: &str) -> Option<&'a str> {
        let outer = stem.match_indices('/').map(|(at, _)| &stem[..at]).chain(["", stem]);
        outer.into_iter().find_map(|outer| self.0.get(outer).copied())
    }

    /// One that is in this one.
    fn within(&self, stem: &str) -> Option<&'a str> {
        let beneath = if stem.is_empty() { String::new() } else { format!("{stem}/") };
        let (inner, place) = self.0.range(&*beneath..).next()?;
        inner.starts_with(&beneath).then_some(*place)
    }
}

fn place(item: &Item<'_>) {
    if let Some(text) = item.non_empty() {
        is_place(item, &text);
    }
}

/// `region/zone/subzone`; the last may be `*`, which stands for the rest.
fn is_place(item: &Item<'_>, text: &str) {
    let mut parts = text.splitn(3, '/');
    if parts.any(str::is_empty) {
        item.invalid::<()>(format!("{text:.80?} has an empty region, zone or subzone"));
    } else if text.strip_suffix('*').unwrap_or(text).contains('*') {
        item.invalid::<()>(format!("{text:.80?}: * may stand at the end alone"));
    }
}

fn region(item: &Item<'_>) {
    if let Some(text) = item.non_empty().filter(|text| text.contains(['*', '/'])) {
        item.invalid::<()>(format!("{text:.80?} is no region: failover is between regions as a whole"));
    }
}

fn failover(f: &mut Fields<'_>) {
    let (from, to) = (f.string("from"), f.string("to"));
    if from.is_some() && from == to {
        f.invalid::<()>("a region cannot take over from itself");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crd::{node, reader::Report};
    use crate::diagnostic::ObjectRef;
    use proptest::prelude::*;

    fn overlap(one: &str, other: &str) -> bool {
        let stem = |place: &str| place.trim_end_matches('*').trim_end_matches('/').to_owned();
        let is_within = |inner: &str, outer: &str| {
            let (inner, outer) = (stem(inner), stem(outer));
            outer.is_empty() || inner == outer || inner.strip_prefix(&outer).is_some_and(|rest| rest.starts_with('/'))
        };
        is_within(one, other) || is_within(other, one)
    }

    proptest! {
        #[test]
        fn localities_overlap_as_each_pair_does(all in prop::collection::vec("[ab]{1,2}(/[ab]{1,2}){0,2}(/\\*)?|\\*", 1..6)) {
            let node = node::read("a").remove(0).unwrap().node;
            let nobody = ObjectRef { kind: "".into(), namespace: "".into(), name: "".into() };
            let report = Report::new(nobody, "".into());
            let item = Item::new(&node, "", &report);
            let mut places = Places::default();
            for (i, place) in all.iter().enumerate() {
                let before = report.errors();
                places.add(&item, place);
                let each = all[..i].iter().any(|other| overlap(place, other));
                prop_assert_eq!(report.errors() > before, each, "{} among {:?}", place, &all[..i]);
            }
        }
    }
}
