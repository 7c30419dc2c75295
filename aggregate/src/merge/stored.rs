//! Keys and cells in stored state: each key once, cells that are zero not at all.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::state::{Reader, StateError, Writer};

/// Every key that stored sums have, by its number in their order.
#[derive(Debug)]
pub(super) struct Dictionary<'a, K>(BTreeMap<&'a K, usize>);

impl<'a, K: Ord> Dictionary<'a, K> {
    pub(super) fn of(keys: impl Iterator<Item = &'a K>) -> Self {
        let mut numbers: BTreeMap<_, _> = keys.map(|key| (key, 0)).collect();
        numbers.values_mut().zip(0..).for_each(|(number, at)| *number = at);
        Self(numbers)
    }

    /// The number of one of its keys.
    pub(super) fn number(&self, key: &K) -> usize {
        self.0[key]
    }

    pub(super) fn save(&self, out: &mut Writer)
    where
        K: Serialize,
    {
        out.put_all(self.0.keys());
    }
}

impl<K> Dictionary<'_, K> {
    /// The keys by their numbers.
    pub(super) fn load<'b>(from: &mut Reader<'b>) -> Result<Vec<K>, StateError>
    where
        K: Deserialize<'b>,
    {
        from.take_all(Reader::take)
    }
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
