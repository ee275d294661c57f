use super::*;
use crate::snapshot::{
    OwnFacts,
    build::{Changes, State},
};
use mesh_config::{
    kind::Role,
    model::{Kind, PartName},
};
use std::net::IpAddr;

fn address(n: u32) -> IpAddr {
    IpAddr::from((10u32 << 24 | n).to_be_bytes())
}

fn facts() -> OwnFacts {
    OwnFacts { role: Role::Sidecar, namespace: "shop".into(), ips: Vec::new() }
}

#[tokio::test(start_paused = true)]
async fn an_address_is_asked_about_once_and_waited_for_a_moment() {
    let mut state = State::new(facts());
    let (publisher, reader) = snapshot::publisher(state.snapshot().clone());
    let (commands, mut said) = mpsc::channel(8);
    let needs = Needs::new(commands, reader);
    let ask = Ask::Workload(address(1));
    let mut waits = needs.need(&ask);
    assert_eq!(said.try_recv(), Ok(Command::NeedWorkload(address(1))));
    assert!(tokio::time::timeout(WHOSE, &mut waits).await.is_err(), "it is waited for");
    // Pilot is slow or away: others do not wait for it again, nor is it asked again.
    assert!(!needs.need(&ask).await);
    assert!(said.try_recv().is_err());
    // Its answer counts whenever it comes.
    let nobody = vec![(Kind::Workload, PartName(address(1).to_string().into()))];
    publisher.publish(state.apply(Changes { removed: nobody, ..Changes::default() }).snapshot);
    assert!(waits.await);
    tokio::time::advance(ASK_WHOSE_AGAIN).await;
    assert!(needs.need(&ask).await);
    assert_eq!(said.try_recv(), Ok(Command::NeedWorkload(address(1))));
}

#[tokio::test(start_paused = true)]
async fn who_dials_a_million_strangers_asks_about_few_and_waits_for_none_of_the_others() {
    let state = State::new(facts());
    let (_publisher, reader) = snapshot::publisher(state.snapshot().clone());
    let (commands, mut said) = mpsc::channel(1024);
    let needs = Needs::new(commands, reader);
    for second in 0..10 {
        for n in 0..100_000 {
            let waits = needs.need(&Ask::Workload(address(second * 100_000 + n)));
            if n >= MOST_A_SECOND {
                assert!(!waits.await);
            }
        }
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    assert_eq!(needs.asked.borrow().len(), 10 * MOST_A_SECOND as usize);
    let mut count = 0;
    while said.try_recv().is_ok() {
        count += 1;
    }
    assert_eq!(count, 10 * MOST_A_SECOND);
}
