//! Serving: who is connected, what each client should have, and the difference to what it has.
//!
//! [`session`] is one client as a pure state machine; [`server`] puts a stream around it. What a client may see is
//! [`crate::scope`]'s to say; who it is, [`authn`]'s; what it says about itself is a [`node::Claim`] and proves
//! nothing. [`clients`] remembers who is connected and what was acknowledged.
//!
//! What clients may take of pilot is in [`shares`], counted while it is [`reading`]; how long a stream lasts is its
//! [`life`]. What they are sent is made while it is sent, in [`writing`].
//!
//! A stream opens with the first request for the kind `Service`, which a client therefore sends last: by then
//! pilot knows everything that it asks for and holds, and the first push is complete.

pub mod authn;
pub mod clients;
mod diff;
pub mod encode;
pub(crate) mod foreign;
mod life;
pub mod node;
mod reading;
pub mod server;
pub mod session;
pub mod shares;
mod standing;
mod writing;
