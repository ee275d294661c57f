//! Routing rules.

use super::{
    error::{At, FieldError},
    field::{Field, Level, choice, message, resource},
    v1,
};
use crate::{
    matcher::Pattern,
    model::route::{
        Backend, DirectResponse, HeaderChange, HeaderMatch, HeaderOps, Parent, PathMatch, QueryMatch, Redirect,
        RedirectPath, RedirectPort, RetryOn, RetryPolicy, Rewrite, Route, RouteAction, RouteMatch, RouteRule, Share,
        StreamMatch, StreamRule, Target,
    },
};
use std::sync::Arc;

resource!(Route => Route {
    object, name, hosts, parents, precedence, visibility, rules, tls @ 2, tcp @ 2,
}, is_attached);
choice!(Parent => Parent in parent { Mesh, Gateway(name) });
message!(RouteRule => RouteRule { name, matches, action, rewrite, timeout, retries, headers });
message!(StreamRule => StreamRule { matches, backends }, leads_somewhere);
message!(StreamMatch => StreamMatch { server_names, subnets, port, source_labels, source_namespace, parents });
message!(Share => Share { target, weight }, is_share);
message!(RouteMatch => RouteMatch {
    name, path, scheme, method, authority, headers, query, port, source_labels, source_namespace, parents,
});
message!(PathMatch => PathMatch { matcher, ignore_case });
message!(HeaderMatch => HeaderMatch { name, matcher, invert });
message!(QueryMatch => QueryMatch { name, matcher });
choice!(RouteAction => RouteAction in route_action { Forward(backends), Redirect(redirect), Respond(response) });
message!(Backend => Backend { target, weight, headers }, has_weight);
message!(Target => Target { host, port, subset });
message!(Rewrite => Rewrite { uri, uri_regex, authority });
message!(Redirect => Redirect { path, authority, port, scheme, code }, is_redirect);
choice!(RedirectPath => RedirectPath in redirect_path { Full(path), Prefix(path) });
choice!(RedirectPort => RedirectPort in redirect_port { Keep, Number(port), ProtocolDefault, RequestPort });
message!(DirectResponse => DirectResponse { status, body }, is_response);
message!(HeaderOps => HeaderOps { request, response });
message!(HeaderChange => HeaderChange { remove, set, add });
message!(RetryPolicy => RetryPolicy { attempts, per_try_timeout, on, backoff, avoid_previous });
message!(RetryOn => RetryOn {
    server_error, gateway_error, reset, reset_before_request, connect_failure, refused_stream, retriable_4xx,
    rate_limited, status_codes, grpc,
});

impl Field<v1::route_action::Forward> for Vec<Backend> {
    fn put(&self, level: &mut Level) -> v1::route_action::Forward {
        v1::route_action::Forward { backends: self.put(level) }
    }

    fn take(wire: v1::route_action::Forward) -> Result<Self, FieldError> {
        let backends: Vec<Backend> = Field::take(wire.backends).at("backends")?;
        if backends.is_empty() {
            return Err(FieldError::new("must have at least one")).at("backends");
        }
        Ok(backends)
    }
}

/// A header's name and the template of its value.
impl Field<v1::Header> for (Arc<str>, Arc<str>) {
    fn put(&self, level: &mut Level) -> v1::Header {
        v1::Header { name: self.0.put(level), value: self.1.put(level) }
    }

    fn take(wire: v1::Header) -> Result<Self, FieldError> {
        Ok((Field::take(wire.name).at("name")?, Field::take(wire.value).at("value")?))
    }
}

/// A pattern and what replaces its matches.
impl Field<v1::RegexRewrite> for (Pattern, Arc<str>) {
    fn put(&self, level: &mut Level) -> v1::RegexRewrite {
        v1::RegexRewrite { pattern: self.0.put(level), substitution: self.1.put(level) }
    }

    fn take(wire: v1::RegexRewrite) -> Result<Self, FieldError> {
        Ok((Field::take(wire.pattern).at("pattern")?, Field::take(wire.substitution).at("substitution")?))
    }
}

fn is_attached(route: &Route) -> Result<(), FieldError> {
    if route.parents.is_empty() {
        return Err(FieldError::new("must have at least one")).at("parents");
    }
    Ok(())
}

fn has_weight(backend: &Backend) -> Result<(), FieldError> {
    is_weight(backend.weight)
}

fn is_share(share: &Share) -> Result<(), FieldError> {
    is_weight(share.weight)
}

fn is_weight(weight: u32) -> Result<(), FieldError> {
    if weight == 0 {
        return Err(FieldError::new("must be at least 1")).at("weight");
    }
    Ok(())
}

fn leads_somewhere(rule: &StreamRule) -> Result<(), FieldError> {
    if rule.backends.is_empty() {
        return Err(FieldError::new("must have at least one")).at("backends");
    }
    Ok(())
}

fn is_redirect(redirect: &Redirect) -> Result<(), FieldError> {
    if !matches!(redirect.code, 301 | 302 | 303 | 307 | 308) {
        return Err(FieldError::new(format_args!("{} is not a redirect status", redirect.code))).at("code");
    }
    Ok(())
}

fn is_response(response: &DirectResponse) -> Result<(), FieldError> {
    if !(200..600).contains(&response.status) {
        return Err(FieldError::new(format_args!("{} is not within 200 to 599", response.status))).at("status");
    }
    Ok(())
}
