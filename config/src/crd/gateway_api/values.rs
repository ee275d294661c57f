//! Texts that fields of the Gateway API hold: how long, and of what.

use crate::crd::form::Holds;
use crate::crd::reader::Item;
use crate::matcher;
use regex::bytes::Regex;
use std::sync::LazyLock;

/// `NAME: least..most characters, expression, what a text that does not match is not;`.
macro_rules! texts {
    ($($name:ident: $least:literal..=$most:literal $(, $pattern:expr, $is_no:literal)?;)*) => {$(
        pub(super) const $name: Holds = Holds::Judged(|item| {
            if let Some(text) = text(item, $least, $most) {
                let _ = &text;
                $(
                    static PATTERN: LazyLock<Regex> = LazyLock::new(|| expression(&$pattern));
                    if !PATTERN.is_match(text.as_bytes()) {
                        item.invalid::<()>(concat!("is no ", $is_no));
                    }
                )?
            }
        });
    )*};
}

/// Characters of a path.
pub(super) const PATH: &str = "^([-A-Za-z0-9/._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})+$";

/// Labels of DNS, joined by dots.
const DNS: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";

texts! {
    NAME: 1..=253;
    TEXT_63: 0..=63;
    TEXT_64: 0..=64;
    TEXT_128: 0..=128;
    TEXT_253: 0..=253;
    TEXT_1024: 0..=1024;
    FILLED_1024: 1..=1024;
    TEXT_4096: 0..=4096;
    FILLED_4096: 1..=4096;
    GROUP: 0..=253, format!("^({DNS})?$"), "API group: it is a DNS name in lower case, or empty";
    KIND: 1..=63, "^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$", "kind: letters, digits and -, beginning with a letter";
    NAMESPACE: 1..=63, "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "namespace: lower-case letters, digits and - between them";
    HOST: 1..=253, format!("^{DNS}$"), "DNS name in lower case";
    WILD_HOST: 1..=253, format!("^(\\*\\.)?{DNS}$"), "DNS name in lower case, with or without *. before it";
    HEADER_NAME: 1..=256, "^[A-Za-z0-9!#$%&'*+\\-.^_`|~]+$", "name of a header";
    HEADER_VALUE: 1..=4096, "^[!-~]+([\\t ]?[!-~]+)*$", "value of a header: printable ASCII, with single spaces within";
    SPAN: 0..=64, "^([0-9]{1,5}(h|m|s|ms)){1,4}$", "time span: one to four of a number and h, m, s or ms, such as 1m30s";
    AUTH_PATH: 0..=1024, PATH, "path";
    LABEL_VALUE: 0..=63, "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$", "value of a label";
    CONTROLLER: 1..=253, format!("^{DNS}/[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+$"), "name of a controller: domain/path";
    ADDRESS_TYPE: 1..=253, format!("^Hostname|IPAddress|NamedAddress|{DNS}/[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+$"),
        "type of an address: IPAddress, Hostname, NamedAddress or domain/path";
    PROTOCOL: 1..=255, format!("^[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?$|{DNS}/[A-Za-z0-9]+$"), "protocol: a word, or domain/word";
    ORIGIN: 1..=253, "^\\*$|^https?://((\\*\\.)?([a-zA-Z0-9-]+\\.)*[a-zA-Z0-9-]+|\\*)(:[0-9]{1,5})?$", "origin: scheme://host[:port], or *";
    AUTHORITIES: 1..=253, format!("^(System|{DNS}/([A-Za-z0-9][-A-Za-z0-9_.]{{0,61}})?[A-Za-z0-9])$"), "set of authorities: System, or domain/name";
    URI: 1..=253, "^[^:/?#]+://", "URI: it has a scheme and //";
}

/// A text of so many characters.
fn text(item: &Item<'_>, least: usize, most: usize) -> Option<std::sync::Arc<str>> {
    let text = item.string()?;
    let length = text.chars().count();
    if length < least {
        return item.invalid("must not be empty");
    }
    if length > most {
        return item.invalid(format!("has {length} characters, of which there may be {most}"));
    }
    Some(text)
}

pub(super) fn expression(pattern: &(impl AsRef<str> + ?Sized)) -> Regex {
    matcher::expression(pattern.as_ref()).expect("it is a constant, which tests compile")
}
