//! The quiet period: an event affects its device only if the device had none of the same signal
//! for a while before it, whatever its arm (detection 1).

use std::marker::PhantomData;

use hashbrown::hash_map::Entry;
use schemas::{Signal, Span, Timestamp};
use serde::{Deserialize, Serialize};

use crate::hash::{Map, NumberHash};
use crate::intern::NameId;
use crate::measures::Fault;
use crate::state::{Reader, StateError, Writer};

/// A device, and how often it was reset: what was known of it before says nothing of it now.
pub(crate) type User = (u32, u32);

/// Enough that 16 M events are 60,000 a part.
const PARTS: usize = 256;

/// A kind of harm as a number below 2^24.
pub(crate) trait Kind: Copy + Ord {
    fn number(self) -> u32;
    /// The kind that has a number.
    fn of(number: u32) -> Self;
}

impl Kind for Signal {
    #[inline]
    fn number(self) -> u32 {
        self as u32
    }

    fn of(number: u32) -> Self {
        Self::ALL[number as usize]
    }
}

impl Kind for Fault {
    #[inline]
    fn number(self) -> u32 {
        self.signal.number() << 16 | u32::from(self.signature.0)
    }

    fn of(number: u32) -> Self {
        Self { signal: Signal::of(number >> 16), signature: NameId(number as u16) }
    }
}

/// Device, kind and the lowest bits of the resets in one word: nobody resets a device 256 times
/// within a quiet period, and a word less is a third of what millions of events take.
#[inline]
fn key<K: Kind>((device, resets): User, kind: K) -> u64 {
    u64::from(device) << 32 | u64::from(kind.number()) << 8 | u64::from(resets as u8)
}

fn user_and_kind<K: Kind>(key: u64) -> (User, K) {
    (((key >> 32) as u32, u32::from(key as u8)), K::of(key as u32 >> 8))
}

/// Last event by device and kind of harm, of those that had one lately.
#[derive(Clone, Debug)]
pub(crate) struct Onsets<K> {
    /// In parts by device: to let one grow to its share of millions is no pause.
    parts: Vec<Map<u64, Timestamp>>,
    count: usize,
    count_max: usize,
    refused: u64,
    kinds: PhantomData<K>,
}

impl<K: Kind> Onsets<K> {
    pub(crate) fn new(hash: NumberHash, count_max: usize) -> Self {
        let parts = std::iter::repeat_n(Map::with_hasher(hash), PARTS).collect();
        Self { parts, count: 0, count_max, refused: 0, kinds: PhantomData }
    }

    /// Stores the last events by device and kind.
    pub(crate) fn save(&self, out: &mut Writer)
    where
        K: Serialize,
    {
        out.put(&self.refused);
        let all = self.parts.iter().flatten();
        let mut last: Vec<_> = all.map(|(key, time)| (user_and_kind::<K>(*key), *time)).collect();
        last.sort_unstable();
        out.put_all(last.into_iter());
    }

    pub(crate) fn load<'a>(&mut self, from: &mut Reader<'a>) -> Result<(), StateError>
    where
        K: Deserialize<'a>,
    {
        self.refused = from.take()?;
        let last: Vec<((User, K), Timestamp)> = from.take_all(Reader::take)?;
        for ((user, kind), time) in last {
            let known = self.part(user).entry(key(user, kind)).or_insert(time);
            *known = time.max(*known);
        }
        self.recount();
        Ok(())
    }

    /// An event of a kind: 1 if it affects the device, else 0.
    pub(crate) fn affected(&mut self, user: User, kind: K, time: Timestamp, quiet: Span) -> i64 {
        let is_full = self.count >= self.count_max;
        match self.part(user).entry(key(user, kind)) {
            Entry::Occupied(mut last) => {
                let last = last.get_mut();
                let quiet_until = *last + quiet;
                *last = time.max(*last);
                i64::from(time >= quiet_until)
            }
            Entry::Vacant(_) if is_full => {
                self.refused += 1;
                0
            }
            Entry::Vacant(first) => {
                first.insert(time);
                self.count += 1;
                1
            }
        }
    }

    #[inline]
    fn part(&mut self, (device, _): User) -> &mut Map<u64, Timestamp> {
        &mut self.parts[device as usize % PARTS]
    }

    /// Forgets events whose quiet period, by kind, is over at `now`.
    pub(crate) fn prune(&mut self, now: Timestamp, quiet: impl Fn(K) -> Span) {
        for part in &mut self.parts {
            part.retain(|key, last| *last + quiet(user_and_kind(*key).1) >= now);
        }
        self.recount();
    }

    fn recount(&mut self) {
        self.count = self.parts.iter().map(Map::len).sum();
    }

    /// Every kind that something is remembered of.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = K> {
        self.parts.iter().flat_map(|part| part.keys().map(|key| user_and_kind(*key).1))
    }

    pub(crate) const fn refused(&self) -> u64 {
        self.refused
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let capacity: usize = self.parts.iter().map(Map::capacity).sum();
        capacity * (size_of::<(u64, Timestamp)>() + 1) + PARTS * size_of_val(&self.parts[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_gives_its_device_resets_and_kind_again() {
        for signal in Signal::ALL {
            for (device, resets) in [(0, 0), (u32::MAX, 255), (1, 7)] {
                let user = (device, resets);
                assert_eq!(user_and_kind(key(user, signal)), (user, signal));
                for signature in [0, 1, u16::MAX].map(NameId) {
                    let fault = Fault { signal, signature };
                    assert_eq!(user_and_kind(key(user, fault)), (user, fault));
                }
            }
        }
    }

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
