//! One conversation at a time. That any conversation ends well is a property test of both ends together.

use super::*;
use crate::offline::compile_text;
use mesh_config::kind::Role;

const CART: &str = "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: cart, namespace: shop}
spec: {hosts: [cart.shop], resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}],
       endpoints: [{address: 127.0.1.1}]}
---
";
const RULE: &str = "
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: cart, namespace: shop}
spec: {host: cart.shop, trafficPolicy: {loadBalancer: {simple: RANDOM}}}
---
";
const EDGE: &str = "
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: edge, namespace: web}
spec: {address: 127.0.2.1, serviceAccount: edge, labels: {app: edge}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: web}
spec:
  selector: {app: edge}
  servers: [{port: {number: 443, name: https, protocol: HTTPS}, hosts: ['*'], tls: {mode: SIMPLE, credentialName: pair}}]
---
apiVersion: v1
kind: Secret
metadata: {name: pair, namespace: web, annotations: {ferromesh.io/gateway-accounts: edge}}
type: kubernetes.io/tls
stringData: {tls.crt: certificate, tls.key: key}
---
";

struct Talk {
    mesh: Mesh,
    role: Role,
    secrets: bool,
    state: State,
}

impl Talk {
    fn new(text: &str) -> Self {
        Talk { mesh: compile_text(text, None).0, role: Role::Sidecar, secrets: true, state: State::default() }
    }

    fn step(&mut self, event: Event) -> Actions {
        let facts = ProxyFacts::resolve(&self.mesh, self.role, (&"web".into(), "edge"), Some("edge"), &[]);
        // Most objects here describe others than the proxy itself.
        let facts = ProxyFacts { workload: facts.workload.or(Some("its-uid".into())), ..facts };
        let view = View { mesh: &self.mesh, facts: &facts, secrets: self.secrets };
        let (state, actions) = step(std::mem::take(&mut self.state), event, &view);
        self.state = state;
        actions
    }

    fn ask(&mut self, kind: Kind, names: &[&str]) -> Actions {
        let subscribe = names.iter().map(ToString::to_string).collect();
        self.step(Event::Request(Request { subscribe, ..silent(kind) }))
    }

    fn change(&mut self, text: &str) -> Actions {
        self.mesh = compile_text(text, None).0;
        self.step(Event::MeshChanged)
    }

    fn answer(&mut self, response: &Response, error: Option<&str>) -> Actions {
        let answer = Some(Answer { nonce: response.nonce, error: error.map(str::to_owned) });
        self.step(Event::Request(Request { answer, ..silent(response.kind) }))
    }

    /// Accepts all of it; what the last answer leads to.
    fn accept(&mut self, responses: &[Response]) -> Vec<Response> {
        responses.iter().map(|response| self.answer(response, None).responses).last().unwrap_or_default()
    }
}

fn silent(kind: Kind) -> Request {
    Request { kind, subscribe: vec![], unsubscribe: vec![], initial: BTreeMap::new(), answer: None }
}

fn shown(responses: &[Response]) -> Vec<(Kind, Vec<&str>, Vec<&str>)> {
    let names = |r: &Response| r.upserts.len();
    assert!(responses.iter().all(|r| names(r) + r.removed.len() > 0 || responses.len() == 1));
    let row = |r| {
        let Response { kind, upserts, removed, .. }: &Response = r;
        let upserts = upserts.iter().map(|u| u.part.name().as_str()).collect();
        (*kind, upserts, removed.iter().map(PartName::as_str).collect())
    };
    responses.iter().map(row).collect()
}

