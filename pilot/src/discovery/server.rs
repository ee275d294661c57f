//! The stream around a [`session`]: authenticates the call, takes the node's claim from the first request, then feeds
//! requests and changes of the mesh to the state machine and sends what it says.
//!
//! One task a client. What waits to be sent is one push at most, so a slow client holds no more than that; requests
//! are read all the while, since both ends waiting for the other to read would be for good.

use super::{
    authn::{Access, Authenticate, Proved},
    clients::{Clients, Connected, Inspect, Roots},
    encode,
    foreign::{self, Foreign, Told},
    life::Life,
    node::{Claim, NodeError},
    reading::{Read, Whose},
    session::{self, Event, Response, State, View},
    shares::{Keeps, Share, Shares},
    standing::Standing,
    writing::{Answer, Write},
};
use crate::{mesh::Mesh, metrics::Metrics, scope};
use mesh_config::{
    model::Kind,
    wire::proto::envoy::service::discovery::v3::{
        DeltaDiscoveryRequest, DeltaDiscoveryResponse,
        aggregated_discovery_service_server::{AggregatedDiscoveryService, AggregatedDiscoveryServiceServer},
    },
};
use mesh_runtime::{
    clock::{self, WallClock},
    drain, snapshot,
    telemetry::repeated::Repeated,
    tls::grpc::Caller,
};
use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};
use tokio::sync::{mpsc, watch};
use tokio_stream::Pending;
use tonic::{Code, Request, Response as Reply, Status, Streaming};

/// How long a gateway waits for the first answer about its access before it is told what it may know without.
const ACCESS: Duration = Duration::from_secs(3);
/// Responses handed to the transport ahead of time.
const AHEAD: usize = 2;

/// Serves discovery; one value for all ports.
#[derive(Clone)]
pub struct Discovery {
    /// The newest mesh.
    pub mesh: snapshot::Reader<Mesh>,
    /// Who is connected.
    pub clients: Clients,
    /// Who callers are.
    pub authenticate: Authenticate,
    /// What the cluster lets callers read; `None` where there is no cluster.
    pub access: Option<Access>,
    /// What is counted.
    pub metrics: Metrics,
    /// Clients of another kind that were told why they get nothing.
    pub told: Told,
    /// What clients may take.
    pub shares: Shares,
    /// Log lines that clients can repeat.
    pub lines: Repeated,
    /// When proofs come to their end.
    pub wall: WallClock,
    /// How old a stream gets, give or take.
    pub age: Duration,
    /// Ends all streams.
    pub drain: drain::Watch,
}

/// Discovery on one port.
pub struct Port {
    discovery: Discovery,
    secrets: bool,
}

impl Discovery {
    /// The service for a port; `secrets` where it is encrypted.
    pub fn into_server(self, secrets: bool) -> Foreign<Read<Write<AggregatedDiscoveryServiceServer<Port>>>> {
        let (told, bounds) = (self.told.clone(), self.shares.bounds().clone());
        let port = Port { discovery: self, secrets };
        let inner = AggregatedDiscoveryServiceServer::new(port).max_decoding_message_size(bounds.max_message);
        Foreign { inner: Read { inner: Write(inner), within: bounds.message_timeout, names: bounds.max_names }, told }
    }

    /// A call that is not served: counted, and logged now and then.
    fn refuse(&self, reason: &'static str, who: &str, error: &str) {
        self.metrics.refused_callers.with_label_values(&[reason]).inc();
        if let Some(left_out) = self.lines.due(reason, who) {
            tracing::warn!(who, error, left_out, "discovery call refused");
        }
    }

    /// What the caller's stream may take.
    fn admit(&self, proved: &Proved, source: IpAddr) -> Result<Arc<Share>, Status> {
        let account = proved.account();
        let mesh = self.mesh.get();
        let workloads = mesh.workloads().by_account.get(&account).map_or(0, Vec::len);
        self.shares.admit(account, source, workloads).map_err(|full| {
            self.refuse(full.reason(), &format!("{} at {source}", proved.account()), &full.to_string());
            full.into()
        })
    }
}

