use super::*;
use serde_json::json;

fn call(url: &str) -> Option<(String, Option<u64>, String, String)> {
    let call = call_to(url, Direction::Outbound).ok()?;
    Some((call.protocol?, call.port, call.host?, call.path?))
}

#[test]
fn urls_are_taken_apart_and_their_paths_left_alone() {
    for (url, want) in [
        ("http://a", Some(("http", 80, "a", "/"))),
        ("HTTP://a:9080/x//%2e?q#f", Some(("http", 9080, "a:9080", "/x//%2e?q#f"))),
        ("http://[::1]:81?q=1", Some(("http", 81, "[::1]:81", "/?q=1"))),
        ("grpc://a:1/s/m", Some(("http2", 1, "a:1", "/s/m"))),
        ("https://a/", Some(("tcp", 443, "a", "/"))),
        ("tcp://a:6379", Some(("tcp", 6379, "a:6379", "/"))),
        ("tcp://a", None),
        ("http://", None),
        ("http:///x", None),
        ("a:80/x", None),
        ("ftp://a/", None),
    ] {
        let want = want.map(|(p, port, host, path): (&str, u64, &str, &str)| {
            (p.to_owned(), Some(port), host.to_owned(), path.to_owned())
        });
        assert_eq!(call(url), want, "{url}");
    }
}

#[test]
fn headers_are_pairs() {
    assert_eq!(header("X-User = a=b").unwrap(), ("x-user".to_owned(), "a=b".to_owned()));
    assert_eq!(header("x-user: a:b").unwrap(), ("x-user".to_owned(), "a:b".to_owned()));
    assert!(header("alone").is_err());
    assert!(header("=v").is_err());
}

/// One case with one inbound call, changed by `with`.
fn decide(with: &[(&str, Value)]) -> Value {
    let mut call = json!({
        "direction": "inbound", "port": 8080, "protocol": "http", "method": "GET", "host": "a", "path": "/",
        "headers": {}, "source": {"principal": "spiffe://cluster.local/ns/shop/sa/web", "ip": "10.0.0.1"},
    });
    for (name, value) in with {
        call[*name] = value.clone();
    }
    let policy = r#"
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: cart}}
  rules:
  - from: [{source: {principals: ["cluster.local/ns/shop/sa/web"]}}]
    to: [{operation: {notPaths: ["/admin*"]}}]
"#;
    let case = json!({
        "id": 7, "objects": policy, "mesh_config": null,
        "workload": {"type": "sidecar", "namespace": "shop", "labels": {"app": "cart"}}, "calls": [call],
    });
    let answer = cases::answer(&case);
    assert_eq!(answer["id"], 7);
    answer["results"][0].clone()
}

#[test]
fn a_policy_that_allows_is_named() {
    let result = decide(&[]);
    assert_eq!(result["outcome"], "forward");
    assert_eq!(result["policy"], json!({"action": "ALLOW", "namespace": "shop", "name": "web", "rule": 0}));
    assert_eq!(result["asks_external"], false);
}

#[test]
fn policies_are_held_against_the_normalised_path() {
    let result = decide(&[("path", json!("/x/%2e%2e/admin"))]);
    assert_eq!((&result["outcome"], &result["reason"]), (&json!("refuse"), &json!("denied")));
    assert_eq!(result["path"], "/admin");
    assert_eq!(result["policy"], Value::Null);
}

#[test]
fn odd_calls_are_decided_and_spoil_nothing() {
    for (with, want) in [
        (("source", json!({"principal": "/ns/shop/", "ip": "not an address"})), "refuse"),
        (("source", Value::Null), "refuse"),
        (("method", json!("no token [")), "forward"),
        (("path", json!("")), "forward"),
        (("path", json!("no slash \u{e9}")), "forward"),
        (("path", json!("a byte of \u{0}")), "answer"),
        (("path", json!(7)), "forward"),
        (("headers", json!([["a", "b"], "c"])), "forward"),
        (("headers", json!({"a": ["b", 1, null]})), "forward"),
        (("port", json!(70000)), "refuse"),
        (("port", Value::Null), "refuse"),
        (("direction", json!("sideways")), "refuse"),
        (("host", Value::Null), "forward"),
        (("metadata", json!("text")), "forward"),
    ] {
        let result = decide(std::slice::from_ref(&with));
        assert_eq!(result["outcome"], want, "{with:?}: {result}");
    }
}

