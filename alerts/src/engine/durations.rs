//! Durations, window by window, to the pairs of each change: watched, never acted on.
//!
//! `boot_ms` and `signin_ms` come by set of changes, and have a control in the same window.
//! `install_ms` is of the treated alone; its control is the earlier change that failed attempts are
//! held against.

use std::collections::BTreeMap;

use schemas::delta::Scope;
use schemas::histogram::Histogram;
use schemas::{DurationSignal, WindowTotals};
use serde::Serialize;

use super::Engine;
use crate::detector::attempt::Against;
use crate::detector::quantile::{Compared, DurationArms};

/// One kind of duration of a change in a ring, as it stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DurationRow {
    pub change: String,
    pub ring: String,
    pub signal: DurationSignal,
    pub quantiles: [Compared; 2],
}

impl Engine {
    /// Every kind of duration of every watched change, where any was reported.
    pub fn durations(&self) -> Vec<DurationRow> {
        let mut rows = Vec::new();
        for (name, &number) in &self.numbers {
            let change = &self.changes[number];
            for (&ring, pair) in change.pairs.iter().filter(|_| change.is_watched()) {
                rows.extend(pair.durations.iter().map(|(&signal, arms)| DurationRow {
                    change: name.to_string(),
                    ring: self.config.rings[ring].clone(),
                    signal,
                    quantiles: arms.compared(self.config.alpha),
                }));
            }
        }
        rows
    }

    /// Adds the window's durations to the pairs of their rings.
    pub(super) fn add_durations(&mut self, totals: &WindowTotals) {
        for ((ring, scope, signal), histogram) in &totals.durations {
            let Some(&ring) = self.rings.get(&**ring) else { continue };
            match scope {
                Scope::Change(change) => {
                    let Some(&number) = self.numbers.get(change) else { continue };
                    if let Some(pair) = self.changes[number].pairs.get_mut(&ring) {
                        let arms = pair.durations.entry(*signal).or_default();
                        arms.treated.add(histogram);
                    }
                }
                Scope::Set(set) => {
                    let numbers = set.iter().filter_map(|name| self.numbers.get(name));
                    let members: Vec<usize> = numbers.copied().collect();
                    self.add_by_set(ring, &members, *signal, histogram);
                }
            }
        }
    }

    fn add_by_set(
        &mut self,
        ring: usize,
        members: &[usize],
        signal: DurationSignal,
        histogram: &Histogram,
    ) {
        for (number, change) in self.changes.iter_mut().enumerate() {
            let treated = members.contains(&number);
            for (&of, pair) in &mut change.pairs {
                let durations = &mut pair.durations;
                if of == ring && treated {
                    durations.entry(signal).or_default().treated.add(histogram);
                } else if of == ring {
                    durations.entry(signal).or_default().within.add(histogram);
                } else if of < ring && !treated {
                    durations.entry(signal).or_default().later.add(histogram);
                }
            }
        }
    }

    /// The durations that a pair begins with: those of the installs that it is compared with.
    pub(super) fn earlier_installs(
        &self,
        against: &Against,
        ring: usize,
    ) -> BTreeMap<DurationSignal, DurationArms> {
        let Against::Earlier { change, .. } = against else { return BTreeMap::new() };
        let pair = self.numbers.get(change).and_then(|&at| self.changes[at].pairs.get(&ring));
        let installs = pair.and_then(|pair| pair.durations.get(&DurationSignal::Install));
        let within = installs.map(|arms| arms.treated.clone());
        let arms = within.map(|within| DurationArms { within, ..DurationArms::default() });
        arms.map(|arms| (DurationSignal::Install, arms)).into_iter().collect()
    }
}
