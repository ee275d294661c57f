//! What a proxy is to the mesh. One vocabulary for settings, node ids, discovery and snapshots.

use std::fmt;

/// What a proxy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Beside one workload.
    Sidecar,
    /// At an edge of the mesh.
    Gateway,
    /// For the services of a namespace, before their workloads.
    Waypoint,
    /// For all workloads of one machine.
    Node,
}

/// A role that is known by name, and that this program does not serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the role {0} is not served yet: only sidecar and router are")]
pub struct NotServed(pub Role);

impl Role {
    /// Every role.
    pub const ALL: [Role; 4] = [Role::Sidecar, Role::Gateway, Role::Waypoint, Role::Node];

    /// The word for it in node ids, reports and `PROXY_TYPE`.
    pub fn word(self) -> &'static str {
        match self {
            Role::Sidecar => "sidecar",
            Role::Gateway => "router",
            Role::Waypoint => "waypoint",
            Role::Node => "ztunnel",
        }
    }

    /// The role that a word stands for; `None` for one that stands for nothing.
    pub fn from_word(word: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.word() == word)
    }

    /// The role itself, if anything serves it. Whoever takes a role from outside asks, so that a role without a program
    /// behind it is refused by name and never treated as another one.
    ///
    /// # Errors
    /// [`NotServed`].
    pub fn served(self) -> Result<Role, NotServed> {
        match self {
            Role::Sidecar | Role::Gateway => Ok(self),
            Role::Waypoint | Role::Node => Err(NotServed(self)),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
