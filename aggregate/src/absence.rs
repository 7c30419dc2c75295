//! Devices that were not heard to the end of their time at risk, until it is certain (detection 1).
//!
//! Each waits twice: for the short form of silence, which holds once the time at risk is over, and
//! for the learned one, which holds if the device stays away for longer than is usual for it. A
//! sign of life from before the moment at which a form holds takes it back; one from after it,
//! and records that come too late, change nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::device::Group;
use crate::state::{Reader, StateError, Writer};

/// The end of a time at risk, and whose it was.
pub(crate) type End = (i64, u32);

/// A silence that is certain: whose it is, in which group, and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Silent {
    pub(crate) at: u32,
    pub(crate) group: Group,
    /// End of the time at risk.
    pub(crate) end_ms: i64,
}

/// What waits to be certain.
#[derive(Clone, Debug, Default)]
pub(crate) struct Absences {
    short: BTreeMap<End, Group>,
    learned: BTreeMap<End, Learned>,
    /// The same by the moment at which the form holds; may hold outdated ones.
    queue: BTreeMap<(i64, u32), i64>,
    /// Nothing is certain before this: in its short form, and in its learned one.
    quiet_ms: [i64; 2],
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Learned {
    group: Group,
    holds_ms: i64,
}

impl Absences {
    /// Stores both lists; the queue is made anew.
    pub(crate) fn save(&self, out: &mut Writer) {
        out.put_all(self.short.iter());
        out.put_all(self.learned.iter());
    }

    pub(crate) fn load(&mut self, from: &mut Reader<'_>) -> Result<(), StateError> {
        self.short = from.take_all(Reader::take)?;
        self.learned = from.take_all(Reader::take)?;
        let holds = |(&(end_ms, at), learned): (&End, &Learned)| ((learned.holds_ms, at), end_ms);
        self.queue = self.learned.iter().map(holds).collect();
        self.quiet_ms = [i64::MIN; 2];
        Ok(())
    }

    /// A time at risk ended without the device.
    pub(crate) fn miss(&mut self, end: End, group: Group) {
        self.quiet_ms[0] = self.quiet_ms[0].min(end.0);
        self.short.insert(end, group);
    }

    /// The same for the learned form, which holds at `holds_ms` if nothing is heard before.
    pub(crate) fn miss_learned(&mut self, end: End, group: Group, holds_ms: i64) {
        self.quiet_ms[1] = self.quiet_ms[1].min(holds_ms);
        self.learned.insert(end, Learned { group, holds_ms });
        self.queue.insert((holds_ms, end.1), end.0);
    }

    /// A sign of life from within the time at risk: whether the short and the learned form were
    /// still waiting.
    pub(crate) fn take_back(&mut self, end: End) -> [Waiting; 2] {
        let waiting = |found: bool| if found { Waiting::Yes } else { Waiting::No };
        [waiting(self.short.remove(&end).is_some()), waiting(self.learned.remove(&end).is_some())]
    }

    /// A sign of life from after it.
    pub(crate) fn heard(&mut self, end: End, at_ms: i64) {
        if self.learned.get(&end).is_some_and(|learned| at_ms < learned.holds_ms) {
            self.learned.remove(&end);
        }
    }

    /// The next silence that is certain in its short form.
    #[inline]
    pub(crate) fn next_short(&mut self, certain_ms: i64) -> Option<Silent> {
        if certain_ms < self.quiet_ms[0] { None } else { self.pop_short(certain_ms) }
    }

    fn pop_short(&mut self, certain_ms: i64) -> Option<Silent> {
        let first = self.short.first_entry();
        self.quiet_ms[0] = first.as_ref().map_or(i64::MAX, |entry| entry.key().0);
        let entry = first.filter(|entry| entry.key().0 <= certain_ms)?;
        let ((end_ms, at), group) = entry.remove_entry();
        Some(Silent { at, group, end_ms })
    }

    /// The next silence that is certain in its learned form.
    #[inline]
    pub(crate) fn next_learned(&mut self, certain_ms: i64) -> Option<Silent> {
        if certain_ms < self.quiet_ms[1] { None } else { self.pop_learned(certain_ms) }
    }

    fn pop_learned(&mut self, certain_ms: i64) -> Option<Silent> {
        while let Some(entry) = self.queue.first_entry() {
            self.quiet_ms[1] = entry.key().0;
            if entry.key().0 > certain_ms {
                return None;
            }
            let ((holds_ms, at), end_ms) = entry.remove_entry();
            let still = |learned: &Learned| learned.holds_ms == holds_ms;
            if self.learned.get(&(end_ms, at)).is_some_and(still) {
                let learned = self.learned.remove(&(end_ms, at));
                return learned.map(|Learned { group, .. }| Silent { at, group, end_ms });
            }
        }
        self.quiet_ms[1] = i64::MAX;
        None
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.short.len() * 32 + self.learned.len() * 40 + self.queue.len() * 40
    }
}

/// Whether a form of silence was still waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    Yes,
    No,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_back_or_heard_in_time_is_never_handed_out() {
        let (group, mut absences) = (Group::default(), Absences::default());
        for at in 0..4 {
            absences.miss((100, at), group);
            absences.miss_learned((100, at), group, 150);
        }
        assert_eq!(absences.take_back((100, 0)), [Waiting::Yes; 2]);
        assert_eq!(absences.take_back((100, 0)), [Waiting::No; 2]);
        absences.heard((100, 1), 149);
        absences.heard((100, 2), 150);
        let short: Vec<_> = std::iter::from_fn(|| absences.next_short(100)).map(|s| s.at).collect();
        assert_eq!(short, [1, 2, 3]);
        assert_eq!(absences.next_learned(149), None);
        let learned: Vec<_> = std::iter::from_fn(|| absences.next_learned(150)).collect();
        assert_eq!(learned, [2, 3].map(|at| Silent { at, group, end_ms: 100 }));
    }
}
