//! A port of a pod on loopback: whatever dials HOST:PORT then needs to know nothing of clusters. Each connection is a stream
//! of its own through the API server.

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
use std::net::{Ipv4Addr, SocketAddr};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
};

/// An open port; closed when dropped, with its connections.
pub(crate) struct Forward {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    task: AbortHandle,
}

impl Forward {
    pub(super) async fn open(client: Client, namespace: &str, pod: &str, port: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("cannot listen on loopback")?;
        let address = listener.local_addr()?;
        let pods: Api<Pod> = Api::namespaced(client, namespace);
        let task = tokio::spawn(accept(listener, pods, pod.to_owned(), port)).abort_handle();
        Ok(Forward { address, task })
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, pods: Api<Pod>, pod: String, port: u16) {
    // Ends with the task that owns it.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (pods, pod) = (pods.clone(), pod.clone());
        connections.spawn(async move {
            // Whoever dialled sees the connection end; what the API server says against it is what there is to know.
            if let Err(error) = carry(stream, &pods, &pod, port).await {
                let _ = std::io::Write::write_fmt(
                    &mut std::io::stderr(),
                    format_args!("port {port} of pod {pod} cannot be reached: {error:#}\n"),
                );
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn carry(mut stream: TcpStream, pods: &Api<Pod>, pod: &str, port: u16) -> Result<()> {
    let mut forwarder = pods.portforward(pod, &[port]).await?;
    let mut remote = forwarder.take_stream(port).context("the API server gave no stream")?;
    let failed = forwarder.take_error(port);
    let copied = tokio::io::copy_bidirectional(&mut stream, &mut remote).await;
    drop(remote);
    let said = match failed {
        Some(failed) => failed.await,
        None => None,
    };
    match (said, copied) {
        (Some(said), _) => anyhow::bail!("{said}"),
        (None, Err(error)) if error.kind() != std::io::ErrorKind::ConnectionReset => Err(error.into()),
        (None, _) => Ok(()),
    }
}
