//! Kinds of the Gateway API, both channels, as version 1.6 has them. Nothing acts on them yet; they are checked as an API
//! server that has their definitions checks them.
//!
//! In its objects a number is never a text, and bounds hold ([`Fact::Strict`](super::form::Fact::Strict)).

mod backend;
mod class;
mod gateway;
mod grpc_route;
mod http_filter;
mod http_route;
mod listener;
mod reference;
mod rules;
mod session;
mod stream_route;
mod values;

#[cfg(test)]
mod tests;

pub(super) use backend::{BACKEND_TLS_POLICY, X_BACKEND, X_TRAFFIC_POLICY};
pub(super) use class::{GATEWAY_CLASS, REFERENCE_GRANT};
pub(super) use gateway::KUBERNETES_GATEWAY;
pub(super) use grpc_route::GRPC_ROUTE;
pub(super) use http_route::HTTP_ROUTE;
pub(super) use listener::LISTENER_SET;
pub(super) use stream_route::{STREAM_ROUTE, TLS_ROUTE};
