//! The quiet period: an event affects its device only if the device had none of the same signal
//! for a while before it, whatever its arm (detection 1).

use std::hash::Hash;

use schemas::{Span, Timestamp};
use serde::{Deserialize, Serialize};

use crate::hash::{Map, NumberHash};
use crate::state::{Reader, StateError, Writer};

/// A device, and how often it was reset: what was known of it before says nothing of it now.
pub(crate) type User = (u32, u32);

/// Enough that 16 M events are 60,000 a part.
const PARTS: usize = 256;

/// Last event by device and kind of harm, of those that had one lately.
#[derive(Clone, Debug)]
pub(crate) struct Onsets<K> {
    /// In parts by device: to let one grow to its share of millions is no pause.
    parts: Vec<Map<(User, K), Timestamp>>,
    count: usize,
    count_max: usize,
    refused: u64,
}

impl<K: Copy + Ord + Hash> Onsets<K> {
    pub(crate) fn new(hash: NumberHash, count_max: usize) -> Self {
        let parts = std::iter::repeat_n(Map::with_hasher(hash), PARTS).collect();
        Self { parts, count: 0, count_max, refused: 0 }
    }

    /// Stores the last events by device and kind.
    pub(crate) fn save(&self, out: &mut Writer)
    where
        K: Serialize,
    {
        out.put(&self.refused);
        let mut last: Vec<_> = self.parts.iter().flatten().collect();
        last.sort_unstable();
        out.put_all(last.into_iter());
    }

    pub(crate) fn load<'a>(&mut self, from: &mut Reader<'a>) -> Result<(), StateError>
    where
        K: Deserialize<'a>,
    {
        self.refused = from.take()?;
        let last: Vec<((User, K), Timestamp)> = from.take_all(Reader::take)?;
        self.count = last.len();
        for ((user, kind), time) in last {
            self.part(user).insert((user, kind), time);
        }
        Ok(())
    }

    /// An event of a kind: 1 if it affects the device, else 0.
    pub(crate) fn affected(&mut self, user: User, kind: K, time: Timestamp, quiet: Span) -> i64 {
        if let Some(last) = self.part(user).get_mut(&(user, kind)) {
            let quiet_until = *last + quiet;
            *last = time.max(*last);
            return i64::from(time >= quiet_until);
        }
        if self.count >= self.count_max {
            self.refused += 1;
            return 0;
        }
        self.count += 1;
        self.part(user).insert((user, kind), time);
        1
    }

    fn part(&mut self, (device, _): User) -> &mut Map<(User, K), Timestamp> {
        &mut self.parts[device as usize % PARTS]
    }

    /// Forgets events whose quiet period, by kind, is over at `now`.
    pub(crate) fn prune(&mut self, now: Timestamp, quiet: impl Fn(K) -> Span) {
        for part in &mut self.parts {
            part.retain(|(_, kind), last| *last + quiet(*kind) >= now);
        }
        self.count = self.parts.iter().map(Map::len).sum();
    }

    /// Every kind that something is remembered of.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = K> {
        self.parts.iter().flat_map(|part| part.keys().map(|(_, kind)| *kind))
    }

    pub(crate) const fn refused(&self) -> u64 {
        self.refused
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let capacity: usize = self.parts.iter().map(Map::capacity).sum();
        capacity * (size_of::<((User, K), Timestamp)>() + 1) + PARTS * size_of_val(&self.parts[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::Signal;

    #[test]
    fn an_event_affects_its_device_after_a_quiet_period_and_never_backwards() {
        let mut onsets = Onsets::new(NumberHash::new([1, 2]), 2);
        let mut at = |device: u32, hour: i64| {
            let time = Timestamp::YEAR_2000 + Span::hours(hour);
            onsets.affected((device, 0), Signal::OsCrash, time, Span::hours(10))
        };
        let seen = [100, 109, 118, 128, 60, 137, 148].map(|hour| at(1, hour));
        assert_eq!(seen, [1, 0, 0, 1, 0, 0, 1]);
        assert_eq!([at(2, 0), at(3, 0)], [1, 0], "the third device is beyond the bound");
        assert_eq!(onsets.refused(), 1);
    }

    #[test]
    fn pruning_forgets_only_what_is_over_and_a_reset_starts_anew() {
        let mut onsets = Onsets::new(NumberHash::new([1, 2]), 10);
        let hour = |hour: i64| Timestamp::YEAR_2000 + Span::hours(hour);
        let at = |onsets: &mut Onsets<Signal>, user, h| {
            onsets.affected(user, Signal::OsCrash, hour(h), Span::hours(10))
        };
        assert_eq!([at(&mut onsets, (1, 0), 0), at(&mut onsets, (2, 0), 5)], [1, 1]);
        onsets.prune(hour(11), |_| Span::hours(10));
        assert_eq!(onsets.kinds().count(), 1);
        assert_eq!([at(&mut onsets, (1, 0), 11), at(&mut onsets, (2, 0), 11)], [1, 0]);
        assert_eq!(at(&mut onsets, (2, 1), 11), 1);
    }
}
