//! Who owns what pilot writes: the ClusterRole of its chart. With that one the garbage collector removes what it owns, so
//! uninstalling leaves nothing of which the installer has not heard. Owned are objects that pilot alone writes; what
//! others write under the same name is theirs to remove.

use super::{
    call::{self, CallError},
    client::PROGRAM,
};
use kube::Client;
use mesh_runtime::clock;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

const KIND: &str = "ClusterRole";
const VERSION: &str = "rbac.authorization.k8s.io/v1";
/// How long it is known which ClusterRole is there; one that is made anew under the same name is another.
const KNOWN: Duration = Duration::from_secs(10);
/// And how long that there is none, or that pilot may not name it.
const NONE: Duration = Duration::from_secs(600);
/// Who wrote a field, where the program gave no name: pilots of before did not.
const NAMELESS: &str = "unknown";

/// The ClusterRole, as the API server knows it.
pub(crate) struct Owner {
    client: Client,
    /// Its name; `None` when pilot was told of none.
    name: Option<String>,
    /// What was last heard of it, and until when that holds.
    known: Mutex<Option<(Option<Uid>, Instant)>>,
}

type Uid = Arc<str>;

#[derive(Deserialize)]
struct Role {
    metadata: Meta,
}

#[derive(Deserialize)]
struct Meta {
    uid: Uid,
}

impl Owner {
    pub(crate) fn new(client: Client, name: Option<String>) -> Arc<Self> {
        Arc::new(Owner { client, name: name.filter(|name| !name.is_empty()), known: Mutex::default() })
    }

    /// Makes an object, owned if it can be.
    ///
    /// # Errors
    /// As [`call::create`], and when the API server does not say whether there is an owner: nobody would add it later.
    pub(crate) async fn create(&self, path: &str, mut object: Value) -> Result<(), CallError> {
        self.add_to(&mut object).await?;
        call::create::<Value>(&self.client, path, &object).await.map(drop)
    }

    /// Puts an object in the place of the one of its `resourceVersion`, owned if it can be.
    ///
    /// # Errors
    /// As [`Owner::create`] and [`call::replace`].
    pub(crate) async fn replace(&self, path: &str, object: Value) -> Result<(), CallError> {
        let mut owned = object.clone();
        let added = self.add_to(&mut owned).await?;
        match call::replace::<Value>(&self.client, path, &owned).await {
            // Some clusters let only those name an owner who may delete the object.
            Err(CallError::Forbidden(reason)) if added => {
                tracing::info!(path, reason, "pilot may not name an owner: uninstalling will leave this object");
                self.know(None);
                call::replace::<Value>(&self.client, path, &object).await.map(drop)
            }
            written => written.map(drop),
        }
    }

    /// Beside other owners. Whether it was not among them before.
    async fn add_to(&self, object: &mut Value) -> Result<bool, CallError> {
        let Some(name) = &self.name else { return Ok(false) };
        let owners = &mut object["metadata"]["ownerReferences"];
        let mut all = owners.as_array().cloned().unwrap_or_default();
        if all.iter().any(|owner| owner["kind"] == KIND && owner["name"] == *name) {
            return Ok(false);
        }
        let Some(uid) = self.uid(name).await? else { return Ok(false) };
        all.push(json!({"apiVersion": VERSION, "kind": KIND, "name": name, "uid": uid}));
        *owners = Value::Array(all);
        Ok(true)
    }

    async fn uid(&self, name: &str) -> Result<Option<Uid>, CallError> {
        let known = self.known.lock().clone();
        if let Some((uid, until)) = known
            && clock::now() < until
        {
            return Ok(uid);
        }
        let path = format!("/apis/{VERSION}/clusterroles/{name}");
        let uid = match call::get::<Role>(&self.client, &path).await {
            Ok(role) => Some(role.metadata.uid),
            Err(error @ (CallError::Missing | CallError::Forbidden(_))) => {
                tracing::warn!(%error, name, "no ClusterRole to own what pilot writes: uninstalling will leave it");
                None
            }
            Err(error) => return Err(error),
        };
        self.know(uid.clone());
        Ok(uid)
    }

    fn know(&self, uid: Option<Uid>) {
        let until = clock::now() + if uid.is_some() { KNOWN } else { NONE };
        *self.known.lock() = Some((uid, until));
    }
}

/// Whether pilot alone has written this key of an object's `data`, as the API server's record of who wrote what says.
/// Without a record nobody knows.
pub(crate) fn is_written_by_pilot(object: &Value, key: &str) -> bool {
    let field = format!("f:{key}");
    let entries = object["metadata"]["managedFields"].as_array();
    let mut writers = entries.into_iter().flatten().filter(|entry| entry["fieldsV1"]["f:data"].get(&field).is_some());
    let is_ours = |entry: &Value| entry["manager"] == PROGRAM || entry["manager"] == NAMELESS;
    writers.next().is_some_and(is_ours) && writers.all(is_ours)
}

#[cfg(test)]
mod tests;
