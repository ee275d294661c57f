//! The proxy as a container beside an application: the kubelet's questions are carried to the application, its metrics are
//! shown with the proxy's, and the pod's hooks reach a running proxy from its own image.

pub mod command;
mod fetch;
pub mod probe;
pub mod scrape;
pub mod sockets;
