//! How long each part of a start took, for whoever waits for it.

use mesh_runtime::clock;
use std::{fmt, time::Duration};
use tokio::time::Instant;

/// Parts in order, each with its time.
#[derive(Debug)]
pub struct Times {
    last: Instant,
    parts: Vec<(&'static str, Duration)>,
}

impl Times {
    /// From now.
    pub fn start() -> Self {
        Times { last: clock::now(), parts: Vec::new() }
    }

    /// That a part ended now.
    pub fn took(&mut self, part: &'static str) {
        self.parts.push((part, clock::since(self.last)));
        self.last = clock::now();
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total: Duration = self.parts.iter().map(|(_, time)| *time).sum();
        write!(f, "{:.1} s", total.as_secs_f64())?;
        for (part, time) in &self.parts {
            write!(f, ", {part} {:.1}", time.as_secs_f64())?;
        }
        Ok(())
    }
}
