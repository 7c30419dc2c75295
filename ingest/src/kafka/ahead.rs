//! What has been taken from the client and not yet handed out: a few records, so that whoever
//! handles them can see their keys before their turn comes.
//!
//! What is no record (an error, an end, a decision of the group) is always the last: nothing is
//! taken behind it before it is answered. A partition that is given up, or read from another place,
//! is dropped from here, as the client drops it from its own queues; one that is paused is kept
//! aside, because the client goes on behind what it has given us.

use std::collections::VecDeque;
use std::time::Duration;

use super::native::{Event, Fetched, Kind, Queue};

/// Records that are held at most; they are few bytes beside the client's own queue.
pub(super) const RECORDS_MAX: usize = 32;

/// What was taken from the queue.
pub(super) enum Taken {
    Record(Fetched),
    Other(Event),
}

/// Records in the order of the queue, and maybe one error or other event behind them.
#[derive(Default)]
pub(super) struct Ahead {
    taken: VecDeque<Taken>,
    /// Of paused partitions.
    aside: Vec<Taken>,
}

impl Ahead {
    pub(super) fn is_empty(&self) -> bool {
        self.taken.is_empty()
    }

    pub(super) fn next(&mut self) -> Option<Taken> {
        self.taken.pop_front()
    }

    /// Takes what is there without waiting.
    pub(super) fn fill(&mut self, queue: &Queue) {
        while self.taken.len() < RECORDS_MAX {
            match queue.poll(Duration::ZERO) {
                Some(event) => {
                    if !self.push(event) {
                        return;
                    }
                }
                None => return,
            }
        }
    }

    /// Puts an event behind the others; whether it was a record, so that more may follow.
    pub(super) fn push(&mut self, event: Event) -> bool {
        if !matches!(event.kind(), Kind::Fetch) {
            self.taken.push_back(Taken::Other(event));
            return false;
        }
        let Some(fetched) = event.fetched() else { return true };
        let is_record = fetched.message().failure().is_none();
        self.taken.push_back(Taken::Record(fetched));
        is_record
    }

    pub(super) fn records(&self) -> impl Iterator<Item = &Fetched> {
        self.taken.iter().filter_map(|taken| match taken {
            Taken::Record(fetched) => Some(fetched),
            Taken::Other(_) => None,
        })
    }

    /// Drops what is of the partitions that `is_it` names by topic and number.
    pub(super) fn forget(&mut self, is_it: impl Fn(&[u8], i32) -> bool) {
        self.taken.retain(|taken| !taken.is_of(&is_it));
        self.aside.retain(|taken| !taken.is_of(&is_it));
    }

    /// Hands out nothing of these partitions until they are resumed.
    pub(super) fn pause(&mut self, is_it: impl Fn(&[u8], i32) -> bool) {
        for taken in std::mem::take(&mut self.taken) {
            if taken.is_of(&is_it) {
                self.aside.push(taken);
            } else {
                self.taken.push_back(taken);
            }
        }
    }

    pub(super) fn resume(&mut self, is_it: impl Fn(&[u8], i32) -> bool) {
        let mut resumed: VecDeque<Taken> =
            self.aside.extract_if(.., |taken| taken.is_of(&is_it)).collect();
        resumed.append(&mut self.taken);
        self.taken = resumed;
    }
}

impl Taken {
    /// Whether it is of a partition that `is_it` names.
    fn is_of(&self, is_it: impl Fn(&[u8], i32) -> bool) -> bool {
        match self {
            Self::Record(fetched) => {
                let message = fetched.message();
                is_it(message.topic().to_bytes(), message.partition())
            }
            Self::Other(event) => {
                event.place().is_some_and(|it| is_it(it.topic.as_bytes(), it.partition))
            }
        }
    }
}
