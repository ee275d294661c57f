//! Who may be on a server without having proved anything. Every connection is accepted; what is bounded is how many are
//! at one stage of their way, in all and from one address. Where a newcomer finds no room, the oldest one gives way to
//! it: who is slow on purpose can only push out itself and its like, since an honest client is through in a few round
//! trips.

use crate::clock;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use prometheus::IntCounter;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    future::poll_fn,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::Instant;

/// Ends one connection from outside of its task.
#[derive(Debug, Default)]
pub(super) struct Ender {
    is_ended: AtomicBool,
    /// Whoever looks after the connection: first its handshake, then whoever reads from it.
    waker: AtomicWaker,
}

impl Ender {
    pub(super) fn end(&self) {
        self.is_ended.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Whether it is over; if it is not, the task is woken when it is.
    pub(super) fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        // Registered before looking, so that an end in between is not missed.
        self.waker.register(cx.waker());
        if self.is_ended() { Poll::Ready(()) } else { Poll::Pending }
    }

    pub(super) fn is_ended(&self) -> bool {
        self.is_ended.load(Ordering::Acquire)
    }

    pub(super) async fn ended(&self) {
        poll_fn(|cx| self.poll(cx)).await;
    }
}

/// Room for connections at one stage.
#[derive(Debug)]
pub(super) struct Room {
    most: usize,
    most_of_one_source: usize,
    gave_way: IntCounter,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    next: u64,
    /// In the order in which they came.
    by_age: BTreeMap<u64, Occupant>,
    by_source: HashMap<IpAddr, BTreeSet<u64>>,
}

#[derive(Debug)]
struct Occupant {
    source: IpAddr,
    since: Instant,
    ender: Arc<Ender>,
}

/// A place; given back when dropped.
#[derive(Debug)]
struct Slot {
    room: Arc<Room>,
    number: u64,
}

impl Room {
    pub(super) fn new(most: usize, most_of_one_source: usize, gave_way: IntCounter) -> Arc<Self> {
        Arc::new(Room { most, most_of_one_source, gave_way, inside: Mutex::default() })
    }

    /// Takes a place for a connection; ends the one that has to give way, if one has to.
    fn enter(self: &Arc<Self>, source: IpAddr, ender: Arc<Ender>) -> Slot {
        let mut inside = self.inside.lock();
        let theirs = inside.by_source.get(&source);
        let gives_way = match theirs {
            Some(theirs) if theirs.len() >= self.most_of_one_source => theirs.first().copied(),
            _ if inside.by_age.len() >= self.most => inside.by_age.keys().next().copied(),
            _ => None,
        };
        if let Some(occupant) = gives_way.and_then(|number| inside.remove(number)) {
            tracing::debug!(source = %occupant.source, "an idle connection or slow handshake gave way");
            self.gave_way.inc();
            occupant.ender.end();
        }
        let number = inside.next;
        inside.next += 1;
        inside.by_age.insert(number, Occupant { source, since: clock::now(), ender });
        inside.by_source.entry(source).or_default().insert(number);
        Slot { room: self.clone(), number }
    }

    /// Ends whoever has been here for longer; how many these are.
    pub(super) fn end_older_than(&self, limit: Duration) -> u64 {
        let mut inside = self.inside.lock();
        let mut ended = 0;
        while let Some((number, oldest)) = inside.by_age.first_key_value()
            && clock::since(oldest.since) >= limit
        {
            let number = *number;
            if let Some(occupant) = inside.remove(number) {
                occupant.ender.end();
                ended += 1;
            }
        }
        ended
    }

    /// Ends everybody.
    pub(super) fn end_all(&self) {
        self.inside.lock().by_age.values().for_each(|occupant| occupant.ender.end());
    }
}

impl Inside {
    fn remove(&mut self, number: u64) -> Option<Occupant> {
        let occupant = self.by_age.remove(&number)?;
        if let Some(theirs) = self.by_source.get_mut(&occupant.source) {
            theirs.remove(&number);
            if theirs.is_empty() {
                self.by_source.remove(&occupant.source);
            }
        }
        Some(occupant)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.room.inside.lock().remove(self.number);
    }
}

