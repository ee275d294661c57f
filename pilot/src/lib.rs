//! The control plane: understands the mesh, tells every proxy what it needs.
//!
//! Three stages. **Understand**: [`source`]s emit changes, the [`world`] keeps them, [`settle`] says when,
//! [`compile()`] makes a [`mesh`]. **Choose**: [`scope`] says which parts a proxy sees. **Serve**: everything
//! behind the feature `serve`. The first two are pure, and are all that [`offline`] commands need.

pub mod compile;
pub mod error;
pub mod mesh;
pub mod offline;
pub mod scope;
pub mod settle;
pub mod source;
pub mod world;

pub use compile::compile;
pub use mesh::{ChangedKeys, Mesh, MeshVersion, SharedPart, changed};
pub use scope::{ProxyFacts, Role};
pub use world::World;
