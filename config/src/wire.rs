//! The protobuf form in which the components talk: the generated messages and services, and what
//! generation cannot express. Nothing here decides anything; a message from a peer means something
//! only after it became a model value.

mod packed;

pub use self::packed::{Packed, UnpackError};

/// What `config/proto` says, as Rust: one module a package, written by `make generate`.
///
/// Message types implement [`prost::Name`], so `M::type_url()` is the type URL on the wire.
// Generated, so lints about style would be answered in the generator, not here.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, rustdoc::all)]
pub mod proto {
    include!("wire/gen/packages.rs");
}
