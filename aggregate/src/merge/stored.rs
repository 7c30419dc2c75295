//! Keys and cells in stored state: each key once, cells that are zero not at all.
//!
//! A week of windows names the same few rings and sets of changes. Where a key comes up first it
//! stands in full, after the next number that is free; from then on its number stands for it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::state::{Reader, StateError, Writer};

/// Keys stored so far, by number.
#[derive(Debug)]
pub(super) struct Known<K> {
    numbers: BTreeMap<K, usize>,
    keys: Vec<K>,
    /// What probably comes next: windows name their keys in the same order.
    next: usize,
}

impl<K> Default for Known<K> {
    fn default() -> Self {
        Self { numbers: BTreeMap::new(), keys: Vec::new(), next: 0 }
    }
}

impl<K: Ord + Clone> Known<K> {
    /// Stores the key's number, and after a new number the key in full.
    pub(super) fn save<S: Serialize>(
        &mut self,
        key: &K,
        in_full: impl FnOnce() -> S,
        out: &mut Writer,
    ) {
        let expected = self.keys.get(self.next).is_some_and(|next| next == key);
        let found = if expected { Some(self.next) } else { self.numbers.get(key).copied() };
        let number = found.unwrap_or(self.keys.len());
        out.put(&number);
        if found.is_none() {
            self.numbers.insert(key.clone(), number);
            self.keys.push(key.clone());
            out.put(&in_full());
        }
        self.next = number + 1;
    }
}

/// The next key, which is one of those known or, read from what stands in full, joins them.
pub(super) fn load_key<'b, K: Clone, S: Deserialize<'b>>(
    known: &mut Vec<K>,
    key: impl FnOnce(S) -> K,
    from: &mut Reader<'b>,
) -> Result<K, StateError> {
    let number: usize = from.take()?;
    if number == known.len() {
        known.push(key(from.take()?));
    }
    known.get(number).cloned().ok_or(StateError::Damaged)
}

/// One bit for each cell that is not zero, and these.
pub(super) fn save_cells<const N: usize>(cells: &[i64; N], out: &mut Writer) {
    let present = |at: usize| u32::from(cells[at] != 0) << at;
    out.put(&(0..N).map(present).sum::<u32>());
    cells.iter().filter(|&&cell| cell != 0).for_each(|cell| out.put(cell));
}

pub(super) fn load_cells<const N: usize>(from: &mut Reader<'_>) -> Result<[i64; N], StateError> {
    let present: u32 = from.take()?;
    let mut cells = [0; N];
    for (at, cell) in cells.iter_mut().enumerate() {
        if present >> at & 1 == 1 {
            *cell = from.take()?;
        }
    }
    Ok(cells)
}
