//! Room for bytes that are held on behalf of clients: the heads of requests under way, and of their bodies what is kept to be
//! sent again. One worker's: nothing here is shared between threads.

use std::{cell::Cell, rc::Rc};

/// So many bytes; a connection's are part of its worker's.
#[derive(Debug, Default)]
pub struct Room {
    left: Cell<usize>,
    part_of: Option<Rc<Room>>,
}

impl Room {
    /// So much.
    pub fn new(bytes: usize) -> Rc<Self> {
        Rc::new(Room { left: Cell::new(bytes), part_of: None })
    }

    /// So much of this, as far as others leave it.
    #[must_use]
    pub fn part(self: &Rc<Self>, bytes: usize) -> Rc<Self> {
        Rc::new(Room { left: Cell::new(bytes), part_of: Some(self.clone()) })
    }

    /// Takes all of it or nothing.
    pub fn take(&self, bytes: usize) -> bool {
        let Some(left) = self.left.get().checked_sub(bytes) else { return false };
        if self.part_of.as_ref().is_some_and(|whole| !whole.take(bytes)) {
            return false;
        }
        self.left.set(left);
        true
    }

    /// Gives back what was taken.
    pub fn give(&self, bytes: usize) {
        self.left.set(self.left.get() + bytes);
        if let Some(whole) = &self.part_of {
            whole.give(bytes);
        }
    }

    /// What nobody has taken.
    #[cfg(any(test, feature = "testing"))]
    pub fn left(&self) -> usize {
        self.left.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_bounded_by_itself_and_by_the_whole() {
        let whole = Room::new(10);
        let (one, two) = (whole.part(8), whole.part(8));
        assert!(one.take(8) && !one.take(1) && !two.take(3) && two.take(2));
        assert_eq!((whole.left(), one.left(), two.left()), (0, 0, 6));
        one.give(8);
        assert!(two.take(6));
        two.give(8);
        assert_eq!((whole.left(), one.left(), two.left()), (10, 8, 8));
    }
}
