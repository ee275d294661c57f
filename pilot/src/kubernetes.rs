//! Pilot at an API server: its client, and what pilot writes and asks there. What pilot reads of it is a source
//! ([`crate::source`]); who may do what is told in `docs/reference/pilot.md`.

pub(crate) mod client;
