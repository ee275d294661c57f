//! The objects that users write. [`objects!`](crate::objects) is a table with one row a kind; whatever depends on the
//! kind alone is a column: what an API server calls it, how soon a change of it is compiled, what reads it, what it is
//! read into. Readers, stores and pages are made from the rows, so that a new kind is one row here.

use std::{fmt, sync::Arc};

/// Whether objects of a kind stand in namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// One without a namespace is in `default`.
    Namespaced,
    /// They have none.
    Cluster,
}

/// How soon a change is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// At once: it moves endpoints and nothing else.
    Endpoints,
    /// When changes have settled.
    Rest,
}

/// Hands the table of objects to a macro. Columns:
///
/// - kind; API group, word for the kind, served versions (the one to write first), plural, short names;
/// - [`Scope`](crate::kind::Scope), [`Lane`](crate::kind::Lane);
/// - where its fields stand, `Spec` or `Root` (beside `metadata`); in brackets their form, which alone reads a kind that
///   is not acted on; what reads them otherwise;
/// - what it is read into, `as` the name of the list of its objects, where passes of the compiler go through one, and `for`
///   the kind of part that each is as it was read.
#[macro_export]
#[doc(hidden)]
macro_rules! objects {
    ($use:ident) => {
        $use! {
            /// Where requests and connections to hosts go.
            VirtualService: "networking.istio.io" "VirtualService" ["v1" "v1beta1" "v1alpha3"] "virtualservices" ["vs"]
                Namespaced Rest
                Spec [crd::networking::VIRTUAL_SERVICE] crd::networking::virtual_service => $crate::model::Route as virtual_services;
            /// How clients reach a host.
            DestinationRule: "networking.istio.io" "DestinationRule" ["v1" "v1beta1" "v1alpha3"] "destinationrules" ["dr"]
                Namespaced Rest
                Spec [crd::networking::DESTINATION_RULE] crd::networking::destination_rule => $crate::model::Destination as destination_rules;
            /// What gateways listen on.
            Gateway: "networking.istio.io" "Gateway" ["v1" "v1beta1" "v1alpha3"] "gateways" ["gw"]
                Namespaced Rest Spec [crd::networking::GATEWAY] crd::networking::gateway => $crate::model::Gateway as gateways;
            /// What sidecars listen on, and whom they reach.
            Sidecar: "networking.istio.io" "Sidecar" ["v1" "v1beta1" "v1alpha3"] "sidecars" []
                Namespaced Rest Spec [crd::networking::SIDECAR] crd::networking::sidecar => $crate::model::Sidecar as sidecars for Sidecar;
            /// A service that Kubernetes does not know.
            ServiceEntry: "networking.istio.io" "ServiceEntry" ["v1" "v1beta1" "v1alpha3"] "serviceentries" ["se"]
                Namespaced Rest Spec [crd::networking::SERVICE_ENTRY] crd::networking::service_entry => $crate::crd::networking::ServiceEntry as service_entries;
            /// A workload that is no pod.
            WorkloadEntry: "networking.istio.io" "WorkloadEntry" ["v1" "v1beta1" "v1alpha3"] "workloadentries" ["we"]
                Namespaced Endpoints
                Spec [crd::networking::WORKLOAD_ENTRY] crd::networking::workload_entry => $crate::crd::networking::WorkloadEntry;
            /// What workload entries are made from that register themselves.
            WorkloadGroup: "networking.istio.io" "WorkloadGroup" ["v1" "v1beta1" "v1alpha3"] "workloadgroups" ["wg"]
                Namespaced Rest Spec [crd::networking::WORKLOAD_GROUP];
            /// Patches of Envoy's configuration.
            EnvoyFilter: "networking.istio.io" "EnvoyFilter" ["v1alpha3"] "envoyfilters" []
                Namespaced Rest Spec [crd::networking::ENVOY_FILTER];
            /// Settings of proxies.
            ProxyConfig: "networking.istio.io" "ProxyConfig" ["v1beta1"] "proxyconfigs" []
                Namespaced Rest Spec [crd::networking::PROXY_CONFIG];
            /// Who may call.
            AuthorizationPolicy: "security.istio.io" "AuthorizationPolicy" ["v1" "v1beta1"] "authorizationpolicies" ["ap"]
                Namespaced Rest
                Spec [crd::security::AUTHORIZATION_POLICY] crd::security::authorization_policy => $crate::model::Authorization as authorization_policies;
            /// Whether callers must use mutual TLS.
            PeerAuthentication: "security.istio.io" "PeerAuthentication" ["v1" "v1beta1"] "peerauthentications" ["pa"]
                Namespaced Rest
                Spec [crd::security::PEER_AUTHENTICATION] crd::security::peer_authentication => $crate::model::PeerAuthentication as peer_authentications for PeerAuthentication;
            /// Which tokens of end users are valid.
            RequestAuthentication: "security.istio.io" "RequestAuthentication" ["v1" "v1beta1"]
                "requestauthentications" ["ra"] Namespaced Rest Spec [crd::security::REQUEST_AUTHENTICATION];
            /// What is logged, counted and traced.
            Telemetry: "telemetry.istio.io" "Telemetry" ["v1" "v1alpha1"] "telemetries" ["telemetry"]
                Namespaced Rest Spec [crd::telemetry::TELEMETRY] crd::telemetry::parse => $crate::model::Telemetry as telemetries for Telemetry;
            /// Code that proxies run.
            WasmPlugin: "extensions.istio.io" "WasmPlugin" ["v1alpha1"] "wasmplugins" []
                Namespaced Rest Spec [crd::extensions::WASM_PLUGIN];
            /// Code that proxies run.
            TrafficExtension: "extensions.istio.io" "TrafficExtension" ["v1alpha1"] "trafficextensions" []
                Namespaced Rest Spec [crd::extensions::TRAFFIC_EXTENSION];
            /// How a mesh is installed; a file for commands.
            IstioOperator: "install.istio.io" "IstioOperator" ["v1alpha1"] "istiooperators" ["iop"]
                Namespaced Rest Spec [crd::install::ISTIO_OPERATOR];
            /// What is listened on, and for whom, in the Gateway API.
            KubernetesGateway: "gateway.networking.k8s.io" "Gateway" ["v1" "v1beta1"] "gateways" ["gtw"]
                Namespaced Rest Spec [crd::gateway_api::KUBERNETES_GATEWAY];
            /// Who serves gateways of a class.
            GatewayClass: "gateway.networking.k8s.io" "GatewayClass" ["v1" "v1beta1"] "gatewayclasses" ["gc"]
                Cluster Rest Spec [crd::gateway_api::GATEWAY_CLASS];
            /// More listeners for a gateway.
            ListenerSet: "gateway.networking.k8s.io" "ListenerSet" ["v1"] "listenersets" ["lset"]
                Namespaced Rest Spec [crd::gateway_api::LISTENER_SET];
            /// Where HTTP requests go.
            HTTPRoute: "gateway.networking.k8s.io" "HTTPRoute" ["v1" "v1beta1"] "httproutes" []
                Namespaced Rest Spec [crd::gateway_api::HTTP_ROUTE];
            /// Where gRPC calls go.
            GRPCRoute: "gateway.networking.k8s.io" "GRPCRoute" ["v1"] "grpcroutes" []
                Namespaced Rest Spec [crd::gateway_api::GRPC_ROUTE];
            /// Where TLS connections go.
            TLSRoute: "gateway.networking.k8s.io" "TLSRoute" ["v1" "v1alpha3" "v1alpha2"] "tlsroutes" []
                Namespaced Rest Spec [crd::gateway_api::TLS_ROUTE];
            /// Where TCP connections go.
            TCPRoute: "gateway.networking.k8s.io" "TCPRoute" ["v1" "v1alpha2"] "tcproutes" []
                Namespaced Rest Spec [crd::gateway_api::STREAM_ROUTE];
            /// Where UDP datagrams go.
            UDPRoute: "gateway.networking.k8s.io" "UDPRoute" ["v1" "v1alpha2"] "udproutes" []
                Namespaced Rest Spec [crd::gateway_api::STREAM_ROUTE];
            /// Who may refer to objects of a namespace.
            ReferenceGrant: "gateway.networking.k8s.io" "ReferenceGrant" ["v1" "v1beta1"] "referencegrants" ["refgrant"]
                Namespaced Rest Spec [crd::gateway_api::REFERENCE_GRANT];
            /// TLS towards backends.
            BackendTLSPolicy: "gateway.networking.k8s.io" "BackendTLSPolicy" ["v1" "v1alpha3"] "backendtlspolicies" ["btlspolicy"]
                Namespaced Rest Spec [crd::gateway_api::BACKEND_TLS_POLICY];
            /// A backend outside.
            XBackend: "gateway.networking.x-k8s.io" "XBackend" ["v1alpha1"] "xbackends" ["xbackend"]
                Namespaced Rest Spec [crd::gateway_api::X_BACKEND];
            /// Sessions and retries of backends.
            XBackendTrafficPolicy: "gateway.networking.x-k8s.io" "XBackendTrafficPolicy" ["v1alpha1"] "xbackendtrafficpolicies" ["xbtrafficpolicy"]
                Namespaced Rest Spec [crd::gateway_api::X_TRAFFIC_POLICY];
            /// Who serves a mesh.
            XMesh: "gateway.networking.x-k8s.io" "XMesh" ["v1alpha1"] "xmeshes" ["mesh"]
                Cluster Rest Spec [crd::gateway_api::GATEWAY_CLASS];
            /// Where requests from outside go, in Kubernetes' own words.
            Ingress: "networking.k8s.io" "Ingress" ["v1"] "ingresses" ["ing"]
                Namespaced Rest Spec [crd::kubernetes::INGRESS] crd::kubernetes::ingress => $crate::crd::kubernetes::Ingress as ingresses;
            /// Who serves Ingresses of a class.
            IngressClass: "networking.k8s.io" "IngressClass" ["v1"] "ingressclasses" []
                Cluster Rest
                Spec [crd::kubernetes::INGRESS_CLASS] crd::kubernetes::ingress_class => $crate::crd::kubernetes::IngressClass as ingress_classes;
            /// Of these the one that holds MeshConfig.
            ConfigMap: "" "ConfigMap" ["v1"] "configmaps" ["cm"]
                Namespaced Rest Root crd::mesh_config::config_map => Box<$crate::crd::mesh_config::MeshConfig>;
            /// A service.
            Service: "" "Service" ["v1"] "services" ["svc"]
                Namespaced Rest Root crd::kubernetes::service => $crate::crd::kubernetes::Service as services;
            /// Endpoints of a service.
            EndpointSlice: "discovery.k8s.io" "EndpointSlice" ["v1"] "endpointslices" []
                Namespaced Endpoints
                Root crd::kubernetes::endpoint_slice => $crate::crd::kubernetes::EndpointSlice;
            /// A workload.
            Pod: "" "Pod" ["v1"] "pods" ["po"]
                Namespaced Endpoints Root crd::kubernetes::pod => $crate::crd::kubernetes::Pod;
            /// A machine that pods run on.
            Node: "" "Node" ["v1"] "nodes" ["no"]
                Cluster Endpoints Root crd::kubernetes::node => $crate::crd::kubernetes::Node;
            /// A namespace.
            Namespace: "" "Namespace" ["v1"] "namespaces" ["ns"]
                Cluster Rest Root crd::kubernetes::namespace => $crate::crd::kubernetes::Namespace;
            /// Keys of gateways.
            Secret: "" "Secret" ["v1"] "secrets" []
                Namespaced Rest Root crd::kubernetes::secret => $crate::crd::kubernetes::Secret as secrets;
        }
    };
}

