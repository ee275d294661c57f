//! One worker: accepts on the process's sockets and carries what comes.

use super::{Common, needs::Needs};
use crate::{
    arrive,
    connections::Connections,
    http::Requests,
    listeners::{Bound, BoundSet},
    live::Asked,
    net::listen::{self, Accepted},
    observe::{
        Observer,
        access_log::{AccessLog, Writer},
    },
    opening::Verdicts,
    settings::Settings,
    snapshot::{Snapshot, cluster::ClusterId},
    upstream::{Connector, Dial, Source, Upstreams},
    worker::{Worker, credentials::Credentials},
};
use mesh_runtime::{
    clock, drain, snapshot,
    tls::{client::ClientTls, server::ServerTls},
};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    net::IpAddr,
    rc::Rc,
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::TcpListener,
    sync::broadcast::{self, error::RecvError},
    task::JoinHandle,
};

/// How often idle connections are looked at and log lines handed over.
const TICK: Duration = Duration::from_secs(1);

/// Ticks between two counts of what long opaque connections have moved.
const REPORT_EVERY: u64 = 5;

/// What a worker is made from.
#[derive(Clone)]
pub(super) struct Carrying {
    pub(super) common: Arc<Common>,
    pub(super) snapshots: snapshot::Reader<Snapshot>,
    pub(super) server_tls: Arc<ServerTls>,
    pub(super) client_tls: Arc<ClientTls>,
    pub(super) log: Writer,
}

/// Runs until nothing is to be accepted any more and the last connection has ended.
pub(super) async fn run(carrying: Carrying, number: usize) {
    let Carrying { common, snapshots, server_tls, client_tls, log } = carrying;
    let observer = Rc::new(Observer::new(common.standard.clone(), common.peers.clone(), AccessLog::new(log)));
    observer.configure(&snapshots.get());
    let connector = Connector::new(Dial::Network(source(&common.settings)), Some(client_tls));
    let upstreams = Upstreams::new(common.upstreams.clone(), connector);
    let needs = Needs::new(common.commands.clone(), snapshots.clone());
    let bounds = common.settings.bounds.of_one_worker(common.settings.workers);
    let connections = Connections::new(bounds, Some(common.counted.clone()));
    let requests = Requests::new(&snapshots, upstreams, observer.clone(), Rc::new(needs), connections);
    let worker = Rc::new(Worker {
        requests,
        mesh_tls: server_tls,
        gateway_tls: Credentials::default(),
        observer: observer.clone(),
        closing: common.closing.clone(),
        arriving: common.arriving.clone(),
        ending: common.ending.clone(),
        outbound_verdicts: Verdicts::default(),
        inbound_verdicts: Verdicts::default(),
        node_id: common.settings.node_id().into(),
        announced: RefCell::default(),
        next_id: Cell::new((number as u64) << 48),
    });
    let retired = common.retired.subscribe();
    let housekeeping = tokio::task::spawn_local(keep_house(worker.clone(), snapshots, retired));
    accept_all(&common, &worker).await;
    // Connections hold guards of `closing`: the process ends when the last is gone, or the drain is forced.
    let held = async {
        while common.closing.held() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        () = held => {}
        () = common.closing.forced() => {}
    }
    housekeeping.abort();
    observer.flush();
}

/// One address of each family to dial from.
fn source(settings: &Settings) -> Source {
    let own = || settings.instance_ips.iter().copied();
    let (v4, v6) = (own().find(IpAddr::is_ipv4), own().find(IpAddr::is_ipv6));
    Source { v4, v6, captured: settings.pod.captured }
}

/// New settings for the observer, old connections and log lines once a second, and the drain of connections.
async fn keep_house(
    worker: Rc<Worker>,
    mut snapshots: snapshot::Reader<Snapshot>,
    mut retired: broadcast::Receiver<Arc<[ClusterId]>>,
) {
    let mut tick = tokio::time::interval(TICK);
    let (draining, forced) = (worker.closing.signaled(), worker.closing.forced());
    let (arrived, ended) = (worker.arriving.signaled(), worker.ending.signaled());
    tokio::pin!(draining, arrived, ended, forced);
    let (mut drained, mut closed, mut finished, mut ticks) = (false, false, false, 0u64);
    loop {
        tokio::select! {
            () = &mut draining, if !drained => {
                drained = true;
                worker.requests.drain();
            }
            () = &mut arrived, if !closed => {
                closed = true;
                worker.requests.finish_arrived();
            }
            () = &mut ended, if !finished => {
                finished = true;
                worker.requests.finish();
            }
            () = &mut forced => {
                worker.requests.live.ask(Asked { end: true, ..Asked::default() });
                return worker.requests.end();
            }
            gone = retired.recv() => match gone {
                Ok(gone) => worker.requests.upstreams.retire(&gone),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            },
            _ = tick.tick() => {
                worker.requests.tick(clock::now());
                worker.observer.flush();
                ticks += 1;
                if ticks % REPORT_EVERY == 0 {
                    worker.requests.live.ask(Asked { report: true, ..Asked::default() });
                }
            }
            changed = snapshots.changed() => match changed {
                Ok(()) => {
                    worker.observer.configure(&snapshots.get());
                    worker.requests.look_again();
                }
                Err(_) => return,
            }
        }
    }
}

/// An accept loop for each bound socket, until the end.
async fn accept_all(common: &Arc<Common>, worker: &Rc<Worker>) {
    let mut bound = common.bound.clone();
    let mut loops: BTreeMap<Arc<str>, (Bound, drain::Signal, JoinHandle<()>)> = BTreeMap::new();
    let end = common.ending.signaled();
    tokio::pin!(end);
    loop {
        reconcile(&mut loops, &bound.get(), common, worker);
        tokio::select! {
            biased;
            () = &mut end => break,
            changed = bound.changed() => if changed.is_err() { break },
        }
    }
    for (_, (_, closing, task)) in loops {
        drop(closing);
        let _ = task.await;
    }
}

fn reconcile(
    loops: &mut BTreeMap<Arc<str>, (Bound, drain::Signal, JoinHandle<()>)>,
    bound: &BoundSet,
    common: &Arc<Common>,
    worker: &Rc<Worker>,
) {
    let same = |a: &Bound, b: &Bound| Arc::ptr_eq(&a.socket, &b.socket) && a.purpose == b.purpose;
    loops.retain(|name, (running, _, _)| bound.get(name).is_some_and(|b| same(running, b)));
    for (name, bound) in bound {
        if loops.contains_key(name) {
            continue;
        }
        let listener = bound.socket.try_clone().and_then(TcpListener::from_std);
        let listener = match listener {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(listener = %name, %error, "cannot accept on this worker");
                continue;
            }
        };
        let (closing, closed) = drain::channel();
        let (worker, guards, named) = (worker.clone(), common.closing.clone(), bound.clone());
        // Also held by the loop itself: what waits to be accepted has arrived.
        let arriving = (!bound.purpose.is_outbound()).then(|| (common.arriving.clone(), common.arriving.guard()));
        let accept =
            listen::accept(listener, common.limit.clone(), closed, move |Accepted { stream, source, place }| {
                let guard = (guards.guard(), arriving.as_ref().map(|(watch, _)| watch.guard()));
                let Some(carried) = arrive::serve(worker.clone(), stream, source, &named) else { return };
                tokio::task::spawn_local(async move {
                    carried.await;
                    drop((place, guard));
                });
            });
        loops.insert(name.clone(), (bound.clone(), closing, tokio::task::spawn_local(accept)));
    }
}
