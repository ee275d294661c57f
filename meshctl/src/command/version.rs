//! Versions of this command, of the control plane and of the proxies.

use crate::{
    cli::VersionArgs,
    cluster,
    context::Context,
    dataplane::{self, Running},
    remote::{self, FromPilot},
    report::Report,
    usage::Usage,
};
use anyhow::Result;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

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
            text.push_str(&control_plane(&answers, short));
            let told = answers.iter().filter_map(|answer| Some((answer, answer.version.as_ref()?)));
            let told: Vec<Value> = told
                .map(|(answer, version)| {
                    let mut one = json!({ "Component": "pilot", "Info": { "version": version } });
                    if let Some(revision) = &answer.revision {
                        one["Revision"] = revision.as_str().into();
                    }
                    one
                })
                .collect();
            if !told.is_empty() {
                value["meshVersion"] = told.into();
            }
            let proxies = proxies(&answers);
            text.push_str(&data_plane(&proxies, short));
            let list = proxies.iter().map(|p| json!({"ID": p.name, "IstioVersion": p.version, "Type": kind(p)}));
            value["dataPlaneVersion"] = list.collect();
            Report::text(text, value)
        }
    }
}

/// One line where all have the same version; else one a revision, and in the long form one a pod.
fn control_plane(answers: &[FromPilot], short: bool) -> String {
    let told = answers.iter().filter_map(|answer| Some((answer.version.as_deref()?, answer)));
    let told: Vec<(&str, &FromPilot)> = told.collect();
    let of_revision = |answer: &FromPilot| match &answer.revision {
        Some(revision) => format!(" (revision {revision})"),
        None => String::new(),
    };
    if !short {
        let line = |(version, answer): &(&str, &FromPilot)| {
            format!("pilot version: {version}{}, {}\n", of_revision(answer), answer.pilot)
        };
        return told.iter().map(line).collect();
    }
    let versions: BTreeSet<&str> = told.iter().map(|(version, _)| *version).collect();
    match versions.first() {
        Some(version) if versions.len() == 1 => format!("control plane version: {version}\n"),
        _ => {
            let line =
                |(version, answer): &(&str, &FromPilot)| format!("pilot version: {version}{}\n", of_revision(answer));
            told.iter().map(line).collect::<BTreeSet<String>>().into_iter().collect()
        }
    }
}

fn proxies(answers: &[FromPilot]) -> Vec<Running> {
    let mut proxies: Vec<Running> = answers.iter().flat_map(dataplane::of_pilot).collect();
    proxies.sort_by(|a, b| a.name.cmp(&b.name));
    proxies
}

fn kind(proxy: &Running) -> &'static str {
    if proxy.is_gateway { "gateway" } else { "sidecar" }
}

fn data_plane(proxies: &[Running], short: bool) -> String {
    if proxies.is_empty() {
        return "data plane version: none\n".to_owned();
    }
    if short {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        proxies.iter().for_each(|p| *counts.entry(&p.version).or_default() += 1);
        let list: Vec<String> = counts.iter().rev().map(|(version, n)| format!("{version} ({n} proxies)")).collect();
        return format!("data plane version: {}\n", list.join(", "));
    }
    proxies.iter().map(|p| format!("data plane version: {}, {} {}\n", p.version, kind(p), p.name)).collect()
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
        Some(Ok(vec![answer("p", "default", "0.1.0", value)]))
    }

    fn answer(pilot: &str, revision: &str, version: &str, value: Value) -> FromPilot {
        let [pilot, revision, version] = [pilot, revision, version].map(str::to_owned);
        FromPilot { pilot, revision: Some(revision), value, version: Some(version) }
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
    fn each_revision_is_told_where_they_differ() {
        let pilots = [("a-1", "default", "0.1.0"), ("a-2", "default", "0.1.0"), ("b-1", "canary", "0.2.0")];
        let answers = || pilots.iter().map(|(pilot, revision, version)| answer(pilot, revision, version, json!([])));
        let told = |short| report(short, Some(Ok(answers().collect())));
        let after_client = |text: String| text.split_once('\n').unwrap().1.to_owned();
        assert_eq!(
            after_client(told(true).render(Format::Table).unwrap()),
            "pilot version: 0.1.0 (revision default)\npilot version: 0.2.0 (revision canary)\ndata plane version: none\n"
        );
        assert_eq!(
            after_client(told(false).render(Format::Table).unwrap()),
            "pilot version: 0.1.0 (revision default), a-1\npilot version: 0.1.0 (revision default), a-2\n\
             pilot version: 0.2.0 (revision canary), b-1\ndata plane version: none\n"
        );
        let told = told(true);
        assert_eq!(
            told.value()["meshVersion"][2],
            json!({"Component": "pilot", "Info": {"version": "0.2.0"}, "Revision": "canary"})
        );
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
