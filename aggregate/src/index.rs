//! From a device's hash to its number: a hash table that grows a small part at a time.
//!
//! ```text
//! hash │ 8 bits: shard │ 32 bits: bucket of the shard │ ... │ lowest bits: tag │
//! bucket: one cache line of 16 slots, filled from the first │ tag │ number │
//! ```
//! One table for all would stop a record for seconds while it grows to ten million devices; a shard
//! takes a millisecond. Growing by half leaves few slots empty. Numbers are all that is stored: who
//! asks says whether one is meant, and the tag, which has the bits that no number needs, spares it
//! nearly all that are not: each would be a wait for memory.
//! A clone shares the shards.

use crate::memory::{Shared, equal, prefetch};

/// Enough that the growth of one is no pause at 50 M devices, few enough to stay in the cache.
const SHARDS: usize = 256;

const SLOTS: usize = 16;

/// Slots of a bucket that are filled on average when the shard grows: beyond, full buckets and so
/// longer ways become usual.
const FILLED_MAX: usize = 13;

const EMPTY: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Bucket([u32; SLOTS]);

#[derive(Clone, Debug)]
struct Shard {
    buckets: Shared<Bucket>,
    count: usize,
    /// The bits of a slot that are the number; those above are the tag.
    numbers: u32,
}

/// Numbers of devices by hash; never forgets one.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    shards: Vec<Shard>,
    /// The bits that the greatest number can have.
    bits_max: u32,
}

impl Index {
    /// For numbers below `count_max`, which is less than 2^31, given from 0 on; with room for
    /// `count`.
    pub(crate) fn with_capacity(count_max: u32, count: usize) -> Self {
        assert!(count_max <= Self::COUNT_MAX, "a slot has a bit for the tag");
        let bits_max = u32::MAX >> count_max.leading_zeros();
        let buckets = (count / SHARDS).div_ceil(FILLED_MAX).max(1);
        let numbers = bits_for(count.min(count_max as usize) as u32).min(bits_max);
        let shard = || Shard { buckets: empty(buckets), count: 0, numbers };
        Self { shards: std::iter::repeat_with(shard).take(SHARDS).collect(), bits_max }
    }

    /// The greatest bound on numbers: a slot has a bit for the tag.
    pub(crate) const COUNT_MAX: u32 = (1 << 31) - 1;

    /// The number under this hash that is meant.
    #[inline]
    pub(crate) fn find(&self, hash: u64, is_meant: impl Fn(u32) -> bool) -> Option<u32> {
        let shard = &self.shards[shard(hash)];
        let (buckets, tag) = (&shard.buckets[..], shard.tag(hash));
        let mut at = home(hash, buckets.len());
        loop {
            let bucket = &buckets[at];
            let mut alike = bucket.alike(tag, !shard.numbers);
            while alike != 0 {
                let number = bucket.0[alike.trailing_zeros() as usize % SLOTS] & shard.numbers;
                if is_meant(number) {
                    return Some(number);
                }
                alike &= alike - 1;
            }
            if bucket.0[SLOTS - 1] == EMPTY {
                return None;
            }
            at = next(at, buckets.len());
        }
    }

    /// Asks for the bucket in which a hash is looked up first.
    #[inline]
    pub(crate) fn prefetch(&self, hash: u64) {
        let buckets = &self.shards[shard(hash)].buckets;
        prefetch(&buckets[home(hash, buckets.len())]);
    }

    /// The first number that may be meant, by its tag in the bucket that is looked at first.
    #[inline]
    pub(crate) fn guess(&self, hash: u64) -> Option<u32> {
        let shard = &self.shards[shard(hash)];
        let bucket = &shard.buckets[home(hash, shard.buckets.len())];
        let alike = bucket.alike(shard.tag(hash), !shard.numbers);
        (alike != 0).then(|| bucket.0[alike.trailing_zeros() as usize % SLOTS] & shard.numbers)
    }

    /// Adds a number above all that are there; `hash_of` gives the hash of one that is.
    pub(crate) fn insert(&mut self, hash: u64, number: u32, hash_of: impl Fn(u32) -> u64) {
        debug_assert!(number <= self.bits_max, "{number} is beyond the bound");
        let shard = &mut self.shards[shard(hash)];
        let is_full = shard.count >= shard.buckets.len() * FILLED_MAX;
        if is_full || number > shard.numbers {
            let more = if is_full { shard.buckets.len().div_ceil(2) } else { 0 };
            let numbers = bits_for(number).min(self.bits_max);
            shard.rebuild(shard.buckets.len() + more, numbers, hash_of);
        }
        shard.count += 1;
        let slot = shard.tag(hash) | number;
        put(shard.buckets.own(), hash, slot);
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.shards.iter().map(|shard| size_of::<Shard>() + size_of_val(&*shard.buckets)).sum()
    }
}

impl Shard {
    /// Never all ones: so no slot that is taken looks empty, nor an empty one taken.
    #[inline]
    const fn tag(&self, hash: u64) -> u32 {
        let tag = hash as u32 & !self.numbers;
        if tag == !self.numbers { 0 } else { tag }
    }

