//! The addresses of which pilot is asked whose they are, bounded: who dials many strangers makes no workload forgotten.

use mesh_config::model::Workload;
use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    sync::Arc,
};

/// Addresses that are followed at once; beyond, the oldest is forgotten.
pub const MAX_ADDRESSES: usize = 4096;
/// How many of them may be no workload's, as far as is known.
pub const MAX_STRANGERS: usize = 1024;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    /// Each, and whether a workload is known to have it.
    all: HashMap<IpAddr, bool>,
    /// Those that a workload has, the oldest first.
    held: VecDeque<IpAddr>,
    /// The others, the oldest first.
    strangers: VecDeque<IpAddr>,
}

impl Addresses {
    /// As they were followed before a restart.
    pub(super) fn restored(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        let strangers: VecDeque<IpAddr> = addresses.into_iter().take(MAX_ADDRESSES).collect();
        let all = strangers.iter().map(|address| (*address, false)).collect();
        Addresses { all, held: VecDeque::new(), strangers }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &IpAddr> {
        self.held.iter().chain(&self.strangers)
    }

    pub(super) fn contains(&self, address: &IpAddr) -> bool {
        self.all.contains_key(address)
    }

    /// Follows one more. The address that is forgotten for it, if one has to be.
    pub(super) fn follow(&mut self, address: IpAddr) -> Option<IpAddr> {
        let forgotten = match (self.strangers.len() >= MAX_STRANGERS, self.all.len() >= MAX_ADDRESSES) {
            (true, _) => self.strangers.pop_front(),
            (false, true) => self.held.pop_front(),
            (false, false) => None,
        };
        if let Some(old) = &forgotten {
            self.all.remove(old);
        }
        if self.all.insert(address, false).is_none() {
            self.strangers.push_back(address);
        }
        forgotten
    }

    /// Whether it was followed.
    pub(super) fn forget(&mut self, address: &IpAddr) -> bool {
        let Some(held) = self.all.remove(address) else { return false };
        take_out(if held { &mut self.held } else { &mut self.strangers }, address);
        true
    }

    /// What pilot says of one, if it is followed.
    pub(super) fn learn(&mut self, address: IpAddr, workload: Option<&Arc<Workload>>) {
        let Some(held) = self.all.get_mut(&address) else { return };
        if *held == workload.is_some() {
            return;
        }
        *held = workload.is_some();
        let (from, to) = match held {
            true => (&mut self.strangers, &mut self.held),
            false => (&mut self.held, &mut self.strangers),
        };
        take_out(from, &address);
        to.push_back(address);
    }
}

fn take_out(from: &mut VecDeque<IpAddr>, address: &IpAddr) {
    if let Some(place) = from.iter().position(|followed| followed == address) {
        from.remove(place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::fixture::instance;
    use mesh_config::model::Part;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn address(n: u32) -> IpAddr {
        IpAddr::from((10u32 << 24 | n).to_be_bytes())
    }

    fn somebody() -> Arc<Workload> {
        let Part::Instance(instance) = instance(&[], &[]) else { unreachable!("it is one") };
        Arc::new(instance.workload.clone())
    }

    #[test]
    fn a_million_strangers_make_no_workload_forgotten() {
        let (mut addresses, workload) = (Addresses::default(), somebody());
        for n in 0..2000 {
            assert_eq!(addresses.follow(address(n)), None);
            addresses.learn(address(n), Some(&workload));
        }
        for n in 2000..1_000_000 {
            let forgotten = addresses.follow(address(n));
            assert_eq!(forgotten, n.checked_sub(MAX_STRANGERS as u32).filter(|old| *old >= 2000).map(address));
            if n % 2 == 0 {
                addresses.learn(address(n), None);
            }
        }
        assert_eq!(addresses.all.len(), 2000 + MAX_STRANGERS);
        assert!((0..2000).all(|n| addresses.contains(&address(n))));
    }

    proptest! {
        #[test]
        fn it_is_bounded_and_tells_what_it_forgets(steps in proptest::collection::vec((0u32..6000, 0u8..4), 0..12_000)) {
            let (mut addresses, workload) = (Addresses::default(), somebody());
            let mut followed = BTreeSet::new();
            for (n, step) in steps {
                let address = address(n);
                match (step, followed.contains(&address)) {
                    (0 | 3, false) => {
                        let forgotten = addresses.follow(address);
                        prop_assert!(forgotten.is_none_or(|old| followed.remove(&old)));
                        followed.insert(address);
                    }
                    (1, true) => addresses.learn(address, None),
                    (2, true) => prop_assert_eq!(addresses.forget(&address), followed.remove(&address)),
                    (_, true) => addresses.learn(address, Some(&workload)),
                    (_, false) => prop_assert!(!addresses.forget(&address)),
                }
                prop_assert!(addresses.all.len() <= MAX_ADDRESSES);
            }
            prop_assert_eq!(addresses.iter().copied().collect::<BTreeSet<_>>(), followed);
            prop_assert_eq!(addresses.iter().count(), addresses.all.len());
        }
    }
}
