//! Connections to endpoints: from our own address where we have one, with a deadline, without Nagle.

use mesh_config::model::destination::TcpKeepalive;
use nix::sys::socket::{setsockopt, sockopt};
use socket2::SockRef;
use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tokio::net::{TcpSocket, TcpStream};

/// How to connect.
#[derive(Debug, Clone, Copy, Default)]
pub struct ConnectOptions {
    /// Dial from this address, if it is of the destination's family.
    pub source: Option<IpAddr>,
    /// Keep-alive probes.
    pub keepalive: Option<TcpKeepalive>,
}

/// Connects; the deadline is the caller's, since it covers the TLS handshake too.
pub async fn tcp(to: SocketAddr, options: &ConnectOptions) -> io::Result<TcpStream> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(source) = options.source.filter(|s| s.is_ipv4() == to.is_ipv4()) {
        // The port is chosen when the destination is known: one taken at the bind is searched for among all that this
        // address has, closed ones included, and cannot be shared between destinations.
        setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
        socket.bind(SocketAddr::new(source, 0))?;
    }
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    if let Some(keepalive) = &options.keepalive {
        set_keepalive(&stream, keepalive)?;
    }
    Ok(stream)
}

/// Switches keep-alive probes on.
pub fn set_keepalive(stream: &TcpStream, wanted: &TcpKeepalive) -> io::Result<()> {
    let mut params = socket2::TcpKeepalive::new();
    if let Some(time) = wanted.time {
        params = params.with_time(at_least_a_second(time));
    }
    if let Some(interval) = wanted.interval {
        params = params.with_interval(at_least_a_second(interval));
    }
    if let Some(probes) = wanted.probes {
        params = params.with_retries(probes);
    }
    SockRef::from(stream).set_tcp_keepalive(&params)
}

/// The kernel counts in seconds and refuses zero.
fn at_least_a_second(time: Duration) -> Duration {
    time.max(Duration::from_secs(1))
}
