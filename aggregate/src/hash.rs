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

/// SipHash-1-3 of 128 bits (Aumasson and Bernstein 2012) of short texts, all at once: the general
/// one, which takes texts piece by piece, costs nearly twice as much.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShortHash {
    state: [u64; 4],
}

impl ShortHash {
    pub(crate) const fn new([low, high]: [u64; 2]) -> Self {
        let state = [
            low ^ 0x736f_6d65_7073_6575,
            high ^ 0x646f_7261_6e64_6f6d ^ 0xee,
            low ^ 0x6c79_6765_6e65_7261,
            high ^ 0x7465_6462_7974_6573,
        ];
        Self { state }
    }

    /// The lower and the upper half.
    #[inline]
    pub(crate) fn of(self, text: &[u8]) -> [u64; 2] {
        let mut state = self.state;
        let (words, rest) = text.as_chunks();
        for word in words {
            take(&mut state, u64::from_le_bytes(*word));
        }
        take(&mut state, last_bytes(rest) | (text.len() as u64) << 56);
        state[2] ^= 0xee;
        let low = finish(&mut state);
        state[1] ^= 0xdd;
        [low, finish(&mut state)]
    }
}

/// Fewer than eight bytes as a word.
#[inline]
fn last_bytes(bytes: &[u8]) -> u64 {
    let half = |at: usize| bytes[at..].first_chunk().map_or(0, |half| u32::from_le_bytes(*half));
    match bytes {
        [_, _, _, _, ..] => {
            let above = bytes.len() - 4;
            u64::from(half(0)) | u64::from(half(above)) << (8 * above)
        }
        _ => bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)),
    }
}

#[inline]
const fn take(state: &mut [u64; 4], word: u64) {
    state[3] ^= word;
    round(state);
    state[0] ^= word;
}

#[inline]
const fn finish(state: &mut [u64; 4]) -> u64 {
    round(state);
    round(state);
    round(state);
    state[0] ^ state[1] ^ state[2] ^ state[3]
}

#[inline]
const fn round([a, b, c, d]: &mut [u64; 4]) {
    *a = a.wrapping_add(*b);
    *b = b.rotate_left(13) ^ *a;
    *a = a.rotate_left(32);
    *c = c.wrapping_add(*d);
    *d = d.rotate_left(16) ^ *c;
    *a = a.wrapping_add(*d);
    *d = d.rotate_left(21) ^ *a;
    *c = c.wrapping_add(*b);
    *b = b.rotate_left(17) ^ *c;
    *c = c.rotate_left(32);
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
    fn a_short_hash_is_that_of_the_library() {
        let text: Vec<u8> = (0..100_u8).map(|at| at.wrapping_mul(37)).collect();
        let seed = [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210];
        for (start, length) in (0..8).flat_map(|start| (0..90).map(move |length| (start, length))) {
            let text = &text[start..start + length];
            let hasher = siphasher::sip128::SipHasher13::new_with_keys(seed[0], seed[1]);
            let (low, high) = hasher.hash(text).as_u64();
            assert_eq!(ShortHash::new(seed).of(text), [low, high], "{text:?}");
        }
    }

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
