//! Who is connected, and what each client has acknowledged: for `/debug/clients`, metrics and `meshctl proxy-status`.

use super::{
    authn::Proved,
    node::Claim,
    session::{Answered, Response, State},
};
use crate::{mesh::MeshVersion, metrics::Metrics};
use mesh_config::{
    model::{Kind, PartName},
    wire::{Refusal, Version},
};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};
use tokio::sync::{mpsc, oneshot};

/// How long a client may take to acknowledge its first parts.
const NEW: Duration = Duration::from_secs(10);

/// Everything that a client holds, by kind and name.
pub type Held = Vec<(Kind, PartName, Version)>;

/// Asks a client's task for what the client holds.
pub type Inspect = oneshot::Sender<Held>;

/// All clients; clones are the same list.
#[derive(Debug, Clone)]
pub struct Clients {
    list: Arc<Mutex<List>>,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct List {
    next: u64,
    clients: BTreeMap<u64, Client>,
}

/// One stream.
#[derive(Debug, Clone)]
struct Client {
    claim: Arc<Claim>,
    proved: Arc<Proved>,
    since: SystemTime,
    kinds: BTreeMap<Kind, Progress>,
    last_refusal: Option<Refused>,
    /// The roots that it has acknowledged.
    roots: Roots,
    inspect: mpsc::Sender<Inspect>,
}

/// Parts of kind `trust`, each with its version.
pub(super) type Roots = Vec<(PartName, Version)>;

/// How far a client is with one kind.
#[derive(Debug, Clone, Default)]
struct Progress {
    sent: u64,
    acknowledged: u64,
    waiting: u32,
    held: usize,
    refused: BTreeMap<String, Arc<str>>,
}

#[derive(Debug, Clone, Serialize)]
struct Refused {
    kind: &'static str,
    name: String,
    reason: Arc<str>,
}

/// One client as reported.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// `name.namespace`.
    pub proxy: String,
    /// The node id.
    pub id: String,
    /// The cluster it says to run in.
    pub cluster: String,
    /// Proved.
    pub namespace: String,
    /// Proved.
    pub service_account: String,
    /// `sidecar` or `router`.
    pub role: &'static str,
    /// Version of the proxy.
    pub version: String,
    /// `token` or `certificate`.
    pub proof: &'static str,
    /// Seconds since the epoch.
    pub connected_at: u64,
    /// By kind.
    pub kinds: BTreeMap<&'static str, KindReport>,
    last_refusal: Option<Refused>,
}

/// One kind of one client as reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KindReport {
    /// `synced`, `stale` (sent and not answered yet), `refused` (some of it), `not sent`.
    pub status: &'static str,
    /// Version of the mesh that the last response of this kind brought.
    pub sent: u64,
    /// Version of the mesh that was answered last.
    pub acknowledged: u64,
    /// Parts in force.
    pub parts: usize,
    /// Parts refused, with reasons.
    pub refused: BTreeMap<String, Arc<str>>,
}

/// A client in the list; leaves it when dropped.
#[derive(Debug)]
pub(super) struct Connected {
    id: u64,
    clients: Clients,
}

impl Clients {
    /// Nobody yet.
    pub fn new(metrics: Metrics) -> Self {
        Clients { list: Arc::default(), metrics }
    }

    pub(super) fn connect(
        &self,
        claim: Arc<Claim>,
        proved: Arc<Proved>,
        since: SystemTime,
        inspect: mpsc::Sender<Inspect>,
    ) -> Connected {
        let client =
            Client { claim, proved, since, kinds: BTreeMap::new(), last_refusal: None, roots: Roots::new(), inspect };
        let mut list = self.lock();
        let id = list.next;
        list.next += 1;
        list.clients.insert(id, client);
        self.metrics.clients.set(list.clients.len() as i64);
        Connected { id, clients: self.clone() }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.lock().clients.len()
    }

    /// All of them, in the order in which they came.
    pub fn reports(&self) -> Vec<Report> {
        self.lock().clients.values().map(Client::report).collect()
    }

    /// A client by `name.namespace` or node id (of several streams the newest), with what it holds. `None` when it is
    /// not connected.
    pub async fn held(&self, proxy: &str) -> Option<(Report, Held)> {
        let (report, inspect) = {
            let list = self.lock();
            let is_it = |c: &&Client| c.claim.id == proxy || c.claim.full_name() == proxy;
            let client = list.clients.values().rev().find(is_it)?;
            (client.report(), client.inspect.clone())
        };
        let (ask, answer) = oneshot::channel();
        inspect.send(ask).await.ok()?;
        Some((report, answer.await.ok()?))
    }

    /// Those that have not acknowledged this version of the roots of a trust domain: how many, and the names of at most
    /// `most`. Who has just come is told it at this moment: among many proxies there is always one.
    pub(crate) fn without_roots(
        &self,
        (name, version): (&str, Version),
        now: SystemTime,
        most: usize,
    ) -> (usize, Vec<String>) {
        let list = self.lock();
        let has = |client: &Client| client.roots.iter().any(|(of, held)| of.as_str() == name && *held == version);
        let is_new = |client: &Client| now.duration_since(client.since).is_ok_and(|since| since < NEW);
        let behind = || list.clients.values().filter(|client| !has(client) && !is_new(client));
        (behind().count(), behind().take(most).map(|client| client.claim.full_name()).collect())
    }

