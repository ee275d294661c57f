//! PeerAuthentication: plain text, mutual TLS, or both.

use super::selector;
use crate::{
    crd::{Object, node::Value, reader::Fields},
    model::{PeerAuthentication, peer_authentication::MtlsMode},
    name::Port,
};

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
