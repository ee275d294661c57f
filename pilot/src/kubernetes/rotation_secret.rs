//! The Secret that says how far a rotation of the root is, and holds the root that waits to sign: what survives pilot, and
//! by which several pilots act alike. Its annotations are [`mesh_config::root_rotation`]'s.

use super::call::{self, CallError};
use base64::{Engine, prelude::BASE64_STANDARD};
use kube::Client;
use mesh_ca::{
    store::{Stored, file::ROOTS},
    succession::{Beside, Past},
};
use mesh_config::root_rotation::{REQUEST, Request, SECRET, STATE, State, TYPE};
use mesh_runtime::tls::material::CaBundle;
use serde_json::{Value, json};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

/// Keys of the root that waits to sign.
const NEXT: (&str, &str) = ("next-cert.pem", "next-key.pem");

/// The Secret of one namespace.
pub(crate) struct RotationSecret {
    client: Client,
    namespace: String,
}

/// What it says.
#[derive(Default)]
pub(crate) struct Rotation {
    /// As it is there; `None`: it is not.
    object: Option<Value>,
    /// How far it is.
    pub(crate) state: State,
    /// What is asked for, whether or not it was answered.
    pub(crate) request: Option<Request>,
    /// The root that waits to sign.
    pub(crate) next: Option<Stored>,
}

/// Why it says nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    /// It cannot be read or written.
    #[error("Secret {SECRET}: {0}")]
    Call(#[from] CallError),
    /// What it says makes no sense.
    #[error("Secret {SECRET}: {0}")]
    Content(String),
}

impl RotationSecret {
    pub(crate) fn new(client: Client, namespace: &str) -> Self {
        RotationSecret { client, namespace: namespace.to_owned() }
    }

