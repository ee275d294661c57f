use super::*;
use std::path::PathBuf;

fn plan(sets: &[&str]) -> Result<Plan> {
    let sets: Vec<String> = sets.iter().map(|text| (*text).to_owned()).collect();
    Plan::new(&Spec::read(&[], &sets, None, false)?, "istio-system")
}

fn of_file(text: &str) -> Result<Plan> {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("file.yaml");
    std::fs::write(&path, text).unwrap();
    Plan::new(&Spec::read(&[path], &[], None, false)?, "istio-system")
}

fn releases(plan: &Plan) -> Vec<&str> {
    plan.components.iter().map(|component| component.release.as_str()).collect()
}

#[test]
fn a_profile_says_what_is_installed() {
    for (profile, want) in [
        ("default", &["istio-base", "istiod", "istio-ingressgateway"][..]),
        ("demo", &["istio-base", "istiod", "istio-ingressgateway", "istio-egressgateway"]),
        ("minimal", &["istio-base", "istiod"]),
        ("empty", &[]),
    ] {
        assert_eq!(releases(&plan(&[&format!("profile={profile}")]).unwrap()), want, "{profile}");
    }
    assert!(plan(&["profile=ambient"]).unwrap_err().to_string().contains("profile ambient is not served"));
    for cni in ["components.cni.enabled=true", "values.pilot.cni.enabled=true"] {
        assert!(plan(&[cni]).unwrap_err().to_string().contains("components.cni"), "{cni}");
    }
    // Of these the charts know nothing, wherever they are named.
    let minimal = plan(&["values.global.profile=minimal"]).unwrap();
    assert_eq!(releases(&minimal), ["istio-base", "istiod"]);
    minimal.components[1].objects(false).unwrap();
}

#[test]
fn a_revision_names_the_control_plane_and_leaves_the_default_alone() {
    let plan = plan(&["revision=canary", "profile=minimal"]).unwrap();
    assert_eq!(releases(&plan), ["istio-base", "istiod-canary"]);
    let objects = plan.components[1].objects(false).unwrap();
    assert!(objects.iter().any(|object| object.title() == "Deployment istio-system/istiod-canary"));
}

#[test]
fn fields_that_do_not_exist_are_errors_and_with_force_warnings() {
    let sets = vec!["values.pilott.x=1".to_owned()];
    let error = Spec::read(&[], &sets, None, false).unwrap_err().to_string();
    assert!(error.contains("pilott") && error.contains("--force"), "{error}");
    assert!(Spec::read(&[], &sets, None, true).unwrap().notes.iter().any(|note| note.contains("pilott")));
}

#[test]
fn an_istio_operator_becomes_values_of_the_charts() {
    let plan = of_file(
        r"
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
spec:
  hub: example.com/mesh
  tag: v1
  meshConfig: {accessLogFile: /dev/stdout}
  values:
    global: {logging: {level: 'default:debug'}}
    gateways: {istio-ingressgateway: {type: NodePort}}
  components:
    pilot:
      k8s:
        replicaCount: 3
        hpaSpec: {minReplicas: 2, maxReplicas: 7}
        env: [{name: A, value: b}, {name: C, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}]
        overlays:
        - kind: Deployment
          name: istiod
          patches: [{path: 'spec.template.spec.containers.[name:discovery].args.[-1]', value: --drain=9s}]
    ingressGateways:
    - name: istio-ingressgateway
      enabled: true
      label: {istio: edge}
      k8s: {service: {externalTrafficPolicy: Local}, resources: {requests: {cpu: '1'}}}
    - {name: istio-other, namespace: other, enabled: true}
",
    )
    .unwrap();
    assert_eq!(releases(&plan), ["istio-base", "istiod", "istio-ingressgateway", "istio-other"]);
    let find = |at: usize, kind: &str| {
        let objects = plan.components[at].objects(false).unwrap();
        objects.into_iter().find(|object| object.kind() == kind).unwrap().0
    };
    let container = find(1, "Deployment")["spec"]["template"]["spec"]["containers"][0].clone();
    assert_eq!(container["image"], "example.com/mesh/pilot:v1");
    assert_eq!(container["args"].as_array().unwrap().last().unwrap(), "--drain=9s");
    let env = container["env"].as_array().unwrap();
    assert!(env.contains(&json!({"name": "A", "value": "b"})));
    assert!(env.contains(&json!({"name": "C", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}})));
    assert_eq!(find(1, "HorizontalPodAutoscaler")["spec"]["maxReplicas"], 7);
    let service = find(2, "Service");
    assert_eq!(service["spec"]["type"], "NodePort");
    assert_eq!(service["spec"]["externalTrafficPolicy"], "Local");
    assert_eq!(service["spec"]["selector"], json!({"app": "istio-ingressgateway", "istio": "edge"}));
    assert_eq!(find(2, "ServiceAccount")["metadata"]["name"], "istio-ingressgateway-service-account");
    assert_eq!(find(3, "Service")["metadata"]["namespace"], "other");
}

#[test]
fn what_no_value_stands_for_is_refused_and_what_has_no_effect_is_said() {
    let refused = "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nspec: {components: {pilot: {k8s: {service: {type: NodePort}}}}}\n";
    assert!(of_file(refused).unwrap_err().to_string().contains("k8s.service is not served"));
    let inert = refused.replace("service: {type: NodePort}", "volumes: [{name: a}]");
    assert!(of_file(&inert).unwrap().notes.iter().any(|note| note.contains("k8s.volumes has no effect")));
    let partly = "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nspec:\n  components:\n    pilot:\n      k8s:\n        \
        hpaSpec: {maxReplicas: 7, metrics: [{type: Resource}]}\n        strategy: {type: Recreate, rollingUpdate: {maxSurge: 1}}\n    \
        ingressGateways: [{name: istio-ingressgateway, k8s: {service: {sessionAffinity: ClientIP, type: NodePort}}}]\n";
    let left = of_file(partly).unwrap().notes;
    let left: Vec<&str> = left.iter().filter_map(|note| Some(note.split_once(" has no effect")?.0)).collect();
    assert_eq!(
        left,
        [
            "components.pilot: k8s.hpaSpec.metrics",
            "components.pilot: k8s.strategy.type",
            "gateway istio-ingressgateway: k8s.service.sessionAffinity",
        ]
    );
    assert!(of_file("kind: Service\nmetadata: {name: a}\n").unwrap_err().to_string().contains("holds a Service"));
}

#[test]
fn a_values_file_of_helm_is_read_as_helm_reads_it() {
    let plan = of_file("profile: demo\nautoscaleMin: 2\npilot: {autoscaleEnabled: true}\nunknown: {key: 1}\n").unwrap();
    assert_eq!(releases(&plan).len(), 4);
    let objects = plan.components[1].objects(false).unwrap();
    let scaler = objects.iter().find(|object| object.kind() == "HorizontalPodAutoscaler").unwrap();
    assert_eq!(scaler.0["spec"]["minReplicas"], 2);
}

#[test]
fn objects_come_in_the_order_in_which_they_can_be_written() {
    let objects = plan(&["profile=minimal"]).unwrap().components[1].objects(false).unwrap();
    let kinds: Vec<&str> = objects.iter().map(Object::kind).collect();
    assert_eq!(kinds.first(), Some(&"ServiceAccount"));
    assert_eq!(kinds.last(), Some(&"ValidatingWebhookConfiguration"));
    assert!(objects.iter().all(|object| kind::Kind::of(object.kind()).is_some()));
}
