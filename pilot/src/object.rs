//! Which object, and what holds of it now that it stands beside all others: what operators are shown, and what a
//! status is made of.

use mesh_config::{crd::Head, diagnostic::Diagnostic, kind::GroupKind, name::NamespacedName};
#[cfg(feature = "serve")]
use std::collections::BTreeSet;
use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

/// The cluster that this control plane runs in, and that objects without another are of.
pub const CLUSTER: &str = "Kubernetes";

/// [`CLUSTER`], of which there is one copy.
pub(crate) fn own_cluster() -> Arc<str> {
    static NAME: LazyLock<Arc<str>> = LazyLock::new(|| CLUSTER.into());
    NAME.clone()
}

/// Which object: cluster, kind with its API group, namespace and name. The API version does not count.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId {
    /// The cluster that it is of; see [`CLUSTER`].
    pub cluster: Arc<str>,
    /// What it is.
    pub kind: GroupKind,
    /// Namespace and name.
    pub name: NamespacedName,
}

impl ObjectId {
    /// Of this control plane's own cluster.
    pub fn new(kind: impl Into<GroupKind>, name: NamespacedName) -> Self {
        ObjectId { cluster: own_cluster(), kind: kind.into(), name }
    }

    /// Of an object of this control plane's own cluster.
    pub fn local(object: &Head) -> Self {
        ObjectId::new(object.group_kind(), object.name())
    }
}

/// What of an object is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InForce {
    /// As it was last received.
    Latest,
    /// It has errors; the last good version is.
    LastGood,
    /// It has errors and was never good; its servers, rules and hosts that can be read are.
    InPart,
    /// It has errors and was never good; something that narrows access stands in for it.
    StandIn,
    /// It has errors, or means nothing to the mesh.
    Nothing,
    /// It is not there any more, and something of it is held as long as others need it.
    #[default]
    Held,
}

impl InForce {
    /// In reports.
    pub fn word(self) -> &'static str {
        match self {
            InForce::Latest => "latest",
            InForce::LastGood => "last good",
            InForce::InPart => "in part",
            InForce::StandIn => "stand-in",
            InForce::Nothing => "nothing",
            InForce::Held => "held",
        }
    }
}

/// Where an object applies, or what it names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// In an operator's words: `the mesh`, `Gateway shop/edge`, `service cart.shop, subset v1`.
    pub to: String,
    /// Why that is not there; `None`: it is.
    pub missing: Option<String>,
}

/// Another object that counts in its place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conflict {
    /// Of the same kind.
    pub with: NamespacedName,
    /// Code of the finding about it.
    pub over: &'static str,
}

/// What holds of one object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Holds {
    /// What of it is in force.
    pub in_force: InForce,
    /// What it attaches itself to.
    pub attached: Vec<Reference>,
    /// What it names besides.
    pub references: Vec<Reference>,
    /// What takes precedence over it, wholly or in part.
    pub conflicts: Vec<Conflict>,
    /// Everything that is to be said about it.
    pub findings: Vec<Diagnostic>,
}

/// What holds of each object.
pub type HoldsOf = BTreeMap<ObjectId, Holds>;

/// Where a gateway is reached: by a name or at an address, the other is empty. In the order of a status.
#[cfg(feature = "serve")]
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Point {
    /// A name.
    pub(crate) hostname: Arc<str>,
    /// An address.
    pub(crate) ip: Arc<str>,
}

#[cfg(feature = "serve")]
impl Point {
    pub(crate) fn of(text: &Arc<str>) -> Self {
        match text.parse::<std::net::IpAddr>() {
            Ok(_) => Point { hostname: "".into(), ip: text.clone() },
            Err(_) => Point { hostname: text.clone(), ip: "".into() },
        }
    }
}

/// Where Ingresses are reached.
#[cfg(feature = "serve")]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Reached {
    /// Those whose status is this control plane's to say.
    pub(crate) ingresses: BTreeSet<NamespacedName>,
    /// What it is to say, in order.
    pub(crate) points: BTreeSet<Point>,
}
