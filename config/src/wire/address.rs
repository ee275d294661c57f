//! Blocks of addresses and sockets.

use super::{
    error::{At, FieldError},
    field::{Field, Level, required},
    v1,
};
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};

impl Field<v1::Block> for IpNet {
    fn put(&self, level: &mut Level) -> v1::Block {
        v1::Block { address: self.addr().put(level), length: self.prefix_len().into() }
    }

    fn take(wire: v1::Block) -> Result<Self, FieldError> {
        let address: IpAddr = Field::take(wire.address).at("address")?;
        let wrong = || FieldError::new(format_args!("{} is longer than the address {address}", wire.length));
        let length = u8::try_from(wire.length).map_err(|_| wrong()).at("length")?;
        IpNet::new(address, length).map_err(|_| wrong()).at("length")
    }
}

required!(IpNet => Block);

impl Field<v1::Socket> for SocketAddr {
    fn put(&self, level: &mut Level) -> v1::Socket {
        let scope = match self {
            SocketAddr::V4(_) => 0,
            SocketAddr::V6(v6) => v6.scope_id(),
        };
        v1::Socket { address: self.ip().put(level), port: self.port().into(), scope }
    }

    fn take(wire: v1::Socket) -> Result<Self, FieldError> {
        let ip: IpAddr = Field::take(wire.address).at("address")?;
        let mut socket = SocketAddr::new(ip, Field::take(wire.port).at("port")?);
        match &mut socket {
            SocketAddr::V6(v6) => v6.set_scope_id(wire.scope),
            SocketAddr::V4(_) if wire.scope != 0 => {
                return Err(FieldError::new("an IPv4 address has no scope")).at("scope");
            }
            SocketAddr::V4(_) => {}
        }
        Ok(socket)
    }
}

required!(SocketAddr => Socket);
