//! A number of calls: made one after another or at a rate, told one by one, and counted.

use super::{
    call::{Answer, Target},
    now, say,
};
use clap::{Args, ValueEnum};
use serde_json::json;
use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

/// Calls, and says what came back.
#[derive(Args, Debug, Clone)]
pub struct Client {
    #[command(flatten)]
    pub target: Target,
    /// How many calls
    #[arg(long, default_value_t = 1)]
    pub count: u64,
    /// Calls a second; each waits for the one before it. 0: without a pause
    #[arg(long, default_value_t = 0.0)]
    pub qps: f64,
    /// Waits until the process is asked to end, and calls then, as a program that takes leave of others
    #[arg(long)]
    pub when_ended: bool,
    /// Prints bodies as well
    #[arg(long)]
    pub print: bool,
    /// What a call looks like in the output
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// Forms of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// A line for people, and a summary.
    Text,
    /// A line of JSON: call, millis, and either answer or error.
    Json,
    /// `Key=value` lines, with an empty line after each call, as the conformance suite of the Gateway API reads them.
    Conformance,
}

impl Client {
    /// Calls; says whether all succeeded.
    ///
    /// # Errors
    /// When the system gives no way to hear that the process is to end.
    pub async fn run(&self) -> anyhow::Result<bool> {
        if self.when_ended {
            super::asked_to_end().await?;
        }
        let mut tally = Tally::default();
        let begin = now();
        for call in 0..self.count {
            if self.qps > 0.0 {
                #[expect(clippy::cast_precision_loss, reason = "nobody makes so many calls")]
                tokio::time::sleep_until(begin + Duration::from_secs_f64(call as f64 / self.qps)).await;
            }
            let start = now();
            let result = self.target.call().await;
            say(&self.told(call + 1, now() - start, &result));
            tally.add(&result);
        }
        if self.output == Output::Text && self.count > 1 {
            say(&tally.summary());
        }
        Ok(tally.failed() == 0)
    }

    fn told(&self, call: u64, took: Duration, result: &anyhow::Result<Answer>) -> String {
        let millis = took.as_millis();
        match (self.output, result) {
            (Output::Text, Ok(answer)) => {
                let from = from(answer);
                let body = if self.print { format!("\n{}", answer.body.trim_end()) } else { String::new() };
                format!("{call}: {} {} from {from} in {millis} ms{body}", answer.code(), answer.proto)
            }
            (Output::Text, Err(e)) => format!("{call}: failed after {millis} ms: {e:#}"),
            (Output::Json, Ok(answer)) => {
                json!({"call": call, "millis": millis, "answer": answer, "report": answer.report()}).to_string()
            }
            (Output::Json, Err(e)) => json!({"call": call, "millis": millis, "error": format!("{e:#}")}).to_string(),
            (Output::Conformance, Ok(answer)) => conformance(answer),
            (Output::Conformance, Err(e)) => format!("Error={e:#}\n"),
        }
    }
}

/// Who answered: version and pod, as far as they are known.
fn from(answer: &Answer) -> String {
    let report = answer.report();
    let word = |key: &str| report[key].as_str().unwrap_or_default();
    let served = answer.headers.iter().find(|(name, _)| name == "x-served-by").map(|(_, value)| value.as_str());
    let pod = if word("pod").is_empty() { served.unwrap_or_default() } else { word("pod") };
    match [pod, word("version")].iter().filter(|word| !word.is_empty()).copied().collect::<Vec<_>>().join("/") {
        nobody if nobody.is_empty() => "?".to_owned(),
        somebody => somebody,
    }
}

