use super::*;
use crate::{
    snapshot::{
        OwnFacts,
        build::{Changes, State},
        cluster::ClusterId,
        fixture::{endpoint, key, port, state, workload},
    },
    upstream::connect::{Connector, Dial},
};
use mesh_config::{
    kind::Role,
    model::{Kind, Part, PartName, Protocol},
    name::Port,
};
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
        secret: crate::snapshot::cluster::Secret::Unnamed,
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
    let snapshot =
        State::new(OwnFacts { role: Role::Sidecar, namespace: "shop".into(), ips: Vec::new() }).snapshot().clone();
    let dial = async |endpoints: Vec<Arc<Endpoint>>| {
        cluster.endpoints.store(Arc::new(EndpointSet { endpoints: endpoints.into_iter().collect() }));
        let live = upstreams.cluster(&cluster, clock::now());
        live.pick(&upstreams, Some("10.9.9.9:8080".parse().unwrap()), &snapshot, &[]).await.unwrap()
    };
    let early = dial(vec![]).await;
    let plain = dial(vec![member(false)]).await;
    let secure = dial(vec![member(true)]).await;
    let again = dial(vec![Arc::new(Endpoint { weight: 7, ..Endpoint::clone(&member(true)) })]).await;
    let gone = dial(vec![]).await;
    let secured = |host: &Rc<Host>| host.callee.as_ref().map(|callee| callee.takes_mutual_tls(None));
    assert_eq!(
        [&early, &plain, &secure, &again, &gone].map(secured),
        [None, Some(false), Some(true), Some(true), None]
    );
    assert!(Rc::ptr_eq(&secure, &again), "connections to one that is as it was are kept");
}

#[tokio::test]
async fn a_workload_that_is_called_by_its_address_is_called_as_who_it_is_now() {
    let nowhere = Connector::new(Dial::Memory(Rc::new(|_| None)), None);
    let upstreams = Upstreams::new(Arc::default(), nowhere);
    let mut state = state(Role::Sidecar, []);
    let dial = async |state: &State, port: u16| {
        let snapshot = state.snapshot();
        let live = upstreams.cluster(snapshot.outbound.passthrough(), clock::now());
        live.pick(&upstreams, Some(([10, 2, 0, 1], port).into()), snapshot, &[]).await.unwrap()
    };
    let of = |account| Changes::upserts([Part::Workload(workload(account, "10.2.0.1", &[]))]);
    let removed = |account: &str| vec![(Kind::Workload, PartName(format!("Kubernetes//Pod/shop/{account}").into()))];
    let before = dial(&state, 7000).await;
    state.apply(of("one"));
    let one = dial(&state, 7000).await;
    let plain = dial(&state, 15020).await;
    state.apply(of("one"));
    let again = dial(&state, 7000).await;
    state.apply(Changes { removed: removed("one"), ..of("two") });
    let two = dial(&state, 7000).await;
    state.apply(Changes { removed: removed("two"), ..Changes::default() });
    let after = dial(&state, 7000).await;
    let told = |host: &Rc<Host>| {
        let PeerAddress::Ip(address) = host.address else { panic!("not an address") };
        let callee = host.callee.as_ref()?;
        Some((callee.takes_mutual_tls(Port::new(address.port())), callee.identity()?.service_account.to_string()))
    };
    let want = [None, Some((true, "one")), Some((false, "one")), Some((true, "two")), None];
    assert_eq!(
        [&before, &one, &plain, &two, &after].map(told),
        want.map(|w| w.map(|(takes, account)| (takes, account.to_owned())))
    );
    assert!(Rc::ptr_eq(&one, &again), "connections to one that is as it was are kept");
}

#[tokio::test]
async fn at_a_port_of_a_headless_service_that_no_endpoint_has_who_is_there_is_called() {
    let nowhere = Connector::new(Dial::Memory(Rc::new(|_| None)), None);
    let (upstreams, cluster) = (Upstreams::new(Arc::default(), nowhere), headless());
    cluster.endpoints.store(Arc::new(EndpointSet { endpoints: vec![member(true)] }));
    let state = state(Role::Sidecar, [Part::Workload(workload("one", "10.9.9.9", &[]))]);
    let dial = async |cluster: &Arc<Cluster>, port: u16| {
        let live = upstreams.cluster(cluster, clock::now());
        let host = live.pick(&upstreams, Some(([10, 9, 9, 9], port).into()), state.snapshot(), &[]).await.unwrap();
        let callee = host.callee.as_ref().map(|callee| match callee {
            Callee::Endpoint(_) => "endpoint",
            Callee::Workload(_) => "workload",
        });
        (host.address.to_string(), callee)
    };
    // Its target port is another than the service's, which clients dial.
    assert_eq!(dial(&cluster, 8080).await, ("10.9.9.9:8080".to_owned(), Some("endpoint")));
    assert_eq!(dial(&cluster, 80).await, ("10.9.9.9:80".to_owned(), Some("workload")));
    // What is outside of the mesh is called as the application does.
    let outside = Cluster {
        id: ClusterId(1),
        external: true,
        key: ClusterKey::Outbound { service: key("shop/outside"), port: port(80), subset: None },
        ..Cluster::clone(&cluster)
    };
    assert_eq!(dial(&Arc::new(outside), 80).await, ("10.9.9.9:80".to_owned(), None));
}
