//! The connection to pilot: plain text, or TLS with the roots that were named.

use crate::{cli::XdsArgs, usage::Usage};
use anyhow::{Context as _, Result, bail};
use mesh_config::name::host_of_authority;
use mesh_runtime::tls::{
    client::{ClientTls, Simple},
    grpc::Connector,
    material::{CaBundle, Certificate},
};
use rustls_pki_types::ServerName;
use std::{fs, path::Path, sync::Arc};

/// As the flags say.
pub(super) fn connector(address: &str, args: &XdsArgs) -> Result<Connector> {
    let plain = Connector::plain(address);
    if args.plaintext {
        return Ok(plain);
    }
    mesh_runtime::tls::provider::install();
    let peer = peer(args)?;
    let name = server_name(address, args)?;
    let peer = Simple { names: vec![name.clone()], ..peer };
    Ok(plain.secured(Arc::new(ClientTls::anonymous()), name, peer, args.timeout))
}

/// To a pilot of a cluster, which these roots (PEM) must vouch for under this name.
pub(super) fn connector_to(address: &str, name: &str, roots: &[u8], args: &XdsArgs) -> Result<Connector> {
    mesh_runtime::tls::provider::install();
    if ServerName::try_from(name).is_err() {
        bail!(Usage::new(format!("{name:?} is not a host name; give --authority NAME")));
    }
    let name: Arc<str> = name.into();
    let bundle = CaBundle::from_pem(roots).context("the roots that the cluster has for the mesh cannot be used")?;
    let roots = (!args.insecure).then(|| Arc::new(bundle));
    let peer = Simple { roots, names: vec![name.clone()], insecure_skip_verify: args.insecure, certificate: None };
    Ok(Connector::plain(address).secured(Arc::new(ClientTls::anonymous()), name, peer, args.timeout))
}

fn server_name(address: &str, args: &XdsArgs) -> Result<Arc<str>> {
    let host = match &args.authority {
        Some(authority) => authority.as_str(),
        None => &host_of_authority(address),
    };
    match ServerName::try_from(host) {
        Ok(_) => Ok(host.into()),
        Err(_) => bail!(Usage::new(format!("{host:?} is not a host name; give --authority NAME"))),
    }
}

/// Whom we believe, and what we show.
fn peer(args: &XdsArgs) -> Result<Simple> {
    let in_directory = |name: &str| args.cert_dir.as_ref().map(|dir| dir.join(name));
    let roots = match (args.insecure, args.root_cert.clone().or_else(|| in_directory("root-cert.pem"))) {
        (true, _) => None,
        (false, Some(file)) => Some(Arc::new(CaBundle::from_pem(&read(&file)?).with_context(|| said(&file))?)),
        (false, None) => {
            bail!(Usage::new(
                "nothing to verify pilot with: give --root-cert FILE or --cert-dir DIR (or --plaintext, or --insecure)"
            ))
        }
    };
    let certificate = match (in_directory("cert-chain.pem"), in_directory("key.pem")) {
        (Some(chain), Some(key)) => {
            let certificate = Certificate::from_pem(&read(&chain)?, &read(&key)?);
            Some(Arc::new(certificate.with_context(|| said(&chain))?))
        }
        _ => None,
    };
    Ok(Simple { roots, names: Vec::new(), insecure_skip_verify: args.insecure, certificate })
}

fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

fn said(file: &Path) -> String {
    format!("{} cannot be used", file.display())
}
