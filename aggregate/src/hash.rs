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
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

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
        self.state = (wide as u64) ^ ((wide >> 64) as u64).rotate_left(23);
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
