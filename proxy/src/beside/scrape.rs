//! One page of metrics for Prometheus: the proxy's own, then the application's, which are fetched for each scrape. What the
//! application does not give is left out and counted; the proxy's own are always there.

use super::fetch::{Read, Way};
use crate::settings::{Settings, Target};
use anyhow::ensure;
use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{Empty, Full};
use mesh_runtime::{
    admin::Reply,
    carried,
    telemetry::metrics::{RegisterError, Registry},
};
use prometheus::{IntCounter, IntCounterVec, Opts};
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

/// Of one page of the application.
const PAGE: usize = 10 << 20;
/// When Prometheus does not say how long it waits, and what is believed of it at most.
const USUAL: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(60);

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text";
const END: &[u8] = b"# EOF\n";

/// Makes the page.
pub struct Scraper {
    settings: Arc<Settings>,
    registry: Registry,
    scrapes: IntCounter,
    failures: IntCounterVec,
}

/// A page of the application.
struct Page {
    bytes: Bytes,
    kind: Option<HeaderValue>,
}

impl Scraper {
    /// For the application of these settings, after what the registry has.
    ///
    /// # Errors
    /// When the registry has its counters already.
    pub fn new(settings: Arc<Settings>, registry: Registry) -> Result<Self, RegisterError> {
        let scrapes = Opts::new("istio_agent_scrapes_total", "Scrapes of the merged page of metrics");
        let failures =
            Opts::new("istio_agent_scrape_failures_total", "Pages that are not in the merged page of metrics");
        Ok(Scraper {
            scrapes: registry.register(IntCounter::with_opts(scrapes)?)?,
            failures: registry.register(IntCounterVec::new(failures, &["type"])?)?,
            settings,
            registry,
        })
    }

    /// The page, as asked for with these headers.
    pub async fn page(&self, asked: &HeaderMap) -> Reply {
        self.scrapes.inc();
        let targets = self.settings.pod.scrape.as_ref().map_or(&[][..], |scrape| &scrape.targets);
        let accepts = |header: &HeaderValue| header.to_str().is_ok_and(|text| text.contains(OPEN_METRICS));
        // A page can be followed by others as text only.
        let open = targets.len() == 1 && asked.get_all(header::ACCEPT).iter().any(accepts);
        let limit = patience(asked);
        let fetched = targets.iter().map(|target| async move {
            match tokio::time::timeout(limit, self.fetch(target, open)).await {
                Ok(Ok(page)) => Some(page),
                failed => {
                    let why = failed.map_or_else(
                        |_| format!("no answer within {limit:?}"),
                        |failed| failed.err().map(|error| format!("{error:#}")).unwrap_or_default(),
                    );
                    tracing::debug!(
                        port = target.port,
                        path = target.path,
                        why,
                        "metrics of the application are missing"
                    );
                    self.failures.with_label_values(&["application"]).inc();
                    None
                }
            }
        });
        let pages: Vec<Page> = join_all(fetched).await.into_iter().flatten().collect();
        merged(self.registry.render(), &pages, open)
    }

    /// From loopback, where applications mostly listen too; else from the pod's address.
    async fn fetch(&self, target: &Target, open: bool) -> anyhow::Result<Page> {
        let loopback = Way { to: (Ipv4Addr::LOCALHOST, target.port).into(), from: None, tls: None };
        let (way, stream) = match (loopback.connect().await, self.settings.instance_ips.first()) {
            (Err(_), Some(own)) if !own.is_loopback() => {
                let to = SocketAddr::new(*own, target.port);
                let way = Way { to, from: carried::from(to, self.settings.pod.captured), tls: None };
                let stream = way.connect().await?;
                (way, stream)
            }
            (stream, _) => (loopback, stream?),
        };
        let accept = match open {
            true => "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5",
            false => "text/plain;version=0.0.4",
        };
        let request = Request::get(&target.path)
            .header(header::HOST, way.to.to_string())
            .header(header::ACCEPT, accept)
            .body(Empty::new())?;
        let (head, Read { bytes, cut }) = way.ask_by(stream, request, PAGE).await?.into_parts();
        ensure!(head.status == StatusCode::OK, "status {}", head.status);
        ensure!(!cut, "the page has more than {PAGE} bytes");
        Ok(Page { bytes, kind: head.headers.get(header::CONTENT_TYPE).cloned() })
    }
}

/// How long Prometheus waits.
fn patience(asked: &HeaderMap) -> Duration {
    let said = asked.get("x-prometheus-scrape-timeout-seconds").and_then(|value| value.to_str().ok());
    let seconds = said.and_then(|text| text.parse::<f64>().ok()).filter(|seconds| *seconds > 0.0);
    seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).map_or(USUAL, |time| time.min(LONGEST))
}

fn merged(own: String, pages: &[Page], open: bool) -> Reply {
    let is_open = |kind: &&HeaderValue| kind.as_bytes().starts_with(OPEN_METRICS.as_bytes());
    let kind = pages.iter().filter_map(|page| page.kind.as_ref()).find(is_open).filter(|_| open).cloned();
    let mut text = own.into_bytes();
    for page in pages {
        let bytes = page.bytes.strip_suffix(END).or(page.bytes.strip_suffix(&END[..5])).unwrap_or(&page.bytes);
        text.extend_from_slice(bytes);
        if text.last().is_some_and(|last| *last != b'\n') {
            text.push(b'\n');
        }
    }
    if kind.is_some() {
        text.extend_from_slice(END);
    }
    let mut reply = Response::new(Full::new(Bytes::from(text)));
    let kind = kind.unwrap_or(HeaderValue::from_static(TEXT));
    reply.headers_mut().insert(header::CONTENT_TYPE, kind);
    reply
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    fn page(text: &'static str, kind: &'static str) -> Page {
        Page { bytes: Bytes::from_static(text.as_bytes()), kind: Some(HeaderValue::from_static(kind)) }
    }

    async fn shown(pages: &[Page], open: bool) -> (String, String) {
        let reply = merged("own 1\n".to_owned(), pages, open);
        let kind = reply.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
        let body = reply.into_body().collect().await.unwrap().to_bytes();
        (kind, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn pages_follow_each_other_and_end_once() {
        let open = "application/openmetrics-text; version=1.0.0";
        let text = |body: &str| (TEXT.to_owned(), body.to_owned());
        assert_eq!(shown(&[], true).await, text("own 1\n"));
        assert_eq!(shown(&[page("a 1", "text/plain"), page("b 1\n", "x")], false).await, text("own 1\na 1\nb 1\n"));
        assert_eq!(shown(&[page("a 1\n# EOF\n", open)], true).await, (open.into(), "own 1\na 1\n# EOF\n".into()));
        assert_eq!(shown(&[page("a 1\n# EOF", open)], false).await, text("own 1\na 1\n"));
    }

    #[test]
    fn prometheus_says_how_long_it_waits_within_reason() {
        let said = |text: &'static str| {
            let name = http::HeaderName::from_static("x-prometheus-scrape-timeout-seconds");
            patience(&HeaderMap::from_iter([(name, HeaderValue::from_static(text))]))
        };
        assert_eq!(patience(&HeaderMap::new()), USUAL);
        assert_eq!(said("1.5"), Duration::from_millis(1500));
        assert_eq!((said("1e30"), said("900")), (USUAL, LONGEST));
        assert_eq!((said("-1"), said("soon"), said("NaN")), (USUAL, USUAL, USUAL));
    }
}
