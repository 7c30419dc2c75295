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

use std::collections::BTreeMap;
use std::sync::Arc;

use schemas::delta::Scope;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::cells::Cells;
use super::names::{Detail, Names, Order, ScopeNumber};
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

/// Key of a row within its window, in the order of the file: change NULL first. By places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct RowKey<D> {
    change: Option<u32>,
    ring: u32,
    arm: Option<Arm>,
    detail: D,
}

/// The key of a row in names, its detail in numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowName<'a, D> {
    /// Its number and its name.
    pub change: Option<(u32, &'a str)>,
    pub ring: &'a str,
    pub arm: Option<Arm>,
    pub detail: D,
}

type Rows<D, C> = BTreeMap<RowKey<D>, C>;

/// Ring, scope and what else the dataset is keyed by, in numbers.
pub(super) type Key<D> = (u32, ScopeNumber, D);

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
    pub names: &'a Names,
    /// Of all of them.
    pub order: &'a Order,
    /// Changes with an arm in this window: now, and when the window was last cut.
    pub tracked: &'a [u32],
    pub tracked_before: &'a [u32],
}

impl<D: Detail, C: Cells> Sums<D, C> {
    const fn new() -> Self {
        Self(BTreeMap::new())
    }

    fn add(&mut self, key: Key<D>, cells: &C) {
        self.0.entry(key).or_default().add(cells);
    }

    /// Stores the sums in the order of their names: numbers are another process's tomorrow.
    fn save(&self, (names, order): (&Names, &Order), known: &mut Known<Key<D>>, out: &mut Writer)
    where
        D::Name: Serialize,
    {
        let mut sums: Vec<_> = self.0.iter().collect();
        sums.sort_by_key(|((ring, scope, detail), _)| {
            (order.rings.of(*ring), order.scope(*scope), detail.placed(order))
        });
        out.put(&sums.len());
        for (key, cells) in sums {
            let (ring, scope, detail) = *key;
            let in_full = || (names.ring_name(ring), names.scope_name(scope), detail.name(names));
            known.save(key, in_full, out);
            cells.save(out);
        }
    }

    fn load(
        names: &mut Names,
        known: &mut Vec<Key<D>>,
        from: &mut Reader<'_>,
    ) -> Result<Self, StateError>
    where
        D::Name: DeserializeOwned,
    {
        let mut key = |(ring, scope, detail): (Arc<str>, Scope, D::Name)| {
            (names.ring(&ring), names.scope(&scope), D::of(&detail, names))
        };
        from.take_all(|from| Ok((stored::load_key(known, &mut key, from)?, C::load(from)?)))
            .map(Self)
    }

    fn expand(&self, rows: &mut Rows<D, C>, view: View<'_>, tracked: &[u32]) {
        let View { names, order, .. } = view;
        for (&(ring, scope, detail), cells) in &self.0 {
            let detail = detail.placed(order);
            let ring_place = order.rings.of(ring);
            let mut add = |change: Option<u32>, arm, cells: &C| {
                let change = change.map(|change| order.changes.of(change));
                let key = RowKey { change, ring: ring_place, arm, detail };
                rows.entry(key).or_default().add(cells);
            };
            add(None, None, cells);
            if !names.is_configured(ring) {
                continue;
            }
            let part = cells.of_change();
            if part == C::default() {
                continue;
            }
            match scope {
                ScopeNumber::Change(change) => add(Some(change), Some(Arm::Treated), &part),
                ScopeNumber::Set(set) => {
                    let set = names.members(set);
                    for &change in set {
                        add(Some(change), Some(Arm::Treated), &part);
                    }
                    for &change in tracked.iter().filter(|change| !set.contains(change)) {
                        add(Some(change), Some(Arm::Control), &part);
                    }
                }
            }
        }
    }
}

impl<D: Detail, C: Cells> Sheet<D, C> {
    /// A window whose first rows will carry `revision`.
    pub(super) const fn new(revision: i64) -> Self {
        Self { written: Sums::new(), fresh: Sums::new(), revision }
    }

    pub(super) fn save(&self, names: (&Names, &Order), known: &mut Known<Key<D>>, out: &mut Writer)
    where
        D::Name: Serialize,
    {
        out.put(&self.revision);
        self.written.save(names, known, out);
        self.fresh.save(names, known, out);
    }

    pub(super) fn load(
        names: &mut Names,
        known: &mut Vec<Key<D>>,
        from: &mut Reader<'_>,
    ) -> Result<Self, StateError>
    where
        D::Name: DeserializeOwned,
    {
        let revision = from.take()?;
        let written = Sums::load(names, known, from)?;
        Ok(Self { written, fresh: Sums::load(names, known, from)?, revision })
    }

    pub(super) fn add(&mut self, key: Key<D>, cells: &C) {
        self.fresh.add(key, cells);
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
    pub(super) fn cut(&mut self, view: View<'_>, mut row: impl FnMut(&RowName<'_, D>, i64, C)) {
        let View { names, order, tracked, tracked_before } = view;
        let (mut now, mut before) = (Rows::new(), Rows::new());
        self.written.expand(&mut before, view, tracked_before);
        self.written.expand(&mut now, view, tracked);
        self.fresh.expand(&mut now, view, tracked);
        let mut rows = 0;
        for (key, cells) in &now {
            let old = before.get(key).map(C::in_table);
            let cells = match &old {
                Some(old) => cells.in_table().since(old),
                None => cells.in_table(),
            };
            // A row of zeros is news where its devices were at risk for less than a second.
            if old.is_none() || cells != C::default() {
                let RowKey { change, ring, arm, detail } = *key;
                let change = change.map(|place| order.changes.at(place));
                let name = RowName {
                    change: change.map(|change| (change, &**names.change_name(change))),
                    ring: names.ring_name(order.rings.at(ring)),
                    arm,
                    detail: detail.numbered(order),
                };
                row(&name, self.revision, cells);
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