    /// What it says; nothing is under way where there is none.
    ///
    /// # Errors
    /// When it cannot be read, or makes no sense.
    pub(crate) async fn read(&self) -> Result<Rotation, Problem> {
        match call::get::<Value>(&self.client, &format!("{}/{SECRET}", self.path())).await {
            Ok(object) => Rotation::of(object).map_err(Problem::Content),
            Err(CallError::Missing) => Ok(Rotation::default()),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes it say this, if nobody has changed it since it was read.
    ///
    /// # Errors
    /// When somebody has, or it cannot be written.
    pub(crate) async fn write(&self, read: Rotation, state: &State, next: Option<&Stored>) -> Result<(), Problem> {
        let is_there = read.object.is_some();
        let mut object = read.object.unwrap_or_else(|| {
            json!({
                "apiVersion": "v1", "kind": "Secret", "type": TYPE,
                "metadata": {"name": SECRET, "namespace": self.namespace},
            })
        });
        let text = serde_json::to_string(state).map_err(|error| Problem::Content(error.to_string()))?;
        if !object["metadata"]["annotations"].is_object() {
            object["metadata"]["annotations"] = json!({});
        }
        object["metadata"]["annotations"][STATE] = text.into();
        let encoded = |text: &str| BASE64_STANDARD.encode(text);
        object["data"] = match next {
            Some(next) => json!({NEXT.0: encoded(&next.certificate), NEXT.1: encoded(next.key.text())}),
            None => json!({}),
        };
        match is_there {
            true => call::replace::<Value>(&self.client, &format!("{}/{SECRET}", self.path()), &object).await,
            false => call::create::<Value>(&self.client, &self.path(), &object).await,
        }?;
        Ok(())
    }

    fn path(&self) -> String {
        format!("/api/v1/namespaces/{}/secrets", self.namespace)
    }
}

impl Rotation {
    fn of(object: Value) -> Result<Self, String> {
        let annotation = |name: &str| object["metadata"]["annotations"][name].as_str();
        let state = match annotation(STATE) {
            Some(text) => serde_json::from_str(text).map_err(|error| format!("its annotation {STATE}: {error}"))?,
            None => State::default(),
        };
        let request =
            annotation(REQUEST).map(|text| text.parse().map_err(|e| format!("its annotation {REQUEST}: {e}")));
        // Who wrote something else is told so by silence: what is under way must go on.
        let request =
            request.and_then(|read| read.inspect_err(|reason: &String| tracing::warn!(reason, "ignored")).ok());
        let text = |name: &str| super::root_secret::text(&object["data"][name], name);
        let next = match (text(NEXT.0)?, text(NEXT.1)?) {
            (Some(certificate), Some(key)) => {
                Some(Stored { roots: certificate.clone(), certificate, key: key.into(), chain: String::new() })
            }
            (None, None) => None,
            _ => return Err(format!("it has one of the keys {} and {}", NEXT.0, NEXT.1)),
        };
        Ok(Rotation { object: Some(object), state, request, next })
    }

    /// What is asked for and was not answered yet.
    pub(crate) fn asked(&self) -> Option<&Request> {
        self.request.as_ref().filter(|request| request.id != self.state.handled)
    }

    /// What is trusted beside the root that signs.
    ///
    /// # Errors
    /// When a root cannot be read.
    pub(crate) fn beside(&self) -> Result<Beside, String> {
        let roots = |pem: &str| {
            let read = CaBundle::from_pem(pem.as_bytes());
            read.map(Arc::new).map_err(|error| format!("{ROOTS} of what it remembers: {error}"))
        };
        let next = self.next.as_ref().map(|next| roots(&next.roots)).transpose()?;
        let past = self.state.past.iter().map(|past| {
            let until = SystemTime::UNIX_EPOCH + Duration::from_secs(past.until);
            Ok(Past { roots: roots(&past.roots)?, until })
        });
        Ok(Beside { next, past: past.collect::<Result<_, String>>()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::fake::FakeServer;
    use mesh_ca::root::self_signed;
    use mesh_config::{
        identity::TrustDomain,
        root_rotation::{Phase, Wish},
    };

    const PATH: &str = "/api/v1/namespaces/mesh/secrets/ferromesh-root-rotation";

    fn made() -> Stored {
        self_signed(&TrustDomain::default(), mesh_runtime::clock::system_now()).unwrap()
    }

    #[tokio::test]
    async fn what_is_written_is_read_and_whoever_was_slower_writes_nothing() {
        let server = FakeServer::default();
        let secret = RotationSecret::new(server.client(), "mesh");
        let (next, past) = (made(), made());
        let past = mesh_config::root_rotation::Past { roots: past.roots, until: 7 };
        let state = State { phase: Phase::Announcing, past: vec![past], ..State::default() };
        secret.write(secret.read().await.unwrap(), &state, Some(&next)).await.unwrap();
        let mut object = server.object(PATH).unwrap();
        object["metadata"]["annotations"][REQUEST] = "abort 5".into();
        server.put(PATH, Some(object));

        let (read, late) = (secret.read().await.unwrap(), secret.read().await.unwrap());
        assert_eq!((&read.state, read.next.as_ref()), (&state, Some(&next)));
        assert_eq!(read.asked(), Some(&Request { wish: Wish::Abort, id: "5".to_owned() }));
        let beside = read.beside().unwrap();
        assert_eq!(beside.next.unwrap().pem(), next.roots);
        assert_eq!(beside.past[0].until, SystemTime::UNIX_EPOCH + Duration::from_secs(7));

        let done = State { handled: "5".to_owned(), ..State::default() };
        secret.write(read, &done, None).await.unwrap();
        let error = secret.write(late, &state, Some(&next)).await.unwrap_err();
        assert!(matches!(error, Problem::Call(CallError::Conflict)), "{error}");
        let read = secret.read().await.unwrap();
        assert_eq!((&read.state, &read.next, read.asked()), (&done, &None, None));
    }

    #[tokio::test]
    async fn a_request_that_makes_no_sense_stops_nothing_and_a_state_that_makes_none_says_nothing() {
        let server = FakeServer::default();
        let secret = RotationSecret::new(server.client(), "mesh");
        let put = |annotations: Value| server.put(PATH, Some(json!({"metadata": {"annotations": annotations}})));
        put(json!({REQUEST: "explode 1", STATE: "{\"handled\": \"a\"}"}));
        let read = secret.read().await.unwrap();
        assert_eq!((read.request, &*read.state.handled), (None, "a"));
        put(json!({STATE: "{\"phase\": \"later\"}"}));
        let error = secret.read().await.err().unwrap().to_string();
        assert!(
            error.starts_with("Secret ferromesh-root-rotation: its annotation ferromesh.io/root-state: "),
            "{error}"
        );
    }
}
