//! Levels of the logs of running processes: of pilot's pods (`admin log`) and of proxies (`proxy-config log`). What is typed is
//! istioctl's, `scope:level`; a scope that is not named stays as it is.

use crate::{
    cli::{AdminLogArgs, ProxyLogArgs},
    cluster::{Cluster, target::PodName},
    context::Context,
    remote,
    report::{Report, Table},
    usage::Usage,
};
use anyhow::{Context as _, Result, bail};
use http::Method;
use serde_json::{Value, json};
use std::{collections::BTreeMap, fmt::Write as _};

/// Port of pilot's pages.
const PILOT: u16 = 15014;
/// Where both have it.
const PATH: &str = "/log-level";
/// The scope of everything that none is named for.
const REST: &str = "default";

/// What becomes of the levels.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Change {
    Nothing,
    Reset,
    Set(Levels),
}

/// Levels by scope, in the words of the processes.
type Levels = BTreeMap<String, String>;

impl Change {
    fn read(level: Option<&str>, reset: bool) -> Result<Change> {
        match (level, reset) {
            (_, true) => Ok(Change::Reset),
            (None, false) => Ok(Change::Nothing),
            (Some(text), false) => text.split(',').map(pair).collect::<Result<Levels>>().map(Change::Set),
        }
    }
}

/// `admin log`.
pub(crate) fn of_pilots(args: &AdminLogArgs, context: &Context) -> Result<Report> {
    let change = Change::read(args.level.level.as_deref(), args.reset)?;
    remote::within(args.timeout, "the control plane", async {
        let cluster = Cluster::open(&context.kube).await?;
        let pods = match &args.pod {
            Some(pod) => {
                let there = Context::new(Some(cluster.mesh_namespace.clone()), context.kube.clone());
                vec![cluster.pod(pod, &there).await?]
            }
            None => {
                let pilots = cluster.pilots(Some(&args.selector), args.revision.as_deref()).await?.into_iter();
                pilots.map(|pilot| PodName { namespace: cluster.mesh_namespace.clone(), name: pilot.name }).collect()
            }
        };
        let found = changed(&cluster, pods, PILOT, &change).await?;
        let mut table = Table::new(&["POD", "ACTIVE SCOPE", "LOG LEVEL"]).padded(3);
        for (pod, levels) in &found {
            levels.iter().for_each(|(scope, level)| table.push(vec![pod.name.clone(), scope.clone(), level.clone()]));
        }
        Ok(Report::table(table, value(&found)))
    })
}

/// `proxy-config log`.
pub(crate) fn of_proxies(args: &ProxyLogArgs, context: &Context) -> Result<Report> {
    let change = Change::read(args.level.level.as_deref(), args.reset)?;
    remote::within(args.timeout, "the proxy", async {
        let cluster = Cluster::open(&context.kube).await?;
        let pods = match (&args.proxy, &args.selector) {
            (Some(proxy), _) => vec![cluster.pod(proxy, context).await?],
            (None, selector) => {
                let namespace = context.only_namespace().unwrap_or(&cluster.namespace);
                let selector = selector.as_deref().unwrap_or_default();
                let names = cluster.running(namespace, selector).await?;
                if names.is_empty() {
                    bail!("no running pod has the labels {selector} in namespace {namespace}");
                }
                names.into_iter().map(|name| PodName { namespace: namespace.to_owned(), name }).collect()
            }
        };
        let found = changed(&cluster, pods, args.proxy_admin_port, &change).await?;
        let text = found.iter().fold(String::new(), |mut text, (pod, levels)| {
            let _ = writeln!(text, "{}.{}:\nactive loggers:", pod.name, pod.namespace);
            for (scope, level) in levels {
                let _ = writeln!(text, "  {scope}: {level}");
            }
            text
        });
        Ok(Report::text(text, value(&found)))
    })
}

