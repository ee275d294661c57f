use super::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts")
}

fn page(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name)).unwrap()
}

const RELEASE: Release<'_> = Release { name: "istio-x", namespace: "istio-system", is_upgrade: false };

fn rendered(chart: Chart, sets: &[&str]) -> Result<Vec<Object>> {
    let mut values = json!({});
    sets.iter().try_for_each(|text| values::set(&mut values, text))?;
    chart.render(&RELEASE, &values)
}

fn one<'a>(objects: &'a [Object], kind: &str) -> &'a Value {
    let mut found = objects.iter().filter(|object| object.kind() == kind);
    let object = found.next().unwrap_or_else(|| panic!("no {kind}"));
    assert!(found.next().is_none(), "several {kind}s");
    &object.0
}

#[test]
fn the_charts_of_this_command_are_those_of_the_folder() {
    fn walk(at: &Path, into: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, into);
            } else {
                let name = path.strip_prefix(folder()).unwrap().to_str().unwrap().to_owned();
                into.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut of_folder = BTreeMap::new();
    walk(&folder(), &mut of_folder);
    let embedded = embedded::FILES.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
    assert_eq!(embedded.map(|(path, _)| path).collect::<Vec<_>>(), of_folder.keys().cloned().collect::<Vec<_>>());
}

#[test]
fn what_the_charts_share_is_the_same_in_each() {
    let files: Vec<BTreeMap<&str, &str>> = Chart::ALL.iter().map(|chart| chart.files().collect()).collect();
    let shared: Vec<&str> =
        files[0].keys().copied().filter(|path| path.contains("profile-") || path.ends_with("_values.tpl")).collect();
    assert_eq!(shared.len(), 4);
    for path in shared {
        assert!(files.iter().all(|chart| chart.get(path) == files[0].get(path)), "{path} differs");
    }
    let version = format!("version: {}", env!("CARGO_PKG_VERSION"));
    assert!(files.iter().all(|chart| chart["Chart.yaml"].contains(&version)), "charts have the workspace's version");
}

#[test]
fn default_values_make_these_objects() {
    let titles = |chart| rendered(chart, &[]).unwrap().iter().map(Object::title).collect::<BTreeSet<_>>();
    let base = titles(Chart::Base);
    assert_eq!(base.iter().filter(|title| title.starts_with("CustomResourceDefinition")).count(), 15);
    assert!(base.contains("ValidatingWebhookConfiguration istiod-default-validator"));
    let istiod = titles(Chart::Istiod);
    assert_eq!(
        istiod.iter().map(String::as_str).collect::<Vec<_>>(),
        [
            "ClusterRole istiod-clusterrole-istio-system",
            "ClusterRoleBinding istiod-clusterrole-istio-system",
            "ConfigMap istio-system/istio",
            "ConfigMap istio-system/istio-sidecar-injector",
            "Deployment istio-system/istiod",
            "HorizontalPodAutoscaler istio-system/istiod",
            "MutatingWebhookConfiguration istio-sidecar-injector",
            "Role istio-system/istiod",
            "RoleBinding istio-system/istiod",
            "Service istio-system/istiod",
            "ServiceAccount istio-system/istiod",
            "ValidatingWebhookConfiguration istio-validator-istio-system",
        ]
    );
}

#[test]
fn a_revision_is_in_every_name_and_takes_nothing_of_the_default() {
    let default: BTreeSet<String> = rendered(Chart::Istiod, &[]).unwrap().iter().map(Object::title).collect();
    let revision: BTreeSet<String> =
        rendered(Chart::Istiod, &["revision=canary"]).unwrap().iter().map(Object::title).collect();
    assert_eq!(default.intersection(&revision).collect::<Vec<_>>(), Vec::<&String>::new());
    assert!(
        rendered(Chart::Base, &["revision=canary"]).unwrap().iter().all(|o| o.kind() == "CustomResourceDefinition")
    );
}

