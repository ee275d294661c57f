//! `proxy wait` and `proxy drain`: what a pod's hooks ask of the proxy that runs beside them, where its environment, which is
//! theirs too, says that it listens.

use crate::settings::Addresses;
use anyhow::{Context, bail, ensure};
use clap::Args;
use mesh_runtime::{
    clock,
    settings::{Env, Listen},
};
use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream, ToSocketAddrs},
    thread,
    time::Duration,
};

/// For one question.
const ANSWER: Duration = Duration::from_secs(3);
/// Of an answer this much is read; only its first line counts.
const MOST: u64 = 4096;

/// Wait until the proxy of this pod is ready.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Wait {
    /// Where its readiness is, if not where the environment says; http://127.0.0.1:15021/healthz/ready.
    #[arg(long)]
    pub url: Option<String>,
    /// Give up after this many seconds.
    #[arg(long = "timeoutSeconds", visible_alias = "timeout-seconds", visible_alias = "timeout", default_value_t = 60)]
    pub timeout_seconds: u64,
    /// Milliseconds between two questions.
    #[arg(long = "periodMillis", visible_alias = "period-millis", default_value_t = 500)]
    pub period_millis: u64,
}

/// Begin the drain of this pod's proxy, which goes on serving until it is told to end.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Drain {
    /// Where it is asked, if not where the environment says; http://127.0.0.1:15000/drain.
    #[arg(long)]
    pub url: Option<String>,
}

impl Wait {
    /// Asks until the answer is that it is ready.
    ///
    /// # Errors
    /// When it did not become ready in time, with what stood in the way last.
    pub fn run(&self) -> anyhow::Result<()> {
        let url = known(self.url.as_deref(), "/healthz/ready", |addresses| addresses.status)?;
        let target = Target::parse(&url)?;
        let end = clock::now() + Duration::from_secs(self.timeout_seconds);
        loop {
            let why = match target.ask("GET") {
                Ok(200) => return Ok(()),
                Ok(status) => format!("it answers {status}"),
                Err(error) => format!("{error:#}"),
            };
            if clock::now() >= end {
                bail!("the proxy was not ready within {} s: {why}", self.timeout_seconds);
            }
            thread::sleep(Duration::from_millis(self.period_millis.max(10)));
        }
    }
}

impl Drain {
    /// Asks once.
    ///
    /// # Errors
    /// When the proxy does not answer, or refuses.
    pub fn run(&self) -> anyhow::Result<()> {
        let url = known(self.url.as_deref(), "/drain", |addresses| addresses.admin)?;
        let status = Target::parse(&url)?.ask("POST")?;
        ensure!(status == 200, "{url}: the proxy answers {status}");
        Ok(())
    }
}

/// The given URL, or the page at the address that the environment says.
fn known(given: Option<&str>, page: &str, of: fn(&Addresses) -> Listen) -> anyhow::Result<String> {
    match given {
        Some(url) => Ok(url.to_owned()),
        None => at(&of(&Addresses::read(&Env)?), page),
    }
}

fn at(listen: &Listen, page: &str) -> anyhow::Result<String> {
    let mut address = listen.0.context("the environment says that the proxy has no such port; give --url")?;
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    Ok(format!("http://{address}{page}"))
}

struct Target {
    host: String,
    path: String,
}

impl Target {
    fn parse(url: &str) -> anyhow::Result<Self> {
        let uri: http::Uri = url.parse().with_context(|| format!("--url {url:?}"))?;
        let (Some("http"), Some(host)) = (uri.scheme_str(), uri.authority()) else {
            bail!("--url {url:?} is not of the form http://HOST:PORT/PATH");
        };
        let host = if host.port().is_some() { host.to_string() } else { format!("{host}:80") };
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Target { host, path })
    }

    /// The status of the answer.
    fn ask(&self, method: &str) -> anyhow::Result<u16> {
        let mut addresses = self.host.to_socket_addrs().with_context(|| self.host.clone())?;
        let address: SocketAddr = addresses.next().with_context(|| format!("{} has no address", self.host))?;
        let mut stream = TcpStream::connect_timeout(&address, ANSWER)?;
        stream.set_read_timeout(Some(ANSWER))?;
        stream.set_write_timeout(Some(ANSWER))?;
        let (host, path) = (&self.host, &self.path);
        let asked =
            format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        stream.write_all(asked.as_bytes())?;
        let mut answer = Vec::new();
        stream.take(MOST).read_to_end(&mut answer)?;
        let line = String::from_utf8_lossy(answer.split(|byte| *byte == b'\n').next().unwrap_or_default()).into_owned();
        let status = line.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)).and_then(|code| code.parse().ok());
        status.with_context(|| format!("{} does not answer in HTTP", self.host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// Answers each connection in turn and gives back what was asked.
    fn server(answers: &'static [&'static str]) -> (String, thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/there", listener.local_addr().unwrap());
        let serve = thread::spawn(move || {
            let one = |answer: &&str| {
                let (mut stream, _) = listener.accept().unwrap();
                let (mut asked, mut buffer) = (String::new(), [0; 512]);
                while !asked.contains("\r\n\r\n") {
                    let read = stream.read(&mut buffer).unwrap();
                    asked.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
                }
                stream.write_all(format!("HTTP/1.1 {answer}\r\n\r\n").as_bytes()).unwrap();
                asked.lines().next().unwrap().to_owned()
            };
            answers.iter().map(one).collect()
        });
        (url, serve)
    }

    #[test]
    fn wait_ends_once_the_proxy_says_that_it_is_ready() {
        let (url, served) = server(&["503 Service Unavailable", "503 Service Unavailable", "200 OK"]);
        Wait { url: Some(url), timeout_seconds: 60, period_millis: 10 }.run().unwrap();
        assert_eq!(served.join().unwrap(), ["GET /there HTTP/1.1"; 3]);
    }

    #[test]
    fn wait_says_what_stood_in_the_way() {
        let (url, served) = server(&["503 Service Unavailable"]);
        let error = Wait { url: Some(url), timeout_seconds: 0, period_millis: 10 }.run().unwrap_err();
        assert_eq!(error.to_string(), "the proxy was not ready within 0 s: it answers 503");
        served.join().unwrap();
    }

    #[test]
    fn drain_posts_and_a_refusal_is_an_error() {
        let (url, served) = server(&["200 OK", "403 Forbidden"]);
        let drain = Drain { url: Some(url) };
        drain.run().unwrap();
        assert!(drain.run().unwrap_err().to_string().ends_with("the proxy answers 403"));
        assert_eq!(served.join().unwrap(), ["POST /there HTTP/1.1"; 2]);
        assert!(Drain { url: Some("127.0.0.1:1".into()) }.run().is_err());
    }

    #[test]
    fn the_proxy_is_where_the_environment_says() {
        let at = |text: &str, page| at(&text.parse().unwrap(), page).map_err(|error| error.to_string());
        assert_eq!(at("[::]:15021", "/healthz/ready").unwrap(), "http://127.0.0.1:15021/healthz/ready");
        assert_eq!(at("127.0.0.1:15005", "/drain").unwrap(), "http://127.0.0.1:15005/drain");
        assert!(at("off", "/drain").unwrap_err().contains("--url"));
    }
}
