//! What the webhooks count, under Istio's names.

use super::{review::Question, validate};
use http::StatusCode;
use mesh_config::kind::ObjectKind;
use mesh_runtime::telemetry::metrics::{RegisterError, Registry};
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts};

/// Clones are the same ones.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    /// Questions about pods.
    pub(super) requests: IntCounter,
    /// Those that were answered, refusals among them.
    pub(super) answered: IntCounter,
    /// Those that could not be read, or were refused.
    pub(super) failures: IntCounter,
    /// Pods that stay as they are.
    pub(super) skipped: IntCounter,
    pub(super) seconds: Histogram,
    passed: IntCounterVec,
    failed: IntCounterVec,
    http_errors: IntCounterVec,
    pub(super) patch_attempts: IntCounterVec,
    pub(super) patch_retries: IntCounterVec,
    pub(super) patch_failures: IntCounterVec,
}

impl Metrics {
    /// Registers them.
    ///
    /// # Errors
    /// When a name is taken.
    pub(crate) fn new(registry: &Registry) -> Result<Self, RegisterError> {
        let counter = |name: &str, help: &str| registry.register(IntCounter::new(name, help)?);
        let counters = |name: &str, help: &str, labels: &[&str]| {
            registry.register(IntCounterVec::new(Opts::new(name, help), labels)?)
        };
        let buckets = vec![0.1, 1.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0];
        let seconds = HistogramOpts::new("sidecar_injection_time_seconds", "Time to answer about a pod");
        let kind = ["group", "version", "resource"];
        let kind_and_reason = ["group", "version", "resource", "reason"];
        Ok(Metrics {
            requests: counter("sidecar_injection_requests_total", "Questions about pods")?,
            answered: counter("sidecar_injection_success_total", "Pods about which there was an answer")?,
            failures: counter("sidecar_injection_failure_total", "Pods that were refused, and questions unread")?,
            skipped: counter("sidecar_injection_skip_total", "Pods that stay as they are")?,
            seconds: registry.register(Histogram::with_opts(seconds.buckets(buckets))?)?,
            passed: counters("galley_validation_passed", "Objects that may be stored", &kind)?,
            failed: counters("galley_validation_failed", "Objects that were refused", &kind_and_reason)?,
            http_errors: counters("galley_validation_http_error", "Questions about objects unread", &["status"])?,
            patch_attempts: counters("webhook_patch_attempts_total", "CA bundles to write", &["name"])?,
            patch_retries: counters("webhook_patch_retries_total", "CA bundles written again", &["name"])?,
            patch_failures: counters("webhook_patch_failures_total", "CA bundles not written", &["name", "reason"])?,
        })
    }

    /// A verdict on an object. What a caller writes into its question makes no series: anybody may call.
    pub(super) fn validated(&self, kind: Option<ObjectKind>, version: &str, is_refused: bool) {
        let group = kind.map_or("", ObjectKind::group);
        let known = kind.filter(|kind| kind.versions().contains(&version));
        let version = known.map_or("", |_| version);
        let resource = kind.map_or("", ObjectKind::plural);
        match is_refused {
            false => self.passed.with_label_values(&[group, version, resource]).inc(),
            true => self.failed.with_label_values(&[group, version, resource, "invalid_resource"]).inc(),
        }
    }

    pub(super) fn unread(&self, status: StatusCode) {
        self.http_errors.with_label_values(&[status.as_str()]).inc();
    }
}

/// What of a question is counted.
pub(super) fn counted<O>(question: &Question<O>) -> (Option<ObjectKind>, String) {
    (validate::kind(&question.kind), question.kind.version.clone())
}
