//! The control plane: etcd, API server, controllers and scheduler, in the network namespace of the first node: that one's
//! kube-proxy leads the API server to the Services of webhooks.

use super::{machine::Machine, plan::Plan};
use crate::cluster::{
    certificates::{Authority, Pair},
    client::Client,
    process::Component,
};
use anyhow::Result;

/// Who is who in this cluster.
pub(super) struct Credentials {
    root: String,
    admin: Pair,
}

/// Makes them, and writes what the programs read: a kubeconfig for each, in the state folder.
pub(super) fn credentials(plan: &Plan) -> Result<Credentials> {
    let authority = Authority::new()?;
    let services = plan.services();
    let place = plan.place(&services);
    place.write_credentials(&authority)?;
    place.write_pair("root", &authority.pair())?;
    place.write_pair("front-proxy", &authority.user("front-proxy", &[])?)?;
    let admin = authority.user("admin", &["system:masters"])?;
    place.write_pair("admin", &admin)?;
    place.write_kubeconfig("kubeconfig", &authority, &admin)?;
    for component in ["kube-controller-manager", "kube-scheduler", "kube-proxy"] {
        let pair = authority.user(&format!("system:{component}"), &[])?;
        place.write_kubeconfig(&format!("{component}.kubeconfig"), &authority, &pair)?;
    }
    for node in plan.nodes() {
        let pair = authority.user(&format!("system:node:{}", node.name), &["system:nodes"])?;
        place.write_kubeconfig(&format!("kubelet-{}.kubeconfig", node.name), &authority, &pair)?;
    }
    Ok(Credentials { root: authority.root(), admin })
}

/// The control plane as far as it starts before it is ready.
pub(super) struct Control {
    server: Component,
}

/// Starts etcd and the API server, which waits for it.
pub(super) fn start(machine: &Machine<'_>) -> Result<Control> {
    let services = machine.plan.services();
    let place = machine.plan.place(&services);
    machine.start_control("etcd", &place.etcd_args())?;
    Ok(Control { server: machine.start_control("kube-apiserver", &place.whole_server_args())? })
}

impl Control {
    /// Waits until the API server serves.
    pub(super) async fn ready(&mut self, plan: &Plan, credentials: &Credentials) -> Result<Client> {
        let open = || async {
            let mut client = Client::open(plan.secure(), &credentials.root, &credentials.admin).await?;
            client.ready().await?;
            Ok(client)
        };
        self.server.ready(open).await
    }
}

/// Starts what acts on objects. Not before the API server is ready: without its default roles they end.
pub(super) fn start_controllers(machine: &Machine<'_>) -> Result<()> {
    let file = |flag: &str, name: &str| format!("--{flag}={}", machine.plan.state.join(name).display());
    let common = |name: &str| {
        let config = format!("{name}.kubeconfig");
        vec![
            file("kubeconfig", &config),
            file("authentication-kubeconfig", &config),
            file("authorization-kubeconfig", &config),
            file("requestheader-client-ca-file", "root.crt"),
            "--leader-elect=false".to_owned(),
            "--bind-address=127.0.0.1".to_owned(),
        ]
    };
    let mut manager = common("kube-controller-manager");
    manager.extend([
        file("service-account-private-key-file", "accounts.key"),
        file("root-ca-file", "root.crt"),
        file("cluster-signing-cert-file", "root.crt"),
        file("cluster-signing-key-file", "root.key"),
        "--use-service-account-credentials=true".to_owned(),
        "--allocate-node-cidrs=false".to_owned(),
    ]);
    machine.start_control("kube-controller-manager", &manager)?;
    machine.start_control("kube-scheduler", &common("kube-scheduler"))?;
    Ok(())
}
