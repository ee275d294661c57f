//! The application in the proxy's pod, as injection tells of it: whether its connections are captured, how it ends, how
//! the kubelet asks for its health, and where its metrics are.

use super::{probes::Probes, scrape::Scrape};
use mesh_config::kind::Role;
use mesh_runtime::settings::Reader;
use std::time::Duration;

/// See the module. The default is a proxy that stands alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pod {
    /// `ISTIO_META_INTERCEPTION_MODE` is given and not `NONE`: rules of the kernel send the pod's connections here. The
    /// application is then dialled from 127.0.0.6 or ::6, which those rules let pass.
    pub captured: bool,
    /// `ISTIO_META_APP_CONTAINERS` names containers beside the proxy.
    pub application: bool,
    /// `FERROMESH_NATIVE_SIDECAR`, false: the kubelet ends the proxy after the application.
    pub native: bool,
    /// `EXIT_ON_ZERO_ACTIVE_CONNECTIONS` with `MINIMUM_DRAIN_DURATION`, 5s: the proxy ends once it carries nothing, after
    /// this at the earliest.
    pub exit_when_idle: Option<Duration>,
    /// `ISTIO_KUBE_APP_PROBERS`: probes of the application that are asked of the proxy.
    pub probes: Probes,
    /// `REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION`, false: probes dial 127.0.0.1 instead of the pod's address.
    pub probe_loopback: bool,
    /// `ISTIO_PROMETHEUS_ANNOTATIONS`: metrics of the application that are shown with the proxy's.
    pub scrape: Option<Scrape>,
}

impl Pod {
    pub(super) fn read(read: &mut Reader<'_>, role: Role) -> Self {
        let mode = read.or("ISTIO_META_INTERCEPTION_MODE", "NONE".to_owned());
        let minimum = read.duration("MINIMUM_DRAIN_DURATION", Duration::from_secs(5));
        Pod {
            captured: mode != "NONE",
            application: role == Role::Sidecar && read.optional::<String>("ISTIO_META_APP_CONTAINERS").is_some(),
            native: read.flag("FERROMESH_NATIVE_SIDECAR", false),
            exit_when_idle: read.flag("EXIT_ON_ZERO_ACTIVE_CONNECTIONS", false).then_some(minimum),
            probes: Probes::read(read),
            probe_loopback: read.flag("REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION", false),
            scrape: Scrape::read(read).filter(|_| role == Role::Sidecar),
        }
    }
}
