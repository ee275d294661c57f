//! The configuration in force, on disk: a restarted proxy serves at once, also while pilot is away.
//!
//! One file, replaced whole, mode 0600 since it may hold a gateway's keys. It holds messages of the discovery protocol,
//! each with its length in front: first what is followed, then what is held. It counts for the node that wrote it.

use super::{
    NodeFacts,
    session::{Held, Push, Refused, State},
};
use crate::snapshot::build::Changes;
use bytes::{Buf, Bytes};
use mesh_config::{
    kind::Unread,
    model::{Kind, Part, PartName, ServiceKey},
    wire::{
        Packed, decode,
        proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource},
    },
};
use mesh_runtime::file;
use prost::Message;
use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

/// The file within the state directory.
pub const FILE: &str = "configuration.bin";

/// What the file begins with: format and version.
const MAGIC: &[u8] = b"ferromesh configuration 1\n";

/// A longer file is not read.
const MAX_FILE: u64 = 512 << 20;

/// Why there is nothing to restore.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Reading or writing failed.
    #[error("{path}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What happened.
        error: io::Error,
    },
    /// It is no such file, or cut off.
    #[error("{path} is not a configuration of this proxy: {reason}; it will be replaced")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// The file's content.
pub fn encode(state: &State, node: &NodeFacts) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    let mut put = |message: &dyn Fn(&mut Vec<u8>) -> Result<(), prost::EncodeError>| {
        message(&mut out).expect("a vector grows as needed");
    };
    let follow = |kind: Kind, names: Vec<String>| DeltaDiscoveryRequest {
        node: (kind == Kind::Service).then(|| node.message()),
        type_url: kind.type_url().to_owned(),
        resource_names_subscribe: names,
        ..Default::default()
    };
    let services = follow(Kind::Service, state.services().map(ToString::to_string).collect());
    let addresses = follow(Kind::Workload, state.addresses().map(ToString::to_string).collect());
    put(&|out| services.encode_length_delimited(out));
    put(&|out| addresses.encode_length_delimited(out));
    let mut kinds: BTreeMap<Kind, Vec<Resource>> = BTreeMap::new();
    for (kind, name, held) in state.held() {
        let Some(bytes) = &held.bytes else { continue };
        kinds.entry(kind).or_default().push(Resource {
            name: name.to_string(),
            version: held.version.to_string(),
            resource: Some(Packed { type_url: kind.type_url().to_owned(), value: bytes.clone() }),
            aliases: Vec::new(),
        });
    }
    // Without content, and so not readable this time either.
    for (kind, name) in state.refused() {
        kinds.entry(*kind).or_default().push(Resource { name: name.to_string(), ..Resource::default() });
    }
    for (kind, resources) in kinds {
        let response = DeltaDiscoveryResponse { type_url: kind.type_url().to_owned(), resources, ..Default::default() };
        put(&|out| response.encode_length_delimited(out));
    }
    out
}

/// What [`encode`] wrote: the conversation, and all of it as a push. A part that cannot be decoded any more (written by
/// a newer proxy) is left out, so that pilot sends it again; a policy among such is refused, since it may not be passed
/// over meanwhile.
///
/// # Errors
/// What is wrong with the content, for [`StateError::Content`].
pub fn parse(content: Bytes, node: &NodeFacts) -> Result<(State, Push), String> {
    let mut rest = content;
    if !rest.starts_with(MAGIC) {
        return Err("it begins otherwise".to_owned());
    }
    rest.advance(MAGIC.len());
    let services: DeltaDiscoveryRequest = next(&mut rest)?;
    let addresses: DeltaDiscoveryRequest = next(&mut rest)?;
    if services.node != Some(node.message()) {
        return Err("another proxy wrote it".to_owned());
    }
    let services: Vec<ServiceKey> = parsed(&services.resource_names_subscribe);
    let addresses = parsed(&addresses.resource_names_subscribe);
    let (mut held, mut changes, mut refused) = (Vec::new(), Changes::default(), Vec::new());
    while rest.has_remaining() {
        let response: DeltaDiscoveryResponse = next(&mut rest)?;
        let kind = Kind::from_type_url(&response.type_url);
        for resource in response.resources {
            let name = PartName(resource.name.as_str().into());
            match (restored(resource), kind) {
                (Ok((part, kept)), _) => {
                    held.push((part.kind(), part.name(), kept));
                    changes.upserts.push(part);
                }
                (Err(reason), Some(kind)) if kind.unread() == Unread::Refuses => {
                    refused.push(Refused { kind, name, reason: reason.into() });
                }
                (Err(_), _) => {}
            }
        }
    }
    let addresses_of = changes.upserts.iter().flat_map(|part| match part {
        Part::Workload(workload) => workload.addresses.iter().map(|a| (*a, Some(workload.clone()))).collect(),
        _ => Vec::new(),
    });
    let answers: Vec<_> = addresses_of.collect();
    changes.refused = refused.iter().map(|r| (r.kind, r.name.clone())).collect();
    let state = State::restored(node.clone(), services, addresses, &answers, held, changes.refused.iter().cloned());
    Ok((state, Push { changes, addresses: answers, refused, ..Push::default() }))
}

fn restored(resource: Resource) -> Result<(Part, Held), String> {
    let packed = resource.resource.ok_or("it could not be read when it came")?;
    let version = resource.version.parse().map_err(|e| format!("{e}"))?;
    let bytes = Bytes::copy_from_slice(&packed.value);
    let part = decode(&packed.type_url, packed.value).map_err(|e| e.to_string())?;
    Ok((part, Held { version, bytes: Some(bytes) }))
}

fn next<M: Message + Default>(rest: &mut Bytes) -> Result<M, String> {
    M::decode_length_delimited(rest).map_err(|e| e.to_string())
}

fn parsed<T: std::str::FromStr>(names: &[String]) -> Vec<T> {
    names.iter().filter_map(|name| name.parse().ok()).collect()
}

/// Whether it says what the mesh and the workload are, without which nothing can be decided.
fn is_whole(changes: &Changes) -> bool {
    let has = |kind| changes.upserts.iter().any(|part| part.kind() == kind);
    has(Kind::Settings) && has(Kind::Instance)
}

/// Reads a state directory; `None` when there is nothing yet. What is not whole does not count.
///
/// # Errors
/// [`StateError`].
pub fn load(dir: &Path, node: &NodeFacts) -> Result<Option<(State, Push)>, StateError> {
    let path = dir.join(FILE);
    let content = match file::read(&path, MAX_FILE) {
        Ok(content) => content,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StateError::Io { path, error }),
    };
    match parse(content.into(), node) {
        Ok((state, push)) if is_whole(&push.changes) => Ok(Some((state, push))),
        Ok(_) => Err("it lacks the mesh's settings or the workload".to_owned()),
        Err(reason) => Err(reason),
    }
    .map_err(|reason| StateError::Content { path, reason })
}

/// Replaces the file, readable by the owner alone.
///
/// # Errors
/// [`StateError::Io`].
pub fn save(dir: &Path, content: &[u8]) -> Result<(), StateError> {
    let path = dir.join(FILE);
    let replaced = file::make_private_dir(dir).and_then(|()| file::replace_private(&path, content));
    replaced.map_err(|error| StateError::Io { path, error })
}

#[cfg(test)]
mod tests;