#[test]
fn nothing_is_sent_before_the_request_for_services_and_then_all_at_once() {
    let mut talk = Talk::new(&[CART, RULE].concat());
    assert!(talk.ask(Kind::Settings, &["*"]).responses.is_empty());
    assert!(talk.ask(Kind::Index, &["*"]).responses.is_empty());
    let push = talk.ask(Kind::Service, &["shop/cart.shop"]).responses;
    let kinds: Vec<Kind> = push.iter().map(|r| r.kind).collect();
    assert_eq!(kinds, [Kind::Settings, Kind::Index, Kind::Destination, Kind::Endpoint, Kind::Service]);
    let left: Vec<u32> = push.iter().map(|r| r.nonce.left).collect();
    assert_eq!(left, [4, 3, 2, 1, 0]);
}

#[test]
fn changes_during_a_push_are_merged_into_the_next() {
    let mut talk = Talk::new(CART);
    let push = talk.ask(Kind::Service, &["shop/cart.shop"]).responses;
    assert!(talk.change(&[CART, RULE].concat()).responses.is_empty());
    assert!(talk.change(RULE).responses.is_empty());
    assert!(talk.change(&[CART, RULE].concat()).responses.is_empty());
    let next = talk.accept(&push);
    assert_eq!(shown(&next), [(Kind::Destination, vec!["DestinationRule/shop/cart"], vec![])]);
    assert_eq!(shown(&talk.accept(&next)), []);
    assert!(talk.state.is_quiet());
}

#[test]
fn what_is_gone_is_removed_after_what_is_new_with_services_first() {
    let mut talk = Talk::new(&[CART, RULE].concat());
    let push = talk.ask(Kind::Service, &["shop/cart.shop"]).responses;
    talk.accept(&push);
    let gone = talk.change("").responses;
    let kinds: Vec<Kind> = gone.iter().map(|r| r.kind).collect();
    assert_eq!(kinds, [Kind::Service, Kind::Endpoint, Kind::Destination]);
}

#[test]
fn names_that_stand_for_nothing_are_answered_once() {
    let mut talk = Talk::new("");
    let push = talk.ask(Kind::Service, &["shop/none.shop"]).responses;
    assert_eq!(shown(&push), [(Kind::Service, vec![], vec!["shop/none.shop"])]);
    assert!(talk.accept(&push).is_empty());
    assert!(talk.change(RULE).responses.is_empty());
    let push = talk.ask(Kind::Workload, &["127.0.9.9"]).responses;
    assert_eq!(shown(&push), [(Kind::Workload, vec![], vec!["127.0.9.9"])]);
}

#[test]
fn a_workload_is_found_by_address_and_told_once() {
    let mut talk = Talk::new(EDGE);
    talk.ask(Kind::Service, &[]);
    talk.state.outstanding.clear();
    let push = talk.ask(Kind::Workload, &["127.0.2.1"]).responses;
    assert_eq!(push[0].upserts[0].aliases, ["127.0.2.1".into()]);
    assert!(talk.accept(&push).is_empty());
}

