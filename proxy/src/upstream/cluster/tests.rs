use super::*;
use crate::{
    snapshot::{
        cluster::ClusterId,
        fixture::{endpoint, key, port},
    },
    upstream::connect::{Connector, Dial},
};
use mesh_config::model::{Part, Protocol};
use mesh_runtime::clock;

/// A service whose clients choose the address themselves.
fn headless() -> Arc<Cluster> {
    Arc::new(Cluster {
        id: ClusterId(0),
        key: ClusterKey::Outbound { service: key("shop/pods.shop"), port: port(80), subset: None },
        name: "outbound|80||pods.shop".into(),
        sni: "outbound_.80_._.pods.shop".into(),
        protocol: Protocol::Http,
        resolution: Resolution::Passthrough,
        subset_labels: Default::default(),
        policy: Default::default(),
        external: false,
        subject_alt_names: Arc::new([]),
        service_host: "pods.shop".into(),
        service_name: "pods".into(),
        service_namespace: "shop".into(),
        endpoints: Default::default(),
        local: None,
    })
}

fn member(mutual_tls: bool) -> Arc<Endpoint> {
    match endpoint("shop/pods.shop", 80, "10.9.9.9", "v1") {
        Part::Endpoint(endpoint) => Arc::new(Endpoint { mutual_tls, ..Endpoint::clone(&endpoint) }),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn who_is_at_an_address_that_the_client_chose_is_whom_pilot_names_now() {
    let nowhere = Connector::new(Dial::Memory(Rc::new(|_| None)), None);
    let (upstreams, cluster) = (Upstreams::new(Arc::default(), nowhere), headless());
    let dial = async |endpoints: Vec<Arc<Endpoint>>| {
        cluster.endpoints.store(Arc::new(EndpointSet { endpoints: endpoints.into_iter().collect() }));
        let live = upstreams.cluster(&cluster, clock::now());
        live.pick(&upstreams, Some("10.9.9.9:8080".parse().unwrap()), &[], &[]).await.unwrap()
    };
    let early = dial(vec![]).await;
    let plain = dial(vec![member(false)]).await;
    let secure = dial(vec![member(true)]).await;
    let again = dial(vec![Arc::new(Endpoint { weight: 7, ..Endpoint::clone(&member(true)) })]).await;
    let gone = dial(vec![]).await;
    let secured = |host: &Rc<Host>| host.endpoint.as_ref().map(|endpoint| endpoint.mutual_tls);
    assert_eq!(
        [&early, &plain, &secure, &again, &gone].map(secured),
        [None, Some(false), Some(true), Some(true), None]
    );
    assert!(Rc::ptr_eq(&secure, &again), "connections to one that is as it was are kept");
}
