use super::*;

fn outlet(name: &str) -> LogOutlet {
    LogOutlet { name: name.into(), file: format!("/logs/{name}").into(), format: LogFormat::Text("".into()) }
}

fn rule(side: LogSide, names: &[&str], disabled: bool) -> LogRule {
    LogRule { side, outlets: names.iter().map(|n| outlet(n)).collect(), disabled, filter: None }
}

fn object(name: &str, created: i64, selector: Option<&[(&str, &str)]>, rules: Vec<LogRule>) -> Arc<Telemetry> {
    Arc::new(Telemetry {
        name: name.parse().unwrap(),
        precedence: Precedence { created, position: "".into() },
        selector: selector.map(|pairs| pairs.iter().copied().collect()),
        defaults: vec![outlet("default")],
        rules,
    })
}

/// Names of the logs of workload `app=cart` in `shop`.
fn logs(objects: &[Arc<Telemetry>], side: LogSide) -> Option<Vec<String>> {
    let labels: Labels = [("app", "cart")].into_iter().collect();
    let logs =
        effective(objects.iter(), &Subject { namespace: &"shop".into(), labels: &labels, root: &"root".into() }, side)?;
    Some(logs.iter().map(|log| log.outlet.name.to_string()).collect())
}

use LogSide::{Both, Client, Server};

#[test]
fn without_objects_and_on_a_side_that_nobody_speaks_of_mesh_config_is_in_force() {
    assert_eq!(logs(&[], Client), None);
    assert_eq!(logs(&[object("root/a", 1, None, vec![rule(Server, &["x"], false)])], Client), None);
    assert_eq!(logs(&[object("bank/a", 1, None, vec![rule(Both, &["x"], false)])], Client), None);
}

#[test]
fn the_narrower_object_replaces_what_the_wider_named() {
    let mesh = object("root/mesh", 1, None, vec![rule(Both, &["mesh"], false)]);
    let shop = object("shop/all", 1, None, vec![rule(Both, &["shop"], false)]);
    let cart = object("shop/cart", 1, Some(&[("app", "cart")]), vec![rule(Client, &["cart"], false)]);
    let all = [cart, shop, mesh];
    assert_eq!(logs(&all, Client), Some(vec!["cart".into()]));
    assert_eq!(logs(&all, Server), Some(vec!["shop".into()]));
    assert_eq!(logs(&all[2..], Server), Some(vec!["mesh".into()]));
}

#[test]
fn a_rule_without_providers_speaks_of_those_in_force_so_far_or_of_the_defaults() {
    let mesh = object("root/mesh", 1, None, vec![rule(Both, &["a", "b"], false)]);
    let off = object("shop/off", 1, None, vec![rule(Server, &[], true)]);
    let both = [mesh, off.clone()];
    assert_eq!((logs(&both, Server), logs(&both, Client)), (Some(vec![]), Some(vec!["a".into(), "b".into()])));
    assert_eq!(logs(&[object("shop/on", 1, None, vec![rule(Both, &[], false)])], Client), Some(vec!["default".into()]));
    assert_eq!(logs(&[off], Server), Some(vec![]));
}

#[test]
fn of_objects_without_a_selector_the_oldest_counts() {
    let old = object("shop/z", 1, None, vec![rule(Both, &["old"], false)]);
    let new = object("shop/a", 2, None, vec![rule(Both, &["new"], false)]);
    assert_eq!(logs(&[new, old], Client), Some(vec!["old".into()]));
}

#[test]
fn an_object_of_the_root_namespace_with_a_selector_is_for_its_own_workloads() {
    let selecting = object("root/cart", 1, Some(&[("app", "cart")]), vec![rule(Both, &["x"], false)]);
    assert_eq!(logs(&[selecting], Client), None);
}

#[test]
fn later_rules_of_one_object_say_the_last_word_about_a_log() {
    let rules = vec![rule(Both, &["a", "b"], false), rule(Both, &["a"], true)];
    assert_eq!(logs(&[object("shop/a", 1, None, rules)], Client), Some(vec!["b".into()]));
}

#[test]
fn a_condition_on_what_is_not_there_does_not_hold() {
    let on =
        |attribute, comparison, number| LogAlternative { all: vec![LogCondition { attribute, comparison, number }] };
    let grpc = on(LogAttribute::GrpcStatus, LogComparison::NotEqual, 0);
    let code = on(LogAttribute::ResponseCode, LogComparison::AtLeast, 400);
    let values = |code: i64, grpc: Option<i64>| {
        move |attribute| match attribute {
            LogAttribute::ResponseCode => Some(code),
            LogAttribute::GrpcStatus => grpc,
            _ => None,
        }
    };
    let filter = LogFilter { any: vec![grpc, code] };
    assert!(!filter.passes(values(399, None)));
    assert!(filter.passes(values(400, None)));
    assert!(filter.passes(values(200, Some(14))));
    assert!(!filter.passes(values(200, Some(0))));
    assert!(!LogFilter { any: vec![] }.passes(values(500, None)));
}
