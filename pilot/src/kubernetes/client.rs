//! The connection to the API server: from a kubeconfig, or by the pod's own service account.
//!
//! One client for all of pilot; cloning it is cheap. Its requests have no limit of time of their own, as watches last; those
//! of [`call`](super::call) have.

use anyhow::Context;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use std::{path::Path, time::Duration};

/// Who pilot says that it is; the API server notes it with the fields that pilot writes.
pub(crate) const PROGRAM: &str = "ferromesh-pilot";

/// For a connection, its TLS included.
const CONNECT: Duration = Duration::from_secs(10);

/// A client as `kubeconfig` says; without one as `KUBECONFIG` says or `~/.kube/config`, else by the service account
/// that the pod has. Nothing is sent yet.
///
/// # Errors
/// When there is no such file, or it is no kubeconfig, or there is none and this is no pod.
pub(crate) async fn open(kubeconfig: Option<&Path>) -> anyhow::Result<Client> {
    let mut config = match kubeconfig {
        Some(path) => {
            let read = Kubeconfig::read_from(path).with_context(|| format!("cannot read {}", path.display()))?;
            Config::from_custom_kubeconfig(read, &KubeConfigOptions::default())
                .await
                .with_context(|| format!("{} names no API server", path.display()))?
        }
        None => Config::infer().await.context(
            "no API server is known: give --kubeconfig, or --config-dir to read a directory; in a pod, mount its \
             service account's token",
        )?,
    };
    let agent = http::HeaderValue::try_from(format!("{PROGRAM}/{}", env!("CARGO_PKG_VERSION")))?;
    config.headers.push((http::header::USER_AGENT, agent));
    config.connect_timeout = Some(CONNECT);
    // Watches are quiet for minutes; who reads one knows for how long. Retries are each caller's own.
    config.read_timeout = None;
    config.default_retry = false;
    Client::try_from(config).context("no client for the API server")
}
