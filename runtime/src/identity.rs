//! How a process obtains and keeps its certificate: a key pair and request of its own ([`csr`]), signed by the
//! mesh's authority ([`client`]) or read from disk ([`mod@file`]), renewed in time ([`rotate`]).

pub mod client;
pub mod csr;
pub mod file;
pub mod rotate;
