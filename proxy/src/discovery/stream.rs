//! The stream to pilot: connects, proves who we are, feeds the session, waits and comes back when it ends. Pilot's
//! absence is not a failure: what was applied stays in force.

use super::{
    Ends, Settings,
    dial::{Target, connect},
    session::{self, Actions, Command, Event, Push, Refused, State},
    state,
};
use crate::snapshot::build::Changes;
use mesh_config::wire::proto::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse,
    aggregated_discovery_service_client::AggregatedDiscoveryServiceClient,
};
use mesh_runtime::{backoff::Backoff, clock, tls::client::ClientTls};
use std::{collections::VecDeque, io, path::PathBuf, sync::Arc, time::Duration};
use tokio::{sync::mpsc, time::Instant};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

/// The first wait after a stream ended, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// Longest response that is accepted, in bytes.
const MAX_RESPONSE: usize = 16 << 20;
/// Requests handed to the transport ahead of time; all of a greeting fit.
const AHEAD: usize = 16;
/// Requests that wait for the transport, beyond which no more commands are taken.
const WAITING: usize = 1024;
/// From a change to its being on disk.
const SAVE_AFTER: Duration = Duration::from_millis(500);

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
pub(super) enum StreamError {
    #[error("{path}: {error}")]
    File { path: PathBuf, error: io::Error },
    #[error("{path}: {reason}")]
    Content { path: PathBuf, reason: String },
    #[error("there is neither a token in {0} nor a certificate to prove who we are")]
    NoProof(PathBuf),
    #[error("{0:?} is not a valid name for pilot")]
    Name(String),
    #[error("cannot reach pilot at {address}: {reason}")]
    Connect { address: String, reason: String },
    #[error("pilot ended the stream: {code}: {message}")]
    Ended { code: tonic::Code, message: String },
    #[error(transparent)]
    Violation(#[from] session::Violation),
}

/// Follows pilot until drained, or dropped; what is not on disk yet is saved then.
pub async fn run<S>(settings: Settings, ends: Ends<S>)
where
    S: FnMut(Push) -> Vec<Refused>,
{
    let drain = ends.drain.clone();
    let mut follower = Follower::new(settings, ends);
    tokio::select! {
        () = follower.follow() => {}
        () = drain.signaled() => {}
    }
}

struct Follower<S> {
    settings: Settings,
    ends: Ends<S>,
    state: State,
    waiting: VecDeque<DeltaDiscoveryRequest>,
    tls: Arc<ClientTls>,
    backoff: Backoff,
    /// When what changed is to be saved.
    save_at: Option<Instant>,
    commands_open: bool,
}

impl<S> Drop for Follower<S> {
    fn drop(&mut self) {
        if let (Some(_), Some(dir)) = (self.save_at.take(), &self.settings.state_dir) {
            said(state::save(dir, &state::encode(&self.state, &self.settings.node)));
        }
    }
}

/// What a wait ended with.
enum Woken {
    Command(Command),
    Save,
}

impl<S> Follower<S>
where
    S: FnMut(Push) -> Vec<Refused>,
{
    fn new(settings: Settings, mut ends: Ends<S>) -> Self {
        Follower {
            state: restore(&settings, &mut ends),
            settings,
            ends,
            waiting: VecDeque::new(),
            tls: Arc::new(ClientTls::anonymous()),
            backoff: Backoff::new(BACKOFF.0, BACKOFF.1),
            save_at: None,
            commands_open: true,
        }
    }

    /// One stream after another.
    async fn follow(&mut self) {
        let mut rng = fastrand::Rng::new();
        loop {
            let ended = self.stream().await;
            let _ = self.step(Event::Disconnected);
            self.waiting.clear();
            let wait = self.backoff.next(&mut rng);
            match &ended {
                Ok(()) => tracing::info!(?wait, "pilot closed the stream; connecting again"),
                Err(error) => tracing::warn!(%error, ?wait, "no stream from pilot; the configuration stays in force"),
            }
            self.ends.status.send_modify(|status| {
                status.connected = false;
                status.error = ended.err().map(|error| error.to_string());
            });
            let until = clock::now() + wait;
            self.meanwhile(tokio::time::sleep_until(until)).await;
        }
    }

    /// Waits for something while commands are taken and changes saved.
    async fn meanwhile<F: Future>(&mut self, what: F) -> F::Output {
        let mut what = std::pin::pin!(what);
        loop {
            tokio::select! {
                done = &mut what => return done,
                woken = woken(&mut self.ends.commands, &mut self.commands_open, self.save_at) => self.woken(woken),
            }
        }
    }

    fn woken(&mut self, woken: Woken) {
        match woken {
            Woken::Command(command) => drop(self.step(Event::Command(command))),
            Woken::Save => self.save_soon(),
        }
    }

    /// One stream from connecting to its end.
    async fn stream(&mut self) -> Result<(), StreamError> {
        let (channel, token) = self.meanwhile(connect(&self.target())).await?;
        let (requests, outgoing) = mpsc::channel(AHEAD);
        self.step(Event::Connected)?;
        // The whole greeting goes ahead: a server may want to read it before it answers.
        while let Some(request) = self.waiting.pop_front() {
            if let Err(mpsc::error::TrySendError::Full(request)) = requests.try_send(request) {
                self.waiting.push_front(request);
                break;
            }
        }
        let mut call = tonic::Request::new(ReceiverStream::new(outgoing));
        if let Some(token) = token {
            call.metadata_mut().insert("authorization", token);
        }
        let mut client = AggregatedDiscoveryServiceClient::new(channel).max_decoding_message_size(MAX_RESPONSE);
        let responses = self.meanwhile(client.delta_aggregated_resources(call)).await.map_err(ended)?;
        tracing::info!(address = self.settings.address, "stream to pilot is open");
        self.ends.status.send_modify(|status| status.streams += 1);
        self.converse(responses.into_inner(), requests).await
    }

    async fn converse(
        &mut self,
        mut responses: Streaming<DeltaDiscoveryResponse>,
        requests: mpsc::Sender<DeltaDiscoveryRequest>,
    ) -> Result<(), StreamError> {
        loop {
            tokio::select! {
                place = requests.reserve(), if !self.waiting.is_empty() => {
                    // Closed: the answer that says why is among the responses.
                    let Ok(place) = place else { return responses.message().await.map(drop).map_err(ended) };
                    if let Some(request) = self.waiting.pop_front() {
                        place.send(request);
                    }
                }
                message = responses.message() => match message.map_err(ended)? {
                    Some(response) => self.step(Event::Response(response))?,
                    None => return Ok(()),
                },
                woken = woken(&mut self.ends.commands, &mut self.commands_open, self.save_at),
                    if self.waiting.len() < WAITING => self.woken(woken),
            }
        }
    }

    /// A step of the session, and what it says to do.
    fn step(&mut self, event: Event) -> Result<(), session::Violation> {
        let is_command = matches!(event, Event::Command(_));
        let mut actions = self.advance(event);
        if !actions.forgotten.is_empty() {
            let forgotten = std::mem::take(&mut actions.forgotten);
            (self.ends.sink)(Push { changes: Changes { forgotten, ..Changes::default() }, ..Push::default() });
        }
        if let Some(push) = actions.push.take() {
            actions = self.apply(push);
            self.save_at.get_or_insert_with(|| clock::now() + SAVE_AFTER);
        } else if is_command {
            self.save_at.get_or_insert_with(|| clock::now() + SAVE_AFTER);
        }
        self.waiting.extend(actions.requests);
        actions.violation.map_or(Ok(()), Err)
    }

    fn advance(&mut self, event: Event) -> Actions {
        let blank = State::new(self.settings.node.clone(), false);
        let (state, actions) = session::step(std::mem::replace(&mut self.state, blank), event);
        self.state = state;
        actions
    }

    /// Puts a push in force; the answers to it.
    fn apply(&mut self, mut push: Push) -> Actions {
        let mesh = push.mesh;
        let mut all = std::mem::take(&mut push.refused);
        let refused = (self.ends.sink)(push);
        all.extend(refused.iter().cloned());
        for Refused { kind, name, reason } in &all {
            tracing::warn!(?kind, %name, reason = &**reason, "refused; the last good one stays in force");
        }
        self.backoff.reset();
        self.ends.status.send_modify(|status| {
            (status.connected, status.mesh, status.error) = (true, mesh, None);
            status.pushes += 1;
            if !all.is_empty() {
                status.refused = all;
            }
        });
        self.advance(Event::Applied(refused))
    }

    /// Saves beside the loop.
    fn save_soon(&mut self) {
        self.save_at = None;
        let Some(dir) = self.settings.state_dir.clone() else { return };
        let content = state::encode(&self.state, &self.settings.node);
        // A moment's work that nobody waits for; a save that overtakes another is corrected by the next change.
        tokio::task::spawn_blocking(move || said(state::save(&dir, &content)));
    }

    fn target(&self) -> Target {
        let settings = &self.settings;
        let identity = self.ends.identity.as_ref().map(|reader| reader.get());
        Target {
            address: settings.address.as_str().into(),
            server_name: settings.server_name.as_str().into(),
            root_cert: settings.root_cert.clone(),
            token: settings.token.clone(),
            sources: settings.node.addresses.as_slice().into(),
            certificate: identity.as_ref().map(|identity| identity.material.certificate().clone()),
            known: identity.and_then(|i| i.roots.get(&i.material.identity.trust_domain).cloned()),
            tls: self.tls.clone(),
        }
    }
}

/// What the state directory has is in force at once.
fn restore<S>(settings: &Settings, ends: &mut Ends<S>) -> State
where
    S: FnMut(Push) -> Vec<Refused>,
{
    let fresh = || State::new(settings.node.clone(), settings.state_dir.is_some());
    let Some(dir) = &settings.state_dir else { return fresh() };
    match state::load(dir, &settings.node) {
        Ok(Some((state, push))) => {
            let parts = push.changes.upserts.len();
            let refused = (ends.sink)(push);
            if !refused.is_empty() {
                tracing::warn!(
                    count = refused.len(),
                    "parts of the state directory are refused; pilot is asked for all"
                );
                return fresh();
            }
            tracing::info!(parts, dir = %dir.display(), "configuration restored");
            state
        }
        Ok(None) => fresh(),
        Err(error) => {
            tracing::warn!(%error, "no configuration restored");
            fresh()
        }
    }
}

fn said(saved: Result<(), state::StateError>) {
    if let Err(error) = saved {
        tracing::warn!(%error, "the configuration cannot be saved; a restart will need pilot");
    }
}

/// The next command, or that it is time to save.
async fn woken(commands: &mut mpsc::Receiver<Command>, open: &mut bool, save_at: Option<Instant>) -> Woken {
    loop {
        tokio::select! {
            command = commands.recv(), if *open => match command {
                Some(command) => return Woken::Command(command),
                None => *open = false,
            },
            () = clock::until(save_at) => return Woken::Save,
        }
    }
}

fn ended(status: tonic::Status) -> StreamError {
    StreamError::Ended { code: status.code(), message: status.message().to_owned() }
}
