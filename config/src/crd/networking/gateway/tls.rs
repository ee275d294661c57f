//! `tls` of a Gateway's server.

use super::form::SERVER_TLS;
use crate::crd::networking::names;
use crate::{
    crd::reader::{Fields, Item},
    model::gateway::ServerTls,
};

/// Ways to give certificates besides `credentialName`.
pub(super) const CERTIFICATES: [&str; 5] =
    ["serverCertificate", "privateKey", "caCertificates", "credentialNames", "tlsCertificates"];

/// Fields that narrow who may connect: without them the server would be wider than meant.
const NARROWING: [&str; 6] = [
    "caCertCredentialName",
    "caCrl",
    "subjectAltNames",
    "verifyCertificateSpki",
    "verifyCertificateHash",
    "insecureSkipVerify",
];

/// What becomes of TLS.
pub(super) enum Settings {
    /// It is carried on.
    Passthrough,
    /// It ends here.
    Ends(ServerTls),
}

/// The modes.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Passthrough,
    Simple,
    Mutual,
    Mesh,
    NotServed,
}

/// Inner `None`: the server is left out, which has been reported.
pub(super) fn settings(item: &Item<'_>) -> Option<Option<Settings>> {
    item.object(|f| {
        if f.bool("httpsRedirect") == Some(true) {
            f.warn("no-effect", "httpsRedirect only has an effect on plain-text servers");
        }
        let modes = [
            ("PASSTHROUGH", Mode::Passthrough),
            ("SIMPLE", Mode::Simple),
            ("MUTUAL", Mode::Mutual),
            ("AUTO_PASSTHROUGH", Mode::NotServed),
            ("ISTIO_MUTUAL", Mode::Mesh),
            ("OPTIONAL_MUTUAL", Mode::NotServed),
        ];
        let item = f.item("mode");
        // The field's default on the wire is PASSTHROUGH.
        let mode = item.as_ref().map_or(Some(Mode::Passthrough), |item| item.enum_of(&modes))?;
        match &item {
            Some(item) => certificates(f, item.node().as_str().unwrap_or_default()),
            None => certificates(f, "PASSTHROUGH"),
        }
        match mode {
            Mode::NotServed => {
                if let Some(item) = item {
                    item.not_acted_on("the server is left out");
                }
                f.ignore_rest();
                Some(None)
            }
            Mode::Passthrough => {
                passthrough(f);
                Some(Some(Settings::Passthrough))
            }
            Mode::Simple | Mode::Mutual | Mode::Mesh => {
                let left_out = narrowed(f);
                versions(f);
                SERVER_TLS.read_inert_of(f, &["cipherSuites", "ecdhCurves", "alpnProtocols"]);
                let credential = f.item("credentialName").filter(names::is_filled);
                if left_out {
                    return Some(None);
                }
                ends(f, mode, credential).map(|tls| Some(Settings::Ends(tls)))
            }
        }
    })
}

fn ends(f: &mut Fields<'_>, mode: Mode, credential: Option<Item<'_>>) -> Option<ServerTls> {
    match (mode, credential) {
        (Mode::Mesh, Some(item)) => item.invalid("ISTIO_MUTUAL shows the mesh's own certificate, and no other"),
        (Mode::Mesh, None) => Some(ServerTls::Mesh),
        (_, Some(item)) => {
            Some(ServerTls::Secret { name: item.non_empty()?, require_client_certificate: mode == Mode::Mutual })
        }
        (_, None) => f.one_is_required(&["credentialName"], "credentialName is required"),
    }
}

/// Which certificates a mode needs, and which it cannot have. A server without the right ones is left out.
pub(in crate::crd::networking) fn certificates(f: &mut Fields<'_>, mode: &str) {
    let mut filled = |name| f.item(name).is_some_and(|item| names::is_filled(&item));
    let given = |names: &[&'static str], filled: &mut dyn FnMut(&'static str) -> bool| -> Vec<&'static str> {
        names.iter().copied().filter(|name| filled(name)).collect()
    };
    let files = given(&["serverCertificate", "privateKey"], &mut filled);
    let (authority, revoked) = (filled("caCertificates"), filled("caCrl"));
    let named = given(&["credentialName", "credentialNames", "tlsCertificates"], &mut filled);
    let refused = match mode {
        "ISTIO_MUTUAL" if !files.is_empty() || !named.is_empty() || authority => {
            Some("ISTIO_MUTUAL shows the mesh's own certificate: leave all others out".to_owned())
        }
        "ISTIO_MUTUAL" => None,
        _ if named.len() + usize::from(files.len() == 2) > 1 => Some(format!(
            "only one of {} may be set",
            named.iter().chain(&files).copied().collect::<Vec<_>>().join(", ")
        )),
        "SIMPLE" | "MUTUAL" | "OPTIONAL_MUTUAL" => match (&named[..], &files[..]) {
            ([], [] | [_]) => Some("serverCertificate and privateKey, or credentialName, are required".to_owned()),
            (["tlsCertificates"], []) | ([], _) if mode != "SIMPLE" && !authority => {
                Some(format!("{mode} needs caCertificates, or a credentialName"))
            }
            (["tlsCertificates"] | [], _) if mode == "SIMPLE" && revoked => {
                Some("caCrl is about clients' certificates, which SIMPLE does not ask for".to_owned())
            }
            _ => None,
        },
        _ if revoked && named.contains(&"credentialName") => {
            Some("caCrl goes with files: a credentialName's Secret has its own".to_owned())
        }
        _ => None,
    };
    if let Some(message) = refused {
        f.refuse(message);
    }
    if !["SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL"].contains(&mode) {
        return;
    }
    f.list("tlsCertificates", |item| {
        let filled = |name| item.node().get(name).and_then(|text| text.as_str()).is_some_and(|text| !text.is_empty());
        if !(filled("serverCertificate") && filled("privateKey")) {
            item.refuse("serverCertificate and privateKey are required");
        }
        None::<()>
    });
}

/// Bytes that are carried on as they are need no certificate, and nobody is looked at.
fn passthrough(f: &mut Fields<'_>) {
    without_effect(f, "has no effect with PASSTHROUGH: what the client sends is carried on as it is");
}

/// Names the settings of TLS that ends nowhere here.
pub(super) fn without_effect(f: &mut Fields<'_>, reason: &str) {
    let others =
        ["credentialName", "minProtocolVersion", "maxProtocolVersion", "cipherSuites", "ecdhCurves", "alpnProtocols"];
    for name in CERTIFICATES.iter().chain(&NARROWING).chain(&others) {
        if let Some(item) = f.item(name).filter(names::is_filled) {
            item.warn("no-effect", reason);
        }
    }
}

/// Whether something narrows the server that is not served.
fn narrowed(f: &mut Fields<'_>) -> bool {
    SERVER_TLS.read_inert_of(f, &[&CERTIFICATES[..], &NARROWING].concat())
}

/// Versions from TLS 1.2 to 1.3 are served, whatever is asked for.
fn versions(f: &mut Fields<'_>) {
    let known = [
        ("TLS_AUTO", None),
        ("TLSV1_0", Some(10)),
        ("TLSV1_1", Some(11)),
        ("TLSV1_2", Some(12)),
        ("TLSV1_3", Some(13)),
    ];
    for (name, served) in [("minProtocolVersion", 12), ("maxProtocolVersion", 13)] {
        let Some(item) = f.item(name) else { continue };
        if item.enum_of(&known).flatten().is_some_and(|v| v != served) {
            SERVER_TLS.read_inert_of(f, &[name]);
        }
    }
}
