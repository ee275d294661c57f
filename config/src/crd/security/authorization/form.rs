//! The form of AuthorizationPolicy.

use crate::crd::{
    form::{Fact, Holds, forms},
    target::{MOST_TARGETS, ONE_OF_THREE, REFERENCE, SELECTOR},
};

const TEXTS: Holds = Holds::List(&Holds::Text);
const NOWHERE: Fact = Fact::Inert("the policy applies to nothing; select workloads with selector");
const ACCOUNT: Fact = Fact::Each(&[Fact::MostLength(320)]);

forms! {
    /// `spec`.
    pub(in crate::crd) AUTHORIZATION_POLICY {
        "selector": Holds::Of(&SELECTOR), "Which workloads; without it those of the namespace, in the root namespace all.";
        "targetRef": Holds::Of(&REFERENCE), "What it is for, instead of a selector. Superseded by targetRefs.", NOWHERE;
        "targetRefs": Holds::List(&Holds::Of(&REFERENCE)), "What it is for, instead of a selector.", NOWHERE, MOST_TARGETS;
        "rules": Holds::List(&Holds::Of(&RULE)), "A request matches when it matches one of them. With ALLOW and no rules nothing does, \
            so all is refused.", Fact::MostEntries(512);
        "action": Holds::Word(&["ALLOW", "DENY", "AUDIT", "CUSTOM"]), "What becomes of requests that match. CUSTOM and DENY come before \
            ALLOW.", Fact::Default("ALLOW");
        "provider": Holds::Of(&PROVIDER), "Who decides, with CUSTOM.";
    } with [Fact::OneOf(&["provider"]), ONE_OF_THREE];

    PROVIDER {
        "name": Holds::Text, "One of MeshConfig's extensionProviders.";
    };

    RULE {
        "from": Holds::List(&Holds::Of(&FROM)), "Callers, one of which it must be; none: any.", Fact::MostEntries(512);
        "to": Holds::List(&Holds::Of(&TO)), "What is called, one of which it must be; none: anything.";
        "when": Holds::List(&Holds::Of(&CONDITION)), "What must hold besides, all of it.";
    };

    FROM {
        "source": Holds::Of(&SOURCE), "A caller: each list that is there must match.";
    };

    SOURCE {
        "principals": TEXTS, "Identities from certificates: `TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT`, with `*` at one end.";
        "notPrincipals": TEXTS, "Identities that do not match.";
        "requestPrincipals": TEXTS, "Identities from valid tokens: `ISSUER/SUBJECT`, with `*` at one end.";
        "notRequestPrincipals": TEXTS, "Identities from tokens that do not match.";
        "namespaces": TEXTS, "Namespaces of callers, from their certificates.";
        "notNamespaces": TEXTS, "Namespaces that do not match.";
        "serviceAccounts": TEXTS, "Callers' service accounts: `NAMESPACE/ACCOUNT`, or `ACCOUNT` of the policy's namespace.",
            Fact::MostEntries(16), ACCOUNT;
        "notServiceAccounts": TEXTS, "Service accounts that do not match.", Fact::MostEntries(16), ACCOUNT;
        "trustDomains": TEXTS, "Trust domains of callers, from their certificates.";
        "notTrustDomains": TEXTS, "Trust domains that do not match.";
        "ipBlocks": TEXTS, "Addresses or blocks that the connection comes from.";
        "notIpBlocks": TEXTS, "Addresses or blocks that do not match.";
        "remoteIpBlocks": TEXTS, "Addresses or blocks of the original client, as trusted proxies report it.";
        "notRemoteIpBlocks": TEXTS, "Addresses or blocks of original clients that do not match.";
    } with [
        Fact::Rule(
            "!(has(self.serviceAccounts) || has(self.notServiceAccounts)) || !(has(self.principals) || has(self.notPrincipals) \
                || has(self.namespaces) || has(self.notNamespaces))",
            "Cannot set serviceAccounts with namespaces or principals"),
    ];

    TO {
        "operation": Holds::Of(&OPERATION), "A call: each list that is there must match.";
    };

    OPERATION {
        "hosts": TEXTS, "Hosts of requests, in whatever case, with `*` at one end.";
        "notHosts": TEXTS, "Hosts that do not match.";
        "ports": TEXTS, "Ports of the workload.";
        "notPorts": TEXTS, "Ports that do not match.";
        "methods": TEXTS, "Methods of requests; of gRPC always POST.";
        "notMethods": TEXTS, "Methods that do not match.";
        "paths": TEXTS, "Paths, with `*` at one end, or templates with the segments `{*}` and `{**}`.";
        "notPaths": TEXTS, "Paths that do not match.";
    };

    CONDITION {
        "key": Holds::Text, "What is looked at: source.ip, request.headers[NAME], request.auth.claims[NAME], …", Fact::Required;
        "values": TEXTS, "Values of which it must have one.";
        "notValues": TEXTS, "Values of which it must have none.";
    };
}