    #[cold]
    fn rebuild(&mut self, buckets: usize, numbers: u32, hash_of: impl Fn(u32) -> u64) {
        let before = Self { buckets: empty(buckets), count: self.count, numbers };
        let before = std::mem::replace(self, before);
        for &slot in before.buckets.iter().flat_map(|bucket| &bucket.0) {
            if slot != EMPTY {
                let number = slot & before.numbers;
                let hash = hash_of(number);
                let slot = self.tag(hash) | number;
                put(self.buckets.own(), hash, slot);
            }
        }
    }
}

impl Bucket {
    /// The slots that have this tag, as bits.
    #[inline]
    fn alike(&self, tag: u32, tags: u32) -> u32 {
        equal(&self.0, tag, tags)
    }
}

/// The bits that a shard gives to numbers when `number` is the greatest: one more than it has, as
/// a shard grows by half, and so is made anew before they are too few.
const fn bits_for(number: u32) -> u32 {
    u32::MAX >> number.leading_zeros().saturating_sub(1)
}

fn empty(buckets: usize) -> Shared<Bucket> {
    std::iter::repeat_n(Bucket([EMPTY; SLOTS]), buckets).collect()
}

/// Puts a slot into the first bucket from its own on that has room: one has, or the shard grows.
fn put(buckets: &mut [Bucket], hash: u64, slot: u32) {
    let mut at = home(hash, buckets.len());
    loop {
        let free = buckets[at].0.iter_mut().find(|slot| **slot == EMPTY);
        if let Some(free) = free {
            *free = slot;
            return;
        }
        at = next(at, buckets.len());
    }
}

const fn shard(hash: u64) -> usize {
    (hash >> 56) as usize % SHARDS
}

/// The bucket that a hash belongs to: its 32 bits behind the shard's as a fraction of all.
#[inline]
const fn home(hash: u64, buckets: usize) -> usize {
    (((hash >> 24 & 0xffff_ffff) * buckets as u64) >> 32) as usize
}

const fn next(at: usize, buckets: usize) -> usize {
    if at + 1 == buckets { 0 } else { at + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hash of a number, as good as the seeded one.
    fn mix(number: u32) -> u64 {
        let word = u64::from(number).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let word = (word ^ word >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
        word ^ word >> 32
    }

    #[test]
    fn every_number_is_found_while_the_table_grows_and_nobody_else() {
        let all = Index::COUNT_MAX;
        for (first, count_max, capacity) in
            [(0, 100_000, 0), (0, all, 100_000), (1 << 20, all, 10), (all - 100_000, all, 0)]
        {
            let mut index = Index::with_capacity(count_max, capacity);
            for number in first..first + 100_000 {
                assert_eq!(index.find(mix(number), |it| it == number), None);
                index.insert(mix(number), number, mix);
                assert_eq!(index.find(mix(number), |it| it == number), Some(number));
            }
            for number in first..first + 100_000 {
                assert_eq!(index.find(mix(number), |it| it == number), Some(number));
                index.prefetch(mix(number));
            }
        }
    }

    #[test]
    fn hashes_that_share_a_bucket_and_a_tag_are_told_apart_by_who_asks() {
        let mut index = Index::with_capacity(Index::COUNT_MAX, 0);
        for number in 0..100 {
            index.insert(7, number, |_| 7);
        }
        for number in 0..100 {
            assert_eq!(index.find(7, |it| it == number), Some(number));
        }
        assert_eq!(index.find(7, |_| false), None);
    }

    #[test]
    fn a_tag_is_never_taken_for_an_empty_slot() {
        let mut index = Index::with_capacity(Index::COUNT_MAX, 0);
        let ones = u64::from(u32::MAX);
        assert_eq!((index.find(ones, |_| true), index.guess(ones)), (None, None));
        for number in [(1 << 20) - 1, Index::COUNT_MAX] {
            index.insert(ones, number, |_| ones);
            assert_eq!(index.find(ones, |it| it == number), Some(number));
        }
        assert_eq!(index.guess(ones), Some((1 << 20) - 1));
    }

    #[test]
    fn most_slots_are_taken_and_a_guess_is_mostly_right() {
        let mut index = Index::with_capacity(Index::COUNT_MAX, 0);
        let mut bytes_max = 0;
        for number in 0..300_000 {
            index.insert(mix(number), number, mix);
            if number > 100_000 {
                bytes_max = bytes_max.max(index.memory_bytes() * 10 / number as usize);
            }
        }
        assert!(bytes_max <= 77, "{bytes_max} tenths of a byte for a number");
        let right = (0..300_000).filter(|&number| index.guess(mix(number)) == Some(number)).count();
        assert!(right > 285_000, "{right} of 300000 guesses");
        let asked = std::cell::Cell::new(0);
        let is_meant = |it, number| {
            asked.set(asked.get() + 1);
            it == number
        };
        let found = (0..300_000)
            .filter(|&number| index.find(mix(number), |it| is_meant(it, number)) == Some(number));
        assert_eq!(found.count(), 300_000);
        assert!(asked.get() < 302_000, "{} devices looked at for 300000", asked.get());
        // Where numbers are as great as the bound allows, the tag has what the bound leaves.
        let mut full = Index::with_capacity(50_000_000, 0);
        full.insert(mix(1), 49_999_999, mix);
        let numbers = [Index::with_capacity(50_000_000, 50_000_000), full]
            .map(|index| index.shards.iter().map(|shard| shard.numbers).max());
        assert_eq!(numbers, [Some((1 << 26) - 1); 2]);
    }
}
