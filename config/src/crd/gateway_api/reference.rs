//! References to other objects, and selectors of namespaces.

use super::rules;
use super::values::{GROUP, HOST, KIND, NAME, NAMESPACE};
use crate::crd::form::{Fact, Holds, forms};

forms! {
    pub(super) PARENT {
        "group": GROUP, "API group of the object; empty for Kubernetes' core.", Fact::Default("gateway.networking.k8s.io");
        "kind": KIND, "Its kind.", Fact::Default("Gateway");
        "name": NAME, "Its name.", Fact::Required;
        "namespace": NAMESPACE, "Its namespace, the referring object's own if absent.";
        "port": Holds::Port, "Its port; a Service needs one.";
        "sectionName": HOST, "The listener, port or rule meant; the whole object if absent.";
    } with [Fact::Strict];

    pub(super) LOCAL {
        "group": GROUP, "API group of the object; empty for Kubernetes' core.", Fact::Required;
        "kind": KIND, "Its kind.", Fact::Required;
        "name": NAME, "Its name.", Fact::Required;
    } with [Fact::Strict];

    pub(super) BACKEND_OBJECT {
        "group": GROUP, "API group of the object; empty for Kubernetes' core.", Fact::Default("empty");
        "kind": KIND, "Its kind.", Fact::Default("Service");
        "name": NAME, "Its name.", Fact::Required;
        "namespace": NAMESPACE, "Its namespace, the referring object's own if absent.";
        "port": Holds::Port, "Its port; a Service needs one.";
    } with [Fact::Strict] => rules::backend;

    pub(super) SELECTOR {
        "matchExpressions": Holds::List(&Holds::Of(&EXPRESSION)), "Conditions, all of which must hold.";
        "matchLabels": Holds::Map(&Holds::Text), "Labels that must be there.";
    } with [Fact::Strict];

    pub(super) EXPRESSION {
        "key": Holds::Text, "Key of a label.", Fact::Required;
        "operator": Holds::Text, "In, NotIn, Exists or DoesNotExist.", Fact::Required;
        "values": Holds::List(&Holds::Text), "Values for In and NotIn.";
    } with [Fact::Strict];

    pub(super) SECRET_OBJECT {
        "group": GROUP, "API group of the object; empty for Kubernetes' core.", Fact::Default("empty");
        "kind": KIND, "Its kind.", Fact::Default("Secret");
        "name": NAME, "Its name.", Fact::Required;
        "namespace": NAMESPACE, "Its namespace, the referring object's own if absent.";
    } with [Fact::Strict];

    pub(super) OBJECT {
        "group": GROUP, "API group of the object; empty for Kubernetes' core.", Fact::Required;
        "kind": KIND, "Its kind.", Fact::Required;
        "name": NAME, "Its name.", Fact::Required;
        "namespace": NAMESPACE, "Its namespace, the referring object's own if absent.";
    } with [Fact::Strict];

    pub(super) PARENT_GATEWAY {
        "group": GROUP, "API group of the object; empty for Kubernetes' core.", Fact::Default("gateway.networking.k8s.io");
        "kind": KIND, "Its kind.", Fact::Default("Gateway");
        "name": NAME, "Its name.", Fact::Required;
        "namespace": NAMESPACE, "Its namespace, the referring object's own if absent.";
    } with [Fact::Strict];

    pub(super) TARGET_SECTION {
        "group": GROUP, "API group of the object; empty for Kubernetes' core.", Fact::Required;
        "kind": KIND, "Its kind.", Fact::Required;
        "name": NAME, "Its name.", Fact::Required;
        "sectionName": HOST, "The listener, port or rule meant; the whole object if absent.";
    } with [Fact::Strict];
}
