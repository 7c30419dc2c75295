//! Rows by key, of which a few are added to again and again: where those stand is remembered.
//!
//! A record adds to rows that nearly always were added to lately: its window, ring and set of
//! changes. To compare a key with that of the row which shares a few bits with it costs a tenth
//! of hashing and looking it up.

use std::hash::Hash;

use crate::hash::{MULTIPLIER, Map, NumberHash};

/// A key with something cheap to tell it from those in use at the same time.
pub(crate) trait Key: Copy + Eq + Hash {
    /// A power of two, about the rows that are in use at a time: groups by open windows.
    const REMEMBERED: usize = 512;

    /// Differs where keys do, mostly.
    fn word(&self) -> u64;
}

/// Rows since they were taken.
#[derive(Clone, Debug)]
pub(crate) struct Recent<K, V> {
    rows: Vec<(K, V)>,
    places: Map<K, u32>,
    remembered: Vec<u32>,
}

impl<K: Key, V: Default> Recent<K, V> {
    pub(crate) fn new(hash: NumberHash) -> Self {
        const { assert!(K::REMEMBERED.is_power_of_two(), "a place is the highest bits of a word") };
        let remembered = vec![0; K::REMEMBERED];
        Self { rows: Vec::new(), places: Map::with_hasher(hash), remembered }
    }

    /// What stands under a key, made if nothing does.
    #[inline]
    pub(crate) fn row(&mut self, key: K) -> &mut V {
        let place = self.place(key);
        &mut self.rows[place].1
    }

    /// The number of a key's row, made if there is none: ascending from 0 in the order of sight.
    #[inline]
    pub(crate) fn place(&mut self, key: K) -> usize {
        let at = (key.word().wrapping_mul(MULTIPLIER) >> (64 - K::REMEMBERED.ilog2())) as usize;
        let place = self.remembered[at] as usize;
        match self.rows.get(place) {
            Some((known, _)) if *known == key => place,
            _ => self.find_or_add(key, at),
        }
    }

    #[inline(never)]
    fn find_or_add(&mut self, key: K, at: usize) -> usize {
        let next = self.rows.len() as u32;
        let place = *self.places.entry(key).or_insert(next);
        if place == next {
            self.rows.push((key, V::default()));
        }
        self.remembered[at] = place;
        place as usize
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The rows, in the order of their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &(K, V)> {
        self.rows.iter()
    }

    /// Takes the rows out, in the order of their numbers; the room is kept.
    pub(crate) fn drain(&mut self) -> impl ExactSizeIterator<Item = (K, V)> {
        self.places.clear();
        self.rows.drain(..)
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let places = self.places.capacity() * (size_of::<(K, u32)>() + 1);
        self.rows.capacity() * size_of::<(K, V)>() + places + K::REMEMBERED * 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Key for u64 {
        fn word(&self) -> u64 {
            // Only every second: pairs of keys share what is remembered.
            *self / 2
        }
    }

    #[test]
    fn rows_are_found_whether_remembered_or_not_and_start_anew_when_taken() {
        let mut recent: Recent<u64, u64> = Recent::new(NumberHash::new([1, 2]));
        for round in 0..3 {
            for key in (0..4_000).chain(0..4_000) {
                *recent.row(key) += key;
            }
            assert_eq!(recent.len(), 4_000);
            assert_eq!(recent.place(3_999 - round), 3_999 - round as usize);
            let rows: Vec<_> = recent.drain().collect();
            assert!(rows.iter().enumerate().all(|(at, row)| *row == (at as u64, 2 * at as u64)));
        }
        assert_eq!(recent.len(), 0);
    }
}
