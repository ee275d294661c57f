//! What a sidecar sees and listens on.

use super::{
    error::{At, FieldError},
    field::{Field, Level, choice, message, resource},
    v1,
};
use crate::model::sidecar::{EgressHost, EgressListener, EgressNamespace, IngressEndpoint, IngressListener, Sidecar};

resource!(Sidecar => Sidecar { name, workload_selector, ingress, egress, outbound_policy });
message!(IngressListener => IngressListener { port, protocol, name, bind, default_endpoint });
choice!(IngressEndpoint => IngressEndpoint in ingress_endpoint {
    Loopback, Address(address), InstancePort(port), Unix(path),
});
message!(EgressListener => EgressListener { port, protocol, name, bind, hosts });
message!(EgressHost => EgressHost { namespace, host, exclude });

/// Absent: any; a dot, which no namespace is called: the workload's.
impl Field<Option<String>> for EgressNamespace {
    fn put(&self, level: &mut Level) -> Option<String> {
        match self {
            EgressNamespace::Any => None,
            EgressNamespace::OfWorkload => Some(".".to_owned()),
            EgressNamespace::Named(namespace) => Some(namespace.put(level)),
        }
    }

    fn take(wire: Option<String>) -> Result<Self, FieldError> {
        Ok(match wire {
            None => EgressNamespace::Any,
            Some(text) if text == "." => EgressNamespace::OfWorkload,
            Some(text) => EgressNamespace::Named(Field::take(text)?),
        })
    }
}
