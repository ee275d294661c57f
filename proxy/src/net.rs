//! Sockets; nothing above bytes.

pub mod connect;
pub mod copy;
pub mod executor;
pub mod gather;
pub mod io;
pub mod listen;
pub mod origin;
pub mod prefix;
