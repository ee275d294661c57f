//! `ISTIO_KUBE_APP_PROBERS`: what the pod's probes and hooks were before injection pointed them at the proxy, by the path
//! under which the kubelet now asks for them.

use mesh_runtime::settings::Reader;
use serde::{Deserialize, Deserializer};
use std::{collections::BTreeMap, time::Duration};

/// By path, such as `/app-health/cart/livez`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Probes(pub BTreeMap<String, Probe>);

/// One probe or hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    pub how: How,
    /// For the whole of it.
    pub timeout: Duration,
}

/// What is asked of the application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    Http(HttpGet),
    /// That it accepts a connection.
    Tcp {
        port: u16,
    },
    /// Its health by `grpc.health.v1`, of one service or, with an empty name, of the server.
    Grpc {
        port: u16,
        service: String,
    },
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpGet {
    /// With a query where there is one; begins with `/`.
    pub path: String,
    pub port: u16,
    /// TLS, whatever certificate the application shows, as the kubelet does it.
    pub https: bool,
    /// Beside and instead of those that the kubelet sends.
    pub headers: Vec<(String, String)>,
}

const NAME: &str = "ISTIO_KUBE_APP_PROBERS";
/// What Kubernetes gives a probe that does not say.
const PROBE: Duration = Duration::from_secs(1);
/// For hooks, which have no time of their own: the kubelet ends them with the pod's.
const HOOK: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    http_get: Option<EntryHttp>,
    tcp_socket: Option<EntryTcp>,
    grpc: Option<EntryGrpc>,
    timeout_seconds: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EntryHttp {
    path: Option<String>,
    #[serde(deserialize_with = "port")]
    port: u16,
    scheme: Option<String>,
    http_headers: Option<Vec<EntryHeader>>,
}

#[derive(Deserialize)]
struct EntryHeader {
    name: String,
    #[serde(default)]
    value: String,
}

#[derive(Deserialize)]
struct EntryTcp {
    #[serde(deserialize_with = "port")]
    port: u16,
}

#[derive(Deserialize)]
struct EntryGrpc {
    #[serde(deserialize_with = "port")]
    port: u16,
    service: Option<String>,
}

impl Probes {
    pub(super) fn read(read: &mut Reader<'_>) -> Self {
        let text = read.or(NAME, "{}".to_owned());
        let entries: BTreeMap<String, Entry> = serde_json::from_str(&text).unwrap_or_else(|error| {
            read.problem(NAME, error.to_string());
            BTreeMap::new()
        });
        let mut probes = BTreeMap::new();
        for (path, entry) in entries {
            match entry.probe(path.starts_with("/app-lifecycle/")) {
                Ok(probe) => drop(probes.insert(path, probe)),
                Err(why) => read.problem(NAME, format!("{path}: {why}")),
            }
        }
        Probes(probes)
    }
}

impl Entry {
    fn probe(self, hook: bool) -> Result<Probe, &'static str> {
        let how = match (self.http_get, self.tcp_socket, self.grpc) {
            (Some(http), None, None) => How::Http(http.get()),
            (None, Some(tcp), None) => How::Tcp { port: tcp.port },
            (None, None, Some(grpc)) => How::Grpc { port: grpc.port, service: grpc.service.unwrap_or_default() },
            _ => return Err("exactly one of httpGet, tcpSocket and grpc is wanted"),
        };
        let given = self.timeout_seconds.filter(|seconds| *seconds > 0).map(|s| Duration::from_secs(s.into()));
        Ok(Probe { how, timeout: given.unwrap_or(if hook { HOOK } else { PROBE }) })
    }
}

impl EntryHttp {
    fn get(self) -> HttpGet {
        let path = self.path.unwrap_or_default();
        HttpGet {
            path: if path.starts_with('/') { path } else { format!("/{path}") },
            port: self.port,
            https: self.scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https")),
            headers: self.http_headers.unwrap_or_default().into_iter().map(|h| (h.name, h.value)).collect(),
        }
    }
}

/// Kubernetes writes a port as a number, or as one in text.
pub(super) fn port<'de, D: Deserializer<'de>>(from: D) -> Result<u16, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(u16),
        Text(String),
    }
    let port = match Either::deserialize(from)? {
        Either::Number(port) => Some(port),
        Either::Text(text) => text.parse().ok(),
    };
    port.filter(|port| *port != 0).ok_or_else(|| serde::de::Error::custom("not a port from 1 to 65535"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_runtime::settings::{Map, Problems};

    fn read(text: &str) -> Result<Probes, Problems> {
        let map = Map::from_iter([(NAME, text)]);
        let mut reader = Reader::new(&map);
        let probes = Probes::read(&mut reader);
        reader.finish().map(|()| probes)
    }

    #[test]
    fn what_injection_writes_is_read_whole() {
        let probes = read(
            r#"{"/app-health/a/livez":{"httpGet":{"path":"ok?x=1","port":8080,"scheme":"HTTPS",
                "httpHeaders":[{"name":"X-A","value":"b"}]},"timeoutSeconds":3},
                "/app-health/a/readyz":{"tcpSocket":{"port":"9090"}},
                "/app-health/a/startupz":{"grpc":{"port":7070,"service":null}},
                "/app-lifecycle/a/prestopz":{"httpGet":{"port":80,"host":""}}}"#,
        );
        let http = |path: &str, port, https, headers| How::Http(HttpGet { path: path.into(), port, https, headers });
        let probe = |how, seconds| Probe { how, timeout: Duration::from_secs(seconds) };
        let wanted = BTreeMap::from([
            ("/app-health/a/livez".into(), probe(http("/ok?x=1", 8080, true, vec![("X-A".into(), "b".into())]), 3)),
            ("/app-health/a/readyz".into(), probe(How::Tcp { port: 9090 }, 1)),
            ("/app-health/a/startupz".into(), probe(How::Grpc { port: 7070, service: String::new() }, 1)),
            ("/app-lifecycle/a/prestopz".into(), probe(http("/", 80, false, vec![]), 60)),
        ]);
        assert_eq!(read("").unwrap(), Probes::default());
        assert_eq!(probes.unwrap(), Probes(wanted));
    }

    #[test]
    fn what_cannot_be_asked_is_a_problem_and_names_its_path() {
        for (text, named) in [
            (r#"{"/app-health/a/livez":{}}"#, "/app-health/a/livez"),
            (r#"{"/p":{"tcpSocket":{"port":0}}}"#, "port"),
            (r#"{"/p":{"httpGet":{"path":"/"}}}"#, "port"),
            ("[", "ISTIO_KUBE_APP_PROBERS"),
        ] {
            let problems = read(text).map(|probes| panic!("{probes:?}")).unwrap_err();
            assert!(problems.to_string().contains(named), "{problems}");
        }
    }
}
