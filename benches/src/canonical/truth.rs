//! The sums that the tables must show, kept while the messages are made.

use std::collections::BTreeMap;

use schemas::event::UpdateState;
use schemas::{Span, Stage, Timestamp};

use super::{JITTER, RINGS};

const WINDOW: Span = Span::minutes(1);

/// The counts of one window and ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    pub heartbeats: i64,
    pub boots: i64,
    /// Update records by state, in the order of `UpdateState::ALL`.
    pub updates: [i64; UpdateState::ALL.len()],
    /// Applied records of any type.
    pub records: i64,
    pub duplicates: i64,
}

/// Counts by window of 60 s and ring, and rejects by stage and field.
#[derive(Clone, Debug)]
pub struct Truth {
    /// Start of the first window: the one of the earliest event time there can be.
    first: Timestamp,
    windows: Vec<[Cell; RINGS.len()]>,
    rejects: BTreeMap<(Stage, Option<&'static str>), i64>,
}

impl Truth {
    pub(super) const fn new(start: Timestamp) -> Self {
        let first = Timestamp(start.0 - JITTER.0).window_start(WINDOW);
        Self { first, windows: Vec::new(), rejects: BTreeMap::new() }
    }

    pub(super) fn cell(&mut self, time: Timestamp, ring: usize) -> &mut Cell {
        let window = ((time - self.first).0 / WINDOW.0) as usize;
        if self.windows.len() <= window {
            self.windows.resize(window + 1, [Cell::default(); RINGS.len()]);
        }
        &mut self.windows[window][ring]
    }

    pub(super) fn reject(&mut self, stage: Stage, field: Option<&'static str>) {
        *self.rejects.entry((stage, field)).or_default() += 1;
    }

    /// Start of each window, ring and counts.
    pub fn cells(&self) -> impl Iterator<Item = (Timestamp, &'static str, &Cell)> {
        let starts = (0..).map(|number| self.first + Span(WINDOW.0 * number));
        self.windows.iter().zip(starts).flat_map(|(cells, start)| {
            RINGS.iter().zip(cells).map(move |((ring, _), cell)| (start, *ring, cell))
        })
    }

    /// Rejected records by stage and field.
    pub const fn rejects(&self) -> &BTreeMap<(Stage, Option<&'static str>), i64> {
        &self.rejects
    }
}
