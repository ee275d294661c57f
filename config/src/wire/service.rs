//! Services and what they share with the index.

use super::{
    error::{At, FieldError},
    field::{Field, message, resource, word},
    v1,
};
use crate::model::service::{Protocol, Resolution, Service, ServiceKey, ServicePort};

resource!(Service => Service {
    key, name, addresses, ports, resolution, external, headless, subject_alt_names,
});
message!(ServiceKey => ServiceKey { namespace, host });
message!(ServicePort => ServicePort { number, name, protocol });
word!(Protocol => Protocol { Http, Http2, Grpc, GrpcWeb, Https, Tls, Tcp, Auto, Udp });
word!(Resolution => Resolution { Static, Passthrough, Dns, DnsRoundRobin });
