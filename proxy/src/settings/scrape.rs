//! `ISTIO_PROMETHEUS_ANNOTATIONS`: where the application's own metrics are, as its pod said before injection pointed
//! Prometheus at the proxy.

use mesh_config::ports;
use mesh_runtime::settings::Reader;
use serde::Deserialize;

/// Pages that are fetched for each scrape of the proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scrape {
    /// Never empty.
    pub targets: Vec<Target>,
}

/// One page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub port: u16,
    /// Begins with `/`.
    pub path: String,
}

const NAME: &str = "ISTIO_PROMETHEUS_ANNOTATIONS";

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Annotations {
    scrape: String,
    path: String,
    port: String,
    targets: Vec<AnnotatedTarget>,
}

#[derive(Deserialize)]
struct AnnotatedTarget {
    #[serde(default)]
    path: String,
    port: String,
}

impl Scrape {
    pub(super) fn read(read: &mut Reader<'_>) -> Option<Self> {
        let text = read.optional::<String>(NAME)?;
        let said: Annotations = match serde_json::from_str(&text) {
            Ok(said) => said,
            Err(error) => {
                read.problem(NAME, error.to_string());
                return None;
            }
        };
        if said.scrape == "false" {
            return None;
        }
        let one = (said.port.as_str(), said.path.as_str());
        let several = said.targets.iter().map(|target| (target.port.as_str(), target.path.as_str()));
        let wanted: Vec<_> = if said.targets.is_empty() { vec![one] } else { several.collect() };
        let mut targets = Vec::new();
        for (port, path) in wanted {
            match target(port, path) {
                Ok(target) => targets.push(target),
                Err(why) => read.problem(NAME, why),
            }
        }
        (!targets.is_empty()).then_some(Scrape { targets })
    }
}

fn target(port: &str, path: &str) -> Result<Target, String> {
    let port = if port.is_empty() { "80" } else { port };
    let number = port.parse::<u16>().ok().filter(|number| *number > 0);
    let number = number.ok_or_else(|| format!("port {port:?} is not a number from 1 to 65535"))?;
    // It would be asked for itself, or carry no page.
    if ports::OF_THE_PROXY.contains(&number) {
        return Err(format!("port {number} is the proxy's: name the application's own port for its metrics"));
    }
    let path = match path {
        "" => "/metrics".to_owned(),
        path if path.starts_with('/') => path.to_owned(),
        path => format!("/{path}"),
    };
    Ok(Target { port: number, path })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_runtime::settings::{Map, Problems};

    fn read(text: &str) -> Result<Option<Vec<(u16, String)>>, Problems> {
        let map = Map::from_iter([(NAME, text)]);
        let mut reader = Reader::new(&map);
        let scrape = Scrape::read(&mut reader);
        reader.finish().map(|()| scrape.map(|s| s.targets.into_iter().map(|t| (t.port, t.path)).collect()))
    }

    #[test]
    fn what_a_pod_does_not_say_has_the_usual_values() {
        let page = |port, path: &str| Some(vec![(port, path.to_owned())]);
        assert_eq!(read("").unwrap(), None);
        assert_eq!(read(r#"{"scrape":"","path":"","port":""}"#).unwrap(), page(80, "/metrics"));
        assert_eq!(read(r#"{"scrape":"true","path":"m?x=1","port":"9100"}"#).unwrap(), page(9100, "/m?x=1"));
        assert_eq!(read(r#"{"scrape":"false","path":"/m","port":"9100"}"#).unwrap(), None);
        let several = r#"{"scrape":"true","path":"/a","port":"1","targets":[{"port":"1","path":"/a"},{"port":"2"}]}"#;
        assert_eq!(read(several).unwrap(), Some(vec![(1, "/a".into()), (2, "/metrics".into())]));
    }

    #[test]
    fn a_port_of_the_proxys_own_is_refused() {
        for port in ["15020", "15090", "0", "70000", "http"] {
            assert!(read(&format!(r#"{{"port":"{port}"}}"#)).is_err(), "{port}");
        }
    }
}
