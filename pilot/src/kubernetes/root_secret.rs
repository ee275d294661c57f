//! The authority's key material in Secrets of pilot's own namespace: `cacerts`, made by somebody else, or else
//! `istio-ca-secret`, which the first pilot makes. Pilots that start at once agree, as the API server takes one alone.

use super::call::{self, CallError};
use base64::{Engine, prelude::BASE64_STANDARD};
use kube::Client;
use mesh_ca::{
    Failure,
    follow::{Place, Reading},
    store::{
        StoreError, Stored,
        file::{CERTIFICATE, CHAIN, KEY, ROOTS},
    },
};
use mesh_runtime::backoff::Backoff;
use serde::Deserialize;
use serde_json::json;
use std::{
    collections::BTreeMap,
    io,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

/// Made by somebody else.
const GIVEN: &str = "cacerts";
/// Made by us.
const OWN: &str = "istio-ca-secret";
/// The type of [`OWN`].
const OWN_TYPE: &str = "istio.io/ca-root";

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
}

/// What a Secret holds.
#[derive(Deserialize)]
struct Secret {
    #[serde(default)]
    data: BTreeMap<String, String>,
}

/// Why there is nothing to be had from a Secret.
enum Problem {
    Call(&'static str, CallError),
    Content(&'static str, String),
}

impl RootSecrets {
    pub(crate) fn new(client: Client, namespace: &str) -> Self {
        RootSecrets { client, namespace: namespace.to_owned(), given: AtomicBool::new(false) }
    }

    /// What is there, or was made because there was nothing. Waits for an API server that cannot be asked.
    ///
    /// # Errors
    /// When a Secret is there and cannot be used, pilot may not read or make one, or nothing can be made.
    pub(crate) async fn open_or_create(&self, make: impl Fn() -> Result<Stored, Failure>) -> Result<Stored, Failure> {
        let (mut backoff, mut rng) = (Backoff::new(WAIT.0, WAIT.1), fastrand::Rng::new());
        loop {
            let problem = match self.look().await {
                Ok(Some(stored)) => return Ok(stored),
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

    async fn look(&self) -> Result<Option<Stored>, Problem> {
        if let Some(given) = self.get(GIVEN).await? {
            self.given.store(true, Ordering::Relaxed);
            return Ok(Some(given));
        }
        if self.given.load(Ordering::Relaxed) { Ok(None) } else { self.get(OWN).await }
    }

    async fn get(&self, name: &'static str) -> Result<Option<Stored>, Problem> {
        match call::get::<Secret>(&self.client, &format!("{}/{name}", self.path())).await {
            Ok(secret) => secret.stored().map(Some).map_err(|reason| Problem::Content(name, reason)),
            Err(CallError::Missing) => Ok(None),
            Err(error) => Err(Problem::Call(name, error)),
        }
    }

    async fn create(&self, stored: &Stored) -> Result<(), Problem> {
        let encoded = |text: &str| BASE64_STANDARD.encode(text);
        let secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": OWN, "namespace": self.namespace},
            "type": OWN_TYPE,
            "data": {
                CERTIFICATE: encoded(&stored.certificate),
                KEY: encoded(stored.key.text()),
                CHAIN: encoded(&stored.chain),
                ROOTS: encoded(&stored.roots),
            },
        });
        let made = call::create::<serde::de::IgnoredAny>(&self.client, &self.path(), &secret).await;
        made.map_err(|error| Problem::Call(OWN, error))?;
        tracing::info!(secret = OWN, namespace = self.namespace, "made a self-signed root");
        Ok(())
    }

    fn path(&self) -> String {
        format!("/api/v1/namespaces/{}/secrets", self.namespace)
    }

    fn error(&self, problem: Problem) -> StoreError {
        let (name, reason) = match problem {
            Problem::Call(name, error) => (name, error.to_string()),
            Problem::Content(name, reason) => (name, reason),
        };
        StoreError { path: format!("Secret {}/{name}", self.namespace).into(), error: io::Error::other(reason) }
    }
}

impl Place for RootSecrets {
    fn read(&self) -> Reading<'_> {
        Box::pin(async { self.look().await.map_err(|problem| self.error(problem)) })
    }

    fn name(&self) -> String {
        let name = if self.given.load(Ordering::Relaxed) { GIVEN } else { OWN };
        format!("Secret {}/{name}", self.namespace)
    }

    fn every(&self) -> Duration {
        LOOK
    }
}

impl Secret {
    /// The key material, under the names of Istio or under those of a TLS Secret.
    fn stored(&self) -> Result<Stored, String> {
        let names = if self.data.contains_key(CERTIFICATE) || !self.data.contains_key("tls.crt") {
            (CERTIFICATE, KEY, CHAIN, ROOTS)
        } else {
            ("tls.crt", "tls.key", "tls.crt", "ca.crt")
        };
        let needed = |name: &str| self.text(name)?.ok_or_else(|| format!("it has no key {name}"));
        Ok(Stored {
            certificate: needed(names.0)?,
            key: needed(names.1)?.into(),
            chain: self.text(names.2)?.unwrap_or_default(),
            roots: self.text(names.3)?.unwrap_or_default(),
        })
    }

    fn text(&self, name: &str) -> Result<Option<String>, String> {
        let Some(encoded) = self.data.get(name) else { return Ok(None) };
        let bytes = BASE64_STANDARD.decode(encoded).ok();
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        text.map(Some).ok_or_else(|| format!("its key {name} is no text"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::fake::FakeServer;
    use mesh_ca::root::self_signed;
    use mesh_config::identity::TrustDomain;
    use serde_json::Value;

    const SECRETS: &str = "/api/v1/namespaces/istio-system/secrets";

    fn made() -> Result<Stored, Failure> {
        self_signed(&TrustDomain::default(), mesh_runtime::clock::system_now())
    }

    fn secrets(server: &FakeServer) -> RootSecrets {
        RootSecrets::new(server.client(), "istio-system")
    }

    fn secret(name: &str, entries: &[(&str, &str)]) -> Value {
        let data: BTreeMap<&str, String> = entries.iter().map(|(k, v)| (*k, BASE64_STANDARD.encode(v))).collect();
        json!({"metadata": {"name": name}, "data": data})
    }

    #[tokio::test]
    async fn pilots_that_start_at_once_agree_on_one_root() {
        let server = FakeServer::default();
        let all: Vec<RootSecrets> = (0..4).map(|_| secrets(&server)).collect();
        let opened = futures_util::future::join_all(all.iter().map(|one| one.open_or_create(made))).await;
        let first = opened[0].as_ref().unwrap();
        assert!(opened.iter().all(|other| other.as_ref().unwrap() == first));
        let there = server.object(&format!("{SECRETS}/istio-ca-secret")).unwrap();
        assert_eq!(there["type"], "istio.io/ca-root");
        let again = secrets(&server).open_or_create(|| panic!("there is one")).await.unwrap();
        assert_eq!(again, *first);
    }

    #[tokio::test]
    async fn a_plugged_in_root_goes_first_and_is_not_replaced_by_our_own_when_it_goes() {
        let server = FakeServer::default();
        let ours = secrets(&server);
        let own = ours.open_or_create(made).await.unwrap();
        let given = made().unwrap();
        let tls = [("tls.crt", &*given.certificate), ("tls.key", given.key.text()), ("ca.crt", &*given.roots)];
        server.put(&format!("{SECRETS}/cacerts"), Some(secret("cacerts", &tls)));
        let read = ours.read().await.unwrap().unwrap();
        assert_eq!((&read.certificate, &read.roots), (&given.certificate, &given.roots));
        server.put(&format!("{SECRETS}/cacerts"), None);
        assert_eq!(ours.read().await.unwrap(), None);
        assert_eq!(secrets(&server).read().await.unwrap(), Some(own));
    }

    #[tokio::test]
    async fn a_secret_that_cannot_be_used_is_never_replaced() {
        let server = FakeServer::default();
        server.put(&format!("{SECRETS}/istio-ca-secret"), Some(secret("istio-ca-secret", &[("ca-cert.pem", "x")])));
        let error = secrets(&server).open_or_create(made).await.unwrap_err().to_string();
        assert_eq!(error, "Secret istio-system/istio-ca-secret: it has no key ca-key.pem");
        let server = FakeServer::default();
        server.say(Some((403, "{\"message\": \"secrets is forbidden\"}")));
        let error = secrets(&server).open_or_create(made).await.unwrap_err().to_string();
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
        let opened = tokio::spawn(async move { waiting.open_or_create(made).await });
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(!opened.is_finished());
        server.say(None);
        assert!(opened.await.unwrap().is_ok());
    }
}
