//! PeerAuthentication: plain text, mutual TLS, or both.

use super::selector;
use crate::{
    crd::{
        Object,
        form::{Fact, Holds, forms},
        node::Value,
        reader::Fields,
        target::SELECTOR,
    },
    model::{PeerAuthentication, peer_authentication::MtlsMode},
    name::Port,
};

forms! {
    /// `spec`.
    pub(in crate::crd) PEER_AUTHENTICATION {
        "selector": Holds::Of(&SELECTOR), "Which workloads; without it those of the namespace, in the root namespace all.";
        "mtls": Holds::Of(&MTLS), "For all ports.";
        "portLevelMtls": Holds::Map(&Holds::Of(&MTLS)), "For single ports of the workload, by number.", Fact::LeastEntries(1),
            Fact::Rule("!self.exists(port, int(port) < 1 || int(port) > 65535)", "port must be between 1-65535");
    } with [
        Fact::Rule(
            "!has(self.portLevelMtls) || (has(self.selector) && has(self.selector.matchLabels) && self.selector.matchLabels.size() > 0)",
            "portLevelMtls requires selector"),
    ];

    MTLS {
        "mode": Holds::Word(&["UNSET", "DISABLE", "PERMISSIVE", "STRICT"]), "Plain text, both, or mutual TLS alone; UNSET takes the wider \
            object's.", Fact::Default("PERMISSIVE, where no wider object says otherwise");
    };
}

pub(super) fn parse(object: &Object, f: &mut Fields<'_>) -> Option<PeerAuthentication> {
    let labels = selector(f);
    let selector = (!labels.is_empty()).then_some(labels);
    let mode = f.object("mtls", |f| mtls_mode(f));
    let port_level = f.item("portLevelMtls");
    if let (Some(item), None) = (&port_level, &selector) {
        return item.invalid("portLevelMtls needs a selector: ports belong to workloads");
    }
    if let Some(item) = &port_level
        && item.node().value == Value::Map(Vec::new())
    {
        item.refuse("must name a port, or be left out");
    }
    let ports = port_level.map(|item| {
        item.map(|key, item| {
            let port = key.parse().ok().and_then(Port::new);
            let Some(port) = port else { return item.invalid(format!("{key:.20?} is not a port")) };
            item.object(|f| Some((port, mtls_mode(f))))
        })
    });
    Some(PeerAuthentication {
        name: object.name(),
        precedence: object.precedence(),
        selector,
        mode,
        ports: ports.unwrap_or_default().into_iter().collect(),
    })
}

fn mtls_mode(f: &mut Fields<'_>) -> Option<MtlsMode> {
    f.enum_of(
        "mode",
        &[
            ("UNSET", None),
            ("DISABLE", Some(MtlsMode::Disable)),
            ("PERMISSIVE", Some(MtlsMode::Permissive)),
            ("STRICT", Some(MtlsMode::Strict)),
        ],
    )
    .flatten()
}
