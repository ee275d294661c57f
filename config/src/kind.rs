//! Each kind once: the parts that discovery carries, the objects that users write ([`objects!`](crate::objects)), the
//! roles that proxies have.
//!
//! [`parts`] is a table with one row for each kind of part. What depends on the kind alone (its name on the wire and in
//! reports, how it is asked for, when it is sent, which channel may carry it) is a column, so that stores, sessions and
//! pages iterate over [`Kind::ALL`] and a new kind is one row here. `docs/adding-a-kind.md` goes through an example.

mod object;
mod part;
mod role;

pub use object::{GroupKind, Lane, ObjectKind, Scope};
pub use part::{PIECE, Part, PartName, object_of};
pub use role::{NotServed, Role};

/// How a proxy comes by the parts of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// It follows all that it may see.
    Whole,
    /// It follows those that hold for its workload: policies, whose model says so itself (`holds_for`).
    WhatHolds,
    /// Gateways follow all that they may see; for others they come with the services that need them.
    WholeAtGateways,
    /// It names services, one by one.
    ByService,
    /// It names addresses, one by one.
    ByAddress,
    /// They come with the service that they belong to.
    WithService,
}

/// Which channels may carry parts of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// All.
    Any,
    /// Those that are authenticated and encrypted.
    Secret,
}

/// What a part of a kind means that there is, and that could not be read when there was none before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unread {
    /// As if it were not there.
    Nothing,
    /// The most that it could forbid: it is a policy, and passing it over would let calls through that it refuses.
    Refuses,
}

/// Hands the table of parts to a macro. In push order: what others refer to comes first, and a service comes after all
/// that belongs to it, so that its arrival says that it is complete.
///
/// Columns: kind, type of the model, message of `ferromesh.v1`, first word of a field's path in errors,
/// [`Asked`](crate::kind::Asked), [`Channel`](crate::kind::Channel), [`Unread`](crate::kind::Unread), whether a proxy keeps
/// them by name or in a way of their own, what it calls its store of them, name of a part within its kind.
#[macro_export]
#[doc(hidden)]
macro_rules! parts {
    ($use:ident) => {
        $use! {
            /// Mesh-wide settings; one part named `mesh`.
            Settings(settings::Settings as Settings "settings") Whole Any Nothing apart settings |_s| settings::NAME;
            /// Root certificates of one trust domain.
            Trust(trust::TrustBundle as TrustBundle "trust") Whole Any Nothing by_name trust |t| t.trust_domain;
            /// What pilot knows about the very workload that asks.
            Instance(instance::Instance as Instance "instance") Whole Any Nothing apart instance |i| i.workload.uid;
            /// One user `Sidecar`.
            Sidecar(sidecar::Sidecar as Sidecar "sidecar") Whole Any Nothing by_name sidecars |s| s.name;
            /// One user `PeerAuthentication`.
            PeerAuthentication(peer_authentication::PeerAuthentication as PeerAuthentication "peer_authentication")
                WhatHolds Any Refuses by_name peer_authentications |p| p.name;
            /// One user `AuthorizationPolicy`.
            Authorization(authorization::Authorization as Authorization "authorization") WhatHolds Any Refuses by_name authorizations |a| a.name;
            /// One user `Telemetry`.
            Telemetry(telemetry::Telemetry as Telemetry "telemetry") WhatHolds Any Nothing by_name telemetries |t| t.name;
            /// A key pair or authorities for TLS with others than the mesh.
            Secret(secret::Credential as Credential "secret") Whole Secret Nothing by_name secrets |c| c.name;
            /// One name that exists in the proxy's scope.
            Index(index::IndexEntry as IndexEntry "index") Whole Any Nothing apart index |e| e.key;
            /// One user `DestinationRule` (rules of one namespace and host merged).
            Destination(destination::Destination as Destination "destination") WithService Any Nothing by_name destinations |d| of(d.object, &d.name);
            /// Membership of a workload in a service port.
            Endpoint(endpoint::Endpoint as Endpoint "endpoint") WithService Any Nothing apart endpoints |e| e.key;
            /// One workload.
            Workload(workload::Workload as Workload "workload") ByAddress Any Nothing apart workloads |w| w.uid;
            /// One user `Gateway`.
            Gateway(gateway::Gateway as Gateway "gateway") WholeAtGateways Any Nothing by_name gateways |g| of(g.object, &g.name);
            /// One user `VirtualService`.
            Route(route::Route as Route "route") WholeAtGateways Any Nothing by_name routes |r| of(r.object, &r.name);
            /// One service, in detail.
            Service(service::Service as Service "service") ByService Any Nothing apart services |s| s.key;
        }
    };
}

/// [`Kind`] and what its columns say.
macro_rules! kinds {
    ($(
        $(#[$doc:meta])*
        $kind:ident($module:ident::$model:ident as $message:ident $word:literal)
        $asked:ident $channel:ident $unread:ident $keep:ident $store:ident |$part:ident| $name:expr;
    )*) => {
        /// The kinds of parts, in the order in which one push carries them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Kind {
            $($(#[$doc])* $kind,)*
        }

        impl Kind {
            /// Every kind, in push order.
            pub const ALL: [Kind; [$(Kind::$kind),*].len()] = [$(Kind::$kind),*];

            /// Its name in reports, pages and metrics.
            pub fn label(self) -> &'static str {
                match self {
                    $(Kind::$kind => stringify!($kind),)*
                }
            }

            /// Type URL of its resources.
            pub fn type_url(self) -> &'static str {
                match self {
                    $(Kind::$kind => concat!("type.googleapis.com/ferromesh.v1.", stringify!($message)),)*
                }
            }

            /// How a proxy comes by its parts.
            pub fn asked(self) -> Asked {
                match self {
                    $(Kind::$kind => Asked::$asked,)*
                }
            }

            /// Which channels may carry its parts.
            pub fn channel(self) -> Channel {
                match self {
                    $(Kind::$kind => Channel::$channel,)*
                }
            }

            /// What a part of it means that could not be read.
            pub fn unread(self) -> Unread {
                match self {
                    $(Kind::$kind => Unread::$unread,)*
                }
            }
        }
    };
}

parts!(kinds);

impl Kind {
    /// The kind with this label.
    pub fn from_label(label: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.label() == label)
    }

    /// The kind whose resources have this type URL.
    pub fn from_type_url(type_url: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.type_url() == type_url)
    }

    /// Whether parts of this kind may only travel over an authenticated, encrypted channel.
    pub fn is_secret(self) -> bool {
        self.channel() == Channel::Secret
    }

    /// Whether a proxy of this role follows all parts of this kind that it may see.
    pub fn is_whole(self, role: Role) -> bool {
        match self.asked() {
            Asked::Whole | Asked::WhatHolds => true,
            Asked::WholeAtGateways => role == Role::Gateway,
            Asked::ByService | Asked::ByAddress | Asked::WithService => false,
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.label())
    }
}

#[cfg(test)]
mod tests;