/// [`ObjectKind`] and what its columns say.
macro_rules! kinds {
    ($(
        $(#[$doc:meta])*
        $kind:ident: $group:literal $word:literal [$($version:literal)*] $plural:literal [$($short:literal)*]
        $scope:ident $lane:ident $shape:ident $([$form:path])? $($reader:path => $model:ty $(as $list:ident $(for $part:ident)?)?)?;
    )*) => {
        /// A kind of object that means something to the mesh.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum ObjectKind {
            $($(#[$doc])* $kind,)*
        }

        impl ObjectKind {
            /// Every kind, in the order of the table.
            pub const ALL: [ObjectKind; [$(ObjectKind::$kind),*].len()] = [$(ObjectKind::$kind),*];

            /// Its one name among all kinds, whatever their groups.
            pub fn label(self) -> &'static str {
                match self {
                    $(ObjectKind::$kind => stringify!($kind),)*
                }
            }

            /// API group; empty for Kubernetes' core.
            pub fn group(self) -> &'static str {
                match self {
                    $(ObjectKind::$kind => $group,)*
                }
            }

            /// `kind` in its objects. Two groups may have the same.
            pub fn word(self) -> &'static str {
                match self {
                    $(ObjectKind::$kind => $word,)*
                }
            }

            /// Served versions, the one to write first.
            pub fn versions(self) -> &'static [&'static str] {
                match self {
                    $(ObjectKind::$kind => &[$($version),*],)*
                }
            }

            /// Its name in addresses of an API server.
            pub fn plural(self) -> &'static str {
                match self {
                    $(ObjectKind::$kind => $plural,)*
                }
            }

            /// What it may be called on a command line.
            pub fn short_names(self) -> &'static [&'static str] {
                match self {
                    $(ObjectKind::$kind => &[$($short),*],)*
                }
            }

            /// Whether its objects stand in namespaces.
            pub fn scope(self) -> Scope {
                match self {
                    $(ObjectKind::$kind => Scope::$scope,)*
                }
            }

            /// How soon a change of one is compiled.
            pub fn lane(self) -> Lane {
                match self {
                    $(ObjectKind::$kind => Lane::$lane,)*
                }
            }
        }
    };
}