/// A call that was answered, in `Key=value` lines.
fn conformance(answer: &Answer) -> String {
    let report = answer.report();
    let mut text = String::new();
    for (name, key) in [
        ("Hostname", "pod"),
        ("Host", "host"),
        ("Method", "method"),
        ("Proto", "proto"),
        ("URL", "path"),
        ("ServiceVersion", "version"),
    ] {
        if let Some(value) = report[key].as_str() {
            let _ = writeln!(text, "{name}={value}");
        }
    }
    let local = report["local"].as_str().and_then(|address| address.rsplit_once(':'));
    let peer = report["peer"].as_str().and_then(|address| address.rsplit_once(':'));
    if let (Some((_, port)), Some((ip, _))) = (local, peer) {
        let _ = write!(text, "ServicePort={port}\nIP={ip}\n");
    }
    for (name, values) in report["headers"].as_object().into_iter().flatten() {
        for value in values.as_array().into_iter().flatten().filter_map(|value| value.as_str()) {
            let _ = writeln!(text, "RequestHeader={}:{value}", canonical(name));
        }
    }
    for (name, value) in &answer.headers {
        let _ = writeln!(text, "ResponseHeader={}:{value}", canonical(name));
    }
    // The suite takes the status of HTTP for that of gRPC when the call succeeded.
    let status = answer.grpc_status.filter(|status| *status != 0).unwrap_or(answer.status);
    let _ = writeln!(text, "StatusCode={status}");
    text
}

/// As names of headers are written by people: `X-Request-Id`.
fn canonical(name: &str) -> String {
    let mut start = true;
    name.chars()
        .map(|c| {
            let c = if start { c.to_ascii_uppercase() } else { c };
            start = c == '-';
            c
        })
        .collect()
}

/// Calls counted: statuses, who answered, and reasons of failures.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    statuses: BTreeMap<u16, u64>,
    from: BTreeMap<String, u64>,
    failures: BTreeMap<String, u64>,
}

impl Tally {
    /// One more.
    pub fn add(&mut self, result: &anyhow::Result<Answer>) {
        match result {
            Ok(answer) => {
                *self.statuses.entry(answer.code()).or_default() += 1;
                *self.from.entry(from(answer)).or_default() += 1;
            }
            Err(e) => *self.failures.entry(format!("{e:#}")).or_default() += 1,
        }
    }

    /// Calls that failed.
    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    /// All of it in one line, and one more for each reason of a failure.
    pub fn summary(&self) -> String {
        let answered: u64 = self.statuses.values().sum();
        let mut text = format!("{} calls, {} failed", answered + self.failed(), self.failed());
        for (status, count) in &self.statuses {
            let _ = write!(text, "; {count} of status {status}");
        }
        for (from, count) in &self.from {
            let _ = write!(text, "; {count} from {from}");
        }
        for (reason, count) in &self.failures {
            let _ = write!(text, "\n{count} failed: {reason}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_conformance_form_is_lines_that_end_in_an_empty_one_when_said() {
        let report = json!({
            "path": "/a", "host": "echo", "method": "GET", "proto": "HTTP/1.1", "headers": {"x-request-id": ["7"]},
            "pod": "echo-v1-abc", "version": "v1", "local": "10.0.0.1:8080", "peer": "10.0.0.2:40000",
        });
        let answer = Answer {
            status: 200,
            headers: vec![("x-served-by".into(), "echo-v1-abc".into())],
            body: format!("{report}\n"),
            ..Answer::default()
        };
        let lines = [
            "Hostname=echo-v1-abc",
            "Host=echo",
            "Method=GET",
            "Proto=HTTP/1.1",
            "URL=/a",
            "ServiceVersion=v1",
            "ServicePort=8080",
            "IP=10.0.0.2",
            "RequestHeader=X-Request-Id:7",
            "ResponseHeader=X-Served-By:echo-v1-abc",
            "StatusCode=200",
            "",
        ];
        // Saying it adds the line's end that makes the last one empty.
        assert_eq!(conformance(&answer), lines.join("\n"));
    }

    #[test]
    fn a_failed_call_of_grpc_shows_its_own_status() {
        let status = |status| conformance(&Answer { status: 200, grpc_status: Some(status), ..Answer::default() });
        assert_eq!((status(0), status(7)), ("StatusCode=200\n".to_owned(), "StatusCode=7\n".to_owned()));
    }
}
