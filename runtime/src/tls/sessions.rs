//! The client's memory of sessions. Each expected peer and server name has its own, so a session made for one peer is never offered
//! to another; and it forgets in time: a resumed session must not outlive the chain that it was made with.

use crate::clock::WallClock;
use parking_lot::Mutex;
use rustls::{
    NamedGroup,
    client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue},
    pki_types::ServerName,
};
use std::{
    collections::VecDeque,
    time::{Duration, SystemTime},
};

/// TLS 1.3 tickets kept, the youngest first in use. Each serves once, so as many handshakes as this may run at once
/// and all be resumed; rustls's own cache keeps eight.
const TICKETS: usize = 64;

/// Sessions end so much before their chain does, so that no resumption is refused for a chain that ends meanwhile.
const MARGIN: Duration = Duration::from_secs(60);

pub(super) struct Sessions {
    inner: Mutex<Inner>,
    wall: WallClock,
}

#[derive(Default)]
struct Inner {
    group: Option<NamedGroup>,
    tls12: Option<Tls12ClientSessionValue>,
    tls13: VecDeque<Tls13ClientSessionValue>,
    /// The earliest end of the chains verified since this was empty.
    until: Option<SystemTime>,
}

impl Sessions {
    pub(super) fn new(wall: WallClock) -> Self {
        Sessions { inner: Mutex::default(), wall }
    }

    /// A chain was verified that ends at `not_after`.
    pub(super) fn verified_until(&self, not_after: SystemTime) {
        let mut inner = self.inner.lock();
        inner.until = Some(inner.until.map_or(not_after, |until| until.min(not_after)));
    }

    /// What is remembered, emptied first if a chain behind it nears its end.
    fn read<T>(&self, read: impl FnOnce(&mut Inner) -> T) -> T {
        let mut inner = self.inner.lock();
        if inner.ends_soon(self.wall.now()) {
            *inner = Inner::default();
        }
        read(&mut inner)
    }

    /// Remembers, but not while a chain nears its end, since that may be the new session's.
    fn store(&self, store: impl FnOnce(&mut Inner)) {
        let mut inner = self.inner.lock();
        if !inner.ends_soon(self.wall.now()) {
            store(&mut inner);
        }
    }
}

impl Inner {
    fn ends_soon(&self, now: SystemTime) -> bool {
        self.until.is_some_and(|until| now + MARGIN >= until)
    }
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sessions").finish_non_exhaustive()
    }
}

/// There is one server name to a store, so names are not compared.
impl ClientSessionStore for Sessions {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.store(|inner| inner.group = Some(group));
    }

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.read(|inner| inner.group)
    }

    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.store(|inner| inner.tls12 = Some(value));
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.read(|inner| inner.tls12.clone())
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.read(|inner| inner.tls12 = None);
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.store(|inner| {
            if inner.tls13.len() >= TICKETS {
                inner.tls13.pop_front();
            }
            inner.tls13.push_back(value);
        });
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.read(|inner| inner.tls13.pop_back())
    }
}
