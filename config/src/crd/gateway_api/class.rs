//! GatewayClass, XMesh and ReferenceGrant.

use super::reference::OBJECT;
use super::values::{CONTROLLER, GROUP, KIND, NAME, NAMESPACE, TEXT_64};
use crate::crd::form::{Fact, Holds, forms};

forms! {
    /// `spec`.
    pub(in crate::crd) GATEWAY_CLASS {
        "controllerName": CONTROLLER, "Who serves gateways of the class: `istio.io/gateway-controller` is the mesh. It cannot be changed.", Fact::Required;
        "description": TEXT_64, "What the class is, for people.";
        "parametersRef": Holds::Of(&OBJECT), "An object with settings.";
    } with [Fact::Strict];

    /// `spec`.
    pub(in crate::crd) REFERENCE_GRANT {
        "from": Holds::List(&Holds::Of(&GRANT_FROM)), "Objects that may refer to this namespace.", Fact::Required, Fact::LeastEntries(1), Fact::MostEntries(16);
        "to": Holds::List(&Holds::Of(&GRANT_TO)), "Objects of this namespace that may be referred to.", Fact::Required, Fact::LeastEntries(1), Fact::MostEntries(16);
    } with [Fact::Strict];

    pub(super) GRANT_FROM {
        "group": GROUP, "API group of the objects; empty for Kubernetes' core.", Fact::Required;
        "kind": KIND, "Their kind.", Fact::Required;
        "namespace": NAMESPACE, "Their namespace.", Fact::Required;
    } with [Fact::Strict];

    pub(super) GRANT_TO {
        "group": GROUP, "API group of the objects; empty for Kubernetes' core.", Fact::Required;
        "kind": KIND, "Their kind.", Fact::Required;
        "name": NAME, "Name of the one object meant; all if absent.";
    } with [Fact::Strict];
}