#[tonic::async_trait]
impl AggregatedDiscoveryService for Port {
    /// What is sent is an [`Answer`].
    type DeltaAggregatedResourcesStream = Pending<Result<DeltaDiscoveryResponse, Status>>;

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Reply<Self::DeltaAggregatedResourcesStream>, Status> {
        let discovery = self.discovery.clone();
        if discovery.drain.is_draining() {
            return Err(Status::unavailable("this pilot is shutting down; reconnect"));
        }
        let proved = (discovery.authenticate)(request.metadata(), request.extensions()).await;
        let caller: Option<&Caller> = request.extensions().get();
        let source = caller.map_or(Ipv4Addr::UNSPECIFIED.into(), |caller| caller.address.ip());
        let proved = Arc::new(proved.inspect_err(|status| {
            discovery.refuse("unauthenticated", &source.to_string(), status.message());
        })?);
        let share = discovery.admit(&proved, source)?;
        let held = caller.map(Caller::hold);
        if let Some(whose) = request.extensions().get::<Whose>() {
            whose.is(share.clone());
        }
        let (wall, random) = (discovery.wall.now(), fastrand::f64());
        let life = Life::of(&proved, discovery.age, wall, random);
        let (out, replies) = mpsc::channel(AHEAD);
        let guard = discovery.drain.guard();
        let (requests, secrets) = (request.into_inner(), self.secrets);
        // Ends with its stream or the drain, which waits for the guard.
        tokio::spawn(async move {
            let (_guard, _held) = (guard, held);
            let drained = discovery.drain.signaled();
            let served = async {
                if let Err(status) = serve(discovery, (proved, share, life), secrets, requests, &out).await {
                    // Fails when the client is gone.
                    let _ = out.send(Err(status)).await;
                }
            };
            // Dropping the sender ends the stream politely.
            tokio::select! { () = served => {}, () = drained => {} }
        });
        let mut reply = Reply::new(tokio_stream::pending());
        reply.extensions_mut().insert(Answer::of(replies));
        Ok(reply)
    }
}

type Out = mpsc::Sender<Result<Response, Status>>;

/// One stream from its first request to its end.
async fn serve(
    discovery: Discovery,
    (proved, share, life): (Arc<Proved>, Arc<Share>, Life),
    secrets: bool,
    mut requests: Streaming<DeltaDiscoveryRequest>,
    out: &Out,
) -> Result<(), Status> {
    let first = tokio::time::timeout(discovery.shares.bounds().message_timeout, requests.message()).await;
    let first = first.unwrap_or_else(|_| Err(Status::deadline_exceeded("no request arrived")));
    let first = first.inspect_err(|status| {
        if is_over_a_bound(status) {
            discovery.metrics.streams_ended.with_label_values(&["message"]).inc();
        }
    })?;
    let Some(first) = first else { return Ok(()) };
    if let Some(refusal) = foreign::refusal(&first.type_url) {
        let id = first.node.as_ref().map_or("without a node id", |node| &*node.id);
        discovery.told.log(&format!("{id:.200}"), &refusal);
        return Err(refusal);
    }
    let claim = claim(&first, &proved).map_err(|error| refuse(&discovery, &proved, &error))?;
    let (inspect, asked) = mpsc::channel(1);
    let connected = discovery.clients.connect(claim.clone(), proved.clone(), clock::system_now(), inspect);
    if let Some(left_out) = discovery.lines.due("connected", &share.whose()) {
        tracing::info!(proxy = claim.full_name(), proof = proved.proof, secrets, left_out, "proxy connected");
    }
    let client = Client {
        told: discovery.told,
        lines: discovery.lines,
        seen: discovery.mesh.get(),
        mesh: discovery.mesh,
        standing: Standing::default(),
        asks: discovery.access.filter(|_| secrets),
        access: None,
        claim,
        proved,
        secrets,
        state: State::bounded(discovery.shares.bounds().max_names),
        share,
        life,
        metrics: discovery.metrics,
        waiting: VecDeque::new(),
        connected,
        roots: Roots::new(),
    };
    client.run(first, requests, asked, out).await
}

/// Whether a message was refused for its length, what it names, or the time that it took.
fn is_over_a_bound(status: &Status) -> bool {
    matches!(status.code(), Code::ResourceExhausted | Code::OutOfRange | Code::DeadlineExceeded)
}

fn claim(first: &DeltaDiscoveryRequest, proved: &Proved) -> Result<Arc<Claim>, NodeError> {
    let claim = Claim::of(first.node.as_ref().ok_or(NodeError::Missing)?)?;
    claim.check(proved)?;
    Ok(Arc::new(claim))
}

