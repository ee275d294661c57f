//! What MeshConfig says of Ingresses: which count, and which gateway serves them.

use crate::{crd::reader::Fields, model::Labels, name::Namespace};
use std::sync::Arc;

/// The gateway of an installation that says nothing of it: its Service, and what its label says.
const SERVICE: &str = "istio-ingressgateway";
const SELECTED: &str = "ingressgateway";

/// Which Ingresses count, and which gateway serves them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngressSettings {
    /// `ingressControllerMode`; STRICT.
    pub mode: IngressMode,
    /// `ingressClass`: what annotation `kubernetes.io/ingress.class` says of the mesh's; `istio`.
    pub class: Arc<str>,
    /// `ingressService`: whose addresses are an Ingress' status; `istio-ingressgateway`; empty: none's.
    pub service: Arc<str>,
    /// `ingressSelector`; empty: as [`Self::selector`] says.
    pub selected: Arc<str>,
    /// Where that Service stands. No field of MeshConfig: the process says it.
    pub namespace: Namespace,
}

/// Which Ingresses count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IngressMode {
    /// None.
    Off,
    /// Those of the mesh's class.
    Strict,
    /// Those too that name no class, or one that is not there.
    Default,
}

impl Default for IngressSettings {
    fn default() -> Self {
        IngressSettings {
            mode: IngressMode::Strict,
            class: "istio".into(),
            service: SERVICE.into(),
            selected: "".into(),
            namespace: "istio-system".into(),
        }
    }
}

impl IngressSettings {
    /// Labels of the gateway workloads that serve Ingresses. A gateway's label mostly says the same as its Service's name.
    pub fn selector(&self) -> Labels {
        let value: Arc<str> = match (&*self.selected, &*self.service) {
            ("", "" | SERVICE) => SELECTED.into(),
            ("", _) => self.service.clone(),
            _ => self.selected.clone(),
        };
        [(Arc::<str>::from("istio"), value)].into_iter().collect()
    }

    pub(super) fn read(&mut self, f: &mut Fields<'_>) {
        let modes = [
            ("STRICT", IngressMode::Strict),
            ("DEFAULT", IngressMode::Default),
            ("OFF", IngressMode::Off),
            ("UNSPECIFIED", IngressMode::Off),
        ];
        self.mode = f.enum_of("ingressControllerMode", &modes).unwrap_or(self.mode);
        for (name, text) in [
            ("ingressClass", &mut self.class),
            ("ingressService", &mut self.service),
            ("ingressSelector", &mut self.selected),
        ] {
            if let Some(said) = f.opt_string(name) {
                *text = said;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_is_selected_as_it_is_called_unless_that_is_said() {
        for (service, selected, want) in [
            ("istio-ingressgateway", "", "ingressgateway"),
            ("", "", "ingressgateway"),
            ("edge", "", "edge"),
            ("edge", "front", "front"),
        ] {
            let settings =
                IngressSettings { service: service.into(), selected: selected.into(), ..IngressSettings::default() };
            assert_eq!(settings.selector().get("istio").map(|value| &**value), Some(want), "{service} {selected}");
        }
    }
}
