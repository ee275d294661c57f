//! Listeners of gateways.

use super::{
    error::{At, FieldError},
    field::{Field, choice, message, resource},
    v1,
};
use crate::model::gateway::{Gateway, Server, ServerHost, ServerProtocol, ServerTls};

resource!(Gateway => Gateway { name, selector, precedence, servers });
message!(Server => Server { port, port_name, protocol, bind, hosts, https_redirect });
choice!(ServerProtocol => ServerProtocol in server_protocol { Http, Https(tls) });
message!(ServerTls => ServerTls { credential_name, require_client_certificate });
message!(ServerHost => ServerHost { namespace, host });
