//! Where a captured connection wanted to go before it was redirected here.

use socket2::SockRef;
use std::net::SocketAddr;
use tokio::net::TcpStream;

/// The destination before redirection (`SO_ORIGINAL_DST`), or the local address where there was none: a connection
/// that was made to us directly (or arrived by TPROXY) wanted exactly where it arrived.
pub fn original_destination(stream: &TcpStream) -> std::io::Result<SocketAddr> {
    // IPv4 accepted on a dual-stack socket has a local address in IPv6 form, but its origin is asked as IPv4's.
    let local = unmap(stream.local_addr()?);
    let socket = SockRef::from(stream);
    let original = match local {
        SocketAddr::V4(_) => socket.original_dst_v4(),
        SocketAddr::V6(_) => socket.original_dst_v6(),
    };
    Ok(original.ok().and_then(|a| a.as_socket()).map(unmap).unwrap_or(local))
}

/// IPv4 in IPv6 form is IPv4 to every rule.
pub fn unmap(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
            Some(v4) => SocketAddr::new(v4.into(), v6.port()),
            None => address,
        },
        SocketAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_direct_connection_wanted_where_it_arrived() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (_client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        assert_eq!(original_destination(&accepted.unwrap().0).unwrap(), address);
    }

    #[tokio::test]
    async fn ipv4_on_a_dual_stack_listener_is_ipv4() {
        let listener = crate::net::listen::bind("[::]:0".parse().unwrap()).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let to = SocketAddr::new(std::net::Ipv4Addr::LOCALHOST.into(), listener.local_addr().unwrap().port());
        let (_client, accepted) = tokio::join!(TcpStream::connect(to), listener.accept());
        assert_eq!(original_destination(&accepted.unwrap().0).unwrap(), to);
    }

    #[test]
    fn mapped_addresses_become_ipv4() {
        assert_eq!(unmap("[::ffff:1.2.3.4]:5".parse().unwrap()), "1.2.3.4:5".parse().unwrap());
        assert_eq!(unmap("[::1]:5".parse().unwrap()), "[::1]:5".parse().unwrap());
    }
}