#[test]
fn whose_an_address_is_is_followed() {
    let entry = |name: &str, more: &str| {
        format!(
            "{{apiVersion: networking.istio.io/v1, kind: WorkloadEntry, metadata: {{name: {name}, namespace: web}}, \
             spec: {{address: 127.0.2.9, serviceAccount: {name}{more}}}}}\n---\n"
        )
    };
    let uid = |name: &str| format!("Kubernetes/networking.istio.io/WorkloadEntry/web/{name}");
    let (one, two) = (uid("one"), uid("two"));
    let mut talk = Talk::new("");
    talk.ask(Kind::Service, &[]);
    talk.state.outstanding.clear();
    let push = talk.ask(Kind::Workload, &["127.0.2.9"]).responses;
    assert_eq!(shown(&push), [(Kind::Workload, vec![], vec!["127.0.2.9"])]);
    talk.accept(&push);
    let mut change = |text: &str| {
        let push = talk.change(text).responses;
        talk.accept(&push);
        let told = |r: &Response| {
            let upserts = r.upserts.iter().map(|u| format!("{} {:?}", u.part.name(), u.aliases)).collect::<Vec<_>>();
            (upserts, r.removed.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        push.iter().map(told).collect::<Vec<_>>()
    };
    let none: Vec<String> = Vec::new();
    let found = |uid: &str| (vec![format!("{uid} {:?}", ["127.0.2.9"])], none.clone());
    assert_eq!(change(&entry("one", "")), [found(&one)]);
    assert_eq!(change(&entry("one", "")), []);
    let labelled = change(&entry("one", ", labels: {security.istio.io/tlsMode: disabled}"));
    assert_eq!(labelled, [(vec![format!("{one} []")], none.clone())], "how it is called has changed");
    let mut taken_over = change(&entry("two", ""));
    taken_over.sort();
    assert_eq!(taken_over, [(none.clone(), vec![one]), found(&two)]);
    let gone = change("");
    let gone: Vec<&String> = gone.iter().flat_map(|(_, removed)| removed).collect();
    assert_eq!(gone, [&two, "127.0.2.9"]);
}

#[test]
fn a_refused_part_is_sent_again_only_when_it_changes() {
    let mut talk = Talk::new(&[CART, RULE].concat());
    let push = talk.ask(Kind::Service, &["shop/cart.shop"]).responses;
    let answered =
        talk.answer(&push[0], Some("DestinationRule/shop/cart: destination.balancer: is odd")).answered.unwrap();
    let refusal = Refusal { name: "DestinationRule/shop/cart".into(), reason: "destination.balancer: is odd".into() };
    assert_eq!((answered.kind, answered.refusals), (Kind::Destination, vec![refusal]));
    talk.accept(&push[1..]);
    assert!(talk.state.has_refused(Kind::Destination, "DestinationRule/shop/cart"));
    assert_eq!(talk.state.held_count(Kind::Destination), 0);
    assert!(talk.change(&[CART, RULE].concat()).responses.is_empty());
    let other = RULE.replace("RANDOM", "ROUND_ROBIN");
    let push = talk.change(&[CART, &other].concat()).responses;
    assert_eq!(shown(&push), [(Kind::Destination, vec!["DestinationRule/shop/cart"], vec![])]);
    talk.accept(&push);
    assert!(!talk.state.has_refused(Kind::Destination, "DestinationRule/shop/cart"));
}

#[test]
fn a_refused_part_that_is_gone_is_removed_once() {
    let mut talk = Talk::new(&[CART, RULE].concat());
    let push = talk.ask(Kind::Service, &["shop/cart.shop"]).responses;
    talk.answer(&push[0], Some("DestinationRule/shop/cart: destination.balancer: is odd"));
    talk.accept(&push[1..]);
    let push = talk.change(CART).responses;
    assert_eq!(shown(&push), [(Kind::Destination, vec![], vec!["DestinationRule/shop/cart"])]);
    talk.accept(&push);
    assert!(talk.change(CART).responses.is_empty());
}

#[test]
fn a_refusal_that_names_nothing_refuses_the_response() {
    let mut talk = Talk::new(CART);
    let push = talk.ask(Kind::Service, &["shop/cart.shop"]).responses;
    let answered = talk.answer(push.last().unwrap(), Some("cannot")).answered.unwrap();
    assert_eq!(answered.refusals[0].name, "shop/cart.shop");
}

#[test]
fn an_endless_refusal_is_kept_once_and_short() {
    let mut talk = Talk::new(&[CART, RULE].concat());
    let push = talk.ask(Kind::Service, &["shop/cart.shop"]).responses;
    let endless = "shop/cart.shop: x".repeat(1 << 20);
    for response in &push {
        let answered = talk.answer(response, Some(&endless)).answered.unwrap();
        let sent: Vec<String> = response.upserts.iter().map(|u| u.part.name().to_string()).collect();
        assert_eq!(answered.refusals.iter().map(|r| r.name.clone()).collect::<Vec<_>>(), sent);
        assert!(answered.refusals.iter().all(|r| r.reason.len() < 2048));
        assert!(answered.refusals.windows(2).all(|pair| Arc::ptr_eq(&pair[0].reason, &pair[1].reason)));
    }
}

#[test]
fn answers_to_what_is_not_outstanding_mean_nothing() {
    let mut talk = Talk::new(CART);
    let push = talk.ask(Kind::Service, &["shop/cart.shop"]).responses;
    talk.accept(&push);
    assert_eq!(talk.answer(&push[0], Some("late")).answered, None);
    let strange = Response { nonce: Nonce { mesh: 9, sequence: 99, left: 0 }, ..push[0].clone() };
    assert_eq!(talk.answer(&strange, None).answered, None);
    assert_eq!(talk.state.held_count(Kind::Service), 1);
}

#[test]
fn a_client_that_comes_back_gets_the_difference() {
    let mut talk = Talk::new(CART);
    let version = |kind, name| talk.mesh.part(kind, name).unwrap().encoded().version;
    let held = version(Kind::Service, "shop/cart.shop");
    let gone = Version([7; 16]);
    talk.step(Event::Request(Request {
        initial: [("shop/old/80/x".to_owned(), gone)].into(),
        ..silent(Kind::Endpoint)
    }));
    let push = talk.step(Event::Request(Request {
        subscribe: vec!["shop/cart.shop".into()],
        initial: [("shop/cart.shop".to_owned(), held)].into(),
        ..silent(Kind::Service)
    }));
    let rows = shown(&push.responses);
    assert_eq!((rows.len(), rows[0].0, rows[0].1.len()), (2, Kind::Endpoint, 1));
    assert_eq!(rows[1], (Kind::Endpoint, vec![], vec!["shop/old/80/x"]));
}

#[test]
fn private_keys_travel_on_encrypted_streams_only() {
    for (secrets, want) in [(true, 1), (false, 0)] {
        let mut talk = Talk::new(EDGE);
        (talk.role, talk.secrets) = (Role::Gateway, secrets);
        talk.ask(Kind::Secret, &["*"]);
        talk.ask(Kind::Gateway, &["*"]);
        let push = talk.ask(Kind::Service, &[]).responses;
        assert_eq!(push.iter().filter(|r| r.kind == Kind::Secret).count(), want, "secrets: {secrets}");
        assert_eq!(push.iter().filter(|r| r.kind == Kind::Gateway).count(), 1);
    }
}

#[test]
fn what_cannot_be_followed_ends_the_stream() {
    for (kind, name) in [(Kind::Endpoint, "*"), (Kind::Service, "*"), (Kind::Index, "shop/cart.shop")] {
        let violation = Talk::new("").ask(kind, &[name]).violation;
        assert_eq!(violation, Some(Violation::NotByName { kind, name: name.into() }));
    }
    let long = "x".repeat(MAX_NAME + 1);
    assert_eq!(Talk::new("").ask(Kind::Service, &[&long]).violation, Some(Violation::NameTooLong(Kind::Service)));
}

#[test]
fn large_pushes_are_cut_into_responses() {
    let mesh = compile_text(&(0..9).map(|n| CART.replace("cart", &format!("s{n}"))).collect::<String>(), None).0;
    let upsert = |part: &Arc<SharedPart>| Upsert { part: part.clone(), aliases: Vec::new() };
    let upserts: Vec<Upsert> = mesh.parts(Kind::Index).map(upsert).collect();
    let size = |u: &Upsert| u.part.encoded().bytes.len();
    let limit = 2 * size(&upserts[0]);
    let groups = grouped(upserts.clone(), Vec::new(), limit);
    assert_eq!(groups.iter().map(|(_, members, _)| members.len()).collect::<Vec<_>>(), [2, 2, 2, 2, 1]);
    // What is larger than the limit travels alone.
    assert_eq!(grouped(upserts, Vec::new(), 1).len(), 9);
}
