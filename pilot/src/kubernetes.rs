//! Pilot at an API server: its client, and what pilot writes and asks there. What pilot reads of it is a source
//! ([`crate::source`]); who may do what is told in `docs/reference/pilot.md`.

pub(crate) mod access;
pub(crate) mod call;
pub(crate) mod client;
#[cfg(test)]
pub(crate) mod fake;
pub(crate) mod ingress_status;
pub(crate) mod lease;
pub(crate) mod owner;
pub(crate) mod pace;
pub(crate) mod review;
pub(crate) mod root_secret;
pub(crate) mod rotation_secret;
pub(crate) mod trust_bundle;