fn refuse(discovery: &Discovery, proved: &Proved, error: &NodeError) -> Status {
    discovery.refuse("node", &proved.account().to_string(), &error.to_string());
    match error {
        NodeError::NotProved { .. } => Status::permission_denied(error.to_string()),
        NodeError::Missing | NodeError::Id(_) | NodeError::TooLong(..) | NodeError::Role(_) => {
            Status::invalid_argument(error.to_string())
        }
    }
}

/// What belongs to one stream.
struct Client {
    mesh: snapshot::Reader<Mesh>,
    seen: Arc<Mesh>,
    standing: Standing,
    /// Asks the cluster, of a client that may get keys here.
    asks: Option<Access>,
    /// Once objects name Secrets for it.
    access: Option<watch::Receiver<Option<bool>>>,
    claim: Arc<Claim>,
    proved: Arc<Proved>,
    secrets: bool,
    state: State,
    waiting: VecDeque<Response>,
    connected: Connected,
    /// What [`Connected`] knows of the roots that the client holds.
    roots: Roots,
    told: Told,
    lines: Repeated,
    share: Arc<Share>,
    life: Life,
    metrics: Metrics,
}

impl Client {
    async fn run(
        mut self,
        first: DeltaDiscoveryRequest,
        mut requests: Streaming<DeltaDiscoveryRequest>,
        mut asked: mpsc::Receiver<Inspect>,
        out: &Out,
    ) -> Result<(), Status> {
        self.ask();
        if let Some(access) = &mut self.access {
            // A gateway that began without its keys would refuse connections.
            let _ = tokio::time::timeout(ACCESS, access.wait_for(Option::is_some)).await;
        }
        self.access_changed();
        self.request(first)?;
        let share = self.share.clone();
        let mut gives_way = std::pin::pin!(share.gives_way());
        let mut proof = std::pin::pin!(tokio::time::sleep_until(self.life.proof));
        let mut age = std::pin::pin!(tokio::time::sleep_until(self.life.age));
        let mut is_old = false;
        loop {
            if is_old && self.waiting.is_empty() && !self.state.awaits_answers() {
                return Ok(());
            }
            tokio::select! {
                () = out.closed() => return Ok(()),
                () = &mut proof => {
                    self.ended("proof");
                    return Err(Status::unauthenticated(format!("the {} that began this stream has come to its end; begin another with a new one", self.proved.proof)));
                }
                () = &mut gives_way => {
                    return Err(Status::resource_exhausted("another stream of this service account, from an address that has fewer, took the place of this one"));
                }
                () = &mut age => {
                    if is_old {
                        return Ok(());
                    }
                    self.ended("age");
                    is_old = true;
                    age.as_mut().reset(self.life.end());
                }
                place = out.reserve(), if !self.waiting.is_empty() => {
                    let Ok(place) = place else { return Ok(()) };
                    if let Some(response) = self.waiting.pop_front() {
                        place.send(Ok(response));
                    }
                }
                message = requests.message() => match message {
                    Ok(Some(message)) => self.request(message)?,
                    Ok(None) => return Ok(()),
                    Err(status) => {
                        tracing::debug!(proxy = self.claim.full_name(), %status, "stream broke");
                        if is_over_a_bound(&status) {
                            self.ended("message");
                        }
                        return Err(status);
                    }
                },
                changed = self.mesh.changed(), if !is_old => {
                    // The publisher lives as long as the process.
                    if changed.is_err() { return Ok(()) }
                    self.mesh_changed()?;
                }
                changed = changed(&mut self.access) => match changed {
                    Ok(()) if self.access_changed() => self.step(Event::MeshChanged)?,
                    Ok(()) => {}
                    // Nobody asks any more: what was said last no longer counts.
                    Err(_) => {
                        (self.asks, self.access) = (None, None);
                        if self.access_changed() {
                            self.step(Event::MeshChanged)?;
                        }
                    }
                },
                Some(ask) = asked.recv() => {
                    let held = self.state.held().map(|(kind, name, version)| (kind, name.clone(), version));
                    // Fails when the asker has given up.
                    let _ = ask.send(held.collect());
                }
            }
        }
    }

    /// From this side, and not for what the client has done.
    fn ended(&self, reason: &str) {
        self.metrics.streams_ended.with_label_values(&[reason]).inc();
        tracing::debug!(proxy = self.claim.full_name(), reason, "stream ended");
    }

