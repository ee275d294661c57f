//! Listeners of gateways.

use super::{
    error::{At, FieldError},
    field::{Field, Level, choice, message, required, resource},
    v1,
};
use crate::model::gateway::{Gateway, Server, ServerHost, ServerProtocol, ServerTls};

resource!(Gateway => Gateway { object, name, selector, precedence, servers });
message!(Server => Server { port, port_name, protocol, bind, hosts, https_redirect });
choice!(ServerProtocol => ServerProtocol in server_protocol { Http, Https(tls), Tcp @ 2, Tls(tls) @ 2, Passthrough @ 2 });
message!(ServerHost => ServerHost { namespace, host });

impl Field<v1::ServerTls> for ServerTls {
    fn put(&self, level: &mut Level) -> v1::ServerTls {
        match self {
            ServerTls::Secret { name, require_client_certificate } => v1::ServerTls {
                credential_name: name.put(level),
                require_client_certificate: *require_client_certificate,
                mesh: false,
            },
            ServerTls::Mesh => {
                level.need(2);
                v1::ServerTls { mesh: true, ..v1::ServerTls::default() }
            }
        }
    }

    fn take(wire: v1::ServerTls) -> Result<Self, FieldError> {
        if !wire.mesh {
            let name = Field::take(wire.credential_name).at("credential_name")?;
            return Ok(ServerTls::Secret { name, require_client_certificate: wire.require_client_certificate });
        }
        if !wire.credential_name.is_empty() || wire.require_client_certificate {
            return Err(FieldError::new("stands alone")).at("mesh");
        }
        Ok(ServerTls::Mesh)
    }
}

required!(ServerTls => ServerTls);
