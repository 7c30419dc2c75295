//! What is measured beside counts: on its way to the detector, and durations into the tables.

use std::sync::Arc;

use schemas::delta::{Delta, DurationDelta, SignatureDelta};

use super::Merge;
use super::cells::HealthCells;

impl Merge {
    pub(super) fn add_measures(&mut self, delta: &Delta) {
        delta.durations.iter().for_each(|row| self.add_duration(row));
        delta.signatures.iter().for_each(|row| self.add_signature(row));
    }

    fn add_duration(&mut self, row: &DurationDelta) {
        let (evaluated, _) = self.evaluation_of(row.place);
        let (ring, scope) = (self.names.name(&row.ring), self.names.scope(&row.scope));
        self.changes.seen_in(&scope, evaluated);
        let totals = self.evaluation.window(evaluated);
        if self.rings.contains(&ring) {
            let key = (Arc::clone(&ring), scope.clone(), row.signal);
            totals.durations.entry(key).or_default().add(&row.histogram);
        }
        let sheet = &mut self.windows.touch(row.place.window).health;
        sheet.add(ring, scope, (), &HealthCells::of_duration(row.signal, &row.histogram));
    }

    /// Signatures are for the detector alone: no table names them.
    fn add_signature(&mut self, row: &SignatureDelta) {
        let (evaluated, _) = self.evaluation_of(row.place);
        let (ring, set) = (self.names.name(&row.ring), self.names.set(&row.set));
        let totals = self.evaluation.window(evaluated);
        if self.rings.contains(&ring) {
            let key = (row.signal, Arc::clone(&row.signature), ring, set);
            let onsets = totals.signatures.entry(key).or_default();
            onsets.add(row.affected_devices, row.first_affected_at);
        }
    }
}
