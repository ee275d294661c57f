//! Follows the objects of one resource: lists them, watches what changes, begins anew where the API server has forgotten.
//!
//! Where the API server can, the list is the beginning of the watch; else it comes in pages. What was known and is in no
//! new list is gone. While the API server is away nothing is: what was known stays.

use super::{
    resource::{Ask, Resource},
    wire::{self, Event, Lines, Page, Text, Trouble},
};
use http::{Request, header};
use kube::{Client, client::Body};
use mesh_config::{crd::node::Node, name::NamespacedName};
use mesh_runtime::{backoff::Backoff, clock};
use std::{collections::BTreeSet, convert::Infallible, future::Future, time::Duration};

/// Changes that are handed over together at most.
const TOGETHER: usize = 256;

/// A watch lasts between half of this and all: then the API server ends it, and it is asked for again.
const WATCH: Duration = Duration::from_secs(580);
/// Until something comes. An API server sends a bookmark every minute.
const SILENCE: Duration = Duration::from_secs(150);
/// Between attempts: around the first wait, and the longest, which is what changes wait for when an API server comes back.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));

/// What has been seen, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen<T> {
    /// It is there, and like this.
    Is(T),
    /// It is not there any more.
    Gone(NamespacedName),
    /// All that was there has been told.
    Listed,
}

/// Who is told.
pub(super) trait Output: Send {
    /// What is made of an object.
    type Item: Send;

    /// Reads an object of a version of its API. `None`: it cannot be read; what was known of it stays.
    fn read(&mut self, name: &NamespacedName, object: Node, version: &str) -> Option<Self::Item>;

    /// Takes what was seen, when there is room for it.
    fn put(&mut self, seen: Vec<Seen<Self::Item>>) -> impl Future<Output = ()> + Send;

    /// Why nothing is seen; `None`: that is over. An object that nobody can name is such a reason too.
    fn trouble(&mut self, trouble: Option<String>) -> impl Future<Output = ()> + Send;
}

/// How what is there is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Means {
    /// As the beginning of a watch.
    Stream,
    /// In pages.
    Pages,
    /// In one page: the API server forgets its pages before the last one is read.
    Whole,
}

/// One resource, and how far it is known.
pub(super) struct Reflector<O> {
    client: Client,
    resource: Resource,
    output: O,
    known: BTreeSet<NamespacedName>,
    /// The state of the API server up to which it is known.
    from: Option<String>,
    /// Place of the version that is served.
    version: usize,
    means: Means,
    listed: bool,
    /// It was told that an object is too long.
    too_long: bool,
    rng: fastrand::Rng,
}

impl<O: Output> Reflector<O> {
    pub(super) fn new(client: Client, resource: Resource, output: O) -> Self {
        Reflector {
            client,
            resource,
            output,
            known: BTreeSet::new(),
            from: None,
            version: 0,
            means: Means::Stream,
            listed: false,
            too_long: false,
            rng: fastrand::Rng::new(),
        }
    }

    /// Follows it for good. May be dropped and called again.
    pub(super) async fn run(&mut self) -> Infallible {
        let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
        loop {
            let begin = clock::now();
            let Err(trouble) = self.round(&mut backoff).await else { continue };
            match &trouble {
                Trouble::Gone => self.from = None,
                Trouble::Unreadable(_) => self.from = None,
                Trouble::Refused(_) if self.means == Means::Stream && self.from.is_none() => {
                    self.means = Means::Pages;
                    continue;
                }
                Trouble::Missing => {
                    self.from = None;
                    self.version = (self.version + 1) % self.resource.versions.len();
                    if self.version != 0 {
                        continue;
                    }
                }
                Trouble::Silent(_) if self.means == Means::Stream && self.from.is_none() => self.means = Means::Pages,
                Trouble::Refused(_) | Trouble::Forbidden(_) | Trouble::Failed(_) | Trouble::Silent(_) => {}
            }
            tracing::debug!(resource = self.resource.plural, %trouble, after = ?clock::since(begin), "not watched");
            // A connection that breaks once is nothing to tell.
            if backoff.attempts() > 0 {
                self.output.trouble(Some(trouble.to_string())).await;
            }
            tokio::time::sleep(backoff.next(&mut self.rng)).await;
        }
    }

