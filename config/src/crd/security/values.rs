//! Single values of a policy, as written.

use crate::{
    crd::reader::Item,
    matcher::{PathTemplate, Pattern, StringMatch},
    model::authorization::PathRule,
    name::NamespacedName,
};
use ipnet::IpNet;
use std::net::IpAddr;

/// `*`, `*suffix`, `prefix*`, or the very text; a leading star is looked at first.
pub(super) fn text(text: &str) -> StringMatch {
    if text == "*" {
        return StringMatch::Present;
    }
    match (text.strip_prefix('*'), text.strip_suffix('*')) {
        (Some(suffix), _) => StringMatch::Suffix(suffix.into()),
        (None, Some(prefix)) => StringMatch::Prefix(prefix.into()),
        (None, None) => StringMatch::Exact(text.into()),
    }
}

/// As [`text`]; the value must not be empty.
pub(super) fn text_item(item: &Item<'_>) -> Option<StringMatch> {
    Some(text(&item.non_empty()?))
}

/// In a namespace a star may stand anywhere and for anything.
pub(super) fn namespace(item: &Item<'_>) -> Option<StringMatch> {
    let value = item.non_empty()?;
    let simple = text(&value);
    let star_within = match &simple {
        StringMatch::Exact(t) | StringMatch::Prefix(t) | StringMatch::Suffix(t) => t.contains('*'),
        StringMatch::Regex(_) | StringMatch::Present => false,
    };
    if !star_within {
        return Some(simple);
    }
    let pattern: Vec<String> = value.split('*').map(regex::escape).collect();
    match Pattern::new(&pattern.join(".*")) {
        Ok(pattern) => Some(StringMatch::Regex(pattern)),
        Err(e) => item.invalid(e.to_string()),
    }
}

/// `namespace/account`, or `account` in the policy's own namespace.
pub(super) fn service_account(item: &Item<'_>, own_namespace: &str) -> Option<NamespacedName> {
    let value = item.non_empty()?;
    let wrong = |why: &str| item.invalid(format!("{value:.80?} {why}; write namespace/account or account"));
    if value.contains('*') {
        return wrong("contains a wildcard, which service accounts cannot have");
    }
    if value.len() > 320 {
        return wrong("is longer than 320 bytes");
    }
    match value.split('/').collect::<Vec<_>>()[..] {
        [account] => Some(NamespacedName::new(own_namespace, account)),
        [namespace, account] if !namespace.is_empty() && !account.is_empty() => {
            Some(NamespacedName::new(namespace, account))
        }
        _ => wrong("is not a service account"),
    }
}

/// An address or a block of them.
pub(super) fn block(item: &Item<'_>) -> Option<IpNet> {
    let value = item.non_empty()?;
    let block = match value.parse::<IpAddr>() {
        Ok(address) => Some(IpNet::from(address)),
        Err(_) => value.parse::<IpNet>().ok().map(|block| block.trunc()),
    };
    block.or_else(|| item.invalid(format!("{value:.60?} is neither an address nor a block such as 10.0.0.0/8")))
}

/// A port as text.
pub(super) fn port(item: &Item<'_>) -> Option<u16> {
    let value = item.string()?;
    value.parse().ok().or_else(|| item.invalid(format!("{value:.20?} is not a port, \"0\" to \"65535\"")))
}

/// A path with wildcards at one end, or a template.
pub(super) fn path(item: &Item<'_>) -> Option<PathRule> {
    let value = item.non_empty()?;
    let is_template = value.contains("{*}") || value.contains("{**}");
    let mut past_any = false;
    for segment in value.trim_matches('/').split('/') {
        match segment {
            "{*}" | "{**}" if past_any => return item.invalid("{**} must be the last operator of a path template"),
            "{*}" => {}
            "{**}" => past_any = true,
            other if other.contains(['{', '}']) => {
                return item.invalid("in a path, braces are only allowed in the segments {*} and {**}");
            }
            other if is_template && other.contains('*') => {
                return item.invalid("a path template cannot be mixed with the wildcard *");
            }
            _ => {}
        }
    }
    if !is_template {
        return Some(PathRule::Text(text(&value)));
    }
    match PathTemplate::new(&value) {
        Ok(template) => Some(PathRule::Template(template)),
        Err(e) => item.invalid(e.to_string()),
    }
}
