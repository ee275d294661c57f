//! Who may call what, and over what.

use super::{
    error::{At, FieldError},
    field::{Field, Level, choice, message, required, resource, wrapped},
    v1,
};
use crate::{
    matcher::StringMatch,
    model::{
        authorization::{
            Action, Attribute, Authorization, Condition, ConditionValue, Operation, PathRule, Rule, Source, Values,
        },
        peer_authentication::{MtlsMode, PeerAuthentication},
    },
    name::NamespacedName,
};
use ipnet::IpNet;
use std::sync::Arc;

resource!(PeerAuthentication => PeerAuthentication { name, precedence, selector, mode, ports });

/// A mode, or the next wider policy's.
impl Field<i32> for Option<MtlsMode> {
    fn put(&self, _: &mut Level) -> i32 {
        let mode = match self {
            Some(MtlsMode::Disable) => v1::MtlsMode::Disable,
            Some(MtlsMode::Permissive) => v1::MtlsMode::Permissive,
            Some(MtlsMode::Strict) => v1::MtlsMode::Strict,
            None => v1::MtlsMode::Inherit,
        };
        mode as i32
    }

    fn take(wire: i32) -> Result<Self, FieldError> {
        match v1::MtlsMode::try_from(wire) {
            Ok(v1::MtlsMode::Unspecified) => Err(FieldError::unset()),
            Ok(v1::MtlsMode::Disable) => Ok(Some(MtlsMode::Disable)),
            Ok(v1::MtlsMode::Permissive) => Ok(Some(MtlsMode::Permissive)),
            Ok(v1::MtlsMode::Strict) => Ok(Some(MtlsMode::Strict)),
            Ok(v1::MtlsMode::Inherit) => Ok(None),
            Err(_) => Err(FieldError::new(format_args!("has the unknown value {wire}"))),
        }
    }
}

resource!(Authorization => Authorization { name, selector, action, dry_run, rules });
choice!(Action => Action in action { Allow, Deny, Audit, Custom(provider) });
message!(Rule => Rule { sources, operations, conditions });
message!(Source => Source {
    principals, request_principals, namespaces, service_accounts, trust_domains, ip_blocks, remote_ip_blocks,
});
message!(Operation => Operation { hosts, ports, methods, paths });
message!(Values<StringMatch> => TextValues { any_of, none_of });
message!(Values<NamespacedName> => AccountValues { any_of, none_of });
message!(Values<IpNet> => BlockValues { any_of, none_of });
message!(Values<u16> => PortValues { any_of, none_of });
message!(Values<PathRule> => PathValues { any_of, none_of });
message!(Values<ConditionValue> => ConditionValues { any_of, none_of });
choice!(PathRule => PathRule in path_rule { Text(matcher), Template(template) });
message!(Condition => Condition { key, values });
choice!(ConditionValue => ConditionValue in condition_value {
    Text(matcher), ListElement(matcher), Block(block), Port(port), ServiceAccount(name),
});
wrapped!(Vec<Arc<str>> => attribute::KeyPath.keys);

impl Field<v1::Attribute> for Attribute {
    fn put(&self, level: &mut Level) -> v1::Attribute {
        use v1::attribute as a;
        let kind = match self {
            Attribute::RequestHeader(name) => a::Kind::RequestHeader(name.put(level)),
            Attribute::SourceIp => a::Kind::SourceIp(a::SourceIp {}),
            Attribute::RemoteIp => a::Kind::RemoteIp(a::RemoteIp {}),
            Attribute::SourceNamespace => a::Kind::SourceNamespace(a::SourceNamespace {}),
            Attribute::SourcePrincipal => a::Kind::SourcePrincipal(a::SourcePrincipal {}),
            Attribute::SourceServiceAccount => a::Kind::SourceServiceAccount(a::SourceServiceAccount {}),
            Attribute::SourceTrustDomain => a::Kind::SourceTrustDomain(a::SourceTrustDomain {}),
            Attribute::RequestPrincipal => a::Kind::RequestPrincipal(a::RequestPrincipal {}),
            Attribute::RequestAudiences => a::Kind::RequestAudiences(a::RequestAudiences {}),
            Attribute::RequestPresenter => a::Kind::RequestPresenter(a::RequestPresenter {}),
            Attribute::RequestClaim(keys) => a::Kind::RequestClaim(keys.put(level)),
            Attribute::DestinationIp => a::Kind::DestinationIp(a::DestinationIp {}),
            Attribute::DestinationPort => a::Kind::DestinationPort(a::DestinationPort {}),
            Attribute::ConnectionSni => a::Kind::ConnectionSni(a::ConnectionSni {}),
            Attribute::FilterMetadata { filter, path } => {
                a::Kind::FilterMetadata(a::FilterMetadata { filter: filter.put(level), path: path.put(level) })
            }
        };
        v1::Attribute { kind: Some(kind) }
    }

    fn take(wire: v1::Attribute) -> Result<Self, FieldError> {
        use v1::attribute::Kind;
        Ok(match wire.kind.ok_or_else(FieldError::unset)? {
            Kind::RequestHeader(name) => Attribute::RequestHeader(Field::take(name).at("request_header")?),
            Kind::SourceIp(_) => Attribute::SourceIp,
            Kind::RemoteIp(_) => Attribute::RemoteIp,
            Kind::SourceNamespace(_) => Attribute::SourceNamespace,
            Kind::SourcePrincipal(_) => Attribute::SourcePrincipal,
            Kind::SourceServiceAccount(_) => Attribute::SourceServiceAccount,
            Kind::SourceTrustDomain(_) => Attribute::SourceTrustDomain,
            Kind::RequestPrincipal(_) => Attribute::RequestPrincipal,
            Kind::RequestAudiences(_) => Attribute::RequestAudiences,
            Kind::RequestPresenter(_) => Attribute::RequestPresenter,
            Kind::RequestClaim(path) => Attribute::RequestClaim(Field::take(path).at("request_claim")?),
            Kind::DestinationIp(_) => Attribute::DestinationIp,
            Kind::DestinationPort(_) => Attribute::DestinationPort,
            Kind::ConnectionSni(_) => Attribute::ConnectionSni,
            Kind::FilterMetadata(metadata) => Attribute::FilterMetadata {
                filter: Field::take(metadata.filter).at("filter_metadata.filter")?,
                path: Field::take(metadata.path).at("filter_metadata.path")?,
            },
        })
    }
}

required!(Attribute => Attribute);
