//! The workload whose proxy asks.

use super::{
    error::{At, FieldError},
    field::{Field, message, resource},
    v1,
};
use crate::model::instance::{InboundPort, Instance};

resource!(Instance => Instance { workload, ports });
message!(InboundPort => InboundPort {
    target_port, service, service_name, service_port, protocol, connection_pool,
});
