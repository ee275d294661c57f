//! Endpoints.

use super::{
    error::{At, FieldError},
    field::{Field, choice, message, resource, word},
    v1,
};
use crate::model::endpoint::{Endpoint, EndpointAddress, EndpointKey, Health};

resource!(Endpoint => Endpoint {
    key, address, target_port, labels, health, weight, locality, mutual_tls, identity, workload,
}, has_weight);
message!(EndpointKey => EndpointKey { service, port, id });
choice!(EndpointAddress => EndpointAddress in endpoint_address { Ip(ip), Name(name), Unix(path) });
word!(Health => Health { Healthy, Draining, Unhealthy });

fn has_weight(endpoint: &Endpoint) -> Result<(), FieldError> {
    if endpoint.weight == 0 {
        return Err(FieldError::new("must be at least 1")).at("weight");
    }
    Ok(())
}
