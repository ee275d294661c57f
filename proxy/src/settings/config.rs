//! `PROXY_CONFIG`: the ProxyConfig that injection has merged for the pod, as JSON. Variables of the same meaning win.

use mesh_config::time;
use mesh_runtime::settings::Reader;
use serde::Deserialize;
use std::time::Duration;

/// What is read of it; the other fields are pilot's business, or listed as without effect in the reference.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ProxyConfig {
    pub(super) discovery_address: Option<String>,
    /// Threads; 0: one for each processor.
    pub(super) concurrency: Option<usize>,
    pub(super) status_port: Option<u16>,
    pub(super) proxy_admin_port: Option<u16>,
    termination_drain_duration: Option<String>,
    /// How long a SIGTERM lets requests finish: the text above, read.
    #[serde(skip)]
    pub(super) drain: Option<Duration>,
}

const NAME: &str = "PROXY_CONFIG";

impl ProxyConfig {
    /// Reads the variable; without it everything is absent.
    pub(super) fn read(read: &mut Reader<'_>) -> Self {
        let text = read.or(NAME, "{}".to_owned());
        let mut config: ProxyConfig = serde_json::from_str(&text).unwrap_or_else(|error| {
            read.problem(NAME, format!("is not a ProxyConfig in JSON: {error}"));
            ProxyConfig::default()
        });
        if let Some(text) = &config.termination_drain_duration {
            config.drain = time::duration(text);
            if config.drain.is_none() {
                read.problem(NAME, format!("terminationDrainDuration: {text:?} is not a duration such as 5s"));
            }
        }
        config
    }
}
