//! A queue by time that keeps the order of equal times: what makes a simulation repeatable.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use schemas::Timestamp;

/// Items with a time; they leave by time, those of the same time in the order they came.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    heap: BinaryHeap<Reverse<Slot<T>>>,
    pushed: u64,
}

#[derive(Debug)]
struct Slot<T> {
    at: Timestamp,
    number: u64,
    item: T,
}

impl<T> Queue<T> {
    pub(crate) const fn new() -> Self {
        Self { heap: BinaryHeap::new(), pushed: 0 }
    }

    pub(crate) fn push(&mut self, at: Timestamp, item: T) {
        self.heap.push(Reverse(Slot { at, number: self.pushed, item }));
        self.pushed += 1;
    }

    /// The time of the next item.
    pub(crate) fn next_at(&self) -> Option<Timestamp> {
        self.heap.peek().map(|Reverse(slot)| slot.at)
    }

    pub(crate) fn pop(&mut self) -> Option<(Timestamp, T)> {
        self.heap.pop().map(|Reverse(slot)| (slot.at, slot.item))
    }
}

impl<T> Ord for Slot<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl<T> PartialOrd for Slot<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Slot<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Slot<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_leave_by_time_and_then_by_arrival() {
        let mut queue = Queue::new();
        for (at, name) in [(2, 'c'), (1, 'a'), (2, 'd'), (1, 'b')] {
            queue.push(Timestamp(at), name);
        }
        let order: String = std::iter::from_fn(|| queue.pop()).map(|(_, name)| name).collect();
        assert_eq!(order, "abcd");
    }
}