    fn lock(&self) -> MutexGuard<'_, List> {
        // A panic while the lock was held leaves a list that is at worst a moment old.
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connected {
    pub(super) fn sent(&self, responses: &[Response]) {
        self.update(|client, metrics| {
            for response in responses {
                let progress = client.kinds.entry(response.kind).or_default();
                progress.sent = response.nonce.mesh;
                progress.waiting += 1;
                metrics.pushes.with_label_values(&[response.kind.label()]).inc();
            }
        });
    }

    pub(super) fn answered(&self, answered: &Answered, state: &State) {
        self.update(|client, metrics| {
            let Answered { kind, mesh: MeshVersion(mesh), refusals } = answered;
            let progress = client.kinds.entry(*kind).or_default();
            progress.acknowledged = *mesh;
            progress.waiting = progress.waiting.saturating_sub(1);
            progress.held = state.held_count(*kind);
            progress.refused.retain(|name, _| state.has_refused(*kind, name));
            for Refusal { name, reason } in refusals {
                progress.refused.insert(name.clone(), reason.clone());
                let refused = Refused { kind: kind.label(), name: name.clone(), reason: reason.clone() };
                client.last_refusal = Some(refused);
                metrics.rejects.with_label_values(&[kind.label()]).inc();
            }
        });
    }

    /// What it holds of the roots now.
    pub(super) fn holds_roots(&self, roots: &Roots) {
        self.update(|client, _| client.roots.clone_from(roots));
    }

    fn update(&self, change: impl FnOnce(&mut Client, &Metrics)) {
        if let Some(client) = self.clients.lock().clients.get_mut(&self.id) {
            change(client, &self.clients.metrics);
        }
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        let mut list = self.clients.lock();
        list.clients.remove(&self.id);
        self.clients.metrics.clients.set(list.clients.len() as i64);
    }
}

impl Client {
    fn report(&self) -> Report {
        let kinds = Kind::ALL.into_iter().map(|kind| {
            let report = self.kinds.get(&kind).map_or_else(KindReport::not_sent, Progress::report);
            (kind.label(), report)
        });
        Report {
            proxy: self.claim.full_name(),
            id: self.claim.id.clone(),
            cluster: self.claim.cluster.clone(),
            namespace: self.proved.namespace.to_string(),
            service_account: self.proved.service_account.to_string(),
            role: self.claim.role.word(),
            version: self.claim.version.clone(),
            proof: self.proved.proof,
            connected_at: self.since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs(),
            kinds: kinds.collect(),
            last_refusal: self.last_refusal.clone(),
        }
    }
}

impl KindReport {
    fn not_sent() -> Self {
        KindReport { status: "not sent", sent: 0, acknowledged: 0, parts: 0, refused: BTreeMap::new() }
    }
}

impl Progress {
    fn report(&self) -> KindReport {
        let status = match (self.waiting, self.refused.is_empty()) {
            (0, true) => "synced",
            (0, false) => "refused",
            _ => "stale",
        };
        KindReport {
            status,
            sent: self.sent,
            acknowledged: self.acknowledged,
            parts: self.held,
            refused: self.refused.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_config::kind::Role;
    use mesh_runtime::{clock, telemetry::metrics::Registry};

    #[test]
    fn who_has_not_acknowledged_the_roots_is_named_unless_it_has_just_come() {
        let clients = Clients::new(Metrics::new(&Registry::new()).unwrap());
        let now = clock::system_now();
        let connect = |name: &str, since: SystemTime| {
            let claim = Claim {
                id: name.to_owned(),
                role: Role::Sidecar,
                name: name.to_owned(),
                namespace: "shop".to_owned(),
                service_account: None,
                addresses: Vec::new(),
                cluster: String::new(),
                version: String::new(),
            };
            let proved = Proved { namespace: "shop".into(), service_account: "a".into(), proof: "token", until: now };
            clients.connect(Arc::new(claim), Arc::new(proved), since, mpsc::channel(1).0)
        };
        let (old, new) = (Version([1; 16]), Version([2; 16]));
        let named = |version| clients.without_roots(("cluster.local", version), now, 1);
        let holds = |version| vec![(PartName("cluster.local".into()), version)];
        let (one, other) = (connect("one", now - NEW), connect("other", now - NEW));
        let _just_come = connect("third", now);
        assert_eq!(named(new), (2, vec!["one.shop".to_owned()]));
        one.holds_roots(&holds(new));
        other.holds_roots(&holds(old));
        assert_eq!(named(new), (1, vec!["other.shop".to_owned()]));
        drop(other);
        assert_eq!(named(new), (0, Vec::new()));
        assert_eq!(clients.without_roots(("elsewhere", new), now, 0), (1, Vec::new()));
    }
}
