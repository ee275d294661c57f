//! Pilot and sidecars as processes of their own in a namespace, working in one folder.

use super::{Inside, Namespace};
use crate::{client::Call, program, until};
use anyhow::Context;
use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};
use tokio::process::{Child, Command};

/// A folder with objects, keys, tokens and logs, and where pilot is.
pub(crate) struct Folder<'a> {
    pub(crate) path: &'a Path,
    pub(crate) pilot: IpAddr,
}

/// A sidecar and its account, which have one name.
pub(crate) struct Sidecar<'a> {
    pub(crate) name: &'a str,
    pub(crate) address: IpAddr,
    pub(crate) group: u32,
}

impl Folder<'_> {
    /// Starts pilot, and waits until it is ready. `outside`: who may ask it.
    pub(crate) async fn pilot(&self, within: &Namespace, outside: &Inside) -> anyhow::Result<Child> {
        let at = |port: u16| SocketAddr::from((self.pilot, port)).to_string();
        let mut command = within.command(&program::ours("pilot"), 0);
        let (objects, ca) = (self.path.join("objects"), self.path.join("ca"));
        command.arg("discovery").arg("--config-dir").arg(objects).arg("--ca-dir").arg(ca);
        command.arg("--token-key").arg(self.path.join("keys").join(mesh_ca::token::PUBLIC_KEY));
        command.args(["--server-names", "istiod.istio-system.svc", "--plaintext-xds-address", "off"]);
        command.args(["--xds-address", &at(15012), "--monitoring-address", &at(15014)]);
        let pilot = self.spawn(command, "pilot").context("pilot")?;
        ready(outside, (self.pilot, 15014).into(), "/ready").await;
        Ok(pilot)
    }

    /// Starts a sidecar. What it keeps is in [`Folder::state`].
    pub(crate) fn sidecar(&self, within: &Namespace, sidecar: &Sidecar<'_>) -> anyhow::Result<Child> {
        let Sidecar { name, address, group } = sidecar;
        let mut command = within.command(&program::ours("proxy"), *group);
        command.arg("run").env("PROXY_TYPE", "sidecar").env("POD_NAME", name).env("POD_NAMESPACE", "test");
        command.env("SERVICE_ACCOUNT", name).env("INSTANCE_IP", address.to_string());
        command.env("DISCOVERY_ADDRESS", SocketAddr::from((self.pilot, 15012)).to_string());
        command.env("FERROMESH_XDS_SERVER_NAME", "istiod.istio-system.svc").env("FERROMESH_WORKERS", "1");
        command.env("FERROMESH_TOKEN_FILE", self.path.join(format!("{name}.token")));
        command.env("FERROMESH_ROOT_CERT", self.path.join("ca").join("root-cert.pem"));
        command.env("FERROMESH_STATE_DIR", self.state(name)).env("FERROMESH_LOG", "info");
        self.spawn(command, &format!("proxy-{name}")).context("the sidecar")
    }

    /// What a sidecar keeps over a restart.
    pub(crate) fn state(&self, name: &str) -> PathBuf {
        self.path.join(format!("state-{name}"))
    }

    /// Replaces the objects, all at once.
    pub(crate) fn write(&self, objects: &str) {
        let draft = self.path.join("draft");
        fs::write(&draft, objects).expect("objects can be written");
        fs::rename(&draft, self.path.join("objects").join("mesh.yaml")).expect("objects can be moved");
    }

    fn spawn(&self, mut command: Command, name: &str) -> anyhow::Result<Child> {
        let log = self.path.join(format!("{name}.log"));
        let log = fs::OpenOptions::new().create(true).append(true).open(log)?;
        Ok(command.stdout(log.try_clone()?).stderr(log).spawn()?)
    }
}

/// Ends a process as a crash would.
pub(crate) async fn kill(child: Option<Child>) {
    if let Some(mut child) = child {
        child.kill().await.expect("what runs can be killed");
    }
}

/// Waits until a page says that its process is ready.
pub(crate) async fn ready(from: &Inside, to: SocketAddr, path: &'static str) {
    until(&format!("{path} of {to}"), || async {
        let page = ask(from, to, path).await;
        if page.as_ref().is_some_and(|(status, _)| *status == 200) { Ok(()) } else { Err(page) }
    })
    .await;
}

/// The object of a workload of the mesh.
pub(crate) fn workload(name: &str, address: IpAddr, account: &str) -> String {
    format!(
        "---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: {name}, namespace: test}}
spec:
  address: {address}
  serviceAccount: {account}
  labels: {{app: {name}, security.istio.io/tlsMode: istio}}
"
    )
}

/// A page, by who is inside; `None`: there is none.
pub(crate) async fn ask(from: &Inside, to: SocketAddr, path: &'static str) -> Option<(u16, String)> {
    let reply = from.run(async move { Call::get("localhost", path).send(to).await }).await.ok()?;
    Some((reply.status, reply.body))
}
