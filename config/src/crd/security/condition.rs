//! `when`: a key, and the values that it must and must not have.

use super::{authorization::both, values};
use crate::{
    crd::reader::{Fields, Item},
    model::authorization::{Attribute, Condition, ConditionValue},
};
use std::sync::Arc;

pub(super) fn parse(f: &mut Fields<'_>, namespace: &Arc<str>) -> Option<Condition> {
    let key = key(&f.required("key")?)?;
    let values = both(f, "values", "notValues", |item| value(&key, &item, namespace));
    if values.is_empty() && f.errors() == 0 {
        return f.one_is_required(&["values", "notValues"], "a condition needs values or notValues");
    }
    Some(Condition { key, values })
}

fn key(item: &Item<'_>) -> Option<Attribute> {
    let text = item.non_empty()?;
    if let Some(rest) = text.strip_prefix("request.headers") {
        return match bracketed(rest) {
            Some(name) if !name.is_empty() => Some(Attribute::RequestHeader(name.to_ascii_lowercase().into())),
            _ => item.invalid("a header is written request.headers[NAME]"),
        };
    }
    if let Some(rest) = text.strip_prefix("request.auth.claims") {
        return match claim_path(rest) {
            Some(path) => Some(Attribute::RequestClaim(path)),
            None => item.invalid("a claim is written request.auth.claims[NAME] or, nested, [NAME][NAME]"),
        };
    }
    if let Some(rest) = text.strip_prefix("experimental.").filter(|rest| rest.starts_with("envoy.filters.")) {
        // What is inside the outer brackets is one key, whatever it holds.
        return match rest.strip_suffix(']').unwrap_or(rest).split_once('[') {
            Some((filter, key)) => Some(Attribute::FilterMetadata { filter: filter.into(), path: vec![key.into()] }),
            None => item.invalid("filter metadata is written experimental.envoy.filters.NAME[KEY]"),
        };
    }
    match &*text {
        "source.ip" => Some(Attribute::SourceIp),
        "remote.ip" => Some(Attribute::RemoteIp),
        "source.namespace" => Some(Attribute::SourceNamespace),
        "source.principal" => Some(Attribute::SourcePrincipal),
        "source.serviceAccount" => Some(Attribute::SourceServiceAccount),
        "source.trustDomain" => Some(Attribute::SourceTrustDomain),
        "request.auth.principal" => Some(Attribute::RequestPrincipal),
        "request.auth.audiences" => Some(Attribute::RequestAudiences),
        "request.auth.presenter" => Some(Attribute::RequestPresenter),
        "destination.ip" => Some(Attribute::DestinationIp),
        "destination.port" => Some(Attribute::DestinationPort),
        "connection.sni" => Some(Attribute::ConnectionSni),
        other => item.invalid(format!("unknown attribute {other:.60?}")),
    }
}

fn bracketed(text: &str) -> Option<&str> {
    text.strip_prefix('[')?.strip_suffix(']')
}

/// `[a][b]` → a, b. What is not of that form but in brackets is one name.
fn claim_path(text: &str) -> Option<Vec<Arc<str>>> {
    let whole = bracketed(text)?;
    let names: Vec<&str> = whole.split("][").collect();
    match names.iter().any(|name| name.contains(['[', ']'])) {
        true => Some(vec![whole.into()]),
        false => Some(names.into_iter().map(Arc::from).collect()),
    }
}

fn value(key: &Attribute, item: &Item<'_>, namespace: &Arc<str>) -> Option<ConditionValue> {
    match key {
        Attribute::SourceIp | Attribute::RemoteIp | Attribute::DestinationIp => {
            values::block(item).map(ConditionValue::Block)
        }
        Attribute::DestinationPort => values::port(item).map(ConditionValue::Port),
        Attribute::SourceServiceAccount => values::service_account(item, namespace).map(ConditionValue::ServiceAccount),
        Attribute::SourceNamespace => values::namespace(item).map(ConditionValue::Text),
        Attribute::FilterMetadata { .. } => {
            let text = item.non_empty()?;
            Some(match bracketed(&text) {
                Some(_) => ConditionValue::ListElement(values::text(text.trim_matches(['[', ']']))),
                None => ConditionValue::Text(values::text(&text)),
            })
        }
        Attribute::RequestHeader(_)
        | Attribute::SourcePrincipal
        | Attribute::SourceTrustDomain
        | Attribute::RequestPrincipal
        | Attribute::RequestAudiences
        | Attribute::RequestPresenter
        | Attribute::RequestClaim(_)
        | Attribute::ConnectionSni => values::text_item(item).map(ConditionValue::Text),
    }
}
