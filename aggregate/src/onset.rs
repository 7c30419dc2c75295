//! The quiet period: an event affects its device only if the device had none of the same signal
//! for a while before it, whatever its arm (detection 1).

use std::hash::BuildHasher;
use std::marker::PhantomData;

use schemas::{Signal, Span, Timestamp};
use serde::{Deserialize, Serialize};

use crate::hash::NumberHash;
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

/// A hash table in one array, of slots that share no line: a fault looks at two tables that are
/// larger than a cache, and waits once for each. Where slots are taken, the next free one serves.
#[derive(Clone, Debug, Default)]
struct Part {
    slots: Vec<Slot>,
    count: usize,
}

#[derive(Clone, Copy, Debug)]
#[repr(align(16))]
struct Slot {
    key: u64,
    last: Timestamp,
}

impl Slot {
    /// No device has the greatest number.
    const EMPTY: Self = Self { key: u64::MAX, last: Timestamp::MIN };

    const fn is_taken(&self) -> bool {
        self.key != Self::EMPTY.key
    }
}

impl Part {
    /// For `count` events and a quarter more, when a fifth of the slots is free yet.
    fn with_room(count: usize) -> Self {
        Self { slots: vec![Slot::EMPTY; (count + count / 4) * 5 / 4 + 4], count: 0 }
    }

    /// Where a key stands, or would.
    #[inline]
    fn find(&self, hash: NumberHash, key: u64) -> Option<usize> {
        let length = self.slots.len();
        let mut at = ((u128::from(hash.hash_one(key)) * length as u128) >> 64) as usize;
        loop {
            let slot = self.slots.get(at)?;
            if slot.key == key || !slot.is_taken() {
                return Some(at);
            }
            at = if at + 1 == length { 0 } else { at + 1 };
        }
    }

    /// Adds a key that is not there.
    fn add(&mut self, hash: NumberHash, slot: Slot) {
        if self.count + 1 > self.slots.len() / 5 * 4 {
            let larger = Self::with_room(self.count + 1);
            let before = std::mem::replace(self, larger);
            before.iter().for_each(|slot| self.add(hash, *slot));
        }
        if let Some(at) = self.find(hash, slot.key) {
            self.slots[at] = slot;
            self.count += 1;
        }
    }

    fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().filter(|slot| slot.is_taken())
    }
}

/// Last event by device and kind of harm, of those that had one lately.
#[derive(Clone, Debug)]
pub(crate) struct Onsets<K> {
    hash: NumberHash,
    /// In parts by device: to let one grow to its share of millions is no pause.
    parts: Vec<Part>,
    count: usize,
    count_max: usize,
    refused: u64,
    kinds: PhantomData<K>,
}

impl<K: Kind> Onsets<K> {
    pub(crate) fn new(hash: NumberHash, count_max: usize) -> Self {
        let parts = vec![Part::default(); PARTS];
        Self { hash, parts, count: 0, count_max, refused: 0, kinds: PhantomData }
    }

    /// Stores the last events by device and kind.
    pub(crate) fn save(&self, out: &mut Writer)
    where
        K: Serialize,
    {
        out.put(&self.refused);
        let all = self.parts.iter().flat_map(Part::iter);
        let mut last: Vec<_> = all.map(|slot| (user_and_kind::<K>(slot.key), slot.last)).collect();
        last.sort_unstable();
        out.put_all(last.into_iter());
    }

