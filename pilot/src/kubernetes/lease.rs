//! Who of several pilots does what only one may: whoever holds a Lease of the cluster.
//!
//! Clocks of machines differ, so the times in a Lease are never compared with ours: another's Lease has run out when
//! we have seen no change of it for as long as it says that it lasts. A holder that cannot renew stops leading well
//! before anybody else may begin.

use super::{
    call::{self, CallError},
    owner::Owner,
};
use k8s_openapi::{
    api::coordination::v1::Lease as Object,
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
    jiff,
};
use kube::Client;
use mesh_runtime::{clock, drain};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time::Instant};

/// How long a Lease lasts that is not renewed.
const LASTS: Duration = Duration::from_secs(15);
/// Longest that another's Lease is believed to last.
const LONGEST: Duration = Duration::from_secs(120);
/// A holder that could not renew for so long leads no more.
const LEADS: Duration = Duration::from_secs(10);
/// Between two attempts to get or to renew it.
const EVERY: Duration = Duration::from_secs(2);
/// For one attempt.
const ATTEMPT: Duration = Duration::from_secs(5);

/// A Lease that several pilots want.
pub(crate) struct Lease {
    client: Client,
    owner: Arc<Owner>,
    namespace: String,
    name: String,
    /// Who we are, different from every other pilot.
    holder: String,
    leading: watch::Sender<bool>,
    /// Another's Lease as we first saw it, and when.
    others: Option<(Record, Instant)>,
}

/// What a Lease says, as far as it tells whether it is alive.
#[derive(Debug, Clone, PartialEq)]
struct Record {
    holder: String,
    renewed: Option<MicroTime>,
    lasts: Duration,
}

/// What is to be done about a Lease.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// It is ours, or nobody's, or has run out.
    Take,
    /// It is another's.
    Leave,
}

impl Lease {
    /// The Lease of this name, and whether we hold it.
    pub(crate) fn new(
        client: Client,
        owner: Arc<Owner>,
        namespace: &str,
        name: &str,
        holder: &str,
    ) -> (Self, watch::Receiver<bool>) {
        let (leading, leads) = watch::channel(false);
        let (namespace, name, holder) = (namespace.to_owned(), name.to_owned(), holder.to_owned());
        (Lease { client, owner, namespace, name, holder, leading, others: None }, leads)
    }

    /// Wants it until drained, then gives it back.
    pub(crate) async fn run(mut self, drain: drain::Watch) {
        let mut rng = fastrand::Rng::new();
        let mut until: Option<Instant> = None;
        let drained = drain.signaled();
        tokio::pin!(drained);
        loop {
            let begun = clock::now();
            let given_up = until.unwrap_or(begun + ATTEMPT).min(begun + ATTEMPT);
            let attempt = tokio::select! {
                () = &mut drained => break,
                attempt = tokio::time::timeout_at(given_up, self.attempt()) => attempt,
            };
            match attempt {
                Ok(Ok(true)) => until = Some(begun + LEADS),
                Ok(Ok(false)) => until = None,
                Ok(Err(error)) => tracing::warn!(%error, lease = self.name, "the Lease cannot be had or renewed"),
                Err(_) => tracing::warn!(lease = self.name, "the Lease cannot be had or renewed: no answer in time"),
            }
            until = until.filter(|until| *until > clock::now());
            self.lead(until.is_some());
            let wait = EVERY.mul_f64(0.8 + 0.4 * rng.f64());
            let wake = until.unwrap_or(clock::now() + wait).min(clock::now() + wait);
            tokio::select! {
                () = &mut drained => break,
                () = tokio::time::sleep_until(wake) => {}
            }
        }
        let led = *self.leading.borrow();
        self.lead(false);
        if led && let Ok(Err(error)) = tokio::time::timeout(ATTEMPT, self.give_back()).await {
            tracing::warn!(%error, lease = self.name, "the Lease cannot be given back; it runs out by itself");
        }
    }

    fn lead(&self, leads: bool) {
        let changed = self.leading.send_if_modified(|led| std::mem::replace(led, leads) != leads);
        if changed {
            tracing::info!(lease = self.name, holder = self.holder, leads, "leadership");
        }
    }

    /// Whether we hold it now.
    async fn attempt(&mut self) -> Result<bool, CallError> {
        let found = match call::get::<Object>(&self.client, &self.path(true)).await {
            Ok(found) => found,
            Err(CallError::Missing) => {
                return taken(self.owner.create(&self.path(false), self.object(None)).await);
            }
            Err(error) => return Err(error),
        };
        match self.judge(Record::of(&found), clock::now()) {
            Step::Leave => Ok(false),
            Step::Take => taken(self.owner.replace(&self.path(true), self.object(Some(found))).await),
        }
    }

    fn judge(&mut self, record: Record, now: Instant) -> Step {
        if record.holder.is_empty() || record.holder == self.holder {
            return Step::Take;
        }
        match &self.others {
            Some((seen, since)) if *seen == record => match now.saturating_duration_since(*since) < record.lasts {
                true => Step::Leave,
                false => Step::Take,
            },
            _ => {
                self.others = Some((record, now));
                Step::Leave
            }
        }
    }

