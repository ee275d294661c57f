//! What etcd and an API server are started with, alone on loopback or before nodes: arguments, certificates, the kubeconfig of
//! whoever calls.

use super::certificates::{Authority, Pair};
use anyhow::{Context, Result};
use rcgen::KeyPair;
use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::Path,
};

/// Addresses of Services.
#[derive(Debug, Clone)]
pub(super) struct Services {
    /// E.g. `10.96.0.0/16`.
    pub range: String,
    /// The first of them: the API server's own.
    pub first: IpAddr,
}

/// Where a control plane keeps its files and listens.
pub(super) struct Place<'a> {
    pub folder: &'a Path,
    /// Where etcd answers clients, and its peers.
    pub etcd: SocketAddr,
    pub peers: SocketAddr,
    /// Where the API server is reached.
    pub secure: SocketAddr,
    pub services: &'a Services,
}

impl Place<'_> {
    fn file(&self, flag: &str, name: &str) -> String {
        format!("--{flag}={}", self.folder.join(name).display())
    }

    pub(super) fn etcd_args(&self) -> Vec<String> {
        let (clients, peers) = (self.etcd, self.peers);
        vec![
            "--name=tests".to_owned(),
            self.file("data-dir", "etcd"),
            format!("--listen-client-urls=http://{clients}"),
            format!("--advertise-client-urls=http://{clients}"),
            format!("--listen-peer-urls=http://{peers}"),
            format!("--initial-advertise-peer-urls=http://{peers}"),
            format!("--initial-cluster=tests=http://{peers}"),
            // Nothing here is wanted after a crash.
            "--unsafe-no-fsync".to_owned(),
            "--log-level=warn".to_owned(),
        ]
    }

    /// What every API server wants, wherever it is.
    fn server_args(&self) -> Vec<String> {
        vec![
            format!("--etcd-servers=http://{}", self.etcd),
            format!("--secure-port={}", self.secure.port()),
            format!("--advertise-address={}", self.secure.ip()),
            format!("--service-cluster-ip-range={}", self.services.range),
            self.file("tls-cert-file", "server.crt"),
            self.file("tls-private-key-file", "server.key"),
            self.file("client-ca-file", "root.crt"),
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local".to_owned(),
            self.file("service-account-key-file", "accounts.pub"),
            self.file("service-account-signing-key-file", "accounts.key"),
            "--allow-privileged=true".to_owned(),
        ]
    }

    /// An API server that nothing but its callers belongs to.
    pub(super) fn lone_server_args(&self) -> Vec<String> {
        let mut args = self.server_args();
        args.extend([
            format!("--bind-address={}", self.secure.ip()),
            // No Service leads to it, so it needs no address that pods could reach.
            "--endpoint-reconciler-type=none".to_owned(),
            "--authorization-mode=RBAC".to_owned(),
            // Objects of any namespace may be written without making it first, and pods without a controller of accounts.
            "--disable-admission-plugins=NamespaceLifecycle,ServiceAccount".to_owned(),
        ]);
        args
    }

    /// An API server with controllers and nodes.
    pub(super) fn whole_server_args(&self) -> Vec<String> {
        let mut args = self.server_args();
        args.extend([
            "--bind-address=0.0.0.0".to_owned(),
            "--authorization-mode=Node,RBAC".to_owned(),
            "--enable-admission-plugins=NodeRestriction".to_owned(),
            "--kubelet-preferred-address-types=InternalIP".to_owned(),
            self.file("kubelet-client-certificate", "admin.crt"),
            self.file("kubelet-client-key", "admin.key"),
            self.file("requestheader-client-ca-file", "root.crt"),
            "--requestheader-allowed-names=front-proxy".to_owned(),
            "--requestheader-username-headers=X-Remote-User".to_owned(),
            "--requestheader-group-headers=X-Remote-Group".to_owned(),
            "--requestheader-extra-headers-prefix=X-Remote-Extra-".to_owned(),
            self.file("proxy-client-cert-file", "front-proxy.crt"),
            self.file("proxy-client-key-file", "front-proxy.key"),
        ]);
        args
    }

    /// Writes what the API server shows and believes.
    pub(super) fn write_credentials(&self, authority: &Authority) -> Result<()> {
        let names = [
            "localhost",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
        ];
        let loopback = IpAddr::from([127, 0, 0, 1]);
        let addresses = [self.secure.ip(), self.services.first, loopback];
        let accounts = KeyPair::generate()?;
        self.write("root.crt", &authority.root())?;
        self.write_pair("server", &authority.server("kube-apiserver", &addresses, &names)?)?;
        self.write("accounts.key", &accounts.serialize_pem())?;
        self.write("accounts.pub", &accounts.public_key_pem())
    }

    /// Writes a pair as `NAME.crt` and `NAME.key`.
    pub(super) fn write_pair(&self, name: &str, pair: &Pair) -> Result<()> {
        self.write(&format!("{name}.crt"), &pair.certificate)?;
        self.write(&format!("{name}.key"), &pair.key)
    }

    /// Writes the file that says where the API server is and who calls.
    pub(super) fn write_kubeconfig(&self, name: &str, authority: &Authority, user: &Pair) -> Result<()> {
        self.write(name, &kubeconfig(self.secure, &authority.root(), user)?)
    }

    fn write(&self, name: &str, content: &str) -> Result<()> {
        let file = self.folder.join(name);
        fs::write(&file, content).with_context(|| format!("cannot write {}", file.display()))
    }
}

fn kubeconfig(server: SocketAddr, root: &str, user: &Pair) -> Result<String> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let said = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": "tests",
            "cluster": {"server": format!("https://{server}"), "certificate-authority-data": STANDARD.encode(root)},
        }],
        "users": [{
            "name": "admin",
            "user": {
                "client-certificate-data": STANDARD.encode(&user.certificate),
                "client-key-data": STANDARD.encode(&user.key),
            },
        }],
        "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "admin"}}],
        "current-context": "tests",
    });
    Ok(serde_json::to_string_pretty(&said)?)
}