    pub(crate) fn load<'a>(&mut self, from: &mut Reader<'a>) -> Result<(), StateError>
    where
        K: Deserialize<'a>,
    {
        self.refused = from.take()?;
        let events: Vec<((User, K), Timestamp)> = from.take_all(Reader::take)?;
        for ((user, kind), time) in events {
            let key = key(user, kind);
            match self.last(key) {
                Some(last) => *last = time.max(*last),
                None => self.add(key, time),
            }
        }
        Ok(())
    }

    /// An event of a kind: 1 if it affects the device, else 0.
    pub(crate) fn affected(&mut self, user: User, kind: K, time: Timestamp, quiet: Span) -> i64 {
        let key = key(user, kind);
        if let Some(last) = self.last(key) {
            let quiet_until = *last + quiet;
            *last = time.max(*last);
            return i64::from(time >= quiet_until);
        }
        if self.count >= self.count_max {
            self.refused += 1;
            return 0;
        }
        self.add(key, time);
        1
    }

    /// The last event under a key.
    #[inline]
    fn last(&mut self, key: u64) -> Option<&mut Timestamp> {
        let hash = self.hash;
        let part = self.part(key);
        let at = part.find(hash, key)?;
        let slot = &mut part.slots[at];
        slot.is_taken().then_some(&mut slot.last)
    }

    fn add(&mut self, key: u64, last: Timestamp) {
        let hash = self.hash;
        self.part(key).add(hash, Slot { key, last });
        self.count += 1;
    }

    #[inline]
    fn part(&mut self, key: u64) -> &mut Part {
        &mut self.parts[(key >> 32) as usize % PARTS]
    }

    /// Forgets events whose quiet period, by kind, is over at `now`.
    pub(crate) fn prune(&mut self, now: Timestamp, quiet: impl Fn(K) -> Span) {
        let stays = |slot: &&Slot| slot.last + quiet(user_and_kind(slot.key).1) >= now;
        for part in &mut self.parts {
            let count = part.iter().filter(stays).count();
            if count < part.count {
                let mut rest = Part::with_room(count);
                part.iter().filter(stays).for_each(|slot| rest.add(self.hash, *slot));
                *part = rest;
            }
        }
        self.count = self.parts.iter().map(|part| part.count).sum();
    }

    /// Every kind that something is remembered of.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = K> {
        self.parts.iter().flat_map(Part::iter).map(|slot| user_and_kind(slot.key).1)
    }

    pub(crate) const fn refused(&self) -> u64 {
        self.refused
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let slots: usize = self.parts.iter().map(|part| part.slots.capacity()).sum();
        slots * size_of::<Slot>() + PARTS * size_of::<Part>()
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
    fn however_many_there_are_each_is_found_and_room_is_not_wasted() {
        let mut onsets = Onsets::new(NumberHash::new([1, 2]), usize::MAX);
        let time = |device: u32| Timestamp::YEAR_2000 + Span::hours(i64::from(device % 100));
        for device in 0..300_000 {
            for signal in [Signal::OsCrash, Signal::AppHang] {
                let affected = |onsets: &mut Onsets<Signal>| {
                    onsets.affected((device, 0), signal, time(device), Span::hours(1))
                };
                assert_eq!([affected(&mut onsets), affected(&mut onsets)], [1, 0]);
            }
            if device > 100_000 && device % 10_000 == 0 {
                let bytes = onsets.memory_bytes() as f64 / (2.0 * f64::from(device));
                assert!(bytes < 26.0, "{bytes} bytes each of {device}");
            }
        }
        onsets.prune(Timestamp::YEAR_2000 + Span::hours(51), |_| Span::hours(1));
        assert_eq!(onsets.count, 300_000);
        for device in 0..300_000 {
            let known = device % 100 >= 50;
            let again = onsets.affected((device, 0), Signal::OsCrash, time(device), Span::hours(1));
            assert_eq!(again, i64::from(!known), "{device}");
        }
        let mut out = Writer::new(1);
        onsets.save(&mut out);
        let stored = out.finish();
        let mut loaded: Onsets<Signal> = Onsets::new(NumberHash::new([3, 4]), usize::MAX);
        loaded.load(&mut Reader::new(&stored, 1).unwrap()).unwrap();
        let mut out = Writer::new(1);
        loaded.save(&mut out);
        assert_eq!((loaded.count, out.finish()), (onsets.count, stored));
        loaded.prune(Timestamp::YEAR_2000 + Span::hours(1_000), |_| Span::hours(1));
        assert_eq!((loaded.count, loaded.kinds().count()), (0, 0));
        assert!(loaded.memory_bytes() < 30_000, "{}", loaded.memory_bytes());
        let again = |onsets: &mut Onsets<Signal>| {
            onsets.affected((7, 0), Signal::OsCrash, time(7), Span::hours(1))
        };
        assert_eq!([again(&mut loaded), again(&mut loaded), loaded.count as i64], [1, 0, 1]);
    }

    #[test]
    fn where_a_place_is_taken_the_next_one_serves_also_behind_the_end() {
        let hash = NumberHash::new([1, 2]);
        let mut part = Part::with_room(100);
        let home = |part: &Part, key| part.find(hash, key).unwrap();
        let last = part.slots.len() - 1;
        let keys: Vec<u64> = (0..).filter(|&key| home(&part, key) == last).take(3).collect();
        for (place, &key) in keys.iter().enumerate() {
            part.add(hash, Slot { key, last: Timestamp(place as i64) });
        }
        assert_eq!([keys[0], keys[1], keys[2]].map(|key| home(&part, key)), [last, 0, 1]);
        let found: Vec<i64> = keys.iter().map(|&key| part.slots[home(&part, key)].last.0).collect();
        assert_eq!(found, [0, 1, 2]);
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
