//! The root that signs for a mesh in a cluster. What is wished is written into a Secret, where pilot finds it: whoever may
//! write Secrets of pilot's namespace may wish it. What is told is what pilots say, and what stands in that Secret's
//! annotations; keys are not read.

pub(crate) mod told;

use super::install::ask::{confirm, tell};
use crate::{
    cli::{CaRotateArgs, CaStatusArgs, CaWriteArgs},
    cluster::Cluster,
    context::Context,
    remote,
    report::{self, Report},
};
use anyhow::{Result, bail};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use mesh_config::root_rotation::{REQUEST, Request, SECRET, STATE, State, TYPE, Wish};
use mesh_runtime::clock;
use serde_json::json;
use std::time::{Duration, SystemTime};
use told::{Facts, Pilot};

/// Between two looks while it is waited.
const LOOK: Duration = Duration::from_secs(2);

/// What signs, what is trusted, and how far a rotation is.
///
/// # Errors
/// When the cluster does not answer.
pub(crate) fn status(args: &CaStatusArgs, context: &Context) -> Result<Report> {
    let facts = remote::within(args.timeout, "the control plane", async {
        gather(&Cluster::open(&context.kube).await?).await
    })?;
    Ok(facts.report())
}

/// Asks for another root, or for none.
///
/// # Errors
/// When it is refused, not done in time, or the cluster does not answer.
pub(crate) fn rotate(args: &CaRotateArgs, context: &Context) -> Result<()> {
    let (wish, question) = match args.abort {
        false => (
            Wish::Rotate,
            "This makes another root. It is trusted beside the one that signs; when every proxy and every namespace knows \
             it, it signs, and\nthe one before is trusted until its last certificate has ended.",
        ),
        true => (Wish::Abort, "This gives up the rotation that is under way: the root that signs now signs on."),
    };
    carry_out(wish, question, &args.write, context)
}

/// Asks for another root in the place of one that has ended.
///
/// # Errors
/// As [`rotate`].
pub(crate) fn recover(args: &CaWriteArgs, context: &Context) -> Result<()> {
    let question = "This makes another root in the place of one that has ended. Proxies prove themselves by their tokens and \
                    get new certificates.\nA root that has not ended stays.";
    carry_out(Wish::Recover, question, args, context)
}

fn carry_out(wish: Wish, question: &str, args: &CaWriteArgs, context: &Context) -> Result<()> {
    remote::carried_out(args.timeout, async {
        let cluster = Cluster::open(&context.kube).await?;
        let facts = gather(&cluster).await?;
        if let Some(reason) = facts.refusal(wish) {
            bail!("{reason}");
        }
        if args.dry_run {
            return report::write(&format!("{question}\n{}\nNothing was done.\n", facts.text().trim_end()));
        }
        confirm(question, args.yes)?;
        let id = clock::system_now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis().to_string();
        let request = Request { wish, id };
        ask(&cluster, &request).await?;
        match args.wait {
            true => wait(&cluster, &request).await,
            false => report::write("asked for; meshctl ca status says how far it is\n"),
        }
    })
}

fn secrets(cluster: &Cluster) -> Api<Secret> {
    Api::namespaced(cluster.client.clone(), &cluster.mesh_namespace)
}

/// What pilots say, and what is written down.
async fn gather(cluster: &Cluster) -> Result<Facts> {
    let (state, asked) = written(cluster).await?;
    let pilots = match remote::authorities_in(cluster).await {
        Ok(pilots) => pilots.into_iter().map(|(name, said)| Pilot::of(name, said)).collect(),
        Err(error) => vec![Pilot { name: "the control plane".to_owned(), said: Err(format!("{error:#}")) }],
    };
    Ok(Facts { state, asked, pilots })
}

/// What stands in the Secret's annotations.
async fn written(cluster: &Cluster) -> Result<(State, Option<Request>)> {
    let what = format!("read the annotations of Secret {SECRET} in namespace {}", cluster.mesh_namespace);
    let there = secrets(cluster).get_metadata_opt(SECRET).await.map_err(|error| cluster.told(error, &what))?;
    let annotations = there.and_then(|there| there.metadata.annotations).unwrap_or_default();
    let state = annotations.get(STATE).map(|text| serde_json::from_str(text)).transpose();
    let Ok(state) = state else { bail!("Secret {SECRET} is of a newer control plane than this command") };
    Ok((state.unwrap_or_default(), annotations.get(REQUEST).and_then(|text| text.parse().ok())))
}

async fn ask(cluster: &Cluster, request: &Request) -> Result<()> {
    let (api, what) = (secrets(cluster), format!("write Secret {SECRET} in namespace {}", cluster.mesh_namespace));
    let annotated = json!({"metadata": {"annotations": {REQUEST: request.to_string()}}});
    match api.patch_metadata(SECRET, &PatchParams::default(), &Patch::Merge(&annotated)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => {
            let mut secret = Secret { type_: Some(TYPE.to_owned()), ..Secret::default() };
            secret.metadata.name = Some(SECRET.to_owned());
            secret.metadata.annotations = Some([(REQUEST.to_owned(), request.to_string())].into());
            let made = api.create(&PostParams::default(), &secret).await;
            made.map(drop).map_err(|error| cluster.told(error, &what))
        }
        Err(error) => Err(cluster.told(error, &what)),
    }
}

/// Until it was answered and nothing waits any more.
async fn wait(cluster: &Cluster, request: &Request) -> Result<()> {
    let mut said = Vec::new();
    loop {
        let facts = gather(cluster).await?;
        if facts.state.handled == request.id {
            if facts.state.said.starts_with("refused") {
                bail!("{}", facts.state.said);
            }
            if facts.is_done() {
                return report::write(&format!("{}\n", facts.state.said));
            }
        }
        let waiting = facts.waits_for(request);
        if waiting != said {
            waiting.iter().for_each(|line| tell(&format!("  waits: {line}\n")));
            said = waiting;
        }
        tokio::time::sleep(LOOK).await;
    }
}