    /// It is no longer served: all of its objects are gone.
    pub(super) async fn forget(&mut self) {
        self.from = None;
        self.version = 0;
        let known = std::mem::take(&mut self.known);
        let mut seen: Vec<_> = known.into_iter().map(Seen::Gone).collect();
        if !std::mem::replace(&mut self.listed, true) {
            seen.push(Seen::Listed);
        }
        self.output.trouble(None).await;
        self.output.put(seen).await;
    }

    /// Until the watch ends.
    async fn round(&mut self, backoff: &mut Backoff) -> Result<(), Trouble> {
        if self.from.is_none() && self.means != Means::Stream {
            self.pages().await?;
            self.works(backoff).await;
        }
        self.watch(backoff).await
    }

    async fn works(&mut self, backoff: &mut Backoff) {
        if backoff.attempts() > 0 {
            backoff.reset();
            self.output.trouble(None).await;
        }
    }

    async fn watch(&mut self, backoff: &mut Backoff) -> Result<(), Trouble> {
        let begin = clock::now();
        let lasting = WATCH.mul_f64(0.5 + self.rng.f64() / 2.0);
        let body = self.ask(&Ask::Watch { from: self.from.as_deref(), lasting }).await?;
        let mut lines = Lines::of(body);
        let mut initial = self.from.is_none().then(BTreeSet::new);
        if initial.is_none() {
            self.works(backoff).await;
        }
        if std::mem::take(&mut self.too_long) {
            // It may be shorter by now; if not, its next change tells.
            self.output.trouble(None).await;
        }
        loop {
            let next = match in_time(lines.next()).await {
                // Nothing has changed, or the connection is dead and nobody has said so: asking again tells.
                Err(Trouble::Silent(_)) if initial.is_none() => return Ok(()),
                next => next??,
            };
            let Some(first) = next else {
                return match initial.is_none() && clock::since(begin) > BACKOFF.1 {
                    true => Ok(()),
                    false => Err(Trouble::Failed("it ends the watch early".to_owned())),
                };
            };
            let (seen, trouble) = self.take(first, &mut lines, &mut initial).await;
            self.output.put(seen).await;
            trouble?;
            if initial.is_none() {
                self.works(backoff).await;
            }
        }
    }

    /// What the line says, and those that are here already.
    async fn take(
        &mut self,
        first: Text,
        lines: &mut Lines,
        initial: &mut Option<BTreeSet<NamespacedName>>,
    ) -> (Vec<Seen<O::Item>>, Result<(), Trouble>) {
        let mut seen = Vec::new();
        let mut next = Some(first);
        while let Some(text) = next {
            let read = match text {
                Text::Whole(line) => wire::event(&line),
                Text::TooLong => {
                    let message = format!("an object is longer than {} bytes, and is not read", wire::MAX_EVENT);
                    self.output.trouble(Some(message)).await;
                    self.too_long = true;
                    next = lines.received();
                    continue;
                }
            };
            match read {
                Ok(event) => self.happened(event, initial, &mut seen),
                Err(trouble) => return (seen, Err(trouble)),
            }
            next = if seen.len() < TOGETHER { lines.received() } else { None };
        }
        (seen, Ok(()))
    }

    fn happened(
        &mut self,
        event: Event,
        initial: &mut Option<BTreeSet<NamespacedName>>,
        seen: &mut Vec<Seen<O::Item>>,
    ) {
        let version = match event {
            Event::Is(object) => {
                let version = wire::version(&object);
                self.is(object, initial.as_mut(), seen);
                version
            }
            Event::Gone(object) => {
                let name = name(&object);
                self.known.remove(&name);
                if let Some(fresh) = initial {
                    fresh.remove(&name);
                }
                seen.push(Seen::Gone(name));
                wire::version(&object)
            }
            Event::Bookmark { version, all_sent } => {
                if all_sent && let Some(fresh) = initial.take() {
                    self.all_seen(fresh, seen);
                }
                Some(version)
            }
        };
        // Before all was sent there is nothing to go on from.
        if initial.is_none() && version.is_some() {
            self.from = version;
        }
    }

