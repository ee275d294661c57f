//! What is watched, and where in the API server it is. Pure.

use mesh_config::{kind::ObjectKind, name::NamespacedName};
use std::time::Duration;

/// Objects a page of a list has at most.
const PAGE: u32 = 500;

/// Where the objects of a kind are, and which of them count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resource {
    /// Empty for Kubernetes' core.
    pub(super) group: &'static str,
    /// Those that may be served; the first that is counts.
    pub(super) versions: &'static [&'static str],
    pub(super) plural: &'static str,
    /// The one namespace of which they are.
    namespace: Option<String>,
    /// Field selector.
    only: Option<String>,
    /// Their heads are enough.
    pub(super) metadata_alone: bool,
}

/// Definitions of kinds that the API server does not have by itself.
pub(super) const DEFINITIONS: Resource = Resource {
    group: "apiextensions.k8s.io",
    versions: &["v1"],
    plural: "customresourcedefinitions",
    namespace: None,
    only: None,
    metadata_alone: true,
};

impl Resource {
    /// Of the objects of a kind those that pilot reads; `None`: it reads none of an API server.
    pub(super) fn of(kind: ObjectKind, mesh_config: &NamespacedName) -> Option<Self> {
        let whole = Resource {
            group: kind.group(),
            versions: kind.versions(),
            plural: kind.plural(),
            namespace: None,
            only: None,
            metadata_alone: false,
        };
        match kind {
            // A file for commands.
            ObjectKind::IstioOperator => None,
            ObjectKind::ConfigMap => Some(Resource {
                namespace: Some(mesh_config.namespace.as_str().to_owned()),
                only: Some(format!("metadata.name={}", mesh_config.name)),
                ..whole
            }),
            ObjectKind::Secret => {
                // None of a gateway's: two that may be many and large, and the key of an authority.
                let only = "type!=helm.sh/release.v1,type!=kubernetes.io/service-account-token,type!=istio.io/ca-root";
                Some(Resource { only: Some(only.to_owned()), ..whole })
            }
            _ => Some(whole),
        }
    }

    /// The name of the object that defines it; `None`: the API server has it by itself.
    pub(super) fn definition(&self) -> Option<String> {
        let by_itself = matches!(self.group, "" | "discovery.k8s.io" | "networking.k8s.io" | "apiextensions.k8s.io");
        (!by_itself).then(|| format!("{}.{}", self.plural, self.group))
    }

    /// Path and query of a request for some of them in a version of their API.
    pub(super) fn path(&self, version: &str, ask: &Ask<'_>) -> String {
        let root = match self.group {
            "" => format!("/api/{version}"),
            group => format!("/apis/{group}/{version}"),
        };
        let namespace = self.namespace.as_ref().map(|namespace| format!("/namespaces/{namespace}"));
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.only.iter().map(|only| ("fieldSelector", only)));
        match ask {
            Ask::Page { whole: true, .. } => {}
            Ask::Page { after, whole: false } => {
                query.append_pair("limit", &PAGE.to_string());
                query.extend_pairs(after.iter().map(|after| ("continue", after)));
            }
            Ask::Watch { from, lasting } => {
                query.extend_pairs([("watch", "true"), ("allowWatchBookmarks", "true")]);
                query.append_pair("timeoutSeconds", &lasting.as_secs().to_string());
                match from {
                    Some(from) => query.append_pair("resourceVersion", from),
                    None => {
                        query.extend_pairs([("sendInitialEvents", "true"), ("resourceVersionMatch", "NotOlderThan")])
                    }
                };
            }
        }
        format!("{root}{}/{}?{}", namespace.unwrap_or_default(), self.plural, query.finish())
    }
}

/// What is asked of the API server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ask<'a> {
    /// What is there, in pages.
    Page {
        /// The mark that the page before ended with.
        after: Option<&'a str>,
        /// In one page, however large.
        whole: bool,
    },
    /// What changes.
    Watch {
        /// From this state of the API server on; `None`: what is there comes first.
        from: Option<&'a str>,
        /// Then the API server ends it.
        lasting: Duration,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(kind: ObjectKind, ask: &Ask<'_>) -> String {
        let resource = Resource::of(kind, &NamespacedName::new("istio-system", "istio")).unwrap();
        resource.path(resource.versions[0], ask)
    }

    #[test]
    fn requests_name_what_is_wanted_and_no_more() {
        let page = Ask::Page { after: None, whole: false };
        assert_eq!(path(ObjectKind::Pod, &page), "/api/v1/pods?limit=500");
        let next = Ask::Page { after: Some("a/b"), whole: false };
        assert_eq!(path(ObjectKind::Sidecar, &next), "/apis/networking.istio.io/v1/sidecars?limit=500&continue=a%2Fb");
        let whole = Ask::Page { after: None, whole: true };
        assert_eq!(
            path(ObjectKind::ConfigMap, &whole),
            "/api/v1/namespaces/istio-system/configmaps?fieldSelector=metadata.name%3Distio"
        );
        let lasting = Duration::from_secs(9);
        assert_eq!(
            path(ObjectKind::Secret, &Ask::Watch { from: None, lasting }),
            "/api/v1/secrets?fieldSelector=type%21%3Dhelm.sh%2Frelease.v1%2Ctype%21%3Dkubernetes.io%2F\
             service-account-token%2Ctype%21%3Distio.io%2Fca-root&watch=true&allowWatchBookmarks=true&timeoutSeconds=9&sendInitialEvents=true\
             &resourceVersionMatch=NotOlderThan"
        );
        assert_eq!(
            path(ObjectKind::Service, &Ask::Watch { from: Some("7"), lasting }),
            "/api/v1/services?watch=true&allowWatchBookmarks=true&timeoutSeconds=9&resourceVersion=7"
        );
    }

    #[test]
    fn kinds_of_istio_need_a_definition_and_those_of_kubernetes_do_not() {
        let of = |kind| Resource::of(kind, &NamespacedName::new("a", "b")).unwrap().definition();
        assert_eq!(of(ObjectKind::VirtualService).as_deref(), Some("virtualservices.networking.istio.io"));
        assert_eq!((of(ObjectKind::EndpointSlice), of(ObjectKind::Ingress)), (None, None));
        assert_eq!(DEFINITIONS.definition(), None);
        assert_eq!(Resource::of(ObjectKind::IstioOperator, &NamespacedName::new("a", "b")), None);
    }
}
