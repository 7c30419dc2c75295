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

use super::cells::Cells;
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

/// Key of a row within its window, in the order of the file: change NULL first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RowKey<'a, D> {
    pub change: Option<&'a str>,
    pub ring: &'a str,
    pub arm: Option<Arm>,
    pub detail: &'a D,
}

type Rows<'a, D, C> = BTreeMap<RowKey<'a, D>, C>;

/// Ring, scope and what else the dataset is keyed by.
pub(super) type Key<D> = (Arc<str>, Scope, D);

/// Sums by key.
#[derive(Debug)]
struct Sums<D, C>(BTreeMap<Key<D>, C>);

/// One window in one dataset: what is in the files, and what has come since.
#[derive(Debug)]
pub(super) struct Sheet<D, C> {
    written: Sums<D, C>,
    fresh: Sums<D, C>,
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

impl<D: Ord, C: Cells> Sums<D, C> {
    const fn new() -> Self {
        Self(BTreeMap::new())
    }

    fn add(&mut self, key: Key<D>, cells: &C) {
        self.0.entry(key).or_default().add(cells);
    }

    fn save<'a>(&'a self, known: &mut Known<'a, Key<D>>, out: &mut Writer)
    where
        D: Serialize,
    {
        out.put(&self.0.len());
        for (key, cells) in &self.0 {
            known.save(key, out);
            cells.save(out);
        }
    }

    fn load<'b>(known: &mut Vec<Key<D>>, from: &mut Reader<'b>) -> Result<Self, StateError>
    where
        D: Clone + Deserialize<'b>,
    {
        let row = |from: &mut Reader<'b>| Ok((stored::load_key(known, from)?, C::load(from)?));
        from.take_all(row).map(Self)
    }

    fn expand<'a>(
        &'a self,
        rows: &mut Rows<'a, D, C>,
        rings: &BTreeSet<Arc<str>>,
        tracked: &'a [Arc<str>],
    ) {
        for ((ring, scope, detail), cells) in &self.0 {
            let mut add = |change: Option<&'a Arc<str>>, arm, cells: &C| {
                let change = change.map(AsRef::as_ref);
                rows.entry(RowKey { change, ring, arm, detail }).or_default().add(cells);
            };
            add(None, None, cells);
            if !rings.contains(ring) {
                continue;
            }
            let part = cells.of_change();
            if part == C::default() {
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

impl<D: Ord, C: Cells> Sheet<D, C> {
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

    pub(super) fn add(&mut self, ring: Arc<str>, scope: Scope, detail: D, cells: &C) {
        self.fresh.add((ring, scope, detail), cells);
    }

    /// What has come to a key since the last cut.
    pub(super) fn fresh(&self, key: &Key<D>) -> Option<&C> {
        self.fresh.0.get(key)
    }

    /// How many keys something of a kind has come to since the last cut.
    pub(super) fn fresh_count(&self, kind: impl Fn(&C) -> bool) -> usize {
        self.fresh.0.values().filter(|cells| kind(cells)).count()
    }

    /// Sums that the next cut looks at.
    pub(super) fn len(&self) -> usize {
        self.written.0.len() + self.fresh.0.len()
    }

    /// Hands out the rows that make the files right again, in key order.
    pub(super) fn cut(&mut self, view: View<'_>, mut row: impl FnMut(&RowKey<'_, D>, i64, C)) {
        let (mut now, mut before) = (Rows::new(), Rows::new());
        self.written.expand(&mut before, view.rings, view.tracked_before);
        self.written.expand(&mut now, view.rings, view.tracked);
        self.fresh.expand(&mut now, view.rings, view.tracked);
        let mut rows = 0;
        for (key, cells) in &now {
            let old = before.get(key).map(C::in_table);
            let cells = match &old {
                Some(old) => cells.in_table().since(old),
                None => cells.in_table(),
            };
            // A row of zeros is news where its devices were at risk for less than a second.
            if old.is_none() || cells != C::default() {
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
    pub(super) fn settle(&mut self) {
        self.written.0.retain(|_, cells| {
            *cells = cells.settled();
            *cells != C::default()
        });
    }
}
