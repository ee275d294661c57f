//! The objects of a plan: WorkloadEntries and Sidecars stand for what a cluster would know.

use super::{Beside, NAMESPACE, Plan, Port, Workload, fqdn, plan::GATEWAY_PORT};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
};

/// All objects of a plan. `ip`: a workload's address; `app`: where its application listens.
pub(super) fn render(plan: &Plan, ip: impl Fn(&str) -> IpAddr, app: impl Fn(&str, Port) -> SocketAddr) -> String {
    let mut out = mesh_config(plan);
    let mut services: BTreeMap<&str, Vec<Port>> = BTreeMap::new();
    for workload in &plan.workloads {
        let ports = services.entry(&workload.service).or_default();
        for (port, _) in &workload.serves {
            if !ports.contains(port) {
                ports.push(*port);
            }
        }
    }
    for (service, ports) in services.iter().filter(|(_, ports)| !ports.is_empty()) {
        service_entry(&mut out, service, ports);
    }
    for workload in &plan.workloads {
        let labels = format!("app: {}, version: {}", workload.service, workload.version);
        if !plan.gone.contains(&workload.name) {
            let meshed = workload.beside != Beside::Nobody;
            workload_entry(&mut out, &workload.name, ip(&workload.name), &workload.account, &labels, meshed);
        }
        if workload.beside == Beside::Sidecar {
            sidecar(&mut out, plan, workload, ip(&workload.name), &app);
        }
    }
    if plan.gateway {
        workload_entry(
            &mut out,
            "gateway",
            ip("gateway"),
            "gateway",
            "app: gateway, istio: ingressgateway, version: v1",
            true,
        );
        gateway(&mut out, ip("gateway"));
    }
    let objects = if plan.gateway {
        plan.objects.replace("GATEWAY_ADDRESS", &ip("gateway").to_string())
    } else {
        plan.objects.clone()
    };
    out.push_str(&objects);
    out
}

fn begin(out: &mut String, group: &str, kind: &str, name: &str) {
    let _ = write!(
        out,
        "---\napiVersion: {group}.istio.io/v1\nkind: {kind}\nmetadata:\n  name: {name}\n  namespace: {NAMESPACE}\nspec:\n"
    );
}

fn mesh_config(plan: &Plan) -> String {
    if plan.mesh_config.is_empty() {
        return String::new();
    }
    let mut out =
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: istio\n  namespace: istio-system\ndata:\n  mesh: |\n"
            .to_owned();
    plan.mesh_config.lines().for_each(|line| {
        let _ = writeln!(out, "    {line}");
    });
    out
}

fn service_entry(out: &mut String, service: &str, ports: &[Port]) {
    begin(out, "networking", "ServiceEntry", service);
    let _ = write!(out, "  hosts: [{}]\n  location: MESH_INTERNAL\n  resolution: STATIC\n  ports:\n", fqdn(service));
    for port in ports {
        let _ = writeln!(
            out,
            "  - {{number: {}, name: {}, targetPort: {}{}}}",
            port.number,
            port.name,
            port.target(),
            protocol(*port)
        );
    }
    let _ = writeln!(out, "  workloadSelector: {{labels: {{app: {service}}}}}");
}

fn protocol(port: Port) -> String {
    if port.protocol.is_empty() { String::new() } else { format!(", protocol: {}", port.protocol) }
}

fn workload_entry(out: &mut String, name: &str, ip: IpAddr, account: &str, labels: &str, meshed: bool) {
    begin(out, "networking", "WorkloadEntry", name);
    let _ = writeln!(out, "  address: {ip}");
    // Who has an account is taken to have a proxy.
    match meshed {
        true => {
            let _ =
                writeln!(out, "  serviceAccount: {account}\n  labels: {{{labels}, security.istio.io/tlsMode: istio}}");
        }
        false => {
            let _ = writeln!(out, "  labels: {{{labels}}}");
        }
    }
}

fn sidecar(out: &mut String, plan: &Plan, workload: &Workload, ip: IpAddr, app: impl Fn(&str, Port) -> SocketAddr) {
    begin(out, "networking", "Sidecar", &workload.name);
    let _ =
        writeln!(out, "  workloadSelector: {{labels: {{app: {}, version: {}}}}}", workload.service, workload.version);
    if !workload.serves.is_empty() {
        out.push_str("  ingress:\n");
    }
    for (port, _) in &workload.serves {
        let (name, target, protocol, app) = (port.name, port.target(), protocol(*port), app(&workload.name, *port));
        let _ = writeln!(out, "  - port: {{number: {target}, name: {name}{protocol}}}");
        let _ = writeln!(out, "    bind: {ip}\n    captureMode: NONE\n    defaultEndpoint: {app}");
    }
    out.push_str("  egress:\n");
    for port in plan.ports() {
        let (name, number, protocol) = (port.name, port.number, protocol(port));
        let _ = writeln!(out, "  - port: {{number: {number}, name: {name}{protocol}}}");
        let _ = writeln!(out, "    bind: {ip}\n    captureMode: NONE\n    hosts: [\"./*\"]");
    }
}

fn gateway(out: &mut String, ip: IpAddr) {
    begin(out, "networking", "Gateway", "gateway");
    let _ = write!(
        out,
        "  selector: {{app: gateway}}\n  servers:\n  - port: {{number: {GATEWAY_PORT}, name: http, protocol: HTTP}}\n    bind: {ip}\n    hosts: [\"*\"]\n"
    );
}
