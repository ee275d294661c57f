//! What an API server is told about the webhooks of this control plane: which authority vouches for them, and, once they
//! answer, that nothing is stored without their leave.
//!
//! Of each configuration that carries this revision's label one field of each entry is written, and only where it differs:
//! everything else in it belongs to whoever installed it. Who writes the field too is not fought: each attempt on the same
//! object waits longer than the one before. The failure policy goes from Ignore to Fail, and never back.

mod decide;

use super::{Metrics, validate::ALWAYS_REFUSED};
use crate::kubernetes::call::{self, CallError};
use decide::{Decision, Kind, Own};
use futures_util::{StreamExt, stream};
use kube::{
    Api, Client,
    api::DynamicObject,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event},
    },
};
use mesh_runtime::{backoff::Backoff, clock, drain};
use serde::de::IgnoredAny;
use serde_json::json;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{sync::watch, time::Instant};

/// Between attempts on one object.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Whose field has stayed right for so long is not at odds with anybody.
const PEACE: Duration = Duration::from_secs(300);
/// Where trials are made; nothing is stored there.
const GATEWAYS: &str = "gateways?dryRun=All";

/// Writes them; see [`Registrar::run`].
pub(crate) struct Registrar {
    client: Client,
    own: Own,
    bundle: watch::Receiver<Arc<str>>,
    metrics: Metrics,
    seen: BTreeMap<(Kind, String), Seen>,
    /// The webhooks have been seen to refuse.
    answers: bool,
    probe: Backoff,
    probe_due: Instant,
    random: fastrand::Rng,
}

/// One configuration.
struct Seen {
    object: DynamicObject,
    waits: Backoff,
    due: Instant,
    written: Option<Instant>,
}

impl Registrar {
    /// `bundle`: the roots that vouch for pilot's own certificate, in PEM.
    pub(crate) fn new(
        client: Client,
        (namespace, revision): (&str, &str),
        bundle: watch::Receiver<Arc<str>>,
        metrics: Metrics,
    ) -> Self {
        Registrar {
            client,
            own: Own { namespace: namespace.to_owned(), revision: revision.to_owned() },
            bundle,
            metrics,
            seen: BTreeMap::new(),
            answers: false,
            probe: Backoff::new(Duration::from_secs(1), LONGEST_WAIT),
            probe_due: clock::now(),
            random: fastrand::Rng::new(),
        }
    }

    /// Follows the configurations until drained.
    ///
    /// # Errors
    /// None; what fails is said and tried again.
    pub(crate) async fn run(mut self, drain: drain::Watch) -> anyhow::Result<()> {
        let follow = |kind: Kind| {
            let wanted = watcher::Config::default().labels(&format!("istio.io/rev={}", self.own.revision));
            let events = watcher::watcher(self.api(kind), wanted).default_backoff();
            events.map(move |event| (kind, event)).boxed()
        };
        let mut events = stream::select_all([follow(Kind::Mutating), follow(Kind::Validating)]);
        let mut signaled = std::pin::pin!(drain.signaled());
        let mut bundles = self.bundle.clone();
        loop {
            let due = self.work().await;
            tokio::select! {
                () = &mut signaled => return Ok(()),
                event = events.next() => match event {
                    Some((kind, Ok(event))) => self.take(kind, event),
                    Some((kind, Err(error))) => {
                        tracing::warn!(kind = kind.word(), %error, "configurations of webhooks cannot be watched");
                    }
                    // It begins again by itself, for good.
                    None => return Ok(()),
                },
                changed = bundles.changed() => if changed.is_err() {
                    // The authority ends with the process.
                    signaled.await;
                    return Ok(());
                },
                () = clock::until(due) => {}
            }
        }
    }

    fn take(&mut self, kind: Kind, event: Event<DynamicObject>) {
        match event {
            Event::Apply(object) | Event::InitApply(object) => {
                let name = object.metadata.name.clone().unwrap_or_default();
                let seen = self.seen.entry((kind, name)).or_insert_with(|| Seen {
                    object: object.clone(),
                    waits: Backoff::new(FIRST_WAIT, LONGEST_WAIT),
                    due: clock::now(),
                    written: None,
                });
                seen.object = object;
            }
            Event::Delete(object) => {
                self.seen.remove(&(kind, object.metadata.name.unwrap_or_default()));
            }
            Event::Init => self.seen.retain(|(other, _), _| *other != kind),
            Event::InitDone => {}
        }
    }