    /// Begins to ask what the cluster lets its account read: of gateways at once, of others when objects name Secrets
    /// for them, which is seldom.
    fn ask(&mut self) {
        let Some(ask) = self.asks.as_ref().filter(|_| self.access.is_none()) else { return };
        let (facts, _) = self.standing.facts(&self.seen, &self.claim, &self.proved);
        if scope::names_secrets(&self.seen, facts) {
            self.access = Some(ask(&self.proved));
        }
    }

    /// Takes in what the cluster said last; unknown is no. Whether that is something new.
    fn access_changed(&mut self) -> bool {
        let said = self.access.as_mut().and_then(|access| *access.borrow_and_update());
        self.standing.permit(said == Some(true))
    }

    fn request(&mut self, message: DeltaDiscoveryRequest) -> Result<(), Status> {
        if let Some(refusal) = foreign::refusal(&message.type_url) {
            self.told.log(&self.claim.id, &refusal);
            return Err(refusal);
        }
        match encode::request(message) {
            Some(request) => self.step(Event::Request(request)),
            // A proxy newer than this pilot asks for more than there is here.
            None => Ok(()),
        }
    }

    fn mesh_changed(&mut self) -> Result<(), Status> {
        let before = std::mem::replace(&mut self.seen, self.mesh.get());
        if self.seen.version() == before.version() {
            return Ok(());
        }
        let stays =
            self.seen.has_workloads_of(&before) || self.standing.look_again(&self.seen, &self.claim, &self.proved);
        self.ask();
        let stays = !self.access_changed() && stays;
        match self.seen.moved_since(&before).filter(|_| stays) {
            Some(moved) => self.step(Event::Moved(moved)),
            None => self.step(Event::MeshChanged),
        }
    }

    /// Which of the mesh's roots the client holds.
    fn look_at_roots(&mut self) {
        let roots = self
            .seen
            .parts(Kind::Trust)
            .filter_map(|shared| Some((shared.name().clone(), self.state.held_version(Kind::Trust, shared.name())?)));
        let roots: Roots = roots.collect();
        if roots != self.roots {
            self.connected.holds_roots(&roots);
            self.roots = roots;
        }
    }

    fn step(&mut self, event: Event) -> Result<(), Status> {
        let (facts, may_have_keys) = self.standing.facts(&self.seen, &self.claim, &self.proved);
        let view = View { mesh: &self.seen, facts, secrets: self.secrets && may_have_keys };
        let (said, is_said) = (self.state.said(), matches!(event, Event::Request(_)));
        let (state, actions) = session::step(std::mem::take(&mut self.state), event, &view);
        self.state = state;
        if is_said {
            self.look_at_roots();
        }
        if self.state.said() != said {
            self.share.keeps(Keeps::Names, self.state.said()).inspect_err(|full| self.ended(full.reason()))?;
        }
        if let Some(answered) = actions.answered {
            if let [first, rest @ ..] = &answered.refusals[..] {
                let (proxy, kind) = (self.claim.full_name(), answered.kind);
                let (name, reason, others) = (&first.name, &*first.reason, rest.len());
                let what = format!("{} {kind:?} {name}", self.share.whose());
                if let Some(left_out) = self.lines.due("rejected", &what) {
                    tracing::warn!(proxy, ?kind, name, reason, others, left_out, "resources refused by proxy");
                }
            }
            self.connected.answered(&answered, &self.state);
        }
        if let Some(violation) = actions.violation {
            self.metrics.streams_ended.with_label_values(&["violation"]).inc();
            if let Some(left_out) = self.lines.due("violation", &self.share.whose()) {
                tracing::warn!(proxy = self.claim.full_name(), %violation, left_out, "stream ended");
            }
            return Err(Status::invalid_argument(violation.to_string()));
        }
        if !actions.responses.is_empty() {
            self.connected.sent(&actions.responses);
            self.waiting.extend(actions.responses);
        }
        Ok(())
    }
}

/// When the cluster says something else; never, where it is not asked.
async fn changed(access: &mut Option<watch::Receiver<Option<bool>>>) -> Result<(), watch::error::RecvError> {
    match access {
        Some(access) => access.changed().await,
        None => std::future::pending().await,
    }
}
