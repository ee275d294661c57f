//! The authority's key material in Secrets of pilot's own namespace: `cacerts`, made by somebody else, or else
//! `istio-ca-secret`, which the first pilot makes. Pilots that start at once agree, as the API server takes one alone.

use super::{
    call::{self, CallError},
    rotation_secret::{self, RotationSecret},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use kube::Client;
use mesh_ca::{
    Failure,
    follow::{Held, Place, Reading},
    root::Root,
    store::{
        StoreError, Stored,
        file::{CERTIFICATE, CHAIN, KEY, ROOTS},
    },
};
use mesh_config::root_rotation::{SECRET, State, TYPE, Wish};
use mesh_runtime::{backoff::Backoff, clock::WallClock};
use serde_json::{Value, json};
use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

/// Made by somebody else.
const GIVEN: &str = "cacerts";
/// Made by us.
const OWN: &str = "istio-ca-secret";
/// What is said of a root that has taken the place of one that had ended.
pub(crate) const RECOVERED: &str = "the root had ended, and another signs in its place";

/// Between two looks.
const LOOK: Duration = Duration::from_secs(5);
/// Between two attempts to reach the API server at the start: the first wait, and the longest.
const WAIT: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// The Secrets of one namespace.
pub(crate) struct RootSecrets {
    client: Client,
    namespace: String,
    /// [`GIVEN`] was there. When it goes, the root that is in force stays: nobody has said that another should sign.
    given: AtomicBool,
    rotation: RotationSecret,
}

/// Why there is nothing to be had from a Secret.
pub(crate) enum Problem {
    Call(&'static str, CallError),
    Content(&'static str, String),
    Rotation(rotation_secret::Problem),
}

impl RootSecrets {
    pub(crate) fn new(client: Client, namespace: &str) -> Self {
        let rotation = RotationSecret::new(client.clone(), namespace);
        RootSecrets { client, namespace: namespace.to_owned(), given: AtomicBool::new(false), rotation }
    }

    /// The root that is there, or was made because there was none, with what is trusted beside it. Waits for an API server
    /// that cannot be asked, and, where the root of our own making has ended, until somebody asks for another.
    ///
    /// # Errors
    /// When a Secret is there and cannot be used, pilot may not read or make one, or nothing can be made.
    pub(crate) async fn open_or_create(
        &self,
        make: impl Fn() -> Result<Stored, Failure>,
        clock: &WallClock,
    ) -> Result<(Root, Held), Failure> {
        let (mut backoff, mut rng) = (Backoff::new(WAIT.0, WAIT.1), fastrand::Rng::new());
        let mut told = false;
        loop {
            let problem = match self.look().await {
                Ok(Some(held)) => match Root::from_stored(&held.stored, clock.now()) {
                    Err(Failure::Expired(_)) if !self.is_given() => match self.recover(&make).await {
                        Ok(true) | Err(Problem::Call(_, CallError::Conflict)) => continue,
                        Ok(false) => {
                            if !std::mem::replace(&mut told, true) {
                                let namespace = &self.namespace;
                                tracing::error!(
                                    namespace,
                                    secret = OWN,
                                    "the root has ended, and pilot waits: meshctl ca recover makes another"
                                );
                            }
                            tokio::time::sleep(LOOK).await;
                            continue;
                        }
                        Err(problem) => problem,
                    },
                    root => return Ok((root?, held)),
                },
                Ok(None) => match self.create(&make()?).await {
                    // Read again, also what was made just now: what counts is what is there.
                    Ok(()) | Err(Problem::Call(_, CallError::Conflict)) => continue,
                    Err(problem) => problem,
                },
                Err(problem) => problem,
            };
            match problem {
                Problem::Call(_, CallError::Failed(reason)) => {
                    let wait = backoff.next(&mut rng);
                    tracing::warn!(reason, ?wait, "the authority's root cannot be read; will try again");
                    tokio::time::sleep(wait).await;
                }
                problem => return Err(self.error(problem).into()),
            }
        }
    }

    /// Whether somebody else's root signs.
    pub(crate) fn is_given(&self) -> bool {
        self.given.load(Ordering::Relaxed)
    }

    /// Where a rotation is written down.
    pub(crate) fn rotation(&self) -> &RotationSecret {
        &self.rotation
    }

    /// The root of our own making, as it is there.
    pub(crate) async fn own(&self) -> Result<Option<Stored>, Problem> {
        self.get(OWN).await
    }

    /// Puts another in the place of our own, if nobody has changed that since it was read.
    pub(crate) async fn replace_own(&self, before: &Stored, by: &Stored) -> Result<(), Problem> {
        let path = format!("{}/{OWN}", self.path());
        let wrong = |error| Problem::Call(OWN, error);
        let mut object: Value = call::get(&self.client, &path).await.map_err(wrong)?;
        if stored(&object).as_ref() != Ok(before) {
            return Err(Problem::Call(OWN, CallError::Conflict));
        }
        for (key, value) in data(by).as_object().into_iter().flatten() {
            object["data"][key] = value.clone();
        }
        call::replace::<serde::de::IgnoredAny>(&self.client, &path, &object).await.map_err(wrong)?;
        tracing::info!(secret = OWN, namespace = self.namespace, "another root took the place of the one before");
        Ok(())
    }

    /// Another root in the place of one that has ended, if that is asked for.
    async fn recover(&self, make: impl Fn() -> Result<Stored, Failure>) -> Result<bool, Problem> {
        let rotation = self.rotation.read().await.map_err(Problem::Rotation)?;
        let Some(request) = rotation.asked().filter(|request| request.wish == Wish::Recover).cloned() else {
            return Ok(false);
        };
        let Some(before) = self.own().await? else { return Ok(true) };
        let made = make().map_err(|failure| Problem::Content(OWN, failure.to_string()))?;
        self.replace_own(&before, &made).await?;
        let state = State { handled: request.id, said: RECOVERED.to_owned(), ..State::default() };
        self.rotation.write(rotation, &state, None).await.map_err(Problem::Rotation)?;
        Ok(true)
    }

    async fn look(&self) -> Result<Option<Held>, Problem> {
        let (stored, given) = match self.get(GIVEN).await? {
            Some(given) => {
                self.given.store(true, Ordering::Relaxed);
                (given, true)
            }
            None if self.is_given() => return Ok(None),
            None => match self.get(OWN).await? {
                Some(own) => (own, false),
                None => return Ok(None),
            },
        };
        let rotation = self.rotation.read().await.map_err(Problem::Rotation)?;
        let beside = rotation.beside();
        let mut beside = beside.map_err(|reason| Problem::Rotation(rotation_secret::Problem::Content(reason)))?;
        // What waits is to follow our own root alone.
        beside.next = beside.next.filter(|_| !given);
        Ok(Some(Held { stored, beside }))
    }

    async fn get(&self, name: &'static str) -> Result<Option<Stored>, Problem> {
        match call::get::<Value>(&self.client, &format!("{}/{name}", self.path())).await {
            Ok(secret) => stored(&secret).map(Some).map_err(|reason| Problem::Content(name, reason)),
            Err(CallError::Missing) => Ok(None),
            Err(error) => Err(Problem::Call(name, error)),
        }
    }

    async fn create(&self, stored: &Stored) -> Result<(), Problem> {
        let secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": OWN, "namespace": self.namespace},
            "type": TYPE,
            "data": data(stored),
        });
        let made = call::create::<serde::de::IgnoredAny>(&self.client, &self.path(), &secret).await;
        made.map_err(|error| Problem::Call(OWN, error))?;
        tracing::info!(secret = OWN, namespace = self.namespace, "made a self-signed root");
        Ok(())
    }

    fn path(&self) -> String {
        format!("/api/v1/namespaces/{}/secrets", self.namespace)
    }

    pub(crate) fn error(&self, problem: Problem) -> StoreError {
        let (name, reason) = match problem {
            Problem::Call(name, error) => (name, error.to_string()),
            Problem::Content(name, reason) => (name, reason),
            Problem::Rotation(rotation_secret::Problem::Call(error)) => (SECRET, error.to_string()),
            Problem::Rotation(rotation_secret::Problem::Content(reason)) => (SECRET, reason),
        };
        StoreError { path: format!("Secret {}/{name}", self.namespace).into(), error: io::Error::other(reason) }
    }
}

impl Place for RootSecrets {
    fn read(&self) -> Reading<'_> {
        Box::pin(async { self.look().await.map_err(|problem| self.error(problem)) })
    }

    fn name(&self) -> String {
        let name = if self.is_given() { GIVEN } else { OWN };
        format!("Secret {}/{name}", self.namespace)
    }

    fn every(&self) -> Duration {
        LOOK
    }
}

