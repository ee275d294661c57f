//! What a sidecar sees and listens on.

use super::{
    error::{At, FieldError},
    field::{Field, choice, message, resource},
    v1,
};
use crate::model::sidecar::{EgressHost, EgressListener, IngressEndpoint, IngressListener, Sidecar};

resource!(Sidecar => Sidecar { name, workload_selector, ingress, egress, outbound_policy });
message!(IngressListener => IngressListener { port, protocol, name, bind, default_endpoint });
choice!(IngressEndpoint => IngressEndpoint in ingress_endpoint {
    Loopback, Address(address), InstancePort(port), Unix(path),
});
message!(EgressListener => EgressListener { port, protocol, name, bind, hosts });
message!(EgressHost => EgressHost { namespace, host, exclude });
