//! One question to the API server about one object, and its answer: bounded in time and size, and never logged, as
//! Secrets and tokens pass here.

use http_body_util::{BodyExt, Limited};
use kube::{Client, client::Body};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{fmt, time::Duration};

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(10);
/// Longest answer that is read, in bytes: twice what an API server stores of an object.
const MAX_ANSWER: usize = 4 << 20;
const JSON: &str = "application/json";
/// Longest reason that is repeated, in characters.
const MAX_REASON: usize = 300;

/// Why there is no answer, or not the one that was wished for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallError {
    /// There is none.
    #[error("there is none")]
    Missing,
    /// Somebody was faster: it is there already, or has changed since it was read.
    #[error("somebody else has changed it meanwhile")]
    Conflict,
    /// Pilot may not.
    #[error("the API server does not allow it: {0}; see the permissions of pilot's service account")]
    Forbidden(String),
    /// The API server understands, and says no.
    #[error("the API server refuses it: {0}")]
    Refused(String),
    /// It cannot be reached, is in trouble, or said what is no answer. To be tried again.
    #[error("the API server cannot be asked: {0}")]
    Failed(String),
}

/// What is there.
///
/// # Errors
/// [`CallError::Missing`] among others.
pub(crate) async fn get<T: DeserializeOwned>(client: &Client, path: &str) -> Result<T, CallError> {
    call(client, http::Method::GET, path, JSON, None).await
}

/// Makes an object in the collection at `path`.
///
/// # Errors
/// [`CallError::Conflict`] when there is one of that name.
pub(crate) async fn create<T: DeserializeOwned>(client: &Client, path: &str, object: &Value) -> Result<T, CallError> {
    call(client, http::Method::POST, path, JSON, Some(object.to_string())).await
}

/// Puts an object in the place of the one that had the `resourceVersion` that it carries.
///
/// # Errors
/// [`CallError::Conflict`] when that one has changed.
pub(crate) async fn replace<T: DeserializeOwned>(client: &Client, path: &str, object: &Value) -> Result<T, CallError> {
    call(client, http::Method::PUT, path, JSON, Some(object.to_string())).await
}

/// Changes an object by the operations of a JSON Patch.
///
/// # Errors
/// [`CallError::Refused`] among others when one of them does not fit what is there.
pub(crate) async fn patch<T: DeserializeOwned>(
    client: &Client,
    path: &str,
    operations: &impl Serialize,
) -> Result<T, CallError> {
    let operations = serde_json::to_string(operations).map_err(|error| CallError::Failed(error.to_string()))?;
    call(client, http::Method::PATCH, path, "application/json-patch+json", Some(operations)).await
}

async fn call<T: DeserializeOwned>(
    client: &Client,
    method: http::Method,
    path: &str,
    kind: &str,
    body: Option<String>,
) -> Result<T, CallError> {
    let body = body.unwrap_or_default().into_bytes();
    let request = http::Request::builder().method(method).uri(path).header(http::header::ACCEPT, JSON);
    let request = request.header(http::header::CONTENT_TYPE, kind).body(Body::from(body));
    let request = request.map_err(|error| CallError::Failed(error.to_string()))?;
    let answer = async {
        let (parts, body) = client.send(request).await.map_err(failed)?.into_parts();
        let bytes = Limited::new(body, MAX_ANSWER).collect().await.map_err(failed)?.to_bytes();
        match parts.status.is_success() {
            true => serde_json::from_slice(&bytes).map_err(|e| CallError::Failed(unreadable(&e))),
            false => Err(refusal(parts.status.as_u16(), &bytes)),
        }
    };
    let late = |_| CallError::Failed(format!("no answer within {ANSWER:?}"));
    tokio::time::timeout(ANSWER, answer).await.map_err(late)?
}

/// Without a text of the answer, which the error would repeat.
fn unreadable(error: &serde_json::Error) -> String {
    format!("its answer is not the JSON that was expected, at line {} column {}", error.line(), error.column())
}

fn failed(error: impl fmt::Display) -> CallError {
    CallError::Failed(short(&error.to_string()))
}

/// What a status other than success says.
fn refusal(code: u16, body: &[u8]) -> CallError {
    #[derive(Deserialize, Default)]
    struct Status {
        #[serde(default)]
        message: String,
    }
    let status: Status = serde_json::from_slice(body).unwrap_or_default();
    let reason = format!("{} (status {code})", short(&status.message));
    match code {
        404 => CallError::Missing,
        409 => CallError::Conflict,
        401 | 403 => CallError::Forbidden(reason),
        400 | 405 | 406 | 413 | 415 | 422 => CallError::Refused(reason),
        _ => CallError::Failed(reason),
    }
}

/// A text of somebody else's, of bounded length.
pub(crate) fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_REASON).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::fake::FakeServer;
    use serde_json::json;

    #[tokio::test]
    async fn what_an_api_server_says_is_told_apart() {
        let server = FakeServer::default();
        let client = server.client();
        let path = "/api/v1/namespaces/a/secrets";
        assert_eq!(get::<Value>(&client, &format!("{path}/s")).await, Err(CallError::Missing));
        let object = json!({"metadata": {"name": "s"}});
        let made: Value = create(&client, path, &object).await.unwrap();
        assert_eq!(made["metadata"], json!({"name": "s", "namespace": "a", "resourceVersion": "1"}));
        assert_eq!(create::<Value>(&client, path, &object).await, Err(CallError::Conflict));
        let stale = json!({"metadata": {"name": "s", "resourceVersion": "9"}});
        assert_eq!(replace::<Value>(&client, &format!("{path}/s"), &stale).await, Err(CallError::Conflict));
        server.say(Some((500, "{\"message\": \"etcd\\nis away\"}")));
        let failed = get::<Value>(&client, path).await;
        assert_eq!(failed, Err(CallError::Failed("etcdis away (status 500)".to_owned())));
        server.say(Some((200, "{\"data\": {\"key\": \"c2VjcmV0\"")));
        let unreadable = get::<Value>(&client, path).await.unwrap_err().to_string();
        assert!(unreadable.contains("not the JSON") && !unreadable.contains("c2VjcmV0"), "{unreadable}");
        server.say(Some((403, "")));
        assert!(matches!(get::<Value>(&client, path).await, Err(CallError::Forbidden(_))));
    }

    #[tokio::test]
    async fn operations_are_sent_as_a_patch_and_what_is_there_then_is_given_back() {
        let server = FakeServer::default();
        server.answer(|method, path, body| Some((200, json!([method, path, body]).to_string())));
        let operations = json!([{"op": "add", "path": "/a", "value": 1}]);
        let there = patch::<Value>(&server.client(), "/apis/a/v1/bs/c", &operations).await;
        assert_eq!(there, Ok(json!(["PATCH", "/apis/a/v1/bs/c", operations])));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_does_not_come_is_given_up() {
        let server = FakeServer::default();
        server.hang();
        let error = get::<Value>(&server.client(), "/api/v1/namespaces/a").await.unwrap_err();
        assert_eq!(error, CallError::Failed("no answer within 10s".to_owned()));
    }
}
