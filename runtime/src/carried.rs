//! The addresses by which a proxy dials its own pod where the pod's connections are captured: the rules of capture let them
//! pass, and would send anything else of the proxy's to the pod's own address back to it. What comes from there was sent by
//! somebody else, and carried by the proxy.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Of version 4.
pub const FROM_V4: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 6);
/// Of version 6, which the machine has to be given.
pub const FROM_V6: Ipv6Addr = Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 6);

/// From where the pod's own address is dialled; `None`: from where the system chooses, as loopback is not captured.
pub fn from(to: SocketAddr, captured: bool) -> Option<IpAddr> {
    let from = if to.is_ipv4() { FROM_V4.into() } else { FROM_V6.into() };
    (captured && !to.ip().to_canonical().is_loopback()).then_some(from)
}

/// Whether something from this address was carried.
pub fn is_carried(from: IpAddr) -> bool {
    matches!(from.to_canonical(), IpAddr::V4(FROM_V4) | IpAddr::V6(FROM_V6))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pods_own_address_is_dialled_from_one_that_capture_lets_pass() {
        let dialled = |to: &str, captured| from(to.parse().unwrap(), captured);
        assert_eq!(dialled("10.0.0.1:80", true), Some(FROM_V4.into()));
        assert_eq!(dialled("[2001:db8::1]:80", true), Some(FROM_V6.into()));
        assert_eq!(dialled("10.0.0.1:80", false), None);
        assert_eq!((dialled("127.0.0.1:80", true), dialled("[::1]:80", true)), (None, None));
        for (address, carried) in [("127.0.0.6", true), ("::ffff:127.0.0.6", true), ("::6", true), ("127.0.0.1", false)]
        {
            assert_eq!(is_carried(address.parse().unwrap()), carried, "{address}");
        }
    }
}