#[test]
fn opaque_calls_are_held_against_tcp_rules() {
    // What a rule says about paths cannot hold on TCP, so that the ALLOW rule matches nothing.
    assert_eq!(decide(&[("protocol", json!("tcp"))])["reason"], "denied");
}

#[test]
fn what_is_no_case_has_an_error_and_the_others_answers() {
    for odd in [json!(null), json!([]), json!({"id": "x", "calls": 3}), json!({"workload": {"type": "ztunnel"}})] {
        assert!(cases::answer(&odd)["error"].is_string(), "{odd}");
    }
    let call = cases::answer(&json!({"id": "x", "calls": ["text", {"port": 1}]}));
    assert_eq!(call["results"].as_array().map(Vec::len), Some(2), "{call}");
}

#[test]
fn broken_objects_are_findings_and_the_rest_counts() {
    let case =
        json!({"id": "x", "objects": "a: [\n---\nkind: 7\n---\n\u{1}", "mesh_config": "{", "calls": [{"port": 80}]});
    let answer = cases::answer(&case);
    assert_eq!(answer["results"].as_array().map(Vec::len), Some(1), "{answer}");
    assert!(answer["diagnostics"].as_array().is_some_and(|d| !d.is_empty()), "{answer}");
}

#[test]
fn strict_mutual_tls_refuses_plain_text() {
    let objects = r#"
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: strict, namespace: shop}
spec: {mtls: {mode: STRICT}}
"#;
    let call = |tls: &str| {
        let case = json!({
            "id": 1, "objects": objects, "workload": {"namespace": "shop"},
            "calls": [{"direction": "inbound", "port": 80, "tls": tls}],
        });
        let result = cases::answer(&case)["results"][0].clone();
        (result["outcome"].clone(), result["reason"].clone())
    };
    assert_eq!(call("plaintext"), (json!("refuse"), json!("no filter chain")));
    assert_eq!(call("tls"), (json!("refuse"), json!("mtls error")));
    assert_eq!(call("mtls"), (json!("forward"), Value::Null));
}

#[test]
fn a_port_without_mutual_tls_says_that_it_takes_it_all_the_same() {
    let objects = "{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: off, namespace: shop}, \
                   spec: {mtls: {mode: DISABLE}}}";
    let because = |tls: &str| {
        let case = json!({
            "id": 1, "objects": objects, "workload": {"namespace": "shop"},
            "calls": [{"direction": "inbound", "port": 80, "tls": tls}],
        });
        let result = &cases::answer(&case)["results"][0];
        (result["outcome"].clone(), result["security"]["because"].clone())
    };
    let says =
        |more: &str| (json!("forward"), json!(format!("the port accepts DISABLE (PeerAuthentication shop/off){more}")));
    assert_eq!(because("plaintext"), says(""));
    assert_eq!(because("mtls"), says(", and the mesh's own TLS is taken all the same"));
}

#[test]
fn a_service_that_selects_the_case_s_workload_declares_its_ports() {
    let objects = r#"
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {clusterIP: 10.0.0.3, selector: {app: cart}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: cart, namespace: shop}
spec:
  hosts: [cart.mesh]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8081}]
  workloadSelector: {labels: {app: cart}}
"#;
    let case = json!({
        "id": 1, "objects": objects, "workload": {"namespace": "shop", "labels": {"app": "cart"}},
        "calls": [{"direction": "inbound", "port": 8080}, {"direction": "inbound", "port": 8081}, {"direction": "inbound", "port": 9}],
    });
    let answer = cases::answer(&case);
    let clusters: Vec<_> = answer["results"].as_array().unwrap().iter().map(|r| r["cluster"].clone()).collect();
    assert_eq!(clusters, ["inbound|8080||", "inbound|8081||", "InboundPassthroughCluster"]);
}

#[test]
fn tls_is_told_apart_by_what_it_offers_to_speak_inside() {
    let objects = r#"
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec:
  clusterIP: 10.0.0.3
  selector: {app: cart}
  ports: [{name: http, port: 80}, {name: tcp-db, port: 81}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: cart, namespace: shop}
spec:
  hosts: [cart.mesh]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}, {number: 81, name: db, protocol: TCP}]
  workloadSelector: {labels: {app: cart}}
