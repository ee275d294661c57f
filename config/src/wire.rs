//! The protobuf form in which the components talk: the generated messages and services, and the way from a part of
//! the [model](crate::model) to its bytes and back.
//!
//! [`encode`] cannot fail. [`decode`] trusts nothing: sizes are bounded, every name is parsed again, and what it does
//! not know (an enum value, an empty choice, a resource of a higher level) is an error that names the field, never a
//! default. Nothing here decides anything.

mod address;
mod destination;
mod discovery;
mod endpoint;
mod error;
mod field;
mod gateway;
mod index;
mod instance;
mod matcher;
mod name;
mod object;
mod packed;
mod part;
mod policy;
mod route;
mod secret;
mod service;
mod settings;
mod sidecar;
mod telemetry;
mod trust;
mod version;
mod workload;

pub use self::{
    discovery::{Nonce, Refusal, reason_of, refusal_text, refusals_of_text},
    error::DecodeError,
    packed::{Packed, UnpackError},
    part::{Encoded, LEVEL, MAX_RESOURCE_BYTES, decode, encode},
    version::Version,
};

/// What `config/proto` says, as Rust: one module a package, written by `make generate`.
///
/// Message types implement [`prost::Name`], so `M::type_url()` is the type URL on the wire.
// Generated, so lints about style would be answered in the generator, not here.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::allow_attributes, clippy::pedantic, rustdoc::all)]
pub mod proto {
    include!("wire/gen/packages.rs");
}

/// The messages that the conversions below are about.
use self::proto::ferromesh::v1;

#[cfg(test)]
mod tests;