objects!(kinds);

impl ObjectKind {
    /// The kind of a group that has this word.
    pub fn of(group: &str, word: &str) -> Option<ObjectKind> {
        ObjectKind::ALL.into_iter().find(|kind| kind.word() == word && kind.group() == group)
    }

    /// The kind with this label.
    pub fn from_label(label: &str) -> Option<ObjectKind> {
        ObjectKind::ALL.into_iter().find(|kind| kind.label() == label)
    }

    /// `group/version` of the version to write.
    pub fn api_version(self) -> String {
        match self.group() {
            "" => self.versions()[0].to_owned(),
            group => format!("{group}/{}", self.versions()[0]),
        }
    }
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What an object says that it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GroupKind {
    /// Of the table.
    Of(ObjectKind),
    /// Of another program.
    Foreign {
        /// Empty for Kubernetes' core.
        group: Arc<str>,
        /// As written.
        kind: Arc<str>,
    },
}

impl GroupKind {
    /// From the two words.
    pub fn new(group: &str, kind: &str) -> Self {
        match ObjectKind::of(group, kind) {
            Some(known) => GroupKind::Of(known),
            None => GroupKind::Foreign { group: group.into(), kind: kind.into() },
        }
    }
}

impl From<ObjectKind> for GroupKind {
    fn from(kind: ObjectKind) -> Self {
        GroupKind::Of(kind)
    }
}

impl fmt::Display for GroupKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GroupKind::Of(kind) => kind.fmt(f),
            GroupKind::Foreign { kind, .. } => f.write_str(kind),
        }
    }
}