"#;
    let decide = |port: u16, tls: &str, alpn: Value| {
        let case = json!({
            "id": 1, "objects": objects, "workload": {"namespace": "shop", "labels": {"app": "cart"}},
            "calls": [{"direction": "inbound", "port": port, "tls": tls, "alpn": alpn}],
        });
        let result = cases::answer(&case)["results"][0].clone();
        // Only requests have a path.
        (result["outcome"].clone(), result["reason"].clone(), !result["path"].is_null())
    };
    let passes = |as_http: bool| (json!("forward"), Value::Null, as_http);
    let refused = |reason: &str| (json!("refuse"), json!(reason), false);
    assert_eq!(decide(80, "mtls", json!("istio-http/1.1,istio,http/1.1")), passes(true));
    assert_eq!(decide(80, "mtls", json!("h2")), refused("no filter chain"));
    assert_eq!(decide(80, "tls", Value::Null), refused("no filter chain"));
    assert_eq!(decide(80, "tls", json!("istio")), refused("mtls error"));
    assert_eq!(decide(81, "mtls", json!("istio-peer-exchange,istio")), passes(false));
    assert_eq!(decide(81, "tls", json!("h2")), passes(false));
    assert_eq!(decide(9, "mtls", json!("istio-h2")), passes(true));
    assert_eq!(decide(9, "mtls", json!("istio-peer-exchange")), passes(false));
}

#[test]
fn a_gateway_authorises_before_it_answers_redirects_or_knows_nothing() {
    let objects = r#"
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: edge}
spec:
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [shop.example]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop, namespace: edge}
spec:
  hosts: [shop.example]
  gateways: [edge]
  http:
  - {match: [{uri: {prefix: /direct}}], directResponse: {status: 200}}
  - {match: [{uri: {prefix: /moved}}], redirect: {uri: /there}}
"#;
    let nobody = "\n---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: nobody, namespace: edge}\nspec: {action: DENY, rules: [{}]}\n";
    let outcomes = |objects: &str| -> Vec<Value> {
        let get = |path: &str| json!({"direction": "gateway", "port": 80, "host": "shop.example", "path": path});
        let calls = ["/direct", "/moved", "/nothing"].map(get);
        let workload = json!({"type": "router", "namespace": "edge"});
        let case = json!({"id": 1, "objects": objects, "workload": workload, "calls": calls});
        let answer = cases::answer(&case);
        answer["results"].as_array().unwrap().iter().map(|r| json!([r["outcome"], r["status"]])).collect()
    };
    assert_eq!(outcomes(objects), [json!(["answer", 200]), json!(["redirect", 301]), json!(["refuse", null])]);
    assert_eq!(outcomes(&[objects, nobody].concat()), vec![json!(["refuse", 403]); 3]);
}

#[test]
fn an_ingress_is_shown_at_a_gateway_as_what_it_becomes() {
    let objects = r#"
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, namespace: shop, annotations: {kubernetes.io/ingress.class: istio}}
spec:
  tls: [{hosts: [shop.example], secretName: shop}]
  rules:
  - host: shop.example
    http:
      paths:
      - {path: /cart, pathType: Prefix, backend: {service: {name: cart, port: {name: http}}}}
      - {path: /gone, pathType: Exact, backend: {service: {name: cart, port: {name: gone}}}}
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {clusterIP: 10.0.0.1, ports: [{name: http, port: 8080}]}
"#;
    let calls = [(80, "/cart/1"), (80, "/carts"), (80, "/gone"), (443, "/cart")].map(|(port, path)| {
        let tls = if port == 443 { "tls" } else { "plaintext" };
        json!({"direction": "gateway", "port": port, "tls": tls, "host": "shop.example", "path": path})
    });
    let workload = json!({"type": "router", "namespace": "istio-ingress", "labels": {"istio": "ingressgateway"}});
    let answer = cases::answer(&json!({"id": 1, "objects": objects, "workload": workload, "calls": calls}));
    let told: Vec<_> = answer["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| json!([r["outcome"], r["status"], r["object"], r["route_config"], r["cluster"]]))
        .collect();
    let (ingress, to) = ("Ingress shop/web", "outbound|8080||cart.shop.svc.cluster.local");
    let https = "https.443.https-443-ingress-web-shop-0.web-istio-autogenerated-k8s-ingress-shop.istio-system";
    assert_eq!(
        told,
        [
            json!(["forward", null, ingress, "http.80", to]),
            json!(["refuse", null, null, "http.80", null]),
            json!(["answer", 503, ingress, "http.80", null]),
            json!(["forward", null, ingress, https, to]),
        ]
    );
}

