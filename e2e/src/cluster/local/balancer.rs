//! Addresses for Services of type LoadBalancer, as a cloud would give them: each gets one of the cluster's range, which the
//! first node has on its loopback and the host routes there. kube-proxy does the rest; so a Service
//! whose `externalTrafficPolicy` is `Local` is reached only where an end point of it is on that node.

use super::plan::Plan;
use crate::{cluster::handle, command::run};
use anyhow::{Context, Result};
use futures_util::TryStreamExt;
use k8s_openapi::api::core::v1::Service;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
    runtime::{WatchStreamExt, reflector, watcher},
};
use serde_json::json;
use std::{collections::BTreeMap, net::Ipv4Addr, path::Path, pin::pin, sync::Arc};

/// Last part of the highest address that is given.
const LAST: u8 = 250;

/// Which Service, and its address.
type Given = BTreeMap<(String, String), Ipv4Addr>;

/// Gives addresses until it is killed.
///
/// # Errors
/// When there is no cluster, or an address cannot be given.
pub async fn balance(state: &Path, namespace: &str) -> Result<()> {
    let plan = Plan::read(state)?.context("there is no cluster")?;
    let client = handle::client(&state.join("kubeconfig")).await?;
    let (store, writer) = reflector::store::<Service>();
    let services = watcher(Api::all(client.clone()), watcher::Config::default());
    let mut events = pin!(services.default_backoff().reflect(writer));
    let mut present = Given::new();
    while events.try_next().await?.is_some() {
        let wanted = assign(&store.state(), plan.balancers());
        for address in present.iter().filter(|(name, _)| !wanted.contains_key(*name)).map(|(_, address)| address) {
            run("ip", &["-n", namespace, "addr", "del", &format!("{address}/32"), "dev", "lo"])?;
        }
        for (service, address) in wanted.iter().filter(|(name, _)| !present.contains_key(*name)) {
            run("ip", &["-n", namespace, "addr", "replace", &format!("{address}/32"), "dev", "lo"])?;
            publish(&client, service, *address).await?;
        }
        present = wanted;
    }
    Ok(())
}

/// What each Service has or now gets: one that has an address keeps it, others take the lowest that is free. None is given where the
/// range is used up, or where another class of balancers is asked for.
fn assign(services: &[Arc<Service>], [a, b, c]: [u8; 3]) -> Given {
    let wants = |service: &&Arc<Service>| {
        let spec = service.spec.as_ref();
        spec.is_some_and(|spec| spec.type_.as_deref() == Some("LoadBalancer") && spec.load_balancer_class.is_none())
    };
    let name = |service: &Service| {
        let part = |part: &Option<String>| part.clone().unwrap_or_default();
        (part(&service.metadata.namespace), part(&service.metadata.name))
    };
    let wanting = || services.iter().filter(wants);
    let mut given: Given = wanting().filter_map(|service| Some((name(service), has(service)?))).collect();
    let mut new: Vec<_> = wanting().map(|service| name(service)).filter(|name| !given.contains_key(name)).collect();
    new.sort();
    let mut free = (1..=LAST).map(|d| Ipv4Addr::new(a, b, c, d)).collect::<Vec<_>>();
    free.retain(|address| !given.values().any(|taken| taken == address));
    given.extend(new.into_iter().zip(free));
    given
}

fn has(service: &Service) -> Option<Ipv4Addr> {
    let ingress = service.status.as_ref()?.load_balancer.as_ref()?.ingress.as_ref()?;
    ingress.first()?.ip.as_ref()?.parse().ok()
}

async fn publish(client: &Client, (namespace, name): &(String, String), address: Ipv4Addr) -> Result<()> {
    let status = json!({"status": {"loadBalancer": {"ingress": [{"ip": address, "ipMode": "VIP"}]}}});
    let services: Api<Service> = Api::namespaced(client.clone(), namespace);
    match services.patch_status(name, &PatchParams::default(), &Patch::Merge(&status)).await {
        // Gone meanwhile: the next event says so.
        Err(kube::Error::Api(error)) if error.code == 404 => Ok(()),
        other => other.map(drop).with_context(|| format!("{namespace}/{name} does not get its address")),
    }
}

#[cfg(test)]
mod tests {
    use super::assign;
    use k8s_openapi::api::core::v1::Service;
    use serde_json::json;
    use std::{collections::BTreeMap, sync::Arc};

    fn service(name: &str, spec: serde_json::Value, ip: Option<&str>) -> Arc<Service> {
        let ingress = ip.map(|ip| json!([{"ip": ip}]));
        let said = json!({
            "metadata": {"name": name, "namespace": "shop"},
            "spec": spec,
            "status": {"loadBalancer": {"ingress": ingress}},
        });
        Arc::new(serde_json::from_value(said).expect("a Service"))
    }

    #[test]
    fn balancers_keep_their_address_and_others_take_the_lowest_free() {
        let balanced = || json!({"type": "LoadBalancer"});
        let services = [
            service("new-b", balanced(), None),
            service("old", balanced(), Some("10.160.0.2")),
            service("inner", json!({"type": "ClusterIP"}), None),
            service("other", json!({"type": "LoadBalancer", "loadBalancerClass": "example.com/other"}), None),
            service("new-a", balanced(), None),
        ];
        let want = [("new-a", "10.160.0.1"), ("new-b", "10.160.0.3"), ("old", "10.160.0.2")];
        let want: BTreeMap<_, _> = want
            .map(|(name, address)| (("shop".to_owned(), name.to_owned()), address.parse().expect("an address")))
            .into();
        assert_eq!(assign(&services, [10, 160, 0]), want);
    }
}
