//! Sidecar and gateway data plane. In reading order of a request:
//!
//! `net` accepts → `outbound`, `inbound` or `gateway` decide what the connection is (`detect`, TLS) → `http` or
//! `tcp` carry it → `route` says where to → `authz` gives the permit → `attempt` tries, and tries again →
//! `upstream` picks an endpoint, keeps connections, sends → `exchange` is the record, written by `observe`.
//!
//! `snapshot` is the configuration that all of them read, built from the parts that `discovery` receives.
//! Without feature `serve` the crate is its pure core: `snapshot`, `route`, `authz`, `detect`.

pub mod authz;
pub mod decide;
pub mod detect;
pub mod head;
pub mod lookup;
pub mod offline;
pub mod route;
pub mod snapshot;

#[cfg(feature = "serve")]
pub mod app;
#[cfg(feature = "serve")]
pub mod arrive;
#[cfg(feature = "serve")]
pub mod debug;
#[cfg(feature = "serve")]
pub mod discovery;
#[cfg(feature = "serve")]
pub mod gateway;
#[cfg(feature = "serve")]
pub mod inbound;
#[cfg(feature = "serve")]
pub mod listeners;
#[cfg(feature = "serve")]
pub mod live;
#[cfg(feature = "serve")]
pub mod net;
#[cfg(feature = "serve")]
pub mod observe;
#[cfg(feature = "serve")]
pub mod opening;
#[cfg(feature = "serve")]
pub mod outbound;
#[cfg(feature = "serve")]
pub mod redirect;
#[cfg(feature = "serve")]
pub mod settings;
#[cfg(feature = "serve")]
pub mod tcp;

#[cfg(feature = "serve")]
pub mod attempt;
#[cfg(feature = "serve")]
pub mod beside;
#[cfg(feature = "serve")]
pub mod body;
#[cfg(feature = "serve")]
pub mod conn;
#[cfg(feature = "serve")]
pub mod connections;
#[cfg(feature = "serve")]
pub mod credential_cache;
#[cfg(feature = "serve")]
pub mod error;
#[cfg(feature = "serve")]
pub mod exchange;
#[cfg(feature = "serve")]
pub mod http;
#[cfg(feature = "serve")]
pub mod limit;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "serve")]
pub mod upstream;
#[cfg(feature = "serve")]
pub mod worker;
