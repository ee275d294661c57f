//! Providers of access logs: `envoyFileAccessLog` among MeshConfig's `extensionProviders`, and the built-in `envoy`.

use crate::{
    crd::{mesh_config::DEFAULT_PROVIDERS, reader::Fields},
    model::{
        settings::AccessLog,
        telemetry::{LogFormat, LogOutlet},
    },
};
use std::{collections::BTreeMap, sync::Arc};

/// The provider that there is without anybody defining it.
const BUILT_IN: &str = "envoy";
const STDOUT: &str = "/dev/stdout";

/// What Telemetry objects may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogProviders {
    /// By name, in lower case.
    by_name: BTreeMap<Arc<str>, LogOutlet>,
    /// Of rules that name none: `defaultProviders.accessLogging`, else the mesh's `accessLogFile`.
    pub defaults: Vec<LogOutlet>,
}

impl Default for LogProviders {
    fn default() -> Self {
        LogProviders::new(&AccessLog::default())
    }
}

impl LogProviders {
    fn new(mesh: &AccessLog) -> Self {
        let outlet = |file: &str| LogOutlet { name: BUILT_IN.into(), file: file.into(), format: mesh.into() };
        let defaults = (!mesh.file.is_empty()).then(|| outlet(&mesh.file)).into_iter().collect();
        LogProviders { by_name: [(BUILT_IN.into(), outlet(STDOUT))].into(), defaults }
    }

    /// By name; case does not count.
    pub fn get(&self, name: &str) -> Option<&LogOutlet> {
        self.by_name.get(&*name.to_lowercase())
    }
}

/// Of MeshConfig: `mesh` is its access log, `outlets` are its providers.
pub(in crate::crd) fn log_providers(f: &mut Fields<'_>, outlets: Vec<LogOutlet>, mesh: &AccessLog) -> LogProviders {
    let mut providers = LogProviders::new(mesh);
    for outlet in outlets {
        providers.by_name.insert(outlet.name.clone(), outlet);
    }
    let defaults = f.object("defaultProviders", |f| {
        DEFAULT_PROVIDERS.read_inert_of(f, &["tracing"]);
        // Prometheus alone is what there is, and what the charts write.
        if f.strings("metrics").iter().any(|name| &**name != "prometheus") {
            DEFAULT_PROVIDERS.read_inert_of(f, &["metrics"]);
        }
        Some(f.list("accessLogging", |item| {
            let name = item.non_empty()?;
            let outlet = providers.get(&name).cloned();
            if outlet.is_none() {
                item.warn(
                    "log-provider-not-found",
                    format!("{name:?} is no envoyFileAccessLog: nothing is logged to it"),
                );
            }
            outlet
        }))
    });
    if let Some(defaults) = defaults.filter(|defaults| !defaults.is_empty()) {
        providers.defaults = defaults;
    }
    providers
}

/// `envoyFileAccessLog` of a provider with this name; the mesh's format holds where it has none.
pub(in crate::crd) fn outlet(f: &mut Fields<'_>, name: &str, mesh: &AccessLog) -> LogOutlet {
    let file = f.opt_string("path").filter(|path| !path.is_empty()).unwrap_or_else(|| STDOUT.into());
    let format = f.object("logFormat", log_format).unwrap_or_else(|| mesh.into());
    LogOutlet { name: name.to_lowercase().into(), file, format }
}

fn log_format(f: &mut Fields<'_>) -> Option<LogFormat> {
    if let Some(text) = f.opt_string("text") {
        f.ignore(&["labels"]);
        return Some(LogFormat::Text(text));
    }
    let keys = f.item("labels")?.map(|key, item| Some((key.into(), item.string()?)));
    Some(LogFormat::Json(keys.into_iter().collect()))
}
