//! The client's memory of sessions. Each expected peer and server name has its own, so a session made for one peer is never offered
//! to another; and it forgets in time: a resumed session must not outlive the chain that it was made with.

use crate::clock::WallClock;
use parking_lot::Mutex;
use rustls::{
    NamedGroup,
    client::{ClientSessionMemoryCache, ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue},
    pki_types::ServerName,
};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

/// Eight tickets for one server name: every expected peer and name has a store of its own.
const SIZE: usize = 8;

/// Sessions end so much before their chain does, so that no resumption is refused for a chain that ends meanwhile.
const MARGIN: Duration = Duration::from_secs(60);

pub(super) struct Sessions {
    inner: Mutex<Inner>,
    wall: WallClock,
}

struct Inner {
    cache: Arc<ClientSessionMemoryCache>,
    /// The earliest end of the chains verified since the cache was new.
    until: Option<SystemTime>,
}

impl Sessions {
    pub(super) fn new(wall: WallClock) -> Self {
        let cache = Arc::new(ClientSessionMemoryCache::new(SIZE));
        Sessions { inner: Mutex::new(Inner { cache, until: None }), wall }
    }

    /// A chain was verified that ends at `not_after`.
    pub(super) fn verified_until(&self, not_after: SystemTime) {
        let mut inner = self.inner.lock();
        inner.until = Some(inner.until.map_or(not_after, |until| until.min(not_after)));
    }

    /// The cache to look up in, a new one if a chain behind the old one nears its end.
    fn cache(&self) -> Arc<ClientSessionMemoryCache> {
        let now = self.wall.now();
        let mut inner = self.inner.lock();
        if inner.ends_soon(now) {
            *inner = Inner { cache: Arc::new(ClientSessionMemoryCache::new(SIZE)), until: None };
        }
        inner.cache.clone()
    }

    /// The cache to store in; none while a chain behind it nears its end, since that may be the new session's.
    fn cache_to_store(&self) -> Option<Arc<ClientSessionMemoryCache>> {
        let inner = self.inner.lock();
        (!inner.ends_soon(self.wall.now())).then(|| inner.cache.clone())
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

impl ClientSessionStore for Sessions {
    fn set_kx_hint(&self, server_name: ServerName<'static>, group: NamedGroup) {
        if let Some(cache) = self.cache_to_store() {
            cache.set_kx_hint(server_name, group);
        }
    }

    fn kx_hint(&self, server_name: &ServerName<'_>) -> Option<NamedGroup> {
        self.cache().kx_hint(server_name)
    }

    fn set_tls12_session(&self, server_name: ServerName<'static>, value: Tls12ClientSessionValue) {
        if let Some(cache) = self.cache_to_store() {
            cache.set_tls12_session(server_name, value);
        }
    }

    fn tls12_session(&self, server_name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.cache().tls12_session(server_name)
    }

    fn remove_tls12_session(&self, server_name: &ServerName<'static>) {
        self.cache().remove_tls12_session(server_name);
    }

    fn insert_tls13_ticket(&self, server_name: ServerName<'static>, value: Tls13ClientSessionValue) {
        if let Some(cache) = self.cache_to_store() {
            cache.insert_tls13_ticket(server_name, value);
        }
    }

    fn take_tls13_ticket(&self, server_name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.cache().take_tls13_ticket(server_name)
    }
}
