//! Who a client is, from mesh to mesh: what it proved stays, what the registry knows of its workload may change.

use super::{authn::Proved, node::Claim};
use crate::{mesh::Mesh, scope::ProxyFacts};

/// What is known of one client.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// As of the mesh seen; `None`: not looked up yet.
    facts: Option<ProxyFacts>,
    /// The last facts with a workload, of a mesh before.
    known: Option<ProxyFacts>,
    withdrawn: bool,
    /// See [`ProxyFacts::lists_secrets`].
    lists_secrets: bool,
}

impl Standing {
    /// Looks it up in another mesh. Whether it is who it was, and may have keys as before.
    pub(super) fn look_again(&mut self, mesh: &Mesh, claim: &Claim, proved: &Proved) -> bool {
        let (before, withdrawn) = (self.facts.take(), self.withdrawn);
        self.known = before.clone().filter(|facts| facts.workload.is_some()).or(self.known.take());
        let (now, _) = self.facts(mesh, claim, proved);
        before.as_ref() == Some(now) && withdrawn == self.withdrawn
    }

    /// The cluster says whether its account may list Secrets. Whether that is something new.
    pub(super) fn permit(&mut self, lists_secrets: bool) -> bool {
        let before = std::mem::replace(&mut self.lists_secrets, lists_secrets);
        if let Some(facts) = &mut self.facts {
            facts.lists_secrets = lists_secrets;
        }
        before != lists_secrets
    }

    /// The facts in `mesh`, and whether it may have private keys.
    ///
    /// A workload that is taken out of the registry while its proxy is connected drains: it stays who it was, so that
    /// its policies and routes serve what it has begun. Nothing vouches for it any more, so it has no keys.
    pub(super) fn facts(&mut self, mesh: &Mesh, claim: &Claim, proved: &Proved) -> (&ProxyFacts, bool) {
        let (known, withdrawn, lists_secrets) = (&self.known, &mut self.withdrawn, self.lists_secrets);
        let facts = self.facts.get_or_insert_with(|| {
            let proof = (&proved.namespace, &*proved.service_account);
            let found = ProxyFacts::resolve(mesh, claim.role, proof, Some(&claim.name), &claim.addresses);
            *withdrawn = found.workload.is_none();
            let facts = match known {
                Some(known) if *withdrawn => known.clone(),
                _ => found,
            };
            ProxyFacts { lists_secrets, ..facts }
        });
        (facts, !self.withdrawn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        discovery::session::{Event, Request, Response, State, View, step},
        offline::compile_text,
    };
    use mesh_config::{
        kind::Role,
        model::{Kind, PartName},
    };
    use std::collections::BTreeMap;

    const GATEWAY: &str = "
{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: edge, namespace: web}, spec: {selector: {app: edge},
 servers: [{port: {number: 443, name: https, protocol: HTTPS}, hosts: ['*'], tls: {mode: SIMPLE, credentialName: pair}}]}}
---
{apiVersion: v1, kind: Secret, metadata: {name: pair, namespace: web, annotations: {ferromesh.io/gateway-accounts: edge}},
 stringData: {tls.crt: chain, tls.key: key}}
---
{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: none, namespace: web},
 spec: {selector: {matchLabels: {app: edge}}, action: DENY, rules: [{}]}}
";
    const WORKLOAD: &str = "
---
{apiVersion: networking.istio.io/v1, kind: WorkloadEntry, metadata: {name: edge-1, namespace: web},
 spec: {address: 127.0.2.1, serviceAccount: edge, labels: {app: edge}}}
";

    /// A connected gateway that accepts all that it is sent.
    #[derive(Default)]
    struct Gateway {
        standing: Standing,
        state: State,
    }

    impl Gateway {
        fn who() -> (Claim, Proved) {
            let claim = Claim {
                id: "router~127.0.2.1~edge-1.web~web.svc.cluster.local".to_owned(),
                role: Role::Gateway,
                name: "edge-1".to_owned(),
                namespace: "web".to_owned(),
                service_account: None,
                addresses: vec![[127, 0, 2, 1].into()],
                cluster: String::new(),
                version: String::new(),
            };
            (
                claim,
                Proved {
                    namespace: "web".into(),
                    service_account: "edge".into(),
                    proof: "token",
                    until: std::time::SystemTime::UNIX_EPOCH,
                },
            )
        }

        fn step(&mut self, mesh: &Mesh, event: Event) -> Vec<Response> {
            let (claim, proved) = Gateway::who();
            let (facts, secrets) = self.standing.facts(mesh, &claim, &proved);
            let (state, actions) = step(std::mem::take(&mut self.state), event, &View { mesh, facts, secrets });
            self.state = state;
            actions.responses
        }

        fn ask(&mut self, mesh: &Mesh, kind: Kind, answer: Option<&Response>) -> Vec<Response> {
            let subscribe = if kind == Kind::Service || answer.is_some() { vec![] } else { vec!["*".to_owned()] };
            let answer = answer.map(|r| crate::discovery::session::Answer { nonce: r.nonce, error: None });
            let request = Request { kind, subscribe, unsubscribe: vec![], initial: BTreeMap::new(), answer };
            self.step(mesh, Event::Request(request))
        }

        fn connect(&mut self, mesh: &Mesh) {
            let kinds = Kind::ALL.into_iter().filter(|kind| kind.is_whole(Role::Gateway));
            for kind in kinds.collect::<Vec<_>>() {
                self.ask(mesh, kind, None);
            }
            let push = self.ask(mesh, Kind::Service, None);
            self.accept(mesh, &push);
        }

        fn change(&mut self, mesh: &Mesh) {
            let (claim, proved) = Gateway::who();
            self.standing.look_again(mesh, &claim, &proved);
            let push = self.step(mesh, Event::MeshChanged);
            self.accept(mesh, &push);
        }

        fn accept(&mut self, mesh: &Mesh, push: &[Response]) {
            for response in push {
                self.ask(mesh, response.kind, Some(response));
            }
        }

        fn holds(&self, kind: Kind) -> Vec<PartName> {
            self.state.held().filter(|(held, ..)| *held == kind).map(|(_, name, _)| name.clone()).collect()
        }
    }

    #[test]
    fn a_gateway_that_is_withdrawn_while_connected_loses_its_keys_and_keeps_its_configuration() {
        let with = compile_text(&[GATEWAY, WORKLOAD].concat(), None).0;
        let without = compile_text(GATEWAY, None).0;
        let mut gateway = Gateway::default();
        gateway.connect(&with);
        let named = |name: &str| vec![PartName(name.into())];
        let held =
            |gateway: &Gateway| [Kind::Secret, Kind::Authorization, Kind::Gateway].map(|kind| gateway.holds(kind));
        assert_eq!(held(&gateway), [named("web/pair"), named("web/none"), named("Gateway/web/edge")]);
        gateway.change(&without);
        assert_eq!(held(&gateway), [vec![], named("web/none"), named("Gateway/web/edge")]);
        // Twice, since what is known of it then is of two meshes before.
        gateway.change(&without);
        assert_eq!(held(&gateway), [vec![], named("web/none"), named("Gateway/web/edge")]);
        gateway.change(&with);
        assert_eq!(held(&gateway), [named("web/pair"), named("web/none"), named("Gateway/web/edge")]);
        // Who comes when its workload is gone already has neither.
        let mut late = Gateway::default();
        late.connect(&without);
        assert_eq!(held(&late), [vec![], vec![], vec![]]);
    }
}
