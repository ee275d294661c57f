//! Which endpoint gets a request. Pure over a list of candidates, a source of random numbers and state of its own.

use mesh_config::model::destination::LoadBalancer;
use std::{
    cell::{Cell, RefCell},
    cmp::Ordering,
    collections::BinaryHeap,
};

/// What a picker looks at.
pub trait Candidate {
    /// Relative weight, at least 1.
    fn weight(&self) -> u32;
    /// Requests it has now, from all workers.
    fn active(&self) -> u32;
}

/// Picks for one list of candidates.
#[derive(Debug)]
pub struct Picker {
    kind: LoadBalancer,
    weighted: bool,
    next: Cell<usize>,
    schedule: RefCell<Schedule>,
}

impl Picker {
    /// For these candidates; `start` is where round robin begins: pass the old picker's to go on from there.
    pub fn new<C: Candidate>(kind: LoadBalancer, candidates: &[C], start: usize) -> Self {
        let weighted = candidates.windows(2).any(|pair| pair[0].weight() != pair[1].weight());
        let scheduled = weighted && matches!(kind, LoadBalancer::LeastRequest | LoadBalancer::RoundRobin);
        let mut schedule = Schedule::default();
        if scheduled {
            for (index, candidate) in candidates.iter().enumerate() {
                schedule.add(index, f64::from(candidate.weight()));
            }
            for _ in 0..start.min(1024) % candidates.len().max(1) {
                schedule.pick(|index| f64::from(candidates[index].weight()));
            }
        }
        Picker { kind, weighted: scheduled, next: Cell::new(start), schedule: RefCell::new(schedule) }
    }

    /// Where round robin stands.
    pub fn position(&self) -> usize {
        self.next.get()
    }

    /// The index of a candidate; `None` when there are none. `random` gives an index below its argument.
    pub fn pick<C: Candidate>(&self, candidates: &[C], mut random: impl FnMut(usize) -> usize) -> Option<usize> {
        let n = candidates.len();
        if n <= 1 {
            return (n == 1).then_some(0);
        }
        if self.weighted {
            let least = self.kind == LoadBalancer::LeastRequest;
            return self.schedule.borrow_mut().pick(|index| {
                let weight = f64::from(candidates[index].weight());
                if least { weight / (f64::from(candidates[index].active()) + 1.0) } else { weight }
            });
        }
        match self.kind {
            LoadBalancer::LeastRequest | LoadBalancer::Passthrough => {
                let (first, second) = (random(n), random(n));
                Some(if candidates[second].active() < candidates[first].active() { second } else { first })
            }
            LoadBalancer::RoundRobin => {
                let at = self.next.get();
                self.next.set(at.wrapping_add(1));
                Some(at % n)
            }
            LoadBalancer::Random => Some(random(n)),
        }
    }
}

/// Earliest deadline first: each pick moves an entry back by the inverse of its weight.
#[derive(Debug, Default)]
struct Schedule {
    heap: BinaryHeap<Entry>,
    now: f64,
    order: u64,
}

#[derive(Debug)]
struct Entry {
    deadline: f64,
    order: u64,
    index: usize,
}

impl Schedule {
    fn add(&mut self, index: usize, weight: f64) {
        self.order += 1;
        self.heap.push(Entry { deadline: self.now + 1.0 / weight, order: self.order, index });
    }

    fn pick(&mut self, weight: impl Fn(usize) -> f64) -> Option<usize> {
        let entry = self.heap.pop()?;
        self.now = entry.deadline;
        self.add(entry.index, weight(entry.index));
        Some(entry.index)
    }
}

impl Ord for Entry {
    /// Reversed: the heap gives the largest first.
    fn cmp(&self, other: &Self) -> Ordering {
        other.deadline.total_cmp(&self.deadline).then(other.order.cmp(&self.order))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fake(u32, u32);

    impl Candidate for Fake {
        fn weight(&self) -> u32 {
            self.0
        }
        fn active(&self) -> u32 {
            self.1
        }
    }

    #[test]
    fn the_less_busy_of_two_wins_and_a_tie_is_the_first_draw() {
        let hosts = [Fake(1, 5), Fake(1, 2), Fake(1, 2)];
        let picker = Picker::new(LoadBalancer::LeastRequest, &hosts, 0);
        let draw = |a: usize, b: usize| {
            let mut draws = [b, a].to_vec();
            picker.pick(&hosts, |_| draws.pop().unwrap()).unwrap()
        };
        assert_eq!((draw(0, 1), draw(1, 0), draw(2, 1)), (1, 1, 2));
    }

    #[test]
    fn round_robin_takes_turns_and_weights_give_shares() {
        let hosts = [Fake(1, 0), Fake(1, 0), Fake(1, 0)];
        let picker = Picker::new(LoadBalancer::RoundRobin, &hosts, 1);
        let picked: Vec<_> = (0..4).map(|_| picker.pick(&hosts, |_| 0).unwrap()).collect();
        assert_eq!(picked, [1, 2, 0, 1]);

        for kind in [LoadBalancer::RoundRobin, LoadBalancer::LeastRequest] {
            let hosts = [Fake(3, 0), Fake(1, 0)];
            let picker = Picker::new(kind, &hosts, 0);
            let first = (0..400).filter(|_| picker.pick(&hosts, |_| 0) == Some(0)).count();
            assert_eq!(first, 300, "{kind:?}");
        }
    }

    #[test]
    fn nobody_is_picked_from_nobody() {
        let none: [Fake; 0] = [];
        assert_eq!(Picker::new(LoadBalancer::Random, &none, 0).pick(&none, |_| 0), None);
    }
}