/// The levels of each pod, when they are changed.
async fn changed(cluster: &Cluster, pods: Vec<PodName>, port: u16, change: &Change) -> Result<Vec<(PodName, Levels)>> {
    let mut found = Vec::new();
    for pod in pods {
        let call = async |method, path: &str| {
            let answer = remote::call(cluster, &pod, port, method, path).await;
            answer.with_context(|| format!("pod {} in namespace {}", pod.name, pod.namespace))
        };
        let said = |bytes: &[u8]| levels(String::from_utf8_lossy(bytes).trim());
        let mut levels = said(&call(Method::GET, PATH).await?);
        match change {
            Change::Nothing => {}
            Change::Reset => {
                call(Method::POST, &format!("{PATH}?reset")).await?;
                levels = said(&call(Method::GET, PATH).await?);
            }
            Change::Set(wanted) => {
                levels.extend(wanted.clone());
                call(Method::POST, &format!("{PATH}?level={}", filter(&levels))).await?;
            }
        }
        found.push((pod, levels));
    }
    Ok(found)
}

fn value(found: &[(PodName, Levels)]) -> Value {
    let rows = found.iter().flat_map(|(pod, levels)| {
        levels.iter().map(|(scope, level)| {
            json!({ "pod": format!("{}.{}", pod.name, pod.namespace), "scope_name": scope, "log_level": level })
        })
    });
    rows.collect()
}

/// One of what is typed.
fn pair(text: &str) -> Result<(String, String)> {
    let text = text.trim();
    let (scope, level) = text.rsplit_once([':', '=']).unwrap_or((REST, text));
    let level = match level.to_ascii_lowercase().as_str() {
        word @ ("trace" | "debug" | "info" | "warn" | "error" | "off") => word.to_owned(),
        "warning" => "warn".to_owned(),
        "critical" | "fatal" => "error".to_owned(),
        "none" => "off".to_owned(),
        _ => bail!(Usage::new(format!(
            "{text:?} is not [SCOPE:]LEVEL with a level of trace, debug, info, warn, error, off"
        ))),
    };
    let is_name =
        |scope: &str| !scope.is_empty() && scope.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':'));
    match is_name(scope) {
        true => Ok((scope.to_owned(), level)),
        false => bail!(Usage::new(format!("{scope:?} is no scope: a scope is a module, such as mesh_proxy::http"))),
    }
}

/// What a process says that it has; what is no level of a scope stays as it is.
fn levels(filter: &str) -> Levels {
    let one = |text: &str| match text.split_once('=') {
        Some((scope, level)) => (scope.to_owned(), level.to_owned()),
        None => (REST.to_owned(), text.to_owned()),
    };
    filter.split(',').filter(|text| !text.is_empty()).map(one).collect()
}

/// The same as processes read it.
fn filter(levels: &Levels) -> String {
    let one =
        |(scope, level): (&String, &String)| if scope == REST { level.clone() } else { format!("{scope}={level}") };
    levels.iter().map(one).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_of_its_scope_and_the_others_stay() {
        let with = |text: &str| {
            let Change::Set(wanted) = Change::read(Some(text), false).unwrap() else { panic!("{text}") };
            let mut all = levels("mesh_proxy::http=debug,info");
            all.extend(wanted);
            filter(&all)
        };
        assert_eq!(with("warning"), "warn,mesh_proxy::http=debug");
        assert_eq!(with("default:none,mesh_pilot:TRACE"), "off,mesh_pilot=trace,mesh_proxy::http=debug");
        assert_eq!(with("mesh_proxy::http=critical"), "info,mesh_proxy::http=error");
    }

    #[test]
    fn what_is_no_level_is_a_mistake_of_the_command_line() {
        for text in ["loud", "", "scope:", ":debug", "a b:debug", "x&y:debug", "info,,debug"] {
            let error = Change::read(Some(text), false).unwrap_err();
            assert!(error.is::<Usage>(), "{text}: {error}");
        }
    }
}
