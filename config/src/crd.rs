//! The user's objects as written: YAML or JSON text to understood parts.
//!
//! Text becomes [`node`]s with line numbers, nodes become [`object`]s (kind, name, namespace), and
//! [`parse`](parse::parse) turns one object into one understood value and its diagnostics, reading its fields
//! through [`reader`]. Nothing here looks at a second object: linking is the compiler's.

pub mod extensions;
pub mod form;
mod gateway_api;
mod install;
pub mod kubernetes;
pub mod mesh_config;
pub mod networking;
pub mod node;
pub mod object;
pub mod parse;
pub mod reader;
pub mod security;
mod target;
pub mod telemetry;
mod validate;

pub use object::{Head, Object, ObjectMeta, PackedObject, read_text};
pub use parse::{ParseContext, Parsed, depends_on_context, form, is_read_by_form, is_under_spec, parse};
pub use validate::validate;
