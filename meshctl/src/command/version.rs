//! Versions of this command, of the control plane and of the proxies.

use crate::{
    cli::VersionArgs,
    cluster,
    context::Context,
    remote::{self, FromPilot},
    report::Report,
    usage::Usage,
};
use anyhow::Result;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

/// Of this build.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Of the source it was built from, where the build was told.
const REVISION: Option<&str> = option_env!("FERROMESH_REVISION");

/// As istioctl, a control plane that does not answer is reported, and is not a failure.
pub(crate) fn run(args: &VersionArgs, context: &Context) -> Result<Report> {
    let asked = args.remote.unwrap_or_else(|| args.xds.xds_address.is_some() || cluster::is_named(&context.kube));
    let pilot = asked.then(|| remote::pilot_clients(&args.xds, context));
    match pilot {
        Some(Err(error)) if error.is::<Usage>() => Err(error),
        pilot => Ok(report(args.short, pilot)),
    }
}

fn report(short: bool, pilots: Option<Result<Vec<FromPilot>>>) -> Report {
    let revision = REVISION.unwrap_or("unknown");
    let mut text = match short {
        true => format!("client version: {VERSION}\n"),
        false => format!("client version: {VERSION}, revision {revision}\n"),
    };
    let mut value = json!({"clientVersion": {"version": VERSION, "revision": revision}});
    match pilots {
        None => Report::text(text, value),
        Some(Err(error)) => {
            Report::text(text, value).with_warning(format!("the control plane does not answer: {error:#}"))
        }
        Some(Ok(answers)) => {
            let versions: BTreeSet<&String> = answers.iter().filter_map(|answer| answer.version.as_ref()).collect();
            for version in &versions {
                let whose = if versions.len() == 1 { "control plane" } else { "pilot" };
                let _ = writeln!(text, "{whose} version: {version}");
            }
            let told = answers.iter().filter_map(|answer| answer.version.as_ref());
            let told: Vec<Value> =
                told.map(|version| json!({"Component": "pilot", "Info": {"version": version}})).collect();
            if !told.is_empty() {
                value["meshVersion"] = told.into();
            }
            let proxies = proxies(&answers);
            text.push_str(&data_plane(&proxies, short));
            let list = proxies.iter().map(|p| json!({"ID": p.id, "IstioVersion": p.version, "Type": p.kind}));
            value["dataPlaneVersion"] = list.collect();
            Report::text(text, value)
        }
    }
}

struct Proxy {
    id: String,
    version: String,
    kind: &'static str,
}

fn proxies(answers: &[FromPilot]) -> Vec<Proxy> {
    let text = |v: &Value, name: &str| v.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut proxies: Vec<Proxy> = answers
        .iter()
        .flat_map(|answer| answer.value.as_array().map_or(&[][..], Vec::as_slice))
        .map(|client| Proxy {
            id: text(client, "proxy"),
            version: text(client, "version"),
            kind: if text(client, "role") == "router" { "gateway" } else { "sidecar" },
        })
        .collect();
    proxies.sort_by(|a, b| a.id.cmp(&b.id));
    proxies
}

fn data_plane(proxies: &[Proxy], short: bool) -> String {
    if proxies.is_empty() {
        return "data plane version: none\n".to_owned();
    }
    if short {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        proxies.iter().for_each(|p| *counts.entry(&p.version).or_default() += 1);
        let list: Vec<String> = counts.iter().rev().map(|(version, n)| format!("{version} ({n} proxies)")).collect();
        return format!("data plane version: {}\n", list.join(", "));
    }
    proxies.iter().map(|p| format!("data plane version: {}, {} {}\n", p.version, p.kind, p.id)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Format;

    fn pilot() -> Option<Result<Vec<FromPilot>>> {
        let value = json!([
            {"proxy": "b.x", "version": "0.1.0", "role": "sidecar"},
            {"proxy": "a.x", "version": "0.1.0", "role": "router"},
            {"proxy": "c.x", "version": "0.0.9", "role": "sidecar"}
        ]);
        Some(Ok(vec![FromPilot { pilot: "p".to_owned(), value, version: Some("0.1.0".to_owned()) }]))
    }

    #[test]
    fn versions_of_all_three_are_told() {
        let text = report(true, pilot()).render(Format::Table).unwrap();
        let want = format!(
            "client version: {VERSION}\ncontrol plane version: 0.1.0\n\
             data plane version: 0.1.0 (2 proxies), 0.0.9 (1 proxies)\n"
        );
        assert_eq!(text, want);
    }

    #[test]
    fn the_long_form_names_each_proxy() {
        let text = report(false, pilot()).render(Format::Table).unwrap();
        assert!(
            text.ends_with(
                "data plane version: 0.1.0, gateway a.x\ndata plane version: 0.1.0, sidecar b.x\n\
             data plane version: 0.0.9, sidecar c.x\n"
            ),
            "{text}"
        );
    }

    #[test]
    fn a_silent_control_plane_leaves_the_client_alone() {
        let text = report(true, Some(Err(anyhow::anyhow!("refused")))).render(Format::Table).unwrap();
        assert_eq!(text, format!("client version: {VERSION}\n"));
    }
}
