//! The fields of traffic objects. What readers do not act on yet is marked here, and read by these forms.

mod connection_pool;
mod destination_rule;
mod http_rule;
mod load_balancer;
mod virtual_service;

pub(in crate::crd) use connection_pool::{KEEPALIVE, OUTLIERS, POOL};
pub(in crate::crd) use destination_rule::DESTINATION_RULE;
pub(in crate::crd) use load_balancer::LOCALITY;
pub(in crate::crd) use virtual_service::VIRTUAL_SERVICE;

pub(super) use connection_pool::HTTP;
pub(super) use destination_rule::{PORT_POLICY, TRAFFIC_POLICY};
pub(super) use load_balancer::LOAD_BALANCER;
pub(super) use virtual_service::{HTTP_MATCH, HTTP_RULE, TCP_MATCH};

use crate::crd::form::{Fact, Holds, forms};

const COUNT: Holds = Holds::Whole(0, u32::MAX as i64);
const NUMBER: Holds = Holds::Whole(0, i32::MAX as i64);

forms! {
    /// A port by its number.
    PORT {
        "number": Holds::Port, "The port.";
    };

    /// A text that is matched; empty, it asks for presence.
    STRING_MATCH {
        "exact": Holds::Text, "The whole text.";
        "prefix": Holds::Text, "What it begins with.";
        "regex": Holds::Text, "Regular expression (RE2) for the whole text.";
    } with [Fact::OneOf(&["exact", "prefix", "regex"])];
}
