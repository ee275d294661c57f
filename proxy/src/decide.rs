//! What becomes of a connection and of a request: pure functions of a snapshot and of plain facts. The proxy, `meshctl
//! explain` and the decision tests call the same ones, so what is decided offline and on the wire cannot differ.
//!
//! Nothing here waits. A decision that needs what has not been received says so ([`Ask`]); [`settle`] is the one loop
//! that fetches and decides again.

mod authorise;
pub mod caller;
pub mod gateway;
pub mod inbound;
pub mod opaque;
pub mod outbound;
pub mod request;
mod settle;

pub use authorise::stands;
pub use caller::{Caller, Direction};
pub use opaque::{Onward, onward, opaque};
pub use request::{Decision, Plan, Request, Step, request};
pub use settle::{Fetch, settle, settle_now};

pub use crate::snapshot::workloads::Asking;

use crate::{
    authz::Denial,
    snapshot::{Snapshot, cluster::Cluster},
};
use mesh_config::model::ServiceKey;
use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

/// Proof that a call was allowed. Sending anything on needs one, and only a decision of this module gives it.
#[derive(Debug)]
#[must_use = "a permit is there to be handed to what sends the call on"]
pub struct Permit(());

/// What has to be fetched before it can be decided.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Ask {
    /// The details of a service that is in the index. Nothing is decided without them.
    Details(ServiceKey),
    /// The workload at an address that no service has. It is good to know whom one calls, but what cannot be had in time
    /// is done without, see [`Asking`].
    Workload(IpAddr),
}

/// What is asked before a call goes to the very address that it was made to.
fn whose(snapshot: &Snapshot, cluster: &Cluster, to: Option<SocketAddr>, asking: Asking) -> Option<Ask> {
    let to = to.filter(|_| asking == Asking::All && snapshot.settings.auto_mtls)?;
    snapshot.is_unasked(cluster, to).then(|| Ask::Workload(to.ip()))
}

/// Why nothing is carried, whatever was asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Refused<'s> {
    /// It is not known what holds for the workload: nothing received decides nothing.
    NotKnown,
    /// Plain text where mutual TLS is required.
    PlainText,
    /// TLS of no mesh client, to a port that carries HTTP.
    ForeignTls,
    /// The peer's trust domain is not accepted any more.
    TrustDomain,
    /// Something else where a gateway terminates TLS.
    NoTls,
    /// No server of a gateway's port is for the name in the client's hello.
    NoServer,
    /// No rule says where a gateway's opaque bytes go.
    NoRule,
    /// An authorisation policy.
    Policy(Denial<'s>),
    /// Outside the registry, which the outbound policy forbids.
    OutsideRegistry,
}

/// As logs print it, without spaces.
impl fmt::Display for Refused<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::NotKnown => f.write_str("no_configuration"),
            Refused::PlainText => f.write_str("plain_text_where_mutual_TLS_is_required"),
            Refused::ForeignTls => f.write_str("TLS_of_no_mesh_client_to_an_HTTP_port"),
            Refused::TrustDomain => f.write_str("trust_domain_of_the_peer_is_not_accepted"),
            Refused::NoTls => f.write_str("no_TLS_on_a_port_that_terminates_TLS"),
            Refused::NoServer => f.write_str("no_server_for_the_name_in_the_ClientHello"),
            Refused::NoRule => f.write_str("no_rule_for_opaque_bytes_on_this_port"),
            Refused::Policy(denial) => denial.fmt(f),
            Refused::OutsideRegistry => f.write_str("outside_the_registry"),
        }
    }
}
