//! Form of an Ingress, and of the classes that say who serves it.

use crate::crd::form::{Fact, Holds, forms};

const TEXTS: Holds = Holds::List(&Holds::Text);

forms! {
    /// `spec` of an Ingress.
    pub(in crate::crd) INGRESS {
        "ingressClassName": Holds::Text, "Name of the IngressClass that says who serves it. Where it has annotation \
            `kubernetes.io/ingress.class`, that says it instead.";
        "defaultBackend": Holds::Of(&BACKEND), "Where requests go that no rule takes: of the Ingress' own hosts, and of hosts that \
            nobody else has.";
        "tls": Holds::List(&Holds::Of(&TLS)), "Hosts that are served with TLS on port 443 too.";
        "rules": Holds::List(&Holds::Of(&RULE)), "Where requests go, by host and path. What several Ingresses say of one host is put together.";
    };

    TLS {
        "hosts": TEXTS, "Names in the client's hello.", Fact::Default("all");
        "secretName": Holds::Text, "Secret with the certificate, in the namespace of the gateway's pods. Without it the hosts have no TLS.";
    };

    RULE {
        "host": Holds::Text, "Host, or `*.` and a domain, which stands for every name beneath it.", Fact::Default("all");
        "http": Holds::Of(&HTTP), "What is asked of requests.";
    };

    HTTP {
        "paths": Holds::List(&Holds::Of(&PATH)), "The longest that matches counts, of two the exact one.", Fact::Required;
    };

    PATH {
        "path": Holds::Text, "What the request's path is compared with.";
        "pathType": Holds::Word(&["Exact", "Prefix", "ImplementationSpecific"]), "Whether the whole path is compared, or whole elements \
            from its start. ImplementationSpecific compares the whole path, from the start where it ends with `/*` or `.*`.",
            Fact::Required;
        "backend": Holds::Of(&BACKEND), "Where requests go.", Fact::Required;
    };

    pub(super) BACKEND {
        "service": Holds::Of(&SERVICE), "A Service of the Ingress' namespace.";
        "resource": Holds::Of(&RESOURCE), "An object of another kind.", Fact::Inert("requests are answered with 503");
    };

    SERVICE {
        "name": Holds::Filled, "Its name.", Fact::Required;
        "port": Holds::Of(&PORT), "Its port.", Fact::Required;
    };

    PORT {
        "name": Holds::Text, "Name of the port.";
        "number": Holds::Port, "Number of the port.";
    };

    RESOURCE {
        "apiGroup": Holds::Text, "API group.", Fact::Nullable;
        "kind": Holds::Filled, "Kind.";
        "name": Holds::Filled, "Name.";
    };

    /// `spec` of an IngressClass.
    pub(in crate::crd) INGRESS_CLASS {
        "controller": Holds::Text, "Who serves Ingresses of the class: `istio.io/ingress-controller` is the mesh.";
        "parameters": Holds::Of(&PARAMETERS), "An object with settings.", Fact::Inert("there are no settings");
    };

    PARAMETERS {
        "apiGroup": Holds::Text, "API group.", Fact::Nullable;
        "kind": Holds::Filled, "Kind.";
        "name": Holds::Filled, "Name.";
        "namespace": Holds::Text, "Namespace.", Fact::Nullable;
        "scope": Holds::Word(&["Cluster", "Namespace"]), "Whether it stands in a namespace.", Fact::Nullable;
    };
}