    /// The Lease as ours, in the place of this one.
    fn object(&self, found: Option<Object>) -> Value {
        let now = jiff::Timestamp::try_from(clock::system_now()).unwrap_or_default();
        let now = json!(MicroTime(now));
        let Object { metadata, spec } = found.unwrap_or_default();
        let spec = spec.unwrap_or_default();
        let was_ours = spec.holder_identity.as_ref() == Some(&self.holder);
        let acquired = spec.acquire_time.filter(|_| was_ours).map_or(now.clone(), |time| json!(time));
        let transitions = spec.lease_transitions.unwrap_or(0).saturating_add(i32::from(!was_ours));
        self.with_spec(
            metadata,
            &json!({
                "holderIdentity": self.holder,
                "leaseDurationSeconds": LASTS.as_secs(),
                "acquireTime": acquired,
                "renewTime": now,
                "leaseTransitions": transitions,
            }),
        )
    }

    /// Who owns it already, or reads something from its labels, goes on doing so.
    fn with_spec(&self, metadata: ObjectMeta, spec: &Value) -> Value {
        let (name, namespace) = (Some(self.name.clone()), Some(self.namespace.clone()));
        json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": ObjectMeta { name, namespace, ..metadata },
            "spec": spec,
        })
    }

    async fn give_back(&self) -> Result<(), CallError> {
        let found: Object = call::get(&self.client, &self.path(true)).await?;
        let spec = found.spec.unwrap_or_default();
        if spec.holder_identity.as_ref() != Some(&self.holder) {
            return Ok(());
        }
        let nobody =
            json!({"holderIdentity": "", "leaseDurationSeconds": 1, "leaseTransitions": spec.lease_transitions});
        let object = self.with_spec(found.metadata, &nobody);
        call::replace::<Value>(&self.client, &self.path(true), &object).await.map(drop)
    }

    fn path(&self, named: bool) -> String {
        let leases = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", self.namespace);
        if named { format!("{leases}/{}", self.name) } else { leases }
    }
}

/// Whoever was slower has not got it.
fn taken(written: Result<(), CallError>) -> Result<bool, CallError> {
    match written {
        Ok(()) => Ok(true),
        Err(CallError::Conflict) => Ok(false),
        Err(error) => Err(error),
    }
}

impl Record {
    fn of(object: &Object) -> Record {
        let spec = object.spec.clone().unwrap_or_default();
        let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        Record {
            holder: spec.holder_identity.unwrap_or_default(),
            renewed: spec.renew_time,
            lasts: seconds.map_or(LASTS, Duration::from_secs).min(LONGEST),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::fake::FakeServer;

    const PATH: &str = "/apis/coordination.k8s.io/v1/namespaces/istio-system/leases/ferromesh-test";

    fn want(server: &FakeServer, holder: &str) -> (watch::Receiver<bool>, drain::Signal, tokio::task::JoinHandle<()>) {
        let (lease, leads) =
            Lease::new(server.client(), Owner::new(server.client(), None), "istio-system", "ferromesh-test", holder);
        let (signal, drain) = drain::channel();
        (leads, signal, tokio::spawn(lease.run(drain)))
    }

    fn holder(server: &FakeServer) -> (String, i64) {
        let spec = server.object(PATH).unwrap()["spec"].clone();
        (spec["holderIdentity"].as_str().unwrap().to_owned(), spec["leaseTransitions"].as_i64().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn one_leads_and_at_its_drain_the_next_does_at_once() {
        let server = FakeServer::default();
        let (mut first, signal, task) = want(&server, "a");
        first.wait_for(|leads| *leads).await.unwrap();
        let (mut second, _keep, _task) = want(&server, "b");
        tokio::time::sleep(Duration::from_secs(120)).await;
        assert_eq!((*first.borrow(), *second.borrow()), (true, false));
        assert_eq!(holder(&server), ("a".to_owned(), 1));
        let drained = clock::now();
        signal.drain(Duration::from_secs(1)).await;
        task.await.unwrap();
        second.wait_for(|leads| *leads).await.unwrap();
        assert!(clock::since(drained) < 2 * EVERY, "{:?}", clock::since(drained));
        assert_eq!(holder(&server), ("b".to_owned(), 2));
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_crash_the_next_leads_when_the_lease_has_run_out() {
        let server = FakeServer::default();
        let (mut first, _signal, task) = want(&server, "a");
        first.wait_for(|leads| *leads).await.unwrap();
        let (mut second, _keep, _task) = want(&server, "b");
        tokio::time::sleep(Duration::from_secs(5)).await;
        task.abort();
        let crashed = clock::now();
        second.wait_for(|leads| *leads).await.unwrap();
        let waited = clock::since(crashed);
        assert!(waited > LASTS - 2 * EVERY && waited < LASTS + 2 * EVERY, "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_cannot_renew_stops_leading_before_another_may_begin() {
        let server = FakeServer::default();
        let (mut first, _signal, _task) = want(&server, "a");
        first.wait_for(|leads| *leads).await.unwrap();
        server.hang();
        let since = clock::now();
        first.wait_for(|leads| !*leads).await.unwrap();
        assert!(clock::since(since) <= LEADS, "{:?}", clock::since(since));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_another_took_is_not_led_any_more() {
        let server = FakeServer::default();
        let (mut first, _signal, _task) = want(&server, "a");
        first.wait_for(|leads| *leads).await.unwrap();
        let mut lease = server.object(PATH).unwrap();
        lease["spec"]["holderIdentity"] = json!("c");
        server.put(PATH, Some(lease));
        first.wait_for(|leads| !*leads).await.unwrap();
        assert_eq!(holder(&server), ("c".to_owned(), 1));
    }
}
