//! Serving: who is connected, what each client should have, and the difference to what it has.
//!
//! [`session`] is one client as a pure state machine; [`server`] puts a stream around it. What a client may see is
//! [`crate::scope`]'s to say; who it is, [`authn`]'s; what it says about itself is a [`node::Claim`] and proves
//! nothing. [`clients`] remembers who is connected and what was acknowledged.
//!
//! A stream opens with the first request for the kind `Service`, which a client therefore sends last: by then
//! pilot knows everything that it asks for and holds, and the first push is complete.

pub mod authn;
pub mod clients;
mod diff;
pub mod encode;
pub(crate) mod foreign;
pub mod node;
pub mod server;
pub mod session;
mod standing;
