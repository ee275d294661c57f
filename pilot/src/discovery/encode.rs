//! Between the session and the protocol's messages. The bytes of a part are made once and shared by all clients.

use super::session::{Answer, Request, Response};
use mesh_config::{
    model::Kind,
    wire::{
        Nonce, Packed, Version,
        proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource},
    },
};

/// What a message says; `None` when it is about a kind that this pilot does not know.
pub fn request(message: DeltaDiscoveryRequest) -> Option<Request> {
    let kind = Kind::from_type_url(&message.type_url)?;
    let nonce: Option<Nonce> = message.response_nonce.parse().ok();
    // A version that is none differs from every other, so the part is sent again.
    let version = |text: String| text.parse().unwrap_or(Version([0; 16]));
    Some(Request {
        kind,
        subscribe: message.resource_names_subscribe,
        unsubscribe: message.resource_names_unsubscribe,
        initial: message.initial_resource_versions.into_iter().map(|(name, text)| (name, version(text))).collect(),
        answer: nonce.map(|nonce| Answer { nonce, error: message.error_detail.map(|status| status.message) }),
    })
}

/// The message of a response.
pub fn response(response: Response) -> DeltaDiscoveryResponse {
    let resource = |upsert: super::session::Upsert| {
        let encoded = upsert.part.encoded();
        Resource {
            name: encoded.name.to_string(),
            version: encoded.version.to_string(),
            aliases: upsert.aliases.iter().map(ToString::to_string).collect(),
            resource: Some(Packed { type_url: encoded.type_url.to_owned(), value: encoded.bytes.clone() }),
        }
    };
    DeltaDiscoveryResponse {
        system_version_info: response.nonce.mesh.to_string(),
        type_url: response.kind.type_url().to_owned(),
        nonce: response.nonce.to_string(),
        removed_resources: response.removed.iter().map(ToString::to_string).collect(),
        resources: response.upserts.into_iter().map(resource).collect(),
    }
}
