//! The mesh's vocabulary: what pilot compiles, `explain` decides and the proxy executes.
//!
//! Four shapes, no type serves two: **raw** objects as users wrote them ([`crd`], feature `crd`), the
//! **understood** [`model`], its **wire** form ([`wire`]), and the executable form, which is the proxy's own.
//!
//! Pure data: no I/O, no clock, no logging, no `async`.

#![warn(missing_docs)]

#[cfg(feature = "crd")]
pub mod crd;
pub mod diagnostic;
pub mod go;
pub mod identity;
pub mod kind;
pub mod matcher;
pub mod model;
pub mod name;
pub mod path;
pub mod ports;
pub mod root_rotation;
pub mod time;
pub mod wire;