/// Names of a webhook's entries with what they select of namespaces and pods, in short.
fn entries(webhook: &Value) -> Vec<String> {
    let short = |selector: &Value| {
        let terms = selector["matchExpressions"].as_array().unwrap().iter().map(|term| {
            let values: Vec<&str> = term["values"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            format!("{} {} {}", term["key"].as_str().unwrap(), term["operator"].as_str().unwrap(), values.join(","))
        });
        terms.map(|term| term.trim().to_owned()).collect::<Vec<_>>().join(" & ")
    };
    let of = |entry: &Value| {
        let name = entry["name"].as_str().unwrap().trim_end_matches(".sidecar-injector.istio.io").to_owned();
        format!("{name}: {} | {}", short(&entry["namespaceSelector"]), short(&entry["objectSelector"]))
    };
    webhook["webhooks"].as_array().unwrap().iter().map(of).collect()
}

#[test]
fn webhooks_choose_pods_by_labels_of_namespaces_and_of_their_own() {
    const REV: [&str; 2] = [
        "rev.namespace: istio.io/rev In R & istio-injection DoesNotExist | sidecar.istio.io/inject NotIn false",
        "rev.object: istio.io/rev DoesNotExist & istio-injection DoesNotExist | sidecar.istio.io/inject NotIn false & istio.io/rev In R",
    ];
    let of = |sets: &[&str]| entries(one(&rendered(Chart::Istiod, sets).unwrap(), "MutatingWebhookConfiguration"));
    let revision = |name: &str| REV.map(|entry| entry.replace('R', name)).to_vec();
    assert_eq!(of(&["revision=canary"]), revision("canary"));
    let default = [
        revision("default"),
        vec![
            "namespace: istio-injection In enabled | sidecar.istio.io/inject NotIn false".to_owned(),
            "object: istio-injection DoesNotExist & istio.io/rev DoesNotExist | sidecar.istio.io/inject In true & istio.io/rev DoesNotExist".to_owned(),
        ],
    ]
    .concat();
    assert_eq!(of(&[]), default);
    let tagged = rendered(Chart::Istiod, &["revision=canary", "revisionTags={prod}"]).unwrap();
    let tag = tagged.iter().find(|object| object.name() == "istio-revision-tag-prod").unwrap();
    assert_eq!(entries(&tag.0), revision("prod"));
    assert_eq!(tag.0["webhooks"][0]["clientConfig"]["service"]["name"], "istiod-canary");
}

#[test]
fn pods_fit_restricted_pod_security() {
    for chart in [Chart::Istiod, Chart::Gateway] {
        let objects = rendered(chart, &[]).unwrap();
        let pod = &one(&objects, "Deployment")["spec"]["template"]["spec"];
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        for container in pod["containers"].as_array().unwrap() {
            let context = &container["securityContext"];
            assert_eq!(context["allowPrivilegeEscalation"], false);
            assert_eq!(context["readOnlyRootFilesystem"], true);
            assert_eq!(context["capabilities"], json!({"drop": ["ALL"]}));
        }
    }
}

/// Rows of a page's tables below a heading that begins so: cells without backticks.
fn rows(page: &str, heading: &str) -> Vec<Vec<String>> {
    let (_, below) = page.split_once(&format!("\n## {heading}")).unwrap_or_else(|| panic!("no heading {heading}"));
    let section = below.split("\n## ").next().unwrap();
    let cells = |line: &str| {
        let line = line.strip_prefix('|').and_then(|line| line.strip_suffix('|')).expect("a row");
        let parts = line.split('|');
        parts.map(|cell| cell.trim().trim_matches('`').to_owned()).collect::<Vec<_>>()
    };
    section
        .lines()
        .filter(|line| line.starts_with("| `") || line.starts_with("| ") && !line.starts_with("| ---"))
        .skip(1)
        .map(cells)
        .collect()
}

fn leaves(values: &Value, path: &str, into: &mut BTreeSet<String>) {
    for (key, value) in values.as_object().unwrap() {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        into.insert(path.clone());
        if value.is_object() {
            leaves(value, &path, into);
        }
    }
}

/// Whether the last word of a path stands in an injection template, or in what pilot does besides.
fn is_read_by_injection(path: &str) -> bool {
    let word = path.rsplit('.').next().unwrap();
    let besides = include_str!("../../../pilot/src/inject/render.rs");
    let templates = Chart::Istiod.files().filter(|(path, _)| path.starts_with("files/injection-"));
    templates.map(|(_, text)| text).chain([besides]).any(|text| text.contains(word))
}

#[test]
fn every_value_is_told_and_each_that_acts_changes_what_is_rendered() {
    let page = page("reference/values.md");
    for chart in Chart::ALL {
        let rows = rows(&page, chart.name());
        let usual = rendered(chart, &[]).unwrap();
        let told: BTreeSet<String> = rows.iter().map(|row| row[0].clone()).collect();
        let defaults = object::yaml(chart.files().find(|(path, _)| *path == "values.yaml").unwrap().1).unwrap();
        let mut paths = BTreeSet::new();
        leaves(&defaults["_internal_defaults_do_not_set"], "", &mut paths);
        for path in &paths {
            // A row tells what is below it, and stands for what is above it.
            let is_told = told
                .iter()
                .any(|row| row == path || path.starts_with(&format!("{row}.")) || row.starts_with(&format!("{path}.")));
            assert!(is_told, "{}: {path} is in values.yaml and not told", chart.name());
        }
        for row in &rows {
            let (path, standing, example) = (&row[0], row[2].as_str(), row[4].as_str());
            assert!(paths.contains(path), "{}: {path} is told and not in values.yaml", chart.name());
            let needed: Vec<&str> = example.split(" then ").collect();
            assert!(standing != "injection" || is_read_by_injection(path), "{path}: injection does not read it");
            match standing {
                "acts" | "injection" => {
                    assert!(!example.is_empty(), "{path} has no example");
                    let without = match needed.len() {
                        1 => usual.clone(),
                        count => rendered(chart, &needed[..count - 1]).unwrap(),
                    };
                    let with = rendered(chart, &needed).unwrap_or_else(|error| panic!("{path}: {error:#}"));
                    assert_ne!(without, with, "{}: {path} changes nothing", chart.name());
                }
                "no effect" | "refused" => assert!(example.is_empty(), "{path}"),
                other => panic!("{path}: standing {other}"),
            }
        }
    }
    assert!(
        rendered(Chart::Istiod, &["global.istioNamespace=elsewhere"]).unwrap_err().to_string().contains("elsewhere")
    );
}

#[test]
fn the_control_plane_and_gateways_may_do_what_the_page_says_and_no_more() {
    let page = page("install/rbac.md");
    let listed = |value: &Value| -> String {
        let words = value.as_array().into_iter().flatten().map(|word| match word.as_str().unwrap() {
            "" => "core",
            word => word,
        });
        words.collect::<Vec<_>>().join(", ")
    };
    let rules = |role: &Value| -> BTreeSet<[String; 4]> {
        let of =
            |rule: &Value| [&rule["apiGroups"], &rule["resources"], &rule["resourceNames"], &rule["verbs"]].map(listed);
        role["rules"].as_array().unwrap().iter().map(of).collect()
    };
    let told = |heading: &str| -> BTreeSet<[String; 4]> {
        let short = |cell: &String| cell.replace("[-REVISION]", "").replace("NAMESPACE", "istio-system");
        rows(&page, heading).iter().map(|row| [0, 1, 2, 3].map(|at| short(&row[at]))).collect()
    };
    let istiod = rendered(Chart::Istiod, &[]).unwrap();
    assert_eq!(rules(one(&istiod, "ClusterRole")), told("ClusterRole `istiod-clusterrole"));
    assert_eq!(rules(one(&istiod, "Role")), told("Role `istiod"));
    let gateway = rendered(Chart::Gateway, &[]).unwrap();
    assert_eq!(rules(one(&gateway, "Role")), told("Role of a gateway"));
}

#[test]
fn what_a_chart_does_not_know_by_name_is_refused() {
    for (chart, set, word) in [
        (Chart::Istiod, "profile=ambient", "unknown profile ambient"),
        (Chart::Base, "global.platform=moon", "unknown platform moon"),
        (Chart::Gateway, "compatibilityVersion=0.9", "unknown compatibility version 0.9"),
        (Chart::Istiod, "defaults.pilot.a=b", "values are set by their own names"),
        (Chart::Istiod, "global.resourceScope=none", "global.resourceScope"),
        (Chart::Istiod, "autoscaleMin=many", "autoscaleMin"),
        (Chart::Gateway, "kind=Job", "kind"),
    ] {
        let error = format!("{:#}", rendered(chart, &[set]).unwrap_err());
        assert!(error.contains(word), "{set}: {error}");
    }
}

#[test]
fn the_user_wins_over_the_platform_over_the_profile() {
    let cpu = |sets: &[&str]| {
        let objects = rendered(Chart::Istiod, sets).unwrap();
        let container = &one(&objects, "Deployment")["spec"]["template"]["spec"]["containers"][0];
        container["resources"]["requests"]["cpu"].clone()
    };
    assert_eq!(cpu(&[]), "100m");
    assert_eq!(cpu(&["profile=demo"]), "10m");
    assert_eq!(cpu(&["profile=demo", "pilot.resources.requests.cpu=3"]), 3);
    let lb =
        |sets: &[&str]| one(&rendered(Chart::Gateway, sets).unwrap(), "Service")["metadata"]["annotations"].clone();
    let key = "oci.oraclecloud.com/load-balancer-type";
    assert_eq!(lb(&["platform=oke"])[key], "nlb");
    assert_eq!(
        lb(&["global.platform=oke", r"service.annotations.oci\.oraclecloud\.com/load-balancer-type=lb"])[key],
        "lb"
    );
}
