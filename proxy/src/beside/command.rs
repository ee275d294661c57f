//! `proxy wait` and `proxy drain`: what a pod's hooks ask of the proxy that runs beside them, over its port for metrics.

use anyhow::{Context, bail, ensure};
use clap::Args;
use mesh_runtime::clock;
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream, ToSocketAddrs},
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
    /// Where its readiness is.
    #[arg(long, default_value = "http://127.0.0.1:15020/healthz/ready")]
    pub url: String,
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
    /// Where it is asked.
    #[arg(long, default_value = "http://127.0.0.1:15020/drain")]
    pub url: String,
}

impl Wait {
    /// Asks until the answer is that it is ready.
    ///
    /// # Errors
    /// When it did not become ready in time, with what stood in the way last.
    pub fn run(&self) -> anyhow::Result<()> {
        let target = Target::parse(&self.url)?;
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
        let status = Target::parse(&self.url)?.ask("POST")?;
        ensure!(status == 200, "{}: the proxy answers {status}", self.url);
        Ok(())
    }
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
        Wait { url, timeout_seconds: 60, period_millis: 10 }.run().unwrap();
        assert_eq!(served.join().unwrap(), ["GET /there HTTP/1.1"; 3]);
    }

    #[test]
    fn wait_says_what_stood_in_the_way() {
        let (url, served) = server(&["503 Service Unavailable"]);
        let error = Wait { url, timeout_seconds: 0, period_millis: 10 }.run().unwrap_err();
        assert_eq!(error.to_string(), "the proxy was not ready within 0 s: it answers 503");
        served.join().unwrap();
    }

    #[test]
    fn drain_posts_and_a_refusal_is_an_error() {
        let (url, served) = server(&["200 OK", "403 Forbidden"]);
        let drain = Drain { url };
        drain.run().unwrap();
        assert!(drain.run().unwrap_err().to_string().ends_with("the proxy answers 403"));
        assert_eq!(served.join().unwrap(), ["POST /there HTTP/1.1"; 2]);
        assert!(Drain { url: "127.0.0.1:1".into() }.run().is_err());
    }
}
