//! Where Ingresses are reached, in their status. The leader among pilots of a revision writes it, and puts right what
//! somebody else writes there. Statuses of Ingresses that are not the mesh's, or are no more, are left alone.

mod desk;

use super::call::{self, CallError};
use crate::object::{Point, Reached};
use desk::Desk;
use futures_util::StreamExt;
use k8s_openapi::api::networking::v1::Ingress;
use kube::{
    Api, Client,
    runtime::{WatchStreamExt, watcher},
};
use mesh_config::name::NamespacedName;
use mesh_runtime::{clock, drain};
use serde_json::{Value, json};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::sync::watch;

/// The watch is begun anew so often, should it have died without a word.
const ANEW: Duration = Duration::from_secs(600);

/// Keeps the statuses.
pub(crate) struct IngressStatuses {
    pub(crate) client: Client,
    /// What they are to say.
    pub(crate) reached: watch::Receiver<Arc<Reached>>,
    /// Whether this pilot is the one that writes.
    pub(crate) leads: watch::Receiver<bool>,
}

impl IngressStatuses {
    /// Keeps them until drained, while leading.
    pub(crate) async fn run(mut self, drain: drain::Watch) {
        let drained = drain.signaled();
        tokio::pin!(drained);
        loop {
            tokio::select! {
                () = &mut drained => return,
                led = self.leads.wait_for(|leads| *leads) => if led.is_err() { return },
            }
            let mut leads = self.leads.clone();
            tokio::select! {
                () = &mut drained => return,
                _ = leads.wait_for(|leads| !*leads) => {}
                () = tokio::time::sleep(ANEW) => {}
                () = self.keep() => {}
            }
        }
    }

    async fn keep(&mut self) {
        let ingresses = Api::<Ingress>::all(self.client.clone());
        let mut ingresses = watcher(ingresses, watcher::Config::default()).default_backoff().boxed();
        let mut desk = Desk::default();
        loop {
            let reached = self.reached.borrow_and_update().clone();
            let due = desk.due(&reached, clock::now());
            let wake = due.as_ref().map(|(_, at)| *at);
            tokio::select! {
                biased;
                changed = self.reached.changed() => if changed.is_err() { return },
                event = ingresses.next() => match event {
                    Some(Ok(event)) => desk.take(event),
                    Some(Err(error)) => tracing::warn!(%error, "Ingresses cannot be watched"),
                    None => return,
                },
                () = tokio::time::sleep_until(wake.unwrap_or_else(clock::now)), if wake.is_some() => {
                    if let Some((ingress, _)) = due {
                        self.put_right(&mut desk, &ingress, &reached.points).await;
                    }
                }
            }
        }
    }

    async fn put_right(&self, desk: &mut Desk, ingress: &NamespacedName, points: &BTreeSet<Point>) {
        match self.write(ingress, points).await {
            Ok(()) => {
                if desk.written(ingress, points, clock::now()) {
                    tracing::warn!(
                        %ingress,
                        "somebody else writes the status of this Ingress again and again: let one controller have its class"
                    );
                }
            }
            Err(CallError::Missing) => desk.is_gone(ingress),
            Err(CallError::Conflict) => {
                tracing::debug!(%ingress, "the Ingress has changed meanwhile; its status is written again");
                desk.failed(ingress, clock::now());
            }
            Err(error) => {
                tracing::warn!(%error, %ingress, "the status of the Ingress cannot be written");
                desk.failed(ingress, clock::now());
            }
        }
    }

    /// Makes the status of an Ingress say where it is reached, if it does not.
    async fn write(&self, ingress: &NamespacedName, points: &BTreeSet<Point>) -> Result<(), CallError> {
        let NamespacedName { namespace, name } = ingress;
        let path = format!("/apis/networking.k8s.io/v1/namespaces/{namespace}/ingresses/{name}");
        let mut there: Value = call::get(&self.client, &path).await?;
        if points_of(&there) == *points {
            return Ok(());
        }
        if !there["status"].is_object() {
            there["status"] = json!({});
        }
        there["status"]["loadBalancer"] = json!({"ingress": points.iter().map(as_json).collect::<Vec<_>>()});
        call::replace::<Value>(&self.client, &format!("{path}/status"), &there).await?;
        tracing::debug!(%ingress, "wrote the status of the Ingress");
        Ok(())
    }
}

fn as_json(point: &Point) -> Value {
    match (&*point.hostname, &*point.ip) {
        ("", ip) => json!({"ip": ip}),
        (hostname, _) => json!({"hostname": hostname}),
    }
}

/// What a status says, as it came.
fn points_of(ingress: &Value) -> BTreeSet<Point> {
    let said = ingress["status"]["loadBalancer"]["ingress"].as_array().into_iter().flatten();
    let text = |point: &Value, key: &str| point[key].as_str().unwrap_or_default().into();
    said.map(|point| Point { hostname: text(point, "hostname"), ip: text(point, "ip") }).collect()
}

#[cfg(test)]
mod tests;
