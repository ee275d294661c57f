//! How long clients may take, and how much may be held for them.

use std::time::Duration;

/// Bounds on clients' connections. `None`: as long as they like. They are looked at once a second and cost a request nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// From a connection's beginning to its first whole head.
    pub first_request: Option<Duration>,
    /// From the beginning of any later head to its end; HTTP/1.
    pub head: Option<Duration>,
    /// Between two pieces of a body that an upstream waits for; of gRPC, within a message.
    pub body: Option<Duration>,
    /// Without a request.
    pub idle: Option<Duration>,
    /// Bytes that are held for clients: heads, and bodies that may have to be sent again.
    pub held: usize,
    /// Of these for one connection.
    pub held_by_connection: usize,
}

/// Those of a sidecar: Istio has no clocks there but for idle connections.
impl Default for Bounds {
    fn default() -> Self {
        Bounds {
            first_request: None,
            head: None,
            body: None,
            idle: Some(Duration::from_secs(3600)),
            held: 64 << 20,
            held_by_connection: 1 << 20,
        }
    }
}

impl Bounds {
    /// Of what the process may hold, a worker's part.
    #[must_use]
    pub fn of_one_worker(&self, workers: usize) -> Self {
        Bounds { held: self.held / workers.max(1), ..self.clone() }
    }

    /// Those of a gateway, whose clients are anybody.
    pub fn of_gateway() -> Self {
        Bounds {
            first_request: Some(Duration::from_secs(60)),
            head: Some(Duration::from_secs(30)),
            body: Some(Duration::from_secs(60)),
            ..Bounds::default()
        }
    }
}