/// A connection's place in a room, which it leaves while something is held on it.
#[derive(Debug)]
pub(super) struct Seat {
    room: Arc<Room>,
    source: IpAddr,
    ender: Arc<Ender>,
    state: Mutex<SeatState>,
}

#[derive(Debug)]
struct SeatState {
    holds: usize,
    is_closed: bool,
    slot: Option<Slot>,
}

impl Seat {
    pub(super) fn take(room: &Arc<Room>, source: IpAddr, ender: &Arc<Ender>) -> Arc<Self> {
        let slot = Some(room.enter(source, ender.clone()));
        let state = Mutex::new(SeatState { holds: 0, is_closed: false, slot });
        Arc::new(Seat { room: room.clone(), source, ender: ender.clone(), state })
    }

    /// Out of the room until the last hold is dropped.
    pub(super) fn hold(self: &Arc<Self>) -> Hold {
        let mut state = self.state.lock();
        state.holds += 1;
        drop(state.slot.take());
        Hold(self.clone())
    }

    /// The connection is gone, whoever still knows of it.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.is_closed = true;
        drop(state.slot.take());
    }
}

/// Keeps a connection from being idle.
#[derive(Debug)]
pub(super) struct Hold(Arc<Seat>);

impl Drop for Hold {
    fn drop(&mut self) {
        let Hold(seat) = self;
        let mut state = seat.state.lock();
        state.holds -= 1;
        if state.holds == 0 && !state.is_closed {
            state.slot = Some(seat.room.enter(seat.source, seat.ender.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGE: Duration = Duration::from_secs(60);

    fn address(last: u8) -> IpAddr {
        IpAddr::from([127, 0, 0, last])
    }

    fn room(most: usize, most_of_one_source: usize) -> Arc<Room> {
        Room::new(most, most_of_one_source, IntCounter::new("gave_way", "-").unwrap())
    }

    fn enders<const N: usize>() -> [Arc<Ender>; N] {
        std::array::from_fn(|_| Arc::default())
    }

    fn ended<const N: usize>(enders: &[Arc<Ender>; N]) -> [bool; N] {
        std::array::from_fn(|at| enders[at].is_ended())
    }

    #[test]
    fn the_oldest_of_a_source_gives_way_to_its_own_and_the_oldest_of_all_when_there_is_no_room() {
        let room = room(3, 2);
        let enders = enders::<6>();
        let enter = |from: u8, which: usize| room.enter(address(from), enders[which].clone());
        // The third is one too many for the address.
        let _slots = (enter(1, 0), enter(1, 1), enter(1, 2));
        assert_eq!(ended(&enders), [true, false, false, false, false, false]);
        // The fifth is one too many for the room.
        let fourth = enter(2, 3);
        let _fifth = enter(3, 4);
        assert_eq!(ended(&enders), [true, true, false, false, false, false]);
        // A place given back is free.
        drop(fourth);
        let _sixth = enter(3, 5);
        assert_eq!(ended(&enders), [true, true, false, false, false, false]);
        assert_eq!(room.gave_way.get(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_there_for_too_long_is_ended_and_who_is_held_begins_anew() {
        let room = room(9, 9);
        let enders = enders::<3>();
        let [silent, held, closed] = &enders;
        let (_silent, seat) = (Seat::take(&room, address(1), silent), Seat::take(&room, address(1), held));
        let gone = Seat::take(&room, address(1), closed);
        let (first, second, last) = (seat.hold(), seat.hold(), gone.hold());
        gone.close();
        tokio::time::advance(AGE).await;
        assert_eq!((room.end_older_than(AGE), ended(&enders)), (1, [true, false, false]));
        drop(first);
        assert!(room.inside.lock().by_age.is_empty());
        // The connection is gone before its call is.
        drop(last);
        drop(second);
        assert_eq!(room.inside.lock().by_source[&address(1)].len(), 1);
        assert_eq!(room.end_older_than(AGE), 0);
        tokio::time::advance(AGE).await;
        assert_eq!((room.end_older_than(AGE), ended(&enders)), (1, [true, true, false]));
    }
}
