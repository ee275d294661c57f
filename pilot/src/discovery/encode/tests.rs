use super::*;
use crate::{
    discovery::session::{self, Event, State, View},
    offline::compile_text,
    scope::ProxyFacts,
};
use mesh_config::{
    kind::Role,
    model::PartName,
    wire::{Packed, proto::envoy::service::discovery::v3::Resource},
};
use std::collections::BTreeMap;

/// The first push to a client that follows the index of so many services, and one of them.
fn push(services: usize) -> Vec<Response> {
    let service = |n| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: s{n}, namespace: shop}}\nspec: {{hosts: [s{n}.shop], \
             resolution: STATIC, ports: [{{number: 80, name: http, protocol: HTTP}}], endpoints: [{{address: 127.0.1.1}}]}}\n---\n"
        )
    };
    let mesh = compile_text(&(0..services).map(service).collect::<String>(), None).0;
    let facts = ProxyFacts::resolve(&mesh, Role::Sidecar, (&"web".into(), "edge"), Some("edge"), &[]);
    // Who is not known sees nothing.
    let facts = ProxyFacts { workload: Some("its-uid".into()), ..facts };
    let view = View { mesh: &mesh, facts: &facts, secrets: false };
    let ask = |state, kind, name: &str| {
        let subscribe = vec![name.to_owned()];
        let request = Request { kind, subscribe, unsubscribe: vec![], initial: BTreeMap::new(), answer: None };
        session::step(state, Event::Request(request), &view)
    };
    let (state, _) = ask(State::default(), Kind::Index, "*");
    ask(state, Kind::Service, "shop/s1.shop").1.responses
}

/// As the protocol's own definitions make it.
fn whole(response: &Response) -> DeltaDiscoveryResponse {
    let resource = |upsert: &Upsert| {
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
        resources: response.upserts.iter().map(resource).collect(),
    }
}

#[test]
fn pieces_are_the_message() {
    let mut responses = push(200);
    let mut full = responses.first().unwrap().clone();
    full.removed = vec![PartName("gone".into()), PartName("gone-too".into())];
    full.upserts.iter_mut().for_each(|upsert| upsert.aliases = vec!["10.0.0.1".into(), "x".repeat(300).into()]);
    let empty = Response { upserts: Vec::new(), removed: Vec::new(), ..full.clone() };
    responses.extend([full, empty]);
    for response in responses {
        let want = whole(&response);
        let framed = Pieces::of(response).flatten().collect::<Vec<u8>>();
        let (prefix, message) = framed.split_at(PREFIX);
        assert_eq!(prefix, [&[0], &u32::try_from(message.len()).unwrap().to_be_bytes()[..]].concat());
        assert_eq!(DeltaDiscoveryResponse::decode(message).unwrap(), want);
    }
}

#[test]
fn a_piece_ends_with_the_part_that_fills_it() {
    let index = push(400).into_iter().find(|response| response.kind == Kind::Index).unwrap();
    let largest = index.upserts.iter().map(|upsert| field_len(resource_len(upsert))).max().unwrap();
    let pieces: Vec<usize> = Pieces::of(index).map(|piece| piece.len()).collect();
    let (last, rest) = pieces.split_last().unwrap();
    assert!(rest.len() > 2, "{pieces:?}");
    assert!(
        rest.iter().all(|length| (PIECE..PIECE + largest).contains(length)) && *last < PIECE + largest,
        "{pieces:?}"
    );
}
