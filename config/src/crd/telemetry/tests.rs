use super::*;
use crate::{
    crd::{self, Parsed, mesh_config, read_text},
    model::telemetry::LogFormat,
};

const MESH: &str = r#"
accessLogFile: /var/log/mesh
accessLogFormat: "%PROTOCOL%"
extensionProviders:
- name: Plain
  envoyFileAccessLog: {path: /var/log/plain, logFormat: {text: "%RESPONSE_CODE%"}}
- name: json
  envoyFileAccessLog: {path: /var/log/json, logFormat: {labels: {code: "%RESPONSE_CODE%"}}}
- name: bare
  envoyFileAccessLog: {}
"#;

/// What a spec means, and codes and fields of what is found about it.
fn read(mesh: &str, spec: &str) -> (Option<Telemetry>, Vec<(&'static str, String)>) {
    let (config, found) = mesh_config::parse_text(mesh, &"istio-system".into());
    assert_eq!(found, []);
    let text = format!(
        "apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {{name: logs, namespace: shop}}\nspec: {spec}\n"
    );
    let (objects, _) = read_text(&"f".into(), &text);
    let (parsed, found) = crd::parse(&objects[0], &config.context);
    let telemetry = parsed.map(|parsed| match parsed {
        Parsed::Telemetry(telemetry) => telemetry,
        other => panic!("{other:?}"),
    });
    (telemetry, found.into_iter().map(|d| (d.code, d.field)).collect())
}

fn outlet(name: &str, file: &str, format: LogFormat) -> LogOutlet {
    LogOutlet { name: name.into(), file: file.into(), format }
}

#[test]
fn providers_are_found_whatever_their_case_with_file_and_format() {
    let spec = "{accessLogging: [{providers: [{name: plain}, {name: JSON}, {name: bare}, {name: envoy}]}]}";
    let (telemetry, found) = read(MESH, spec);
    let mesh = LogFormat::Text("%PROTOCOL%".into());
    let want = [
        outlet("plain", "/var/log/plain", LogFormat::Text("%RESPONSE_CODE%".into())),
        outlet("json", "/var/log/json", LogFormat::Json([("code".into(), "%RESPONSE_CODE%".into())].into())),
        outlet("bare", "/dev/stdout", mesh.clone()),
        outlet("envoy", "/dev/stdout", mesh.clone()),
    ];
    let telemetry = telemetry.unwrap();
    assert_eq!((&telemetry.rules[0].outlets[..], found), (&want[..], vec![]));
    assert_eq!(telemetry.defaults, [outlet("envoy", "/var/log/mesh", mesh)]);
}

#[test]
fn default_providers_stand_for_rules_that_name_none() {
    let mesh = format!("{MESH}\ndefaultProviders: {{accessLogging: [json]}}\n");
    let (telemetry, found) = read(&mesh, "{accessLogging: [{filter: {expression: response.code >= 500}}]}");
    let telemetry = telemetry.unwrap();
    let names: Vec<_> = telemetry.defaults.iter().map(|o| &*o.name).collect();
    assert_eq!((names, telemetry.rules[0].filter.is_some(), found), (vec!["json"], true, vec![]));
}

#[test]
fn a_rule_that_cannot_be_acted_on_is_left_out_and_named_and_its_neighbours_stay() {
    let spec = "{accessLogging: [\
        {filter: {expression: request.host == \"x\"}}, {providers: [{name: otel}]}, \
        {match: {mode: SERVER}, disabled: true}]}";
    let (telemetry, found) = read(MESH, spec);
    let rules = telemetry.unwrap().rules;
    assert_eq!(rules, [LogRule { side: LogSide::Server, outlets: vec![], disabled: true, filter: None }]);
    assert_eq!(
        found,
        [
            ("filter-not-acted-on", "spec.accessLogging[0].filter.expression".to_owned()),
            ("log-provider-not-found", "spec.accessLogging[1].providers[0].name".to_owned()),
        ]
    );
}

#[test]
fn metrics_tracing_and_targets_are_not_acted_on_and_said_to_be() {
    let spec = "{metrics: [], tracing: [], targetRefs: [], accessLogging: [{disabled: true}]}";
    let (telemetry, found) = read(MESH, spec);
    let fields: Vec<_> = found.iter().map(|(code, field)| (*code, field.as_str())).collect();
    assert_eq!(telemetry, None);
    assert_eq!(
        fields,
        [
            ("field-not-acted-on", "spec.metrics"),
            ("field-not-acted-on", "spec.tracing"),
            ("field-not-acted-on", "spec.targetRefs"),
        ]
    );
}

#[test]
fn where_nothing_says_where_to_a_rule_is_warned_about() {
    let (_, found) = read("{}", "{accessLogging: [{}]}");
    assert_eq!(found, [("no-log-provider", "spec".to_owned())]);
}
