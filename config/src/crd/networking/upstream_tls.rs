//! `tls` of a DestinationRule: how the connection to an endpoint is secured.

use crate::{
    crd::reader::Fields,
    model::destination::{SimpleTls, UpstreamTls},
};

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
    let item = f.item("mode");
    // The field's default on the wire.
    let mode = match &item {
        None => Mode::Disable,
        Some(item) => item.enum_of(&modes)?,
    };
    if mode == Mode::Mutual {
        let filled = |name| f.item(name).is_some_and(|item| item.node().as_str().is_none_or(|text| !text.is_empty()));
        let own = ["clientCertificate", "privateKey", "credentialName"];
        match own.map(filled) {
            [true, true, false] | [false, false, true] => {}
            [false, false, false] | [true, false, false] | [false, true, false] => {
                f.refuse("MUTUAL needs clientCertificate and privateKey, or a credentialName");
            }
            _ => f.refuse("credentialName and files of certificates are mutually exclusive"),
        }
        roots(f);
        f.ignore(&["caCertificates", "subjectAltNames", "sni", "insecureSkipVerify"]);
        f.not_served(&["clientCertificate", "privateKey", "credentialName", "caCertCredentialName", "caCrl"]);
        return match own.into_iter().any(|name| f.has(name)) {
            true => None,
            false => item?.not_served("MUTUAL"),
        };
    }
    if mode != Mode::Disable && (f.has("clientCertificate") || f.has("privateKey")) {
        return f.invalid("clientCertificate and privateKey are only allowed with mode MUTUAL");
    }
    let sni = f.opt_string("sni").filter(|s| !s.is_empty());
    let subject_alt_names = f.strings("subjectAltNames");
    match mode {
        Mode::Disable => {
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
            Some(UpstreamTls::Disable)
        }
        Mode::IstioMutual => {
            if f.has("caCertificates") || f.has("credentialName") {
                return f.invalid("ISTIO_MUTUAL uses the mesh's own certificates: no others may be given");
            }
            if f.has("caCrl") {
                f.refuse("ISTIO_MUTUAL uses the mesh's own certificates: none of them can be revoked here");
            }
            f.not_served(&["caCrl", "caCertCredentialName", "insecureSkipVerify"]);
            Some(UpstreamTls::IstioMutual { sni, subject_alt_names })
        }
        Mode::Simple | Mode::Mutual => {
            let ca_file = f.opt_string("caCertificates").filter(|path| !path.is_empty());
            let insecure_skip_verify = f.bool("insecureSkipVerify").unwrap_or(false);
            roots(f);
            f.not_served(&["caCrl", "credentialName", "caCertCredentialName"]);
            if insecure_skip_verify && (ca_file.is_some() || !subject_alt_names.is_empty()) {
                return f.invalid("insecureSkipVerify cannot be combined with caCertificates or subjectAltNames");
            }
            Some(UpstreamTls::Simple(SimpleTls { sni, ca_file, subject_alt_names, insecure_skip_verify }))
        }
    }
}

/// How what vouches for the server must go together.
fn roots(f: &mut Fields<'_>) {
    let mut filled = |name| f.item(name).is_some_and(|item| item.node().as_str().is_some_and(|text| !text.is_empty()));
    let [roots, revoked, secret, own] =
        ["caCertificates", "caCrl", "credentialName", "clientCertificate"].map(&mut filled);
    let unchecked = f.bool("insecureSkipVerify").unwrap_or(false);
    if secret && !own && (roots || revoked) {
        f.refuse("credentialName and files of certificates are mutually exclusive");
    } else if revoked && !roots {
        f.refuse("caCrl goes with caCertificates alone");
    }
    if unchecked && own && roots {
        f.refuse("insecureSkipVerify cannot be combined with caCertificates");
    }
}
