//! Clients of discovery without a data path: what a sidecar asks and answers, over TLS, with a token. All on one thread
//! of their own, so that the load does not wait for them.

use super::{Endpoints, SERVICES, host};
use crate::mesh::{Mesh, NAMESPACE, credentials};
use mesh_config::{
    kind::Role,
    model::{
        Part, PartName, ServiceKey,
        endpoint::{Endpoint, EndpointAddress},
    },
};
use mesh_proxy::discovery::{self, Command, Ends, Push, Settings, Status};
use mesh_runtime::{clock, drain};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex, MutexGuard},
    thread::JoinHandle,
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::Instant,
};

/// The service account of all of them.
pub(super) const ACCOUNT: &str = "crowd";

/// The workload of one.
pub(super) fn name(client: usize) -> String {
    format!("crowd-{client}")
}

/// Not of this machine: its client calls from wherever the machine does.
pub(super) fn address(client: usize) -> IpAddr {
    let [.., high, low] = u32::try_from(client + 1).expect("few clients").to_be_bytes();
    Ipv4Addr::new(10, 211, high, low).into()
}

/// The running clients.
pub(super) struct Followers {
    seen: Arc<Seen>,
    status: Vec<watch::Receiver<Status>>,
    end: Option<drain::Signal>,
    thread: Option<JoinHandle<()>>,
}

/// What the clients have, and when which change was made.
struct Seen {
    /// By client.
    held: Vec<Mutex<Held>>,
    written: Mutex<HashMap<(usize, u32), Instant>>,
    lags: Mutex<Vec<Duration>>,
}

#[derive(Default)]
struct Held {
    endpoints: BTreeMap<PartName, (super::Key, u32)>,
    /// By service, the last change that came.
    last: [u32; SERVICES],
}

impl Followers {
    pub(super) fn start(mesh: &Mesh, clients: usize) -> Followers {
        credentials(mesh.dir(), [ACCOUNT].into());
        let seen = Arc::new(Seen {
            held: (0..clients).map(|_| Mutex::default()).collect(),
            written: Mutex::default(),
            lags: Mutex::default(),
        });
        let (end, drain) = drain::channel();
        let (mut status, mut tasks) = (Vec::new(), Vec::new());
        for client in 0..clients {
            let (tell, told) = watch::channel(Status::default());
            status.push(told);
            tasks.push(follow(client, settings(client, mesh), seen.clone(), tell, drain.clone()));
        }
        let thread = std::thread::Builder::new().name("followers".into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let mut running: JoinSet<()> = tasks.into_iter().collect();
                while running.join_next().await.is_some() {}
            });
        });
        Followers { seen, status, end: Some(end), thread: Some(thread.expect("a thread")) }
    }

    /// A change is about to be made.
    pub(super) fn written(&self, service: usize, generation: u32) {
        locked(&self.seen.written).insert((service, generation), clock::now());
    }

    /// Measures from now on.
    pub(super) fn forget_lags(&self) {
        locked(&self.seen.lags).clear();
    }

    /// The clients that have something else, each with the first that is different.
    pub(super) fn behind(&self, expected: &Endpoints) -> Vec<String> {
        let mut behind = Vec::new();
        for (client, held) in self.seen.held.iter().enumerate() {
            let has: Endpoints = locked(held).endpoints.values().copied().collect();
            if has != *expected {
                let missing = expected.iter().find(|(key, generation)| has.get(*key) != Some(*generation));
                let error = self.status[client].borrow().error.clone().unwrap_or_default();
                behind.push(format!("{} lacks {missing:?} {error}", name(client)));
            }
        }
        behind
    }

    /// Ends them: the lags, shortest first, and how many streams there were.
    pub(super) async fn stop(mut self) -> (Vec<Duration>, u64) {
        let streams = self.status.iter().map(|status| status.borrow().streams).sum();
        let mut lags = std::mem::take(&mut *locked(&self.seen.lags));
        lags.sort_unstable();
        tokio::task::spawn_blocking(move || self.end()).await.expect("no client panics");
        (lags, streams)
    }

    fn end(&mut self) {
        self.end.take();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("no client panics");
        }
    }
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().expect("no holder panics")
}

fn settings(client: usize, mesh: &Mesh) -> Settings {
    let boot = mesh.proxy_settings(&name(client), ACCOUNT, Role::Sidecar, address(client));
    Settings { state_dir: None, ..Settings::of(&boot) }
}

/// Asks for all services that change, and notes what it is told of their endpoints.
async fn follow(
    client: usize,
    settings: Settings,
    seen: Arc<Seen>,
    status: watch::Sender<Status>,
    drain: drain::Watch,
) {
    let (asks, commands) = mpsc::channel(SERVICES);
    for service in 0..SERVICES {
        let key: ServiceKey = format!("{NAMESPACE}/{}", host(service)).parse().expect("the key of a service");
        asks.send(Command::NeedService(key)).await.expect("room for all");
    }
    let sink = move |push: Push| {
        seen.note(client, push);
        Vec::new()
    };
    discovery::run(settings, Ends { commands, sink, identity: None, status, drain }).await;
    drop(asks);
}

impl Seen {
    /// A push is in force.
    fn note(&self, client: usize, push: Push) {
        let mut held = locked(&self.held[client]);
        for (_, name) in &push.changes.removed {
            held.endpoints.remove(name);
        }
        let mut came = BTreeSet::new();
        for part in push.changes.upserts {
            let name = part.name();
            if let Part::Endpoint(endpoint) = part
                && let Some((key, generation)) = read(&endpoint)
            {
                came.insert((key.0, generation));
                held.endpoints.insert(name, (key, generation));
            }
        }
        let (now, written) = (clock::now(), locked(&self.written));
        for (service, generation) in came {
            // Where changes came as one, the first of them has waited longest.
            let first = held.last[service] + 1;
            if let Some(then) = written.get(&(service, first.min(generation))) {
                locked(&self.lags).push(now.saturating_duration_since(*then));
            }
            held.last[service] = generation;
        }
    }
}

/// An endpoint of a service that changes, and the change that made it so.
fn read(endpoint: &Endpoint) -> Option<(super::Key, u32)> {
    let EndpointAddress::Ip(ip) = endpoint.address else { return None };
    let service = (0..SERVICES).find(|service| endpoint.key.service.host.as_str() == host(*service))?;
    Some(((service, ip, endpoint.target_port), endpoint.weight))
}
