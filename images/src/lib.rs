//! Container images of the programs, without a container engine; and `echo`, the program that answers and calls in tests.
//!
//! It uses no other crate of the workspace, so that what is inside a pod judges the mesh and shares nothing with it.

pub mod echo;
pub mod image;
