//! Who may be in the middle of a handshake. Every connection is accepted; what is bounded is how many have not shown
//! yet that they mean it, in all and from one address. Where a newcomer finds no room, the oldest one that is still
//! on its way gives way to it: who is slow on purpose can only push out itself and its like, since an honest client
//! is through in a few round trips.

use parking_lot::Mutex;
use std::{collections::BTreeMap, net::IpAddr, sync::Arc};
use tokio::task::AbortHandle;

/// Room for connections at one stage of their handshake.
#[derive(Debug)]
pub(super) struct Room {
    most: usize,
    most_of_one_source: usize,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    next: u64,
    /// In the order in which they came.
    by_age: BTreeMap<u64, Occupant>,
}

#[derive(Debug)]
struct Occupant {
    source: IpAddr,
    /// Its task: a slot is held by nobody else.
    task: AbortHandle,
}

/// A place; given back when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    room: Arc<Room>,
    number: u64,
}

impl Room {
    pub(super) fn new(most: usize, most_of_one_source: usize) -> Arc<Self> {
        Arc::new(Room { most, most_of_one_source, inside: Mutex::default() })
    }

    /// Takes a place for a task; ends the task of the one that has to give way, if one has to.
    pub(super) fn enter(self: &Arc<Self>, source: IpAddr, task: AbortHandle) -> Slot {
        let mut inside = self.inside.lock();
        let of_source = |o: &Occupant| o.source == source;
        let share_is_full = inside.by_age.values().filter(|o| of_source(o)).count() >= self.most_of_one_source;
        let gives_way = match share_is_full {
            true => inside.by_age.iter().find(|(_, o)| of_source(o)),
            false if inside.by_age.len() >= self.most => inside.by_age.iter().next(),
            false => None,
        };
        if let Some(number) = gives_way.map(|(number, _)| *number)
            && let Some(occupant) = inside.by_age.remove(&number)
        {
            tracing::debug!(source = %occupant.source, "a slow handshake gave way");
            occupant.task.abort();
        }
        let number = inside.next;
        inside.next += 1;
        inside.by_age.insert(number, Occupant { source, task });
        Slot { room: self.clone(), number }
    }

    /// Ends everybody's task.
    pub(super) fn close(&self) {
        self.inside.lock().by_age.values().for_each(|occupant| occupant.task.abort());
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.room.inside.lock().by_age.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([127, 0, 0, last])
    }

    #[tokio::test]
    async fn the_oldest_of_a_source_gives_way_to_its_own_and_the_oldest_of_all_when_there_is_no_room() {
        let room = Room::new(3, 2);
        let task = || tokio::spawn(pending::<()>());
        let (a, b, c, d, e) = (task(), task(), task(), task(), task());
        let _first = room.enter(address(1), a.abort_handle());
        let _second = room.enter(address(1), b.abort_handle());
        // The share of the address is used up.
        let _third = room.enter(address(1), c.abort_handle());
        assert!(a.await.unwrap_err().is_cancelled());
        let fourth = room.enter(address(2), d.abort_handle());
        // All of the room is.
        let _fifth = room.enter(address(3), e.abort_handle());
        assert!(b.await.unwrap_err().is_cancelled());
        assert!(!c.is_finished() && !d.is_finished() && !e.is_finished());
        // A place given back is free.
        drop(fourth);
        let _sixth = room.enter(address(3), task().abort_handle());
        assert!(!c.is_finished());
    }
}
