//! What the rows of each dataset count, and how it adds up, is cut and is stored.

use schemas::{DurationSignal, Histogram};

use super::stored;
use crate::batches::rows::health;
use crate::hll::Sketch;
use crate::state::{Reader, StateError, Writer};

/// What one row counts.
pub(super) trait Cells: Clone + Default + PartialEq {
    fn add(&mut self, more: &Self);

    /// What of it stands in the rows of single changes.
    fn of_change(&self) -> Self {
        self.clone()
    }

    /// As the tables hold it.
    fn in_table(&self) -> Self {
        self.clone()
    }

    /// What is to be added to `old`, which the tables hold already, to make it this.
    fn since(self, old: &Self) -> Self;

    /// What of a finished window still matters to rows that arrive late.
    fn settled(&self) -> Self;

    fn save(&self, out: &mut Writer);

    fn load(from: &mut Reader<'_>) -> Result<Self, StateError>;
}

/// Affected devices and events.
pub(super) type SignalCells = [i64; 2];

impl Cells for SignalCells {
    fn add(&mut self, more: &Self) {
        add(self, more);
    }

    fn since(self, old: &Self) -> Self {
        since(self, old)
    }

    fn settled(&self) -> Self {
        Self::default()
    }

    fn save(&self, out: &mut Writer) {
        stored::save_cells(self, out);
    }

    fn load(from: &mut Reader<'_>) -> Result<Self, StateError> {
        stored::load_cells(from)
    }
}

/// A row of `ring_health`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct HealthCells {
    pub counts: [i64; health::CELLS],
    /// By number of the duration signal.
    pub durations: [Histogram; DurationSignal::ALL.len()],
}

impl HealthCells {
    pub(super) const fn of_counts(counts: [i64; health::CELLS]) -> Self {
        Self { counts, durations: [const { Histogram::EMPTY }; DurationSignal::ALL.len()] }
    }

    pub(super) fn of_duration(signal: DurationSignal, histogram: &Histogram) -> Self {
        let mut cells = Self::default();
        cells.durations[signal as usize] = histogram.clone();
        cells
    }
}

impl Cells for HealthCells {
    fn add(&mut self, more: &Self) {
        add(&mut self.counts, &more.counts);
        for (sum, more) in self.durations.iter_mut().zip(&more.durations) {
            sum.add(more);
        }
    }

    fn of_change(&self) -> Self {
        let mut part = self.clone();
        part.counts[health::RECORDS] = 0;
        part.counts[health::DUPLICATES] = 0;
        part
    }

    /// Time at risk is summed in milliseconds and written in whole seconds.
    fn in_table(&self) -> Self {
        let mut table = self.clone();
        table.counts[health::AT_RISK_MS] = self.counts[health::AT_RISK_MS].div_euclid(1_000);
        table
    }

    fn since(mut self, old: &Self) -> Self {
        self.counts = since(self.counts, &old.counts);
        for (sum, old) in self.durations.iter_mut().zip(&old.durations) {
            let less = sum.less(old);
            assert!(less.is_some(), "a sum of the tables never decreases");
            *sum = less.unwrap_or_default();
        }
        self
    }

    /// The time at risk, because it is rounded.
    fn settled(&self) -> Self {
        let mut rest = Self::default();
        rest.counts[health::AT_RISK_MS] = self.counts[health::AT_RISK_MS];
        rest
    }

    fn save(&self, out: &mut Writer) {
        stored::save_cells(&self.counts, out);
        out.put(&self.durations);
    }

    fn load(from: &mut Reader<'_>) -> Result<Self, StateError> {
        Ok(Self { counts: stored::load_cells(from)?, durations: from.take()? })
    }
}

/// A row of `ring_devices`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct HourCells {
    pub devices_active: i64,
    pub sketch: Sketch,
}

impl Cells for HourCells {
    fn add(&mut self, more: &Self) {
        self.devices_active += more.devices_active;
        self.sketch.join(&more.sketch);
    }

    /// A sketch that has grown is written whole: joined with the old one it is itself.
    fn since(mut self, old: &Self) -> Self {
        self.devices_active -= old.devices_active;
        if self.sketch == old.sketch {
            self.sketch = Sketch::default();
        }
        self
    }

    /// Nothing: what comes later adds up with what is written, and joins.
    fn settled(&self) -> Self {
        Self::default()
    }

    fn save(&self, out: &mut Writer) {
        out.put(&(self.devices_active, &self.sketch));
    }

    fn load(from: &mut Reader<'_>) -> Result<Self, StateError> {
        let (devices_active, sketch): (i64, Sketch) = from.take()?;
        let sound = sketch.is_sound();
        sound.then_some(Self { devices_active, sketch }).ok_or(StateError::Damaged)
    }
}

fn add<const N: usize>(sum: &mut [i64; N], cells: &[i64; N]) {
    for (sum, cell) in sum.iter_mut().zip(cells) {
        *sum += cell;
    }
}

fn since<const N: usize>(mut sum: [i64; N], old: &[i64; N]) -> [i64; N] {
    for (sum, old) in sum.iter_mut().zip(old) {
        *sum -= old;
        assert!(*sum >= 0, "a sum of the tables never decreases");
    }
    sum
}
