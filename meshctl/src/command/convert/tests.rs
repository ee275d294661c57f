use super::*;
use mesh_config::crd::{self, ParseContext};

fn converted(text: &str) -> String {
    let (new, notes) = convert(text).unwrap();
    assert_eq!(notes, [""; 0], "{text}");
    assert_eq!(convert(&new).unwrap().0, new, "once more changes nothing");
    new
}

const RULES: &str = "\
# Who serves reviews.
apiVersion: networking.istio.io/v1alpha3 # old
kind: VirtualService
metadata: {name: a}
spec:
  hosts: [reviews]
  http:
  - fault:
      delay:
        percent: 10   # a tenth
        fixedDelay: 5s
    mirror: {host: ratings}
    mirror_percent: 50
    corsPolicy:
      allowOrigin:
      - https://a.example # one
      - \"*\"
    route:
    - destination: {host: reviews}
---
apiVersion: networking.istio.io/v1beta1
kind: DestinationRule
metadata: {name: a}
spec:
  host: reviews
  trafficPolicy:
    loadBalancer: {simple: LEAST_CONN, warmupDurationSecs: 30s}
    outlierDetection:
      consecutiveErrors: 5
  subsets:
  - name: v1
    trafficPolicy:
      portLevelSettings:
      - port: {number: 80}
        loadBalancer:
          simple: \"LEAST_CONN\"
";

#[test]
fn deprecated_fields_and_versions_are_rewritten_and_the_rest_stays() {
    let want = "\
# Who serves reviews.
apiVersion: networking.istio.io/v1 # old
kind: VirtualService
metadata: {name: a}
spec:
  hosts: [reviews]
  http:
  - fault:
      delay:
        percentage: {value: 10}   # a tenth
        fixedDelay: 5s
    mirror: {host: ratings}
    mirrorPercentage: {value: 50}
    corsPolicy:
      allowOrigins:
      - {exact: https://a.example} # one
      - {exact: \"*\"}
    route:
    - destination: {host: reviews}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a}
spec:
  host: reviews
  trafficPolicy:
    loadBalancer: {simple: LEAST_REQUEST, warmup: {duration: 30s}}
    outlierDetection:
      consecutiveGatewayErrors: 5
  subsets:
  - name: v1
    trafficPolicy:
      portLevelSettings:
      - port: {number: 80}
        loadBalancer:
          simple: \"LEAST_REQUEST\"
";
    assert_eq!(converted(RULES), want);
}

#[test]
fn what_is_rewritten_means_the_same_and_may_be_written() {
    let read = |text: &str| {
        let (objects, found) = crd::read_text(&"f".into(), text);
        assert_eq!(found, []);
        let context = ParseContext::default();
        objects
            .iter()
            .map(|object| {
                let wrong = crd::validate(object, &context);
                assert!(wrong.iter().all(|f| f.severity != mesh_config::diagnostic::Severity::Error), "{wrong:?}");
                crd::parse(object, &context).0
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(read(RULES), read(&converted(RULES)));
}

#[test]
fn one_target_becomes_a_list_in_block_flow_and_json() {
    let block = "apiVersion: security.istio.io/v1beta1\nkind: AuthorizationPolicy\nspec:\n  targetRef:\n    kind: Service\n    group: \"\"\n    name: a\n  action: DENY\n";
    let want = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nspec:\n  targetRefs: [{kind: Service, group: \"\", name: a}]\n  action: DENY\n";
    assert_eq!(converted(block), want);
    let json = r#"{"apiVersion": "security.istio.io/v1beta1", "kind": "AuthorizationPolicy", "spec": {"targetRef": {"kind": "Service", "name": "a"}}}"#;
    let want = r#"{"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "spec": {"targetRefs":[{"kind": "Service", "name": "a"}]}}"#;
    assert_eq!(converted(json), want);
    serde_json::from_str::<serde_json::Value>(want).unwrap();
}

#[test]
fn names_of_protobuf_become_those_of_objects() {
    let text = "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nspec:\n  jwt_rules:\n  - issuer: a\n    jwks_uri: https://a.example\n    from_headers: [{name: x}]\n";
    let want = "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nspec:\n  jwtRules:\n  - issuer: a\n    jwksUri: https://a.example\n    fromHeaders: [{name: x}]\n";
    assert_eq!(converted(text), want);
}

#[test]
fn lists_are_entered_and_other_programs_objects_left_alone() {
    let text = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: telemetry.istio.io/v1alpha1\n  kind: Telemetry\n  spec: {}\n- apiVersion: apps/v1beta1\n  kind: Deployment\n  spec: {targetRef: {name: a}}\n";
    assert_eq!(converted(text), text.replace("telemetry.istio.io/v1alpha1", "telemetry.istio.io/v1"));
}

#[test]
fn what_cannot_be_rewritten_is_said_with_its_line() {
    let text = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nspec:\n  http:\n  - mirrorPercent: 5\n    mirrorPercentage: {value: 6}\n  - mirrorPercent: &five 5\n";
    let (new, notes) = convert(text).unwrap();
    assert_eq!(new, text);
    assert_eq!(
        notes,
        [
            "5: mirrorPercent is superseded by mirrorPercentage, which is there too: take one out",
            "7: mirrorPercent is superseded by mirrorPercentage; its value is shared by an alias: write it out",
        ]
    );
}

#[test]
fn what_is_no_yaml_is_an_error() {
    assert!(convert("a: [").is_err());
    let deep = "[".repeat(1000);
    assert!(convert(&deep).is_err());
}