    /// Does what is due. When something is due again, if anything is.
    async fn work(&mut self) -> Option<Instant> {
        let bundle = self.bundle.borrow().clone();
        let mut due: Option<Instant> = None;
        let mut sooner = |at: Instant| due = Some(due.map_or(at, |known| known.min(at)));
        if !self.answers && self.waits_for_answers(&bundle) {
            if self.probe_due <= clock::now() {
                self.answers = self.do_they_answer().await;
                self.probe_due = clock::now() + self.probe.next(&mut self.random);
            }
            sooner(self.probe_due);
        }
        for key in self.seen.keys().cloned().collect::<Vec<_>>() {
            let Some(decision) = self.decide(&key, &bundle) else { continue };
            let now = clock::now();
            let seen = self.seen.get_mut(&key).expect("the decision is about it");
            if seen.due > now {
                sooner(seen.due);
                continue;
            }
            if seen.written.is_some_and(|at| clock::since(at) > PEACE) {
                seen.waits.reset();
            }
            seen.written = Some(now);
            seen.due = now + seen.waits.next(&mut self.random);
            sooner(seen.due);
            let retried = seen.waits.attempts() > 1;
            self.write(&key, decision, retried).await;
        }
        due
    }

    fn decide(&self, key: &(Kind, String), bundle: &str) -> Option<Decision> {
        let seen = self.seen.get(key)?;
        decide::decide(key.0, &seen.object, &self.own, bundle, self.answers)
    }

    /// Whether there is one whose failure policy is to change and whose authority is known already.
    fn waits_for_answers(&self, bundle: &str) -> bool {
        let ready = |(key, seen): (&(Kind, String), &Seen)| {
            let authority = decide::decide(key.0, &seen.object, &self.own, bundle, false);
            authority.is_none() && decide::decide(key.0, &seen.object, &self.own, bundle, true).is_some()
        };
        self.seen.iter().any(ready)
    }

    async fn write(&mut self, (kind, name): &(Kind, String), decision: Decision, retried: bool) {
        let Metrics { patch_attempts, patch_retries, patch_failures, .. } = &self.metrics;
        patch_attempts.with_label_values(&[name]).inc();
        if retried {
            patch_retries.with_label_values(&[name]).inc();
        }
        let resource = kind.resource();
        let path = format!("/apis/{}/{}/{name}", resource.api_version, resource.plural);
        match call::patch::<DynamicObject>(&self.client, &path, &decision.patch).await {
            Ok(object) => {
                tracing::info!(kind = kind.word(), name, what = decision.what, "told the API server about webhooks");
                if let Some(seen) = self.seen.get_mut(&(*kind, name.clone())) {
                    seen.object = object;
                }
            }
            // Somebody was faster; the watch shows what is there now.
            Err(error @ (CallError::Missing | CallError::Conflict | CallError::Refused(_))) => {
                patch_failures.with_label_values(&[name, "conflict"]).inc();
                tracing::debug!(name, %error, "configuration of webhooks has changed meanwhile");
            }
            Err(error) => {
                patch_failures.with_label_values(&[name, "failed"]).inc();
                tracing::warn!(kind = kind.word(), name, %error, "the API server cannot be told about webhooks");
            }
        }
    }

    /// Asks the API server about a Gateway that is always refused, without storing it. With the revision's label and
    /// without it, as either may be what is looked at.
    async fn do_they_answer(&self) -> bool {
        let version = "networking.istio.io/v1";
        let path = format!("/apis/{version}/namespaces/{}/{GATEWAYS}", self.own.namespace);
        for labels in [json!({ "istio.io/rev": self.own.revision }), json!({})] {
            let gateway = json!({
                "apiVersion": version,
                "kind": "Gateway",
                "metadata": {
                    "name": "invalid-gateway",
                    "namespace": self.own.namespace,
                    "labels": labels,
                    "annotations": { ALWAYS_REFUSED: "true" },
                },
                "spec": {},
            });
            match call::create::<IgnoredAny>(&self.client, &path, &gateway).await {
                // Without the kind there is nothing to be asked about.
                Err(CallError::Missing) => return true,
                Err(error) if error.to_string().contains("denied the request") => return true,
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, "the API server does not reach the webhooks yet"),
            }
        }
        false
    }

    fn api(&self, kind: Kind) -> Api<DynamicObject> {
        Api::all_with(self.client.clone(), &kind.resource())
    }
}
