//! Sums of one window of one dataset, and their expansion from sets of changes to change x arm.
//!
//! ```text
//! (ring, scope) ─► change NULL                        the whole ring
//!               ├► each change in the set, treated
//!               └► each tracked change not in it, control       (control = whole - treated)
//! ```
//! The expansion is linear but for `device_seconds`, which rounds down by row. So what a cut writes
//! is the expansion of all that is known now less the expansion of all that was known at the cut
//! before: milliseconds left over then count now, and a change that became known since gets its
//! control share of what was written without it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schemas::delta::Scope;
use serde::{Deserialize, Serialize};

use super::stored::{self, Known};
use crate::state::{Reader, StateError, Writer};

/// Which devices of a ring a row counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Arm {
    Control,
    Treated,
}

impl Arm {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Treated => "treated",
        }
    }
}

/// What the cells of a dataset mean to the expansion.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// Cells that stand in rows without a change only.
    pub whole_only: &'static [usize],
    /// The cell summed in milliseconds and written in whole seconds.
    pub millis: Option<usize>,
}

/// Key of a row within its window, in the order of the file: change NULL first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RowKey<'a, D> {
    pub change: Option<&'a str>,
    pub ring: &'a str,
    pub arm: Option<Arm>,
    pub detail: &'a D,
}

type Rows<'a, D, const N: usize> = BTreeMap<RowKey<'a, D>, [i64; N]>;

/// Ring, scope and what else the dataset is keyed by.
pub(super) type Key<D> = (Arc<str>, Scope, D);

/// Sums by key.
#[derive(Debug)]
struct Sums<D, const N: usize>(BTreeMap<Key<D>, [i64; N]>);

/// One window in one dataset: what is in the files, and what has come since.
#[derive(Debug)]
pub(super) struct Sheet<D, const N: usize> {
    written: Sums<D, N>,
    fresh: Sums<D, N>,
    revision: i64,
}

/// What a cut knows of the world at one window.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    pub rings: &'a BTreeSet<Arc<str>>,
    /// Changes with an arm in this window: now, and when the window was last cut. In name order.
    pub tracked: &'a [Arc<str>],
    pub tracked_before: &'a [Arc<str>],
}

impl Rules {
    fn of_change<const N: usize>(self, cells: &[i64; N]) -> [i64; N] {
        let mut part = *cells;
        self.whole_only.iter().for_each(|&cell| part[cell] = 0);
        part
    }

    fn in_table<const N: usize>(self, cells: &[i64; N]) -> [i64; N] {
        let mut table = *cells;
        self.millis.iter().for_each(|&cell| table[cell] = cells[cell].div_euclid(1_000));
        table
    }

    /// What of a finished window still matters to rows that arrive late: the time at risk, because
    /// it is rounded.
    fn settled<const N: usize>(self, cells: &[i64; N]) -> [i64; N] {
        let mut rest = [0; N];
        self.millis.iter().for_each(|&cell| rest[cell] = cells[cell]);
        rest
    }
}

fn add_cells<const N: usize>(sum: &mut [i64; N], cells: &[i64; N]) {
    for (sum, cell) in sum.iter_mut().zip(cells) {
        *sum += cell;
    }
}

impl<D: Ord, const N: usize> Sums<D, N> {
    const fn new() -> Self {
        Self(BTreeMap::new())
    }

    fn add(&mut self, key: Key<D>, cells: &[i64; N]) {
        add_cells(self.0.entry(key).or_insert([0; N]), cells);
    }

    fn save<'a>(&'a self, known: &mut Known<'a, Key<D>>, out: &mut Writer)
    where
        D: Serialize,
    {
        out.put(&self.0.len());
        for (key, cells) in &self.0 {
            known.save(key, out);
            stored::save_cells(cells, out);
        }
    }

