//! Admission webhooks: the API server asks before it stores an object. `/validate` says whether an object of the mesh may
//! be stored, `/inject` what is added to a pod.
//!
//! Decisions are those of [`mesh_config::crd`] and of injection; here are the questions, their bounds and what is
//! counted. What fails is refused with its reason: whether it is stored all the same is the API server's to say, by the
//! `failurePolicy` of its configuration.

mod configurations;
mod follow;
mod inject;
mod metrics;
mod path;
mod review;
mod validate;

pub(crate) use configurations::Registrar;
pub(crate) use follow::{Follow, Place, Standing};
pub(crate) use metrics::Metrics;

use bytes::Bytes;
use http::Request;
use mesh_config::crd::{ParseContext, node::FromServer};
use mesh_runtime::{
    admin::{Admin, Reply},
    clock,
};
use serde_json::Value;
use std::sync::Arc;
use tokio::{sync::watch, task::spawn_blocking};

/// What is served to API servers.
#[derive(Clone)]
pub(crate) struct Webhooks {
    /// What objects are read with.
    pub(crate) context: watch::Receiver<Arc<ParseContext>>,
    /// What decides about pods.
    pub(crate) injector: watch::Receiver<Standing>,
    pub(crate) metrics: Metrics,
}

impl Webhooks {
    /// The paths, on a server that takes bodies that are long enough for them.
    pub(crate) fn routes(self, admin: Admin) -> Admin {
        let (validate, inject, below) = (self.clone(), self.clone(), self);
        admin
            .with_longest_body(review::LONGEST)
            .post("/validate", move |request| validate.clone().validate(request))
            .post("/inject", move |request| inject.clone().inject(request))
            .post_prefix("/inject/", move |request| below.clone().inject(request))
    }

    async fn validate(self, request: Request<Bytes>) -> Reply {
        let answer = spawn_blocking(move || {
            let (asked, question) = match review::read::<FromServer>(request.headers(), request.body()) {
                Ok(read) => read,
                Err(unread) => {
                    self.metrics.unread(unread.status);
                    return unread.reply();
                }
            };
            let (kind, version) = metrics::counted(&question);
            let context = self.context.borrow().clone();
            let verdict = validate::verdict(question, &context);
            self.metrics.validated(kind, &version, verdict.refused.is_some());
            asked.answer(verdict)
        });
        answered(answer).await
    }

    async fn inject(self, request: Request<Bytes>) -> Reply {
        let answer = spawn_blocking(move || {
            let Metrics { requests, answered, failures, skipped, seconds, .. } = &self.metrics;
            let begin = clock::now();
            requests.inc();
            let (asked, question) = match review::read::<Value>(request.headers(), request.body()) {
                Ok(read) => read,
                Err(unread) => {
                    failures.inc();
                    return unread.reply();
                }
            };
            let below = request.uri().path().strip_prefix("/inject").unwrap_or_default();
            let standing = self.injector.borrow().clone();
            let (verdict, is_skipped) = inject::verdict(question, &path::environment(below), &standing);
            answered.inc();
            skipped.inc_by(is_skipped.into());
            if let Some(reason) = &verdict.refused {
                failures.inc();
                tracing::warn!(reason, "a pod is refused");
            }
            seconds.observe(clock::since(begin).as_secs_f64());
            asked.answer(verdict)
        });
        answered(answer).await
    }
}

/// Decisions take the time of a processor, so they are made beside the threads that serve connections. One that panics
/// says nothing, which an API server takes as a failure.
async fn answered(answer: tokio::task::JoinHandle<Reply>) -> Reply {
    answer.await.unwrap_or_else(|error| {
        tracing::error!(%error, "a question of an API server could not be answered");
        mesh_runtime::admin::text(http::StatusCode::INTERNAL_SERVER_ERROR, "no answer; see the log of pilot\n")
    })
}

#[cfg(test)]
mod tests;