/// The key material of a Secret, under the names of Istio or under those of a TLS Secret.
fn stored(secret: &Value) -> Result<Stored, String> {
    let has = |name: &str| !secret["data"][name].is_null();
    let names = if has(CERTIFICATE) || !has("tls.crt") {
        (CERTIFICATE, KEY, CHAIN, ROOTS)
    } else {
        ("tls.crt", "tls.key", "tls.crt", "ca.crt")
    };
    let text = |name: &str| text(&secret["data"][name], name);
    let needed = |name: &str| text(name)?.ok_or_else(|| format!("it has no key {name}"));
    Ok(Stored {
        certificate: needed(names.0)?,
        key: needed(names.1)?.into(),
        chain: text(names.2)?.unwrap_or_default(),
        roots: text(names.3)?.unwrap_or_default(),
    })
}

fn data(stored: &Stored) -> Value {
    let encoded = |text: &str| BASE64_STANDARD.encode(text);
    json!({
        CERTIFICATE: encoded(&stored.certificate),
        KEY: encoded(stored.key.text()),
        CHAIN: encoded(&stored.chain),
        ROOTS: encoded(&stored.roots),
    })
}

/// The text of a Secret's key; `None` when it is not there.
pub(super) fn text(value: &Value, name: &str) -> Result<Option<String>, String> {
    if value.is_null() {
        return Ok(None);
    }
    let bytes = value.as_str().and_then(|encoded| BASE64_STANDARD.decode(encoded).ok());
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    text.map(Some).ok_or_else(|| format!("its key {name} is no text"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::fake::FakeServer;
    use mesh_ca::root::self_signed;
    use mesh_config::{
        identity::TrustDomain,
        root_rotation::{Phase, REQUEST, STATE},
    };
    use std::collections::BTreeMap;

    const SECRETS: &str = "/api/v1/namespaces/istio-system/secrets";

    fn made() -> Result<Stored, Failure> {
        self_signed(&TrustDomain::default(), mesh_runtime::clock::system_now())
    }

    fn secrets(server: &FakeServer) -> RootSecrets {
        RootSecrets::new(server.client(), "istio-system")
    }

    async fn open(secrets: &RootSecrets) -> Result<Stored, Failure> {
        let opened = secrets.open_or_create(made, &WallClock::system()).await;
        opened.map(|(_, held)| held.stored)
    }

    async fn read(secrets: &RootSecrets) -> Option<Stored> {
        secrets.read().await.unwrap().map(|held| held.stored)
    }

    fn secret(name: &str, entries: &[(&str, &str)]) -> Value {
        let data: BTreeMap<&str, String> = entries.iter().map(|(k, v)| (*k, BASE64_STANDARD.encode(v))).collect();
        json!({"metadata": {"name": name}, "data": data})
    }

    #[tokio::test]
    async fn pilots_that_start_at_once_agree_on_one_root() {
        let server = FakeServer::default();
        let all: Vec<RootSecrets> = (0..4).map(|_| secrets(&server)).collect();
        let opened = futures_util::future::join_all(all.iter().map(open)).await;
        let first = opened[0].as_ref().unwrap();
        assert!(opened.iter().all(|other| other.as_ref().unwrap() == first));
        let there = server.object(&format!("{SECRETS}/istio-ca-secret")).unwrap();
        assert_eq!(there["type"], "istio.io/ca-root");
        let never = || panic!("there is one");
        let (_, again) = secrets(&server).open_or_create(never, &WallClock::system()).await.unwrap();
        assert_eq!(again.stored, *first);
    }

    #[tokio::test]
    async fn a_plugged_in_root_goes_first_and_is_not_replaced_by_our_own_when_it_goes() {
        let server = FakeServer::default();
        let ours = secrets(&server);
        let own = open(&ours).await.unwrap();
        let given = made().unwrap();
        let tls = [("tls.crt", &*given.certificate), ("tls.key", given.key.text()), ("ca.crt", &*given.roots)];
        server.put(&format!("{SECRETS}/cacerts"), Some(secret("cacerts", &tls)));
        let there = read(&ours).await.unwrap();
        assert_eq!((&there.certificate, &there.roots), (&given.certificate, &given.roots));
        server.put(&format!("{SECRETS}/cacerts"), None);
        assert_eq!(read(&ours).await, None);
        assert_eq!(read(&secrets(&server)).await, Some(own));
    }

    #[tokio::test]
    async fn a_secret_that_cannot_be_used_is_never_replaced() {
        let server = FakeServer::default();
        server.put(&format!("{SECRETS}/istio-ca-secret"), Some(secret("istio-ca-secret", &[("ca-cert.pem", "x")])));
        let error = open(&secrets(&server)).await.unwrap_err().to_string();
        assert_eq!(error, "Secret istio-system/istio-ca-secret: it has no key ca-key.pem");
        let server = FakeServer::default();
        server.say(Some((403, "{\"message\": \"secrets is forbidden\"}")));
        let error = open(&secrets(&server)).await.unwrap_err().to_string();
        assert!(
            error.starts_with("Secret istio-system/cacerts: the API server does not allow it: secrets is"),
            "{error}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_api_server_that_is_away_is_waited_for() {
        let server = FakeServer::default();
        server.say(Some((503, "")));
        let waiting = secrets(&server);
        let opened = tokio::spawn(async move { open(&waiting).await });
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(!opened.is_finished());
        server.say(None);
        assert!(opened.await.unwrap().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_root_that_has_ended_is_replaced_when_that_is_asked_for_and_not_before() {
        let server = FakeServer::default();
        let before = open(&secrets(&server)).await.unwrap();
        let clock = WallClock::manual(mesh_runtime::clock::system_now() + Duration::from_secs(3651 * 24 * 3600));
        let (waiting, late) = (secrets(&server), clock.clone());
        let make = move || self_signed(&TrustDomain::default(), late.now());
        let opened =
            tokio::spawn(async move { waiting.open_or_create(make, &clock).await.map(|(_, held)| held.stored) });
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(!opened.is_finished());
        assert_eq!(read(&secrets(&server)).await, Some(before.clone()));

        let rotation = format!("{SECRETS}/{SECRET}");
        server.put(&rotation, Some(json!({"metadata": {"annotations": {REQUEST: "recover 1"}}})));
        let after = opened.await.unwrap().unwrap();
        assert!(after.certificate != before.certificate && after.key != before.key);
        assert_eq!(read(&secrets(&server)).await, Some(after));
        let state: State =
            serde_json::from_str(server.object(&rotation).unwrap()["metadata"]["annotations"][STATE].as_str().unwrap())
                .unwrap();
        assert_eq!((&*state.handled, state.phase), ("1", Phase::Idle));
    }

    #[tokio::test]
    async fn what_was_trusted_beside_the_root_is_trusted_after_a_restart() {
        let server = FakeServer::default();
        let ours = secrets(&server);
        let own = open(&ours).await.unwrap();
        let (past, next) = (made().unwrap(), made().unwrap());
        let kept = mesh_config::root_rotation::Past { roots: past.roots.clone(), until: u32::MAX.into() };
        let state = State { phase: Phase::Announcing, past: vec![kept], ..State::default() };
        ours.rotation().write(ours.rotation().read().await.unwrap(), &state, Some(&next)).await.unwrap();
        let (_, held) = secrets(&server).open_or_create(made, &WallClock::system()).await.unwrap();
        let pem = |stored: &Stored| stored.roots.clone();
        let told = (held.beside.next.map(|next| next.pem()), held.beside.past[0].roots.pem());
        assert_eq!((held.stored, told), (own, (Some(pem(&next)), pem(&past))));
    }
}
