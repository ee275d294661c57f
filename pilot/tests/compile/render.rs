//! A mesh as text that a person can read and compare.

use mesh_config::{
    diagnostic::Diagnostic,
    model::{Labels, Part, endpoint::EndpointAddress},
};
use mesh_pilot::Mesh;
use std::fmt::{Debug, Display, Write};

/// Every part, one line each, then the findings.
pub(crate) fn mesh(mesh: &Mesh, diagnostics: &[Diagnostic]) -> String {
    let mut text = String::new();
    for shared in mesh.all() {
        writeln!(text, "{:?} {}{}", shared.kind(), shared.name(), part(shared.part())).unwrap();
    }
    for diagnostic in diagnostics {
        writeln!(text, "{diagnostic}").unwrap();
    }
    text
}

fn part(part: &Part) -> String {
    match part {
        Part::Settings(s) => {
            format!(
                ": trust domain {} aliases {} {:?}",
                s.trust_domain,
                list(&s.trust_domain_aliases),
                s.outbound_policy
            )
        }
        Part::Service(s) => format!(
            ": {} {:?}{}{} at {} ports {}",
            s.name,
            s.resolution,
            if s.external { " external" } else { "" },
            if s.headless { " headless" } else { "" },
            list(&s.addresses),
            list(s.ports.iter().map(|p| format!("{}:{}:{:?}", p.number, p.name, p.protocol))),
        ),
        Part::Index(e) => format!(": {:?} {:?} at {}", e.kind, e.resolution, list(&e.addresses)),
        Part::Endpoint(e) => {
            let address = match &e.address {
                EndpointAddress::Ip(ip) => ip.to_string(),
                EndpointAddress::Name(name) => format!("name {name}"),
                EndpointAddress::Unix(path) => format!("unix {path}"),
            };
            format!(
                ": {address} port {} {:?} weight {} {}{} of {} labels {}",
                e.target_port,
                e.health,
                e.weight,
                if e.mutual_tls { "mutual TLS " } else { "" },
                e.identity.as_ref().map_or("nobody".into(), ToString::to_string),
                e.workload.as_ref().map_or("-", |w| &w.workload),
                labels(&e.labels),
            )
        }
        Part::Workload(w) => format!(
            ": {} at {} as {} {}/{} canonical {}/{} in {:?}/{:?}",
            w.info.workload,
            list(&w.addresses),
            w.identity.as_ref().map_or("nobody".into(), ToString::to_string),
            w.info.app,
            w.info.version,
            w.info.canonical_name,
            w.info.canonical_revision,
            w.locality.region,
            w.locality.zone,
        ),
        Part::Instance(i) => {
            let ports = i.ports.iter().map(|p| {
                let limit = p.connection_pool.as_ref().and_then(|pool| pool.max_requests);
                let limit = limit.map(|n| format!(" at most {n} requests")).unwrap_or_default();
                format!(
                    "{} for {} ({}) {} {:?}{limit}",
                    p.target_port, p.service, p.service_name, p.service_port, p.protocol
                )
            });
            format!(": inbound {}", list(ports))
        }
        Part::Destination(d) => {
            let subsets = d.subsets.iter().map(|s| format!("{} {}", s.name, labels(&s.labels)));
            format!(": {} {:?} subsets {} seen by {:?}", d.host, d.policy.load_balancer, list(subsets), d.visibility)
        }
        Part::Route(r) => format!(": {} on {} rules {}", list(&r.hosts), debug_list(&r.parents), r.rules.len()),
        Part::Gateway(g) => format!(": selects {} servers {}", labels(&g.selector), debug_list(&g.servers)),
        Part::Sidecar(s) => format!(": selects {:?} egress {}", s.workload_selector, s.egress.len()),
        Part::Secret(c) => {
            format!(": chain {} bytes, key {} bytes, CA {} bytes", c.chain_pem.len(), c.key_pem.len(), c.ca_pem.len())
        }
        Part::PeerAuthentication(p) => format!(": {:?} ports {:?}", p.mode, p.ports),
        Part::Authorization(a) => format!(": {:?} rules {}", a.action, debug_list(&a.rules)),
        Part::Telemetry(t) => format!(": selects {:?} rules {}", t.selector, debug_list(&t.rules)),
        Part::Trust(t) => format!(": {} roots", t.roots.len()),
    }
}

fn list(items: impl IntoIterator<Item = impl Display>) -> String {
    format!("[{}]", items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(", "))
}

fn debug_list(items: &[impl Debug]) -> String {
    list(items.iter().map(|item| format!("{item:?}")))
}

fn labels(labels: &Labels) -> String {
    list(labels.0.iter().map(|(key, value)| format!("{key}={value}")))
}
