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
        match ["clientCertificate", "privateKey", "credentialName"].map(filled) {
            [true, true, false] | [false, false, true] => {}
            [false, false, false] | [true, false, false] | [false, true, false] => {
                f.refuse("MUTUAL needs clientCertificate and privateKey, or a credentialName");
            }
            _ => f.refuse("credentialName and files of certificates are mutually exclusive"),
        }
        return item?.not_served("MUTUAL");
    }
    if f.has("clientCertificate") || f.has("privateKey") {
        return f.invalid("clientCertificate and privateKey are only allowed with mode MUTUAL");
    }
    let sni = f.opt_string("sni").filter(|s| !s.is_empty());
    let subject_alt_names = f.strings("subjectAltNames");
    match mode {
        Mode::Disable => {
            let rest = ["caCertificates", "caCrl", "credentialName", "insecureSkipVerify"];
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
            f.not_served(&["caCrl", "insecureSkipVerify"]);
            Some(UpstreamTls::IstioMutual { sni, subject_alt_names })
        }
        Mode::Simple | Mode::Mutual => {
            let ca_file = f.opt_string("caCertificates").filter(|path| !path.is_empty());
            let insecure_skip_verify = f.bool("insecureSkipVerify").unwrap_or(false);
            f.not_served(&["caCrl", "credentialName"]);
            if insecure_skip_verify && (ca_file.is_some() || !subject_alt_names.is_empty()) {
                return f.invalid("insecureSkipVerify cannot be combined with caCertificates or subjectAltNames");
            }
            Some(UpstreamTls::Simple(SimpleTls { sni, ca_file, subject_alt_names, insecure_skip_verify }))
        }
    }
}
