//! What is measured beside counts, on its way to the detector and into the tables.

use std::sync::Arc;

use schemas::Signal;
use schemas::delta::{
    CohortDelta, Delta, DurationDelta, FactDelta, Place, ReturnDelta, SignatureDelta, SketchDelta,
};

use super::Merge;
use super::cells::HealthCells;
use super::names::{ByName, Cohort, ScopeNumber};

impl Merge {
    pub(super) fn add_measures(&mut self, delta: &Delta) {
        delta.durations.iter().for_each(|row| self.add_duration(row));
        delta.returns.iter().for_each(|row| self.add_return(row));
        delta.signatures.iter().for_each(|row| self.add_signature(row));
        delta.cohorts.iter().for_each(|row| self.add_cohort(row));
        delta.sketches.iter().for_each(|row| self.add_sketch(row));
        delta.facts.iter().for_each(|row| self.add_fact(row));
    }

    fn add_duration(&mut self, row: &DurationDelta) {
        let (evaluated, _) = self.evaluation_of(row.place);
        let (ring, scope) = (self.names.ring(&row.ring), self.names.scope(&row.scope));
        self.changes.seen_in(&self.names, scope, evaluated);
        let totals = self.evaluation.window(evaluated);
        if self.names.is_configured(ring) {
            let ring = Arc::clone(self.names.ring_name(ring));
            let key = (ring, self.names.scope_name(scope), row.signal);
            totals.durations.entry(key).or_default().add(&row.histogram);
        }
        let sheet = &mut self.windows.touch(row.place.window).health;
        sheet.add((ring, scope, ()), &HealthCells::of_duration(row.signal, &row.histogram));
    }

    /// Trials of every arm go to the detector; attempts that came to nothing are harm of their
    /// change, and so in the tables.
    fn add_return(&mut self, row: &ReturnDelta) {
        let (evaluated, _) = self.evaluation_of(row.place);
        let (ring, scope) = (self.names.ring(&row.ring), self.names.scope(&row.scope));
        self.changes.seen_in(&self.names, scope, evaluated);
        let totals = self.evaluation.window(evaluated);
        if self.names.is_configured(ring) {
            let key = (Arc::clone(self.names.ring_name(ring)), self.names.scope_name(scope));
            let returns = totals.returns.entry(key).or_default();
            returns.trials += row.trials;
            returns.failed += row.failed;
            let failed_at = (row.failed > 0).then_some(row.place.window);
            let first = [returns.first_failed_at, failed_at].into_iter().flatten().min();
            returns.first_failed_at = first;
        }
        if matches!(scope, ScopeNumber::Change(_)) {
            let sheet = &mut self.windows.touch(row.place.window).signals;
            let detail = (ByName::of(Signal::NoReturn), Cohort::ALL);
            sheet.add((ring, scope, detail), &[row.failed, row.trials]);
        }
    }

    /// Signatures are for the detector alone: no table names them.
    fn add_signature(&mut self, row: &SignatureDelta) {
        let (evaluated, _) = self.evaluation_of(row.place);
        let (ring, set) = (self.names.ring(&row.ring), self.names.set(&row.set));
        let totals = self.evaluation.window(evaluated);
        if self.names.is_configured(ring) {
            let (ring, set) = self.names.group(ring, set);
            let key = (row.signal, Arc::clone(&row.signature), ring, set);
            let onsets = totals.signatures.entry(key).or_default();
            onsets.add(row.affected_devices, row.first_affected_at);
        }
    }

    fn add_cohort(&mut self, row: &CohortDelta) {
        let place = Place { window: row.evaluated, evaluated: row.evaluated };
        let (evaluated, _) = self.evaluation_of(place);
        let (ring, set) = (self.names.ring(&row.ring), self.names.set(&row.set));
        if let Some((key, value)) = &row.cohort
            && self.names.is_configured(ring)
        {
            let group = self.names.group(ring, set);
            let key = (group.0, group.1, Arc::clone(key), Arc::clone(value));
            let totals = self.evaluation.window(evaluated);
            *totals.cohorts.entry(key).or_default() += row.devices_active;
        }
        let key = (ring, ScopeNumber::Set(set), self.names.cohort(&row.cohort));
        self.hours.add_devices(row.hour, key, row.devices_active);
    }

    /// Facts are for the change process alone, and count there also where a ring is not configured.
    fn add_fact(&mut self, row: &FactDelta) {
        let (evaluated, _) = self.evaluation_of(row.place);
        let ring = self.names.ring(&row.ring);
        let key = (Arc::clone(self.names.ring_name(ring)), row.fact);
        let totals = self.evaluation.window(evaluated);
        totals.facts.entry(key).or_default().add(row.count, row.first_at);
    }

    fn add_sketch(&mut self, row: &SketchDelta) {
        let (ring, set) = (self.names.ring(&row.ring), self.names.set(&row.set));
        self.hours.add_sketch(row.hour, (ring, ScopeNumber::Set(set)), &row.coupons);
    }
}
