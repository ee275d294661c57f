//! `tls` of a DestinationRule: how the connection to an endpoint is secured.

use crate::{
    crd::reader::Fields,
    model::destination::{CertificateFiles, KeyFiles, SecretKeys, SimpleTls, UpstreamKeys, UpstreamTls},
};
use std::sync::Arc;

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Disable,
    Simple,
    Mutual,
    IstioMutual,
}

/// One `tls` block.
pub(super) fn upstream_tls(f: &mut Fields<'_>) -> Option<UpstreamTls> {
    let modes = [
        ("DISABLE", Mode::Disable),
        ("SIMPLE", Mode::Simple),
        ("MUTUAL", Mode::Mutual),
        ("ISTIO_MUTUAL", Mode::IstioMutual),
    ];
    // The field's default on the wire.
    let mode = f.item("mode").map_or(Some(Mode::Disable), |item| item.enum_of(&modes))?;
    if [Mode::Simple, Mode::IstioMutual].contains(&mode) && (f.has("clientCertificate") || f.has("privateKey")) {
        return f.invalid("clientCertificate and privateKey are only allowed with mode MUTUAL");
    }
    match mode {
        Mode::Disable => Some(disable(f)),
        Mode::IstioMutual => mesh(f),
        Mode::Simple | Mode::Mutual => outside(f, mode == Mode::Mutual).map(UpstreamTls::Simple),
    }
}

fn disable(f: &mut Fields<'_>) -> UpstreamTls {
    let (sni, subject_alt_names) = names(f);
    let rest = [
        "clientCertificate",
        "privateKey",
        "caCertificates",
        "caCrl",
        "credentialName",
        "caCertCredentialName",
        "insecureSkipVerify",
    ];
    f.ignore(&rest);
    if sni.is_some() || !subject_alt_names.is_empty() || rest.iter().any(|name| f.has(name)) {
        f.warn("no-effect", "mode DISABLE sends plain text: the other fields have no effect");
    }
    UpstreamTls::Disable
}

fn mesh(f: &mut Fields<'_>) -> Option<UpstreamTls> {
    let (sni, subject_alt_names) = names(f);
    if f.has("caCertificates") || f.has("credentialName") {
        return f.invalid("ISTIO_MUTUAL uses the mesh's own certificates: no others may be given");
    }
    if f.has("caCrl") {
        f.refuse("ISTIO_MUTUAL uses the mesh's own certificates: none of them can be revoked here");
    }
    f.not_served(&["caCrl", "caCertCredentialName", "insecureSkipVerify"]);
    Some(UpstreamTls::IstioMutual { sni, subject_alt_names })
}

/// `SIMPLE` and `MUTUAL`.
fn outside(f: &mut Fields<'_>, mutual: bool) -> Option<SimpleTls> {
    let (sni, subject_alt_names) = names(f);
    let [roots, chain, key, secret] =
        ["caCertificates", "clientCertificate", "privateKey", "credentialName"].map(|name| filled(f, name));
    let insecure_skip_verify = f.bool("insecureSkipVerify").unwrap_or(false);
    let revoked = filled(f, "caCrl");
    f.not_served(&["caCrl", "caCertCredentialName"]);
    let files = [&roots, &revoked, &chain, &key].into_iter().any(Option::is_some);
    if secret.is_some() && files {
        return f.invalid("credentialName and files of certificates are mutually exclusive");
    }
    if revoked.is_some() && roots.is_none() {
        f.refuse("caCrl goes with caCertificates alone");
    }
    if insecure_skip_verify {
        unverified(f, mutual, [roots.is_some(), secret.is_some(), !subject_alt_names.is_empty()])?;
    }
    let keys = match (secret, chain.zip(key)) {
        (Some(name), _) => UpstreamKeys::Secret(SecretKeys { name, shows_certificate: mutual }),
        (None, None) if mutual => {
            return f.invalid("MUTUAL needs clientCertificate and privateKey, or a credentialName");
        }
        (None, files) => UpstreamKeys::Files(KeyFiles {
            roots,
            certificate: files.map(|(chain, key)| CertificateFiles { chain, key }),
        }),
    };
    Some(SimpleTls { sni, subject_alt_names, insecure_skip_verify, keys })
}

/// What cannot be said beside `insecureSkipVerify`. A Secret may be there for the certificate that is shown.
fn unverified(f: &mut Fields<'_>, mutual: bool, [roots, secret, names]: [bool; 3]) -> Option<()> {
    if roots || (secret && !mutual) || (names && !mutual) {
        return f.invalid(
            "insecureSkipVerify verifies nothing: it cannot be combined with caCertificates, nor in mode SIMPLE with \
             credentialName or subjectAltNames",
        );
    }
    if names {
        f.warn("no-effect", "insecureSkipVerify verifies nothing: subjectAltNames have no effect");
    }
    Some(())
}

fn names(f: &mut Fields<'_>) -> (Option<Arc<str>>, Vec<Arc<str>>) {
    (filled(f, "sni"), f.strings("subjectAltNames"))
}

/// An empty text is none.
fn filled(f: &mut Fields<'_>, name: &'static str) -> Option<Arc<str>> {
    f.opt_string(name).filter(|text| !text.is_empty())
}
