//! What an API server asks before it stores objects: the webhooks, what they decide by, and that the API server knows them.

use super::Servers;
use crate::{
    settings::Settings,
    webhook::{Follow, Metrics, Place, Registrar, Standing, Webhooks},
};
use kube::Client;
use mesh_config::crd::ParseContext;
use mesh_runtime::{drain, ready::Ready, telemetry::metrics::Registry};
use std::sync::Arc;
use tokio::sync::watch;

/// All of it, before it serves.
pub(super) struct Admission {
    /// What objects are read with; whoever owns the objects says it.
    pub(super) context: watch::Sender<Arc<ParseContext>>,
    pub(super) webhooks: Webhooks,
    registrar: Option<Registrar>,
    follow: Option<Follow>,
}

impl Admission {
    /// `client`: of the cluster that pilot is in, if it is in one. `bundle`: the roots of pilot's own certificate, in PEM.
    /// Pilot is not ready before it is known what decides about pods.
    pub(super) fn new(
        settings: &Settings,
        client: Option<&Client>,
        bundle: watch::Receiver<Arc<str>>,
        context: &ParseContext,
        (registry, ready): (&Registry, &Ready),
    ) -> anyhow::Result<Self> {
        let metrics = Metrics::new(registry)?;
        let (context, contexts) = watch::channel(Arc::new(context.clone()));
        let (registrar, follow, injector) = match client.filter(|_| settings.https_address.0.is_some()) {
            None => {
                let nothing: Standing = Err("pilot is at no API server, so it injects no pods".to_owned());
                (None, None, watch::channel(nothing).1)
            }
            Some(client) => {
                let revision = settings.named_revision();
                let own = (&*settings.namespace, revision.unwrap_or("default"));
                let registrar = Registrar::new(client.clone(), own, bundle, metrics.clone());
                let place = Place {
                    namespace: settings.namespace.clone(),
                    revision: revision.map(str::to_owned),
                    variables: std::env::vars_os()
                        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                        .collect(),
                };
                let (follow, injector) = Follow::new(client.clone(), place, ready.register("injection"));
                (Some(registrar), Some(follow), injector)
            }
        };
        let webhooks = Webhooks { context: contexts, injector, metrics };
        Ok(Admission { context, webhooks, registrar, follow })
    }

    /// Adds what has to run beside the webhooks; what is left tells them how objects are read.
    pub(super) fn run(self, servers: &mut Servers, drain: &drain::Watch) {
        if let Some(registrar) = self.registrar {
            servers.add("what the API server knows of webhooks", registrar.run(drain.clone()));
        }
        if let Some(follow) = self.follow {
            servers.add("what decides about pods", follow.run(drain.clone()));
        }
    }
}