#[test]
fn a_caller_of_a_trust_domain_that_is_not_accepted_is_refused_where_it_is_known_who_is_called() {
    let outcome = |account: Value, config: &str, tcp: bool| {
        let case = json!({
            "id": 1, "mesh_config": config,
            "workload": {"namespace": "shop", "service_account": account},
            "calls": [{
                "direction": "inbound", "port": 8080, "protocol": if tcp { "tcp" } else { "http" },
                "source": {"principal": "spiffe://partner.example/ns/shop/sa/web"},
            }],
        });
        let result = cases::answer(&case)["results"][0].clone();
        (result["outcome"].clone(), result["reason"].clone())
    };
    let aliases = "trustDomainAliases: [partner.example]";
    for tcp in [false, true] {
        assert_eq!(outcome(json!("cart"), "{}", tcp), (json!("refuse"), json!("mtls error")));
        assert_eq!(outcome(json!("cart"), aliases, tcp), (json!("forward"), Value::Null));
        assert_eq!(outcome(Value::Null, "{}", tcp), (json!("forward"), Value::Null), "principals as they are");
    }
}

#[test]
fn a_gateways_port_has_a_server_for_the_clients_hello_or_refuses() {
    let objects = r#"
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: edge}
spec:
  servers:
  - port: {number: 443, name: https, protocol: HTTPS}
    hosts: [shop.example]
    tls: {mode: SIMPLE, credentialName: pair}
"#;
    let outcome = |tls: &str, sni: &str| {
        let call = json!({"direction": "gateway", "port": 443, "tls": tls, "sni": sni, "host": "shop.example"});
        let workload = json!({"type": "router", "namespace": "edge"});
        let case = json!({"id": 1, "objects": objects, "workload": workload, "calls": [call]});
        let result = cases::answer(&case)["results"][0].clone();
        (result["outcome"].clone(), result["reason"].clone())
    };
    assert_eq!(outcome("tls", "shop.example"), (json!("refuse"), json!("no route")), "a server, and no rule");
    assert_eq!(outcome("tls", "other.example"), (json!("refuse"), json!("no filter chain")));
    assert_eq!(outcome("plaintext", ""), (json!("refuse"), json!("tls error")));
}

#[test]
fn a_gateways_server_says_who_proves_what() {
    let objects = |mode: &str| {
        format!(
            r#"
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: edge, namespace: edge}}
spec:
  servers:
  - port: {{number: 443, name: https, protocol: HTTPS}}
    hosts: [shop.example]
    tls: {{mode: {mode}, credentialName: pair}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: shop, namespace: edge}}
spec:
  hosts: [shop.example]
  gateways: [edge]
  http: [{{directResponse: {{status: 201}}}}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: named, namespace: edge}}
spec:
  action: DENY
  rules:
  - when: [{{key: connection.sni, values: [shop.example]}}, {{key: source.principal, values: ["*"]}}]
"#
        )
    };
    let outcome = |mode: &str, tls: &str| {
        let mut call = json!({"direction": "gateway", "port": 443, "tls": tls, "host": "shop.example"});
        if tls == "mtls" {
            call["source"] = json!({"principal": "spiffe://elsewhere.example/ns/a/sa/b"});
        }
        let workload = json!({"type": "router", "namespace": "edge", "service_account": "edge"});
        let case = json!({"id": 1, "objects": objects(mode), "workload": workload, "calls": [call]});
        let result = cases::answer(&case)["results"][0].clone();
        (result["outcome"].clone(), result["reason"].clone())
    };
    let (answer, denied) = ((json!("answer"), Value::Null), (json!("refuse"), json!("denied")));
    assert_eq!(outcome("SIMPLE", "tls"), answer, "nobody is asked who they are");
    assert_eq!(outcome("SIMPLE", "mtls"), answer, "a certificate that is not asked for is not shown");
    assert_eq!(outcome("MUTUAL", "tls"), (json!("refuse"), json!("mtls error")));
    assert_eq!(outcome("MUTUAL", "mtls"), denied, "of whatever trust domain, and by the name in the hello");
}

#[test]
fn what_is_in_no_service_is_carried_or_refused_as_the_outbound_policy_says() {
    let outcome = |mode: &str| {
        let call = json!({"direction": "outbound", "protocol": "tcp", "address": "203.0.113.5", "port": 5432});
        let config = format!("outboundTrafficPolicy: {{mode: {mode}}}");
        let case = json!({"id": 1, "mesh_config": config, "workload": {"namespace": "shop"}, "calls": [call]});
        let result = cases::answer(&case)["results"][0].clone();
        (result["outcome"].clone(), result["cluster"].clone())
    };
    assert_eq!(outcome("ALLOW_ANY"), (json!("forward"), json!("PassthroughCluster")));
    assert_eq!(outcome("REGISTRY_ONLY"), (json!("refuse"), json!("BlackHoleCluster")));
}

