//! Callers in pods, at a steady rate whatever becomes of their calls; each tells its failures at its end.

use super::{
    super::place::{Place, soon},
    Stage,
};
use anyhow::{Context, Result, ensure};
use std::{fmt, thread};

/// A kind of caller: its share of the rate in percent, whether it is in the mesh, what it says to `echo steady`.
struct Kind {
    name: &'static str,
    share: u32,
    is_inside: bool,
    words: &'static [&'static str],
}

const GATEWAY: &str = "http://istio-ingressgateway.istio-ingress/";

/// A call of several messages takes a second, so that there are always some under way.
const KINDS: [Kind; 6] = [
    Kind { name: "http1", share: 30, is_inside: true, words: &["--keep", "http://server/"] },
    Kind { name: "http1-new", share: 10, is_inside: true, words: &["http://server/"] },
    Kind { name: "http2", share: 25, is_inside: true, words: &["--keep", "--http2", "http://server:81/"] },
    Kind {
        name: "grpc-streams",
        share: 5,
        is_inside: true,
        words: &["--keep", "--messages", "10", "--pause", "100ms", "grpc://server:9000"],
    },
    Kind {
        name: "edge-http1",
        share: 25,
        is_inside: false,
        words: &["--keep", "-H", "host: drill.example.com", GATEWAY],
    },
    Kind {
        name: "edge-grpc-streams",
        share: 5,
        is_inside: false,
        words: &[
            "--keep",
            "--messages",
            "10",
            "--pause",
            "100ms",
            "-H",
            "host: drill.example.com",
            "grpc://istio-ingressgateway.istio-ingress:80",
        ],
    },
];

/// What became of a caller's calls.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    pub caller: String,
    pub calls: u64,
    pub failed: u64,
    /// The first failures, each with its time.
    pub failures: Vec<String>,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:18} {:>8} calls {:>6} failed", self.caller, self.calls, self.failed)?;
        self.failures.iter().try_for_each(|failure| write!(f, "\n    {failure}"))
    }
}

/// Failures that are shown of one caller.
const SHOWN: usize = 10;

/// Callers that call.
pub struct Loads<'a> {
    stage: &'a Stage<'a>,
}

impl<'a> Loads<'a> {
    pub(super) fn start(stage: &'a Stage<'a>, rate: u32) -> Result<Self> {
        let of = |is_inside| KINDS.iter().filter(move |kind| kind.is_inside == is_inside);
        for (place, is_inside) in [(&stage.inside, true), (&stage.outside, false)] {
            let pods: Vec<String> = of(is_inside).map(|kind| pod(kind, rate)).collect();
            place.apply(&pods.join("---\n"))?;
        }
        for kind in &KINDS {
            let pod = format!("pod/{}", kind.name);
            place(stage, kind).kubectl(&["wait", "--for=condition=Ready", &pod, "--timeout=120s"])?;
        }
        Ok(Loads { stage })
    }

    /// Has them end their calls; each with what became of them.
    ///
    /// # Errors
    /// When one of them does not tell.
    pub fn stop(self) -> Result<Vec<Told>> {
        thread::scope(|scope| {
            let all: Vec<_> = KINDS
                .iter()
                .map(|kind| {
                    scope.spawn(move || {
                        let said = end(place(self.stage, kind), kind.name)?;
                        told(kind.name, &said).with_context(|| format!("{} did not tell: {said}", kind.name))
                    })
                })
                .collect();
            all.into_iter().map(|one| one.join().expect("it ends without a panic")).collect()
        })
    }
}

/// Has a caller end, and reads what it said: its pod stays until then.
fn end(place: &Place<'_>, pod: &str) -> Result<String> {
    let query = "--output=jsonpath={.status.containerStatuses[?(@.name==\"echo\")].state.terminated.reason}";
    soon(&format!("{pod} ends"), || {
        // Fails where its container has ended under it, or a kubelet that was away does not know the pod again yet.
        let _ = place.kubectl(&["exec", pod, "--container", "echo", "--", "echo", "end"]);
        let reason = place.kubectl(&["get", "pod", pod, query])?;
        ensure!(!reason.is_empty(), "it still runs");
        Ok(())
    });
    place.kubectl(&["logs", pod, "--container", "echo"])
}

fn place<'a>(stage: &'a Stage<'a>, kind: &Kind) -> &'a Place<'a> {
    if kind.is_inside { &stage.inside } else { &stage.outside }
}

fn pod(kind: &Kind, rate: u32) -> String {
    let qps = (f64::from(rate) * f64::from(kind.share) / 100.0).max(1.0).to_string();
    let words = ["steady", "--for", "24h", "--timeout", "15s", "--expect", expected(kind), "--qps", &qps];
    let words: Vec<String> = words.iter().chain(kind.words).map(|word| format!("'{word}'")).collect();
    format!(
        "
apiVersion: v1
kind: Pod
metadata: {{name: {}, labels: {{app: caller}}}}
spec:
  restartPolicy: Never
  containers:
    - name: echo
      image: ferromesh.local/echo:dev
      args: [{}]
",
        kind.name,
        words.join(", ")
    )
}

/// What a call succeeds with: a status of HTTP, or of gRPC.
fn expected(kind: &Kind) -> &'static str {
    if kind.words.iter().any(|word| word.starts_with("grpc")) { "0" } else { "200" }
}

fn told(caller: &str, said: &str) -> Option<Told> {
    let summary = said.lines().rev().find(|line| line.contains(" calls, ") && line.contains(" failed"))?;
    let mut numbers = summary.split([' ', ',']).filter_map(|word| word.parse::<u64>().ok());
    let failures = said.lines().filter(|line| line.starts_with('+')).take(SHOWN).map(str::to_owned).collect();
    Some(Told { caller: caller.to_owned(), calls: numbers.next()?, failed: numbers.next()?, failures })
}

#[cfg(test)]
mod tests {
    use super::{KINDS, Told, told};

    #[test]
    fn what_a_caller_says_at_its_end_is_counted() {
        let said = "+1.000s to +1.200s failed: status 503: no\n120 calls, 1 failed; 119 of status 200; 119 from a\n1 failed: status 503";
        let failures = vec!["+1.000s to +1.200s failed: status 503: no".to_owned()];
        assert_eq!(told("a", said), Some(Told { caller: "a".into(), calls: 120, failed: 1, failures }));
        assert_eq!(told("a", "killed"), None);
    }

    #[test]
    fn shares_are_a_whole() {
        assert_eq!(KINDS.iter().map(|kind| kind.share).sum::<u32>(), 100);
    }
}
