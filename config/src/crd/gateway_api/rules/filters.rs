//! What routes do to requests and answers.

use super::{entries, goes_with, own};
use crate::crd::node::Value;
use crate::crd::reader::Fields;

/// Each type of a filter, and its field.
const TYPES: [(&str, &str); 7] = [
    ("RequestHeaderModifier", "requestHeaderModifier"),
    ("ResponseHeaderModifier", "responseHeaderModifier"),
    ("RequestMirror", "requestMirror"),
    ("RequestRedirect", "requestRedirect"),
    ("URLRewrite", "urlRewrite"),
    ("CORS", "cors"),
    ("ExternalAuth", "externalAuth"),
];

pub(in super::super) fn filter(f: &mut Fields<'_>) {
    let is = own(f, "type").unwrap_or_default();
    for (word, field) in TYPES.into_iter().chain([("ExtensionRef", "extensionRef")]) {
        goes_with(f, field, "type", word, is);
    }
}

/// Of a list of filters, what may stand there once.
pub(super) fn are_compatible(f: &Fields<'_>) {
    let types: Vec<_> = entries(f.node("filters")).iter().filter_map(|filter| super::text(filter, "type")).collect();
    let count = |word: &str| types.iter().filter(|is| **is == word).count();
    for word in ["RequestHeaderModifier", "ResponseHeaderModifier", "RequestRedirect", "URLRewrite", "CORS"] {
        if count(word) > 1 {
            f.invalid::<()>(format!("there may be one filter of type {word}"));
        }
    }
    if count("RequestRedirect") > 0 && count("URLRewrite") > 0 {
        f.invalid::<()>("RequestRedirect and URLRewrite exclude each other");
    }
}

pub(in super::super) fn cors(f: &mut Fields<'_>) {
    for name in ["allowHeaders", "allowMethods", "allowOrigins"] {
        let all = entries(f.node(name));
        if all.len() > 1 && all.iter().any(|one| one.as_str() == Some("*")) {
            f.invalid::<()>(format!("{name} with * may hold nothing else"));
        }
    }
}

pub(in super::super) fn external_auth(f: &mut Fields<'_>) {
    let is = own(f, "protocol").unwrap_or_default();
    goes_with(f, "grpc", "protocol", "GRPC", is);
    goes_with(f, "http", "protocol", "HTTP", is);
}

pub(in super::super) fn mirror(f: &mut Fields<'_>) {
    if f.has("percent") && f.has("fraction") {
        f.invalid::<()>("percent and fraction exclude each other");
    }
}

pub(in super::super) fn fraction(f: &mut Fields<'_>) {
    let number = |name: &str, default| match f.node(name).map(|node| &node.value) {
        Some(Value::Int(number)) => *number,
        _ => default,
    };
    let (numerator, denominator) = (number("numerator", 0), number("denominator", 100));
    if numerator > denominator {
        f.invalid::<()>(format!("numerator {numerator} is greater than denominator {denominator}"));
    }
}

pub(in super::super) fn redirect(f: &mut Fields<'_>) {
    if let Some(Value::Int(status)) = f.node("statusCode").map(|node| &node.value)
        && ![301, 302, 303, 307, 308].contains(status)
    {
        f.invalid::<()>(format!("statusCode {status} is none of 301, 302, 303, 307 and 308"));
    }
}

pub(in super::super) fn path_change(f: &mut Fields<'_>) {
    let is = own(f, "type").unwrap_or_default();
    goes_with(f, "replaceFullPath", "type", "ReplaceFullPath", is);
    goes_with(f, "replacePrefixMatch", "type", "ReplacePrefixMatch", is);
}
