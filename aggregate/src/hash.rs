//! The hasher of the fold's own tables: a seeded multiply and fold over small integers.
//!
//! Keys here are internal numbers and window starts. Windows follow from times that devices
//! choose, hence the seed; strings from devices go through [`SipHasher13`] instead.

use std::hash::{BuildHasher, Hasher};

use siphasher::sip::SipHasher13;

/// A hash map keyed by internal numbers.
pub(crate) type Map<K, V> = hashbrown::HashMap<K, V, NumberHash>;

/// Builds [`NumberHasher`]s of one seed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NumberHash {
    seed: u64,
}

/// Folds each word into the state with one 64 x 64 -> 128 bit multiplication.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NumberHasher {
    state: u64,
}

/// An odd number without pattern: the fraction of the golden ratio.
pub(crate) const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

impl NumberHash {
    pub(crate) const fn new(seed: [u64; 2]) -> Self {
        Self { seed: seed[0] ^ seed[1].rotate_left(32) ^ MULTIPLIER }
    }
}

impl BuildHasher for NumberHash {
    type Hasher = NumberHasher;
    fn build_hasher(&self) -> NumberHasher {
        NumberHasher { state: self.seed }
    }
}

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.state
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(u64::from(value));
    }

    fn write_u16(&mut self, value: u16) {
        self.write_u64(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        let wide = u128::from(self.state ^ value) * u128::from(MULTIPLIER);
        // Both halves as they are: keys that differ in high bits alone differ in low ones of this.
        self.state = (wide as u64) ^ (wide >> 64) as u64;
    }

    fn write_i64(&mut self, value: i64) {
        self.write_u64(value as u64);
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    fn write_isize(&mut self, value: isize) {
        self.write_u64(value as u64);
    }
}

/// Hash of a string that a device controls.
pub(crate) fn text_hash(seed: [u64; 2], text: &str) -> u64 {
    SipHasher13::new_with_keys(seed[0], seed[1]).hash(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn words_that_differ_in_few_bits_find_places_of_their_own() {
        for shift in [0, 8, 16, 24, 32, 40] {
            let hash = |word: u64| NumberHash::new([7, 7]).hash_one(word << shift);
            // What a table of 4,096 places looks at: the lowest bits, and the highest as a tag.
            let places: BTreeSet<u64> = (0..1_000).map(|word| hash(word) % 4_096).collect();
            let tags: BTreeSet<u64> = (0..1_000).map(|word| hash(word) >> 57).collect();
            assert!(places.len() > 800, "{} places of 1000 words << {shift}", places.len());
            assert!(tags.len() > 100, "{} tags of 1000 words << {shift}", tags.len());
        }
    }
}
