//! The certificate authority: gives a workload a short-lived certificate for the SPIFFE identity that it proved to
//! have, and for nothing else.
//!
//! One request's way, in reading order: [`server`] (the shell), [`authn`] (who calls), [`authz`] (may it), [`issue`]
//! (checks of the request and signing, pure), [`audit`] and [`metrics`]. The signing key comes from a [`store`] by
//! way of [`root`]. It runs inside pilot, which takes [`Authority`] and [`server::CertificateService`], or alone, which
//! is [`run`].

#![warn(missing_docs)]

pub mod alarm;
pub mod audit;
pub mod authn;
pub mod authority;
pub mod authz;
pub mod bundle;
pub mod counted;
pub mod error;
pub mod follow;
pub mod issue;
pub mod metrics;
pub mod root;
pub mod run;
pub mod server;
pub mod settings;
pub mod store;
pub mod succession;
pub mod token;

pub use authority::{Authority, Issued, Lifetimes};
pub use error::{Error, Failure, Refusal};
pub use settings::Settings;
