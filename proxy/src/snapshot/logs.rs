//! The access logs of a workload: what the Telemetry objects that hold for it come to.

use super::Own;
use mesh_config::model::{
    Settings, Telemetry,
    settings::AccessLog,
    telemetry::{EffectiveLog, LogOutlet, LogSide, effective},
};
use std::sync::Arc;

/// Where lines go, for each side of the proxy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Logs {
    /// Requests that the workload sends, and all of a gateway's.
    pub client: Vec<EffectiveLog>,
    /// Requests that it receives.
    pub server: Vec<EffectiveLog>,
}

impl Logs {
    /// Of settings alone: MeshConfig's access log.
    pub fn of_mesh(settings: &Settings) -> Self {
        let log = mesh_log(&settings.access_log);
        Logs { client: log.clone(), server: log }
    }

    /// Of the workload.
    pub(super) fn build<'a>(
        objects: impl Iterator<Item = &'a Arc<Telemetry>> + Clone,
        settings: &Settings,
        own: &Own,
    ) -> Self {
        let subject = own.subject(settings);
        let of = |side| effective(objects.clone(), &subject, side).unwrap_or_else(|| mesh_log(&settings.access_log));
        Logs { client: of(LogSide::Client), server: of(LogSide::Server) }
    }
}

fn mesh_log(log: &AccessLog) -> Vec<EffectiveLog> {
    if log.file.is_empty() {
        return Vec::new();
    }
    let outlet = LogOutlet { name: "".into(), file: log.file.clone(), format: log.into() };
    vec![EffectiveLog { outlet, filter: None }]
}
