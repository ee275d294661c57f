//! How a connection to an upstream is secured: in plain text, with the mesh's mutual TLS, or with TLS to a server outside
//! the mesh; which server name is sent, and whom we believe. The name that is sent and the one that is verified are two
//! things: an address is verified, but never sent.

mod secrets;

pub(super) use secrets::Secrets;

use super::connect::{Speaks, Target};
use crate::{
    conn::PeerAddress,
    snapshot::{cluster::Secret, workloads::Callee},
};
use mesh_config::{
    model::{
        Credential,
        destination::{CertificateFiles, KeyFiles, SimpleTls, UpstreamKeys, UpstreamTls},
    },
    name::Port,
};
use mesh_runtime::tls::{
    client::{ClientTls, Mode, Simple},
    key_files::{self, KeyFileError},
    verify::ExpectedPeer,
};
use secrets::{Keys, Use};
use std::sync::Arc;

pub(super) type AlpnList = Arc<[&'static [u8]]>;

/// The protocols that we offer.
pub(super) struct Alpn {
    mesh_h1: AlpnList,
    mesh_h2: AlpnList,
    mesh_tcp: AlpnList,
    h2: AlpnList,
    none: AlpnList,
}

impl Alpn {
    pub(super) fn new() -> Self {
        let list = |names: &[&'static [u8]]| Arc::from(names);
        Alpn {
            mesh_h1: list(&[b"istio-http/1.1", b"istio", b"http/1.1"]),
            mesh_h2: list(&[b"istio-h2", b"istio", b"h2"]),
            mesh_tcp: list(&[b"istio-peer-exchange", b"istio"]),
            h2: list(&[b"h2"]),
            none: list(&[]),
        }
    }
}

/// What is done with a new connection.
pub(super) enum Plan<'a> {
    Plain,
    /// The mesh's mutual TLS.
    Mesh {
        sni: Option<Arc<str>>,
        expected: ExpectedPeer,
        alpn: &'a AlpnList,
    },
    /// TLS with a server outside the mesh.
    Simple {
        tls: &'a SimpleTls,
        sni: Option<Arc<str>>,
        alpn: &'a AlpnList,
    },
}

/// What the policy, and without one the endpoint, say of a connection.
pub(super) fn plan<'a>(target: &'a Target<'_>, alpn: &'a Alpn) -> Plan<'a> {
    match &target.cluster.policy.tls {
        Some(UpstreamTls::Disable) => Plan::Plain,
        Some(UpstreamTls::IstioMutual { sni, subject_alt_names }) => {
            mesh(target, sni.as_ref(), subject_alt_names, alpn)
        }
        // The rule is for gateways, and the application speaks TLS itself.
        Some(UpstreamTls::Simple(_)) if target.cluster.carries_tls() && target.speaks == Speaks::Tcp => Plan::Plain,
        Some(UpstreamTls::Simple(tls)) => Plan::Simple {
            tls,
            sni: tls.sni.as_ref().or(target.server_name).filter(|name| !name.is_empty()).cloned(),
            alpn: if target.speaks == Speaks::Http2 { &alpn.h2 } else { &alpn.none },
        },
        None => match target.callee {
            Some(callee) if callee.is_secured(target.settings, port(target.address)) => mesh(target, None, &[], alpn),
            _ => Plan::Plain,
        },
    }
}

fn mesh<'a>(target: &Target<'_>, sni: Option<&Arc<str>>, names: &[Arc<str>], alpn: &'a Alpn) -> Plan<'a> {
    let alpn = match target.speaks {
        Speaks::Http1 => &alpn.mesh_h1,
        Speaks::Http2 => &alpn.mesh_h2,
        Speaks::Tcp => &alpn.mesh_tcp,
    };
    let sni = Some(sni.unwrap_or(&target.cluster.sni)).filter(|name| !name.is_empty()).cloned();
    let expected = match names {
        [] => workload(target),
        names => ExpectedPeer::any_of(names),
    };
    Plan::Mesh { sni, expected, alpn }
}

fn port(address: &PeerAddress) -> Option<Port> {
    match address {
        PeerAddress::Ip(address) => Port::new(address.port()),
        PeerAddress::Unix(_) => None,
    }
}

/// The identity of who is called, or one of the service's own names.
fn workload(target: &Target<'_>) -> ExpectedPeer {
    let identity = target.callee.and_then(Callee::identity).map(|id| id.uri());
    ExpectedPeer::any_of(
        identity.iter().map(String::as_str).chain(target.cluster.subject_alt_names.iter().map(|n| &**n)),
    )
}

/// Whom we believe outside the mesh, and what we show there.
///
/// # Errors
/// Keys that are named are not there, or cannot be used; the text says which and why.
pub(super) async fn simple(
    tls: &SimpleTls,
    target: &Target<'_>,
    client: &ClientTls,
    secrets: &Secrets,
) -> Result<Mode, String> {
    let (roots, certificate) = match &tls.keys {
        UpstreamKeys::Files(files) => {
            in_files(files, tls.insecure_skip_verify, client).await.map_err(|e| e.to_string())?
        }
        UpstreamKeys::Secret(named) => {
            let wants = Use { roots: !tls.insecure_skip_verify, certificate: named.shows_certificate };
            secrets.keys(received(&target.cluster.secret)?, wants)?
        }
    };
    let names = names(tls, &target.cluster.subject_alt_names, target.server_name);
    let insecure_skip_verify = tls.insecure_skip_verify;
    Ok(Mode::Simple(Arc::new(Simple { roots, names, insecure_skip_verify, certificate })))
}

async fn in_files(files: &KeyFiles, unverified: bool, client: &ClientTls) -> Result<Keys, KeyFileError> {
    let known = client.key_files();
    let roots = match &files.roots {
        _ if unverified => None,
        Some(file) => Some(known.roots(file).await?),
        None => Some(key_files::system().await?),
    };
    let certificate = match &files.certificate {
        Some(CertificateFiles { chain, key }) => Some(known.certificate(chain, key).await?),
        None => None,
    };
    Ok((roots, certificate))
}

fn received(secret: &Secret) -> Result<&Arc<Credential>, String> {
    match secret {
        Secret::Here(credential) => Ok(credential),
        Secret::Missing(name) => {
            Err(format!("there is no Secret {name} here: make it, and let this proxy's service account read it"))
        }
        Secret::Withheld(name) => Err(format!(
            "Secret {name} is not given to sidecars by a rule for all clients: give the rule a workloadSelector"
        )),
        Secret::Unnamed => Err("the rule names no Secret".to_owned()),
    }
}

/// The names of which the certificate must carry one: those of the rule, else those of the service, else the one that the
/// rule sends, else the request's host. Opaque bytes have no host: then any name will do.
fn names(tls: &SimpleTls, service: &[Arc<str>], host: Option<&Arc<str>>) -> Vec<Arc<str>> {
    match (&*tls.subject_alt_names, service) {
        ([], []) => tls.sni.as_ref().or(host).cloned().into_iter().collect(),
        ([], service) => service.to_vec(),
        (rule, _) => rule.to_vec(),
    }
}

#[cfg(test)]
mod tests;