#[test]
fn a_call_to_an_address_says_whose_it_is_and_how_it_is_secured() {
    let objects = "{apiVersion: v1, kind: Pod, metadata: {name: db-0, namespace: data, labels: {app: db, \
                   security.istio.io/tlsMode: istio}}, spec: {serviceAccountName: db}, status: {podIP: 10.0.0.9}}\n---\n\
                   {apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {clusterIP: 10.1.0.1, \
                   ports: [{name: http, port: 80}]}}\n---\n\
                   {apiVersion: v1, kind: Service, metadata: {name: db, namespace: data}, spec: {clusterIP: None, \
                   selector: {app: db}, ports: [{name: tcp, port: 7002, targetPort: 7003}]}}\n---\n\
                   {apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: far, namespace: shop}, \
                   spec: {hosts: [far.example], location: MESH_EXTERNAL, resolution: NONE, addresses: [10.0.0.9/32], \
                   ports: [{number: 9000, name: tcp, protocol: TCP}]}}\n";
    let told = |call: Value| {
        let case = json!({"id": 1, "objects": objects, "workload": {"namespace": "shop"}, "calls": [call]});
        let result = cases::answer(&case)["results"][0].clone();
        (result["cluster"].clone(), result["security"]["transport"].clone(), result["endpoints"].clone())
    };
    let endpoint = |port: u16| {
        json!([{"address": format!("10.0.0.9:{port}"), "status": "UNKNOWN", "workload": "data/db-0",
                "identity": "spiffe://cluster.local/ns/data/sa/db"}])
    };
    let bytes = |port: u16| json!({"direction": "outbound", "protocol": "tcp", "address": "10.0.0.9", "port": port});
    assert_eq!(told(bytes(7000)), (json!("PassthroughCluster"), json!("mutual TLS"), endpoint(7000)));
    assert_eq!(
        told(bytes(15020)),
        (json!("PassthroughCluster"), json!("as the application sends it"), endpoint(15020))
    );
    let headless = json!("outbound|7002||db.data.svc.cluster.local");
    assert_eq!(told(bytes(7002)), (headless, json!("mutual TLS"), endpoint(7002)), "at the port that clients dial");
    let outside = json!("outbound|9000||far.example");
    assert_eq!(told(bytes(9000)), (outside, json!("plain text"), Value::Null), "whoever is there");
    let request = json!({"direction": "outbound", "protocol": "http", "port": 80, "host": "10.0.0.9", "path": "/"});
    assert_eq!(told(request), (json!("PassthroughCluster"), json!("mutual TLS"), endpoint(80)));
}

#[test]
fn what_a_rule_says_of_a_headless_service_holds_where_a_pod_of_it_is_called_by_its_address() {
    let told = |mode: &str| {
        let objects = format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: db-0, namespace: data, labels: {{app: db, \
             security.istio.io/tlsMode: istio}}}}, spec: {{serviceAccountName: db}}, status: {{podIP: 10.0.0.9}}}}\n---\n\
             {{apiVersion: v1, kind: Service, metadata: {{name: db, namespace: data}}, spec: {{clusterIP: None, \
             selector: {{app: db}}, ports: [{{name: tcp, port: 7002, targetPort: 7003}}]}}}}\n---\n\
             {{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {{name: db, namespace: data}}, \
             spec: {{host: db.data.svc.cluster.local, trafficPolicy: {{tls: {{mode: {mode}}}}}}}}}\n"
        );
        let call = json!({"direction": "outbound", "protocol": "tcp", "address": "10.0.0.9", "port": 7002});
        let case = json!({"id": 1, "objects": objects, "workload": {"namespace": "shop"}, "calls": [call]});
        let result = cases::answer(&case)["results"][0].clone();
        (result["cluster"].clone(), result["endpoints"][0]["address"].clone(), result["security"].clone())
    };
    let want = |transport: &str, mode: &str| {
        let because = format!("DestinationRule data/db says {mode}");
        let security = json!({"transport": transport, "because": because});
        (json!("outbound|7002||db.data.svc.cluster.local"), json!("10.0.0.9:7002"), security)
    };
    assert_eq!(told("ISTIO_MUTUAL"), want("mutual TLS", "ISTIO_MUTUAL"));
    assert_eq!(told("DISABLE"), want("plain text", "DISABLE"));
    assert_eq!(told("SIMPLE"), want("TLS", "SIMPLE"));
}
