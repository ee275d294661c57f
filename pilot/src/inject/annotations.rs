//! What annotations of a pod may say. A wrong one refuses the pod: guessed at, it would run without what it asks for.

use super::mesh::Mesh;
use mesh_config::go::boolean;
use serde_json::Value;

type Check = fn(&str) -> Result<(), String>;

const CHECKS: &[(&str, Check)] = &[
    ("sidecar.istio.io/interceptionMode", |text| match text {
        "REDIRECT" | "TPROXY" | "NONE" => Ok(()),
        _ => Err("interceptionMode must be REDIRECT, TPROXY or NONE".to_owned()),
    }),
    (STATUS_PORT, |text| port(text.trim()).map(drop)),
    ("readiness.status.sidecar.istio.io/initialDelaySeconds", count),
    ("readiness.status.sidecar.istio.io/periodSeconds", count),
    ("readiness.status.sidecar.istio.io/failureThreshold", count),
    ("traffic.sidecar.istio.io/includeOutboundIPRanges", |text| if text == "*" { Ok(()) } else { ranges(text) }),
    ("traffic.sidecar.istio.io/excludeOutboundIPRanges", ranges),
    ("traffic.sidecar.istio.io/includeInboundPorts", |text| if text == "*" { Ok(()) } else { ports(text) }),
    ("traffic.sidecar.istio.io/excludeInboundPorts", ports),
    ("traffic.sidecar.istio.io/excludeOutboundPorts", ports),
    ("traffic.sidecar.istio.io/excludeInterfaces", interfaces),
    ("traffic.sidecar.istio.io/kubevirtInterfaces", interfaces),
    ("istio.io/reroute-virtual-interfaces", interfaces),
    ("prometheus.istio.io/merge-metrics", |text| match boolean(text) {
        Some(_) => Ok(()),
        None => Err("must be true or false".to_owned()),
    }),
    ("sidecar.istio.io/proxyCPU", quantity),
    ("sidecar.istio.io/proxyMemory", quantity),
    ("sidecar.istio.io/proxyCPULimit", quantity),
    ("sidecar.istio.io/proxyMemoryLimit", quantity),
];

/// Checks all annotations of a pod.
///
/// # Errors
/// All that are wrong.
pub(super) fn check(pod: &Value, mesh: &Mesh) -> Result<(), String> {
    let mut wrong = Vec::new();
    for (name, value) in pod["metadata"]["annotations"].as_object().into_iter().flatten() {
        let Some(value) = value.as_str() else {
            wrong.push(format!("annotation '{name}' must be text"));
            continue;
        };
        let result = match CHECKS.iter().find(|(checked, _)| checked == name) {
            Some((_, check)) => check(value),
            None if name == PROXY_CONFIG => mesh.proxy_config(Some(value)).map(drop),
            None => Ok(()),
        };
        if let Err(cause) = result {
            wrong.push(format!("invalid value '{value}' for annotation '{name}': {cause}"));
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let lines: String = wrong.iter().map(|line| format!("\n* {line}")).collect();
    Err(format!("{} error(s) occurred:{lines}", wrong.len()))
}

/// A pod's own ProxyConfig.
pub(super) const PROXY_CONFIG: &str = "proxy.istio.io/config";
/// A pod's own port of readiness, probes and merged metrics.
pub(super) const STATUS_PORT: &str = "status.sidecar.istio.io/port";

fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| format!("failed parsing port {text:?}: must be between 0 and 65535"))
}

fn ports(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Ok(());
    }
    text.split(',').try_for_each(|text| port(text.trim()).map(drop))
}

fn count(text: &str) -> Result<(), String> {
    let digits = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    match text.parse::<u32>() {
        Ok(_) if digits => Ok(()),
        _ => Err("must be a whole number that is not negative".to_owned()),
    }
}

fn ranges(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Ok(());
    }
    text.split(',').try_for_each(|range| {
        range.parse::<ipnet::IpNet>().map(drop).map_err(|_| format!("failed parsing cidr '{range}'"))
    })
}

fn interfaces(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Ok(());
    }
    text.split(',').map(str::trim).try_for_each(|name| {
        let usual = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        match name.chars().next() {
            None => Err("empty interface name".to_owned()),
            _ if name.len() > 15 => Err(format!("interface name {name:?} is too long")),
            Some(first) if first.is_ascii_alphabetic() && name.chars().all(usual) => Ok(()),
            _ => Err(format!("interface name {name:?} has invalid characters")),
        }
    })
}

/// A quantity of Kubernetes: `100m`, `1.5`, `128Mi`, `1e3`.
fn quantity(text: &str) -> Result<(), String> {
    let wrong = || Err(format!("{text:?} is no quantity, like 100m or 128Mi"));
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(end);
    if !number.bytes().any(|c| c.is_ascii_digit()) || number.matches('.').count() > 1 {
        return wrong();
    }
    let known = ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let exponent = |rest: &str| {
        let digits = rest.strip_prefix(['+', '-']).unwrap_or(rest);
        !digits.is_empty() && digits.len() <= 3 && digits.bytes().all(|c| c.is_ascii_digit())
    };
    if known.contains(&suffix) || suffix.strip_prefix(['e', 'E']).is_some_and(exponent) { Ok(()) } else { wrong() }
}
