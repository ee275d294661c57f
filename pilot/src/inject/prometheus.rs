//! Metrics of application and proxy at one port: what the pod says of its metrics is handed to the proxy, and the pod
//! says the proxy's port instead.

use mesh_config::{go::boolean, ports};
use serde_json::{Map, Value, json};

const SCRAPE: &str = "prometheus.io/scrape";
const PORT: &str = "prometheus.io/port";
const PATH: &str = "prometheus.io/path";
const TARGETS: &str = "prometheus.istio.io/scrape-targets";
const MERGE: &str = "prometheus.istio.io/merge-metrics";

/// Annotations of the same name to Prometheus, which sees no difference between other characters.
fn same(a: &str, b: &str) -> bool {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' };
    a.chars().map(plain).eq(b.chars().map(plain))
}

fn said<'a>(annotations: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    let exact = annotations.get(name);
    exact.or_else(|| annotations.iter().find(|(key, _)| same(key, name)).map(|(_, value)| value))?.as_str()
}

/// Changes the annotations, where metrics are merged, and returns what the proxy merges with its own. `None`: nothing.
///
/// # Errors
/// The application's port is none, or the proxy's own.
pub(super) fn merge(
    annotations: &mut Map<String, Value>,
    by_mesh: bool,
    status_port: u16,
) -> Result<Option<Value>, String> {
    if !is_merged(annotations, by_mesh, status_port) {
        return Ok(None);
    }
    let text = |name| said(annotations, name).unwrap_or_default().to_owned();
    let (scrape, mut path, port, targets) = (text(SCRAPE), text(PATH), text(PORT), text(TARGETS));
    let given = [SCRAPE, PATH, PORT, TARGETS].into_iter().any(|name| said(annotations, name).is_some());
    let refused = |error: String| format!("invalid prometheus scrape configuration: {error}");
    let mut port = if port.is_empty() { port } else { usable(&port, status_port).map_err(refused)? };
    let mut further = Vec::new();
    if let Some(list) = target_list(&targets, status_port)? {
        let mut list = list.into_iter();
        if let Some((first, at)) = list.next() {
            (port, path) = (first, at);
        }
        further = list.map(|(port, path)| json!({"port": port, "path": path})).collect();
    }
    annotations.retain(|key, _| ![SCRAPE, PATH, PORT, TARGETS].iter().any(|name| same(key, name)));
    annotations.insert(SCRAPE.to_owned(), "true".into());
    annotations.insert(PORT.to_owned(), status_port.to_string().into());
    annotations.insert(PATH.to_owned(), "/stats/prometheus".into());
    let mut merged = json!({"scrape": scrape, "path": path, "port": port});
    if !further.is_empty() {
        merged["targets"] = further.into();
    }
    Ok(given.then_some(merged))
}

fn is_merged(annotations: &Map<String, Value>, by_mesh: bool, status_port: u16) -> bool {
    if said(annotations, SCRAPE).and_then(boolean) == Some(false) {
        return false;
    }
    // It was merged before.
    let own = status_port.to_string();
    if annotations.iter().any(|(key, value)| same(key, PORT) && *value == own) {
        return false;
    }
    said(annotations, MERGE).and_then(boolean).unwrap_or(by_mesh)
}

fn usable(port: &str, status_port: u16) -> Result<String, String> {
    let number = port.trim().parse::<u16>().ok().filter(|port| *port > 0);
    let number = number.ok_or_else(|| format!("port {port:?} is not between 1 and 65535"))?;
    if number == status_port || ports::OF_THE_PROXY.contains(&number) {
        return Err(format!("port {number} is the proxy's own"));
    }
    Ok(number.to_string())
}

/// `PORT[:PATH],…`; `None`: not said, or with an empty port.
fn target_list(targets: &str, status_port: u16) -> Result<Option<Vec<(String, String)>>, String> {
    if targets.is_empty() {
        return Ok(None);
    }
    let mut list = Vec::new();
    for target in targets.split(',').map(str::trim) {
        let (port, path) = target.split_once(':').unwrap_or((target, "/metrics"));
        if port.is_empty() {
            return Ok(None);
        }
        let port = usable(port, status_port).map_err(|error| format!("invalid prometheus scrape targets: {error}"))?;
        list.push((port, if path.is_empty() { "/metrics" } else { path }.to_owned()));
    }
    Ok(Some(list))
}
