//! The control plane: understands the mesh, tells every proxy what it needs.
//!
//! Three stages. **Understand**: [`source`]s emit changes, the [`world`] keeps them, [`settle`] says when,
//! [`compile()`] makes a [`mesh`]. **Choose**: [`scope`] says which parts a proxy sees. **Serve**: everything
//! behind the feature `serve`. The first two are pure, and are all that [`offline`] commands need.

#[cfg(feature = "serve")]
pub mod app;
pub mod compile;
#[cfg(feature = "serve")]
pub mod debug;
#[cfg(feature = "serve")]
pub mod discovery;
pub mod error;
pub mod inject;
#[cfg(feature = "serve")]
mod kubernetes;
pub mod mesh;
#[cfg(feature = "serve")]
pub mod metrics;
pub mod object;
pub mod offline;
#[cfg(feature = "serve")]
mod rotation;
pub mod scope;
#[cfg(feature = "serve")]
pub mod settings;
pub mod settle;
pub mod source;
#[cfg(feature = "serve")]
mod webhook;
pub mod world;

pub use compile::compile;
pub use mesh::{ChangedKeys, Mesh, MeshVersion, SharedPart, changed};
pub use scope::ProxyFacts;
pub use world::World;