    fn is(&mut self, object: Node, fresh: Option<&mut BTreeSet<NamespacedName>>, seen: &mut Vec<Seen<O::Item>>) {
        let name = name(&object);
        let read = self.output.read(&name, object, self.resource.versions[self.version]);
        seen.extend(read.map(Seen::Is));
        if let Some(fresh) = fresh {
            fresh.insert(name.clone());
        }
        self.known.insert(name);
    }

    /// Ends a list: what is not in it is gone.
    fn all_seen(&mut self, fresh: BTreeSet<NamespacedName>, seen: &mut Vec<Seen<O::Item>>) {
        seen.extend(self.known.difference(&fresh).cloned().map(Seen::Gone));
        self.known = fresh;
        self.listed = true;
        seen.push(Seen::Listed);
    }

    async fn pages(&mut self) -> Result<(), Trouble> {
        let mut fresh = BTreeSet::new();
        let mut after: Option<String> = None;
        loop {
            let ask = Ask::Page { after: after.as_deref(), whole: self.means == Means::Whole };
            let page = match self.page(&ask, &mut fresh).await {
                Ok(page) => page,
                Err(Trouble::Gone) if after.is_some() => {
                    self.means = Means::Whole;
                    return Err(Trouble::Gone);
                }
                Err(trouble) => return Err(trouble),
            };
            after = page.after;
            if after.is_none() {
                let mut seen = Vec::new();
                self.all_seen(fresh, &mut seen);
                self.from = Some(page.version);
                self.output.put(seen).await;
                return Ok(());
            }
        }
    }

    async fn page(&mut self, ask: &Ask<'_>, fresh: &mut BTreeSet<NamespacedName>) -> Result<Page, Trouble> {
        let body = self.ask(ask).await?;
        let text = in_time(wire::page_text(body)).await??;
        let mut seen = Vec::new();
        let page = wire::page(&text, &mut |object| self.is(object, Some(&mut *fresh), &mut seen));
        self.output.put(seen).await;
        page
    }

    /// Asks, and waits for the beginning of the answer.
    async fn ask(&self, ask: &Ask<'_>) -> Result<Body, Trouble> {
        let accept = match (self.resource.metadata_alone, ask) {
            (false, _) => "application/json",
            (true, Ask::Watch { .. }) => "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
            (true, Ask::Page { .. }) => "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
        };
        let path = self.resource.path(self.resource.versions[self.version], ask);
        let request = Request::get(path).header(header::ACCEPT, accept).body(Body::empty());
        let request = request.map_err(|error| Trouble::Failed(error.to_string()))?;
        let answer = in_time(self.client.send(request)).await?.map_err(|error| Trouble::Failed(chain(&error)))?;
        match answer.status() {
            http::StatusCode::OK => Ok(answer.into_body()),
            status => Err(Trouble::of(status, answer.into_body()).await),
        }
    }
}

async fn in_time<T>(what: impl Future<Output = T>) -> Result<T, Trouble> {
    tokio::time::timeout(SILENCE, what).await.map_err(|_| Trouble::Silent(SILENCE))
}

/// Kube's errors hide their reasons.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(reason) = next {
        let reason_text = reason.to_string();
        if !text.ends_with(&reason_text) {
            text = format!("{text}: {reason_text}");
        }
        next = reason.source();
    }
    text
}

/// Which object it is; both words are empty where it does not say.
fn name(object: &Node) -> NamespacedName {
    let text = |key: &str| object.get("metadata").and_then(|m| m.get(key)).and_then(Node::as_str).unwrap_or_default();
    NamespacedName::new(text("namespace"), text("name"))
}
