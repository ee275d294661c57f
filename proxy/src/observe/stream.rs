//! The record of one opaque TCP connection.

use crate::{
    conn::{Connection, Upstream},
    exchange::Flags,
    net::copy::Moved,
    snapshot::cluster::Cluster,
};
use mesh_config::model::workload::WorkloadInfo;
use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// One TCP connection, from accept to close.
#[derive(Debug)]
pub struct Stream {
    /// The accepted connection.
    pub conn: Rc<Connection>,
    /// What this proxy is, for labels.
    pub own: Arc<WorkloadInfo>,
    /// When it was accepted.
    pub start: SystemTime,
    /// From accept until now.
    pub duration: Duration,
    /// Where it went.
    pub cluster: Option<Arc<Cluster>>,
    /// The upstream connection, or the attempt.
    pub upstream: Option<Rc<Upstream>>,
    /// What the peer said about itself (`istio-peer-exchange`), once it has.
    pub said: Rc<RefCell<Option<Arc<WorkloadInfo>>>>,
    /// `a` is the client's side.
    pub moved: Moved,
    /// What of `moved` is in the metrics already: from the client, to the client.
    pub reported: Cell<(u64, u64)>,
    /// The opening was counted.
    pub opened: Cell<bool>,
    /// What went wrong.
    pub flags: Flags,
    /// `CONNECTION_TERMINATION_DETAILS`; empty: none.
    pub termination: Cow<'static, str>,
    /// Why no connection could be made; empty: it could.
    pub transport_failure: Cow<'static, str>,
}
