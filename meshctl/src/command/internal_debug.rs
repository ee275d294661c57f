//! Pilot's debug pages, by the names that istioctl asks for. They come over HTTP from its pods, through the API server: a caller from
//! a pod's own loopback sees every page.

use crate::{
    cli::InternalDebugArgs,
    cluster::{Cluster, target::PodName},
    context::Context,
    remote,
    usage::Usage,
};
use anyhow::{Context as _, Result, anyhow};
use http::Method;
use serde_json::{Map, Value};

/// Port of the pages.
const PORT: u16 = 15014;

/// The page as text.
pub(crate) fn run(args: &InternalDebugArgs, context: &Context) -> Result<String> {
    let page = match (&args.page, args.list) {
        (_, true) => "list",
        (Some(page), false) => page.trim_start_matches('/'),
        (None, false) => {
            return Err(Usage::new(
                "say which page, such as syncz or config_dump?proxyID=NAME.NAMESPACE; --list has their names",
            )
            .into());
        }
    };
    let is_page = |c: char| c.is_ascii_graphic() && !matches!(c, '#' | '"' | '\\');
    if page.is_empty() || !page.chars().all(is_page) {
        return Err(Usage::new(format!("{page:?} is no page")).into());
    }
    remote::within(args.timeout, "the control plane", async {
        let cluster = Cluster::open(&context.kube).await?;
        let pilots = cluster.pilots(args.xds_label.as_deref(), args.revision.as_deref()).await?;
        let (mut all, mut refused) = (Map::new(), None);
        for pilot in pilots {
            let pod = PodName { namespace: cluster.mesh_namespace.clone(), name: pilot.name };
            match remote::call(&cluster, &pod, PORT, Method::GET, &format!("/debug/{page}")).await {
                Ok(body) if args.all => drop(all.insert(pod.name, read(&body))),
                Ok(body) => return told(&read(&body)),
                Err(error) => refused = Some(error.context(format!("pod {}", pod.name))),
            }
        }
        match all.is_empty() {
            true => Err(refused.unwrap_or_else(|| anyhow!("there is no pilot"))),
            false => told(&Value::Object(all)),
        }
    })
}

/// JSON, or else text.
fn read(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_else(|_| String::from_utf8_lossy(body).into())
}

fn told(value: &Value) -> Result<String> {
    Ok(match value {
        Value::String(text) => format!("{}\n", text.trim_end()),
        value => serde_json::to_string_pretty(value).context("cannot write JSON")? + "\n",
    })
}
