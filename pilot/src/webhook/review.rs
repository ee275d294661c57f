//! AdmissionReview: what an API server asks about an object before it stores it, and what it is told. Versions v1 and
//! v1beta1 of `admission.k8s.io`, which differ in nothing that is read here; the answer is in the version of the question.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, StatusCode, header};
use mesh_runtime::admin;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// Longest review that is read, in bytes: an API server stores no object above half of it, and sends the old one too.
pub(super) const LONGEST: usize = 3 << 20;
/// Most warnings of one answer.
const MOST_WARNINGS: usize = 32;
/// Most characters of a refusal: it is one line of a client's.
const LONGEST_MESSAGE: usize = 8 << 10;

/// A question; `O` is what objects are read into.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", bound = "O: DeserializeOwned")]
pub(super) struct Question<O> {
    uid: String,
    /// What the object is, in the version in which it is sent.
    pub(super) kind: GroupVersionKind,
    /// `CREATE`, `UPDATE`, `DELETE` or `CONNECT`.
    pub(super) operation: String,
    /// Of the request's path, which the object need not repeat.
    #[serde(default)]
    pub(super) namespace: String,
    #[serde(default = "nothing")]
    pub(super) object: Option<O>,
    #[serde(default = "nothing")]
    pub(super) old_object: Option<O>,
}

fn nothing<O>() -> Option<O> {
    None
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct GroupVersionKind {
    #[serde(default)]
    pub(super) group: String,
    pub(super) version: String,
    pub(super) kind: String,
}

/// In which version and under which number something was asked, as the answer says it again.
pub(super) struct Asked {
    version: &'static str,
    uid: String,
}

/// No answer but a status of HTTP.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unread {
    pub(super) status: StatusCode,
    reason: String,
}

/// What an API server is told.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Verdict {
    /// Why not; `None`: the object may be stored.
    pub(super) refused: Option<String>,
    /// Shown to whoever wrote the object.
    pub(super) warnings: Vec<String>,
    /// What is changed before that.
    pub(super) patch: Option<json_patch::Patch>,
}

const V1: &str = "admission.k8s.io/v1";
const V1BETA1: &str = "admission.k8s.io/v1beta1";

/// Reads a question.
///
/// # Errors
/// When it is none; then nobody can be told whether an object may be stored.
pub(super) fn read<O: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<(Asked, Question<O>), Unread> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", bound = "O: DeserializeOwned")]
    struct Review<O> {
        api_version: String,
        kind: String,
        #[serde(default = "nothing")]
        request: Option<Question<O>>,
    }
    let unread = |status, reason: String| Unread { status, reason };
    if body.is_empty() {
        return Err(unread(StatusCode::BAD_REQUEST, "there is no body; an AdmissionReview belongs into it".to_owned()));
    }
    let content = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if content.split(';').next().map(str::trim) != Some("application/json") {
        let reason = format!("content type {content:.100?} is not application/json");
        return Err(unread(StatusCode::UNSUPPORTED_MEDIA_TYPE, reason));
    }
    // Of a pod's text only the place is told: it may hold whatever its author put there.
    let review: Review<O> = serde_json::from_slice(body).map_err(|error| {
        let reason = format!("no AdmissionReview can be read from the body (column {})", error.column());
        unread(StatusCode::BAD_REQUEST, reason)
    })?;
    let version = match (&*review.api_version, &*review.kind) {
        (V1, "AdmissionReview") => V1,
        (V1BETA1, "AdmissionReview") => V1BETA1,
        (version, kind) => {
            let reason = format!("{version:.100} {kind:.100} is no AdmissionReview of admission.k8s.io/v1");
            return Err(unread(StatusCode::BAD_REQUEST, reason));
        }
    };
    let missing = || unread(StatusCode::BAD_REQUEST, "the AdmissionReview has no request".to_owned());
    let mut question = review.request.ok_or_else(missing)?;
    Ok((Asked { version, uid: std::mem::take(&mut question.uid) }, question))
}

impl Asked {
    /// The answer.
    pub(super) fn answer(self, verdict: Verdict) -> admin::Reply {
        let mut response = json!({ "uid": self.uid, "allowed": verdict.refused.is_none() });
        if let Some(reason) = verdict.refused {
            response["status"] = json!({ "status": "Failure", "message": shortened(reason, LONGEST_MESSAGE) });
        }
        if !verdict.warnings.is_empty() {
            response["warnings"] = few(verdict.warnings).into();
        }
        if let Some(patch) = verdict.patch {
            let patch = serde_json::to_vec(&patch).expect("operations of a patch are JSON");
            response["patchType"] = "JSONPatch".into();
            response["patch"] = STANDARD.encode(patch).into();
        }
        let review = json!({ "apiVersion": self.version, "kind": "AdmissionReview", "response": response });
        admin::json(StatusCode::OK, review.to_string())
    }
}

impl Unread {
    pub(super) fn reply(self) -> admin::Reply {
        admin::text(self.status, self.reason + "\n")
    }
}

impl Verdict {
    /// The object is stored as it is.
    pub(super) fn allowed() -> Self {
        Verdict::default()
    }

    pub(super) fn refused(reason: impl Into<String>) -> Self {
        Verdict { refused: Some(reason.into()), ..Verdict::default() }
    }
}

/// The first of many, and that there are more.
fn few(mut warnings: Vec<String>) -> Vec<Value> {
    let more = warnings.len().saturating_sub(MOST_WARNINGS);
    if more > 0 {
        warnings.truncate(MOST_WARNINGS - 1);
        warnings.push(format!("and {} more", more + 1));
    }
    warnings.into_iter().map(Value::from).collect()
}

fn shortened(mut text: String, most: usize) -> String {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most));
        text.push('…');
    }
    text
}