    fn load<'b>(known: &mut Vec<Key<D>>, from: &mut Reader<'b>) -> Result<Self, StateError>
    where
        D: Clone + Deserialize<'b>,
    {
        let row =
            |from: &mut Reader<'b>| Ok((stored::load_key(known, from)?, stored::load_cells(from)?));
        from.take_all(row).map(Self)
    }

    fn expand<'a>(
        &'a self,
        rows: &mut Rows<'a, D, N>,
        rules: Rules,
        rings: &BTreeSet<Arc<str>>,
        tracked: &'a [Arc<str>],
    ) {
        for ((ring, scope, detail), cells) in &self.0 {
            let mut add = |change: Option<&'a Arc<str>>, arm, cells: &[i64; N]| {
                let change = change.map(AsRef::as_ref);
                let row = rows.entry(RowKey { change, ring, arm, detail }).or_insert([0; N]);
                add_cells(row, cells);
            };
            add(None, None, cells);
            let part = rules.of_change(cells);
            if part == [0; N] || !rings.contains(ring) {
                continue;
            }
            match scope {
                Scope::Change(change) => add(Some(change), Some(Arm::Treated), &part),
                Scope::Set(set) => {
                    set.iter().for_each(|change| add(Some(change), Some(Arm::Treated), &part));
                    let others =
                        tracked.iter().filter(|&change| set.binary_search(change).is_err());
                    others.for_each(|change| add(Some(change), Some(Arm::Control), &part));
                }
            }
        }
    }
}

impl<D: Ord, const N: usize> Sheet<D, N> {
    /// A window whose first rows will carry `revision`.
    pub(super) const fn new(revision: i64) -> Self {
        Self { written: Sums::new(), fresh: Sums::new(), revision }
    }

    pub(super) fn save<'a>(&'a self, known: &mut Known<'a, Key<D>>, out: &mut Writer)
    where
        D: Serialize,
    {
        out.put(&self.revision);
        self.written.save(known, out);
        self.fresh.save(known, out);
    }

    pub(super) fn load<'b>(
        known: &mut Vec<Key<D>>,
        from: &mut Reader<'b>,
    ) -> Result<Self, StateError>
    where
        D: Clone + Deserialize<'b>,
    {
        let revision = from.take()?;
        Ok(Self { written: Sums::load(known, from)?, fresh: Sums::load(known, from)?, revision })
    }

    pub(super) fn add(&mut self, ring: Arc<str>, scope: Scope, detail: D, cells: &[i64; N]) {
        self.fresh.add((ring, scope, detail), cells);
    }

    /// Sums that the next cut looks at.
    pub(super) fn len(&self) -> usize {
        self.written.0.len() + self.fresh.0.len()
    }

    /// Hands out the rows that make the files right again, in key order.
    pub(super) fn cut(
        &mut self,
        rules: Rules,
        view: View<'_>,
        mut row: impl FnMut(&RowKey<'_, D>, i64, [i64; N]),
    ) {
        let (mut now, mut before) = (Rows::new(), Rows::new());
        self.written.expand(&mut before, rules, view.rings, view.tracked_before);
        self.written.expand(&mut now, rules, view.rings, view.tracked);
        self.fresh.expand(&mut now, rules, view.rings, view.tracked);
        let mut rows = 0;
        for (key, cells) in &now {
            let mut cells = rules.in_table(cells);
            let old = before.get(key).map(|old| rules.in_table(old));
            for (cell, old) in cells.iter_mut().zip(old.unwrap_or([0; N])) {
                *cell -= old;
                assert!(*cell >= 0, "a sum of the tables never decreases");
            }
            // A row of zeros is news where its devices were at risk for less than a second.
            if old.is_none() || cells != [0; N] {
                row(key, self.revision, cells);
                rows += 1;
            }
        }
        self.revision += i64::from(rows > 0);
        for (key, cells) in std::mem::take(&mut self.fresh.0) {
            self.written.add(key, &cells);
        }
    }

    /// Forgets of a finished window what no later row depends on.
    pub(super) fn settle(&mut self, rules: Rules) {
        self.written.0.retain(|_, cells| {
            *cells = rules.settled(cells);
            *cells != [0; N]
        });
    }
}
