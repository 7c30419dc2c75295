//! Cohorts, window by window: how each ring is spread over them, and where the treated are hit.
//!
//! A pair keeps the spread of its ring in the last whole hour before the change came; where there
//! was none, the first that is known.

use std::sync::Arc;

use schemas::{Signal, WindowTotals};

use super::Engine;
use crate::detector::cohort::Spread;
use crate::metrics;

impl Engine {
    /// Takes in the hours that ended, before the pairs of this window begin.
    pub(super) fn add_spreads(&mut self, totals: &WindowTotals) {
        let mut spreads = vec![Spread::default(); self.rings.len()];
        for ((ring, _, key, value), exposure) in &totals.cohorts {
            let Some(&ring) = self.rings.get(&**ring) else { continue };
            if !spreads[ring].add((Arc::clone(key), Arc::clone(value)), *exposure) {
                metrics::cohorts_refused().increment(1);
            }
        }
        for (ring, spread) in spreads.into_iter().enumerate().filter(|(_, new)| !new.is_empty()) {
            self.spreads[ring] = spread;
            for change in &mut self.changes {
                if let Some(pair) = change.pairs.get_mut(&ring)
                    && pair.spread.is_empty()
                {
                    pair.spread.clone_from(&self.spreads[ring]);
                }
            }
        }
    }

    /// Adds treated onsets by cohort to the pairs of their changes.
    pub(super) fn add_cohort_onsets(&mut self, totals: &WindowTotals) {
        for ((ring, set), group) in &totals.groups {
            let Some(&ring) = self.rings.get(&**ring) else { continue };
            for ((signal, key, value), &onsets) in &group.cohort_onsets {
                let signal =
                    if *signal == Signal::SilenceLearned { Signal::Silence } else { *signal };
                for change in set.iter().filter_map(|name| self.numbers.get(name)) {
                    let change = &mut self.changes[*change];
                    let Some(pair) = change.pairs.get_mut(&ring) else { continue };
                    let value = (Arc::clone(key), Arc::clone(value));
                    if !pair.cohort_onsets.add(signal, value, onsets) {
                        metrics::cohorts_refused().increment(1);
                    }
                }
            }
        }
    }
}
