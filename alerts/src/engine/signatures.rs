//! New fault signatures, window by window, to the changes that came before them.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemas::totals::Onsets;
use schemas::{Signal, WindowTotals};

use super::Engine;
use super::change::Change;
use crate::detector::Arms;
use crate::detector::rate::Exposure;
use crate::detector::signature::{Hits, Name, NewSignature, Sight};
use crate::detector::tally::{ChangeNumber, Tally};
use crate::metrics;

/// How much larger another change's evidence must be to explain a signature.
const LEAD: f64 = 1.0;

/// One ring x set in which devices were newly hit.
struct Hit {
    ring: usize,
    members: Vec<ChangeNumber>,
    onsets: Onsets,
}

impl Engine {
    /// Adds the window's signatures to every watched change that has been exposed.
    pub(super) fn add_signatures(&mut self, tally: &Tally, totals: &WindowTotals) {
        let hits = self.hits(totals);
        let first: Vec<bool> = hits.keys().map(|name| self.see(name)).collect();
        for (number, change) in self.changes.iter_mut().enumerate() {
            if change.pairs.is_empty() || !change.is_watched() {
                continue;
            }
            let (at_risk_ms, devices) = both_arms(tally, number);
            change.signatures.add_exposure(at_risk_ms, devices);
            let exposure = Exposure::new(at_risk_ms);
            for ((name, hits), &first) in hits.iter().zip(&first) {
                if first && !change.signatures.begin(name, self.config.margin) {
                    metrics::signatures_refused().increment(1);
                }
                change.signatures.add(name, &by_arm(hits, number), exposure.as_ref());
            }
        }
    }

    fn hits(&self, totals: &WindowTotals) -> BTreeMap<Name, Vec<Hit>> {
        let mut hits: BTreeMap<Name, Vec<Hit>> = BTreeMap::new();
        for ((signal, signature, ring, set), &onsets) in &totals.signatures {
            let Some(&ring) = self.rings.get(&**ring) else { continue };
            let numbers = &self.numbers;
            let members = set.iter().filter_map(|name| numbers.get(name).copied()).collect();
            let name = (*signal, Arc::clone(signature));
            hits.entry(name).or_default().push(Hit { ring, members, onsets });
        }
        hits
    }

    fn see(&mut self, name: &Name) -> bool {
        let sight = self.known.see(name);
        if sight == Sight::Untold {
            metrics::signatures_refused().increment(1);
        }
        sight == Sight::First
    }

    /// The new signature that raises a test: the strongest that has crossed its own line with most
    /// of its hits in that ring, unless another change explains it better.
    pub(super) fn raising_signature<'a>(
        &self,
        change: &'a Change,
        ring: usize,
        signal: Signal,
    ) -> Option<(&'a Name, &'a NewSignature)> {
        let crossed = change.signatures.crossed(self.config.alpha);
        let here = crossed.filter(|(name, new)| name.0 == signal && new.ring() == Some(ring));
        let own = |name: &Name| change.signatures.log_e(name).unwrap_or(0.0);
        let explained = |name: &Name| {
            let others = self.changes.iter().filter(|other| other.is_watched());
            let largest = others.filter_map(|other| other.signatures.log_e(name));
            largest.fold(f64::NEG_INFINITY, f64::max) >= own(name) + LEAD
        };
        here.filter(|(name, _)| !explained(name))
            .max_by(|(one, _), (other, _)| own(one).total_cmp(&own(other)))
    }
}

/// Exposure and devices of a change's arms over all rings.
fn both_arms(tally: &Tally, number: ChangeNumber) -> (Arms, Arms) {
    let (mut at_risk_ms, mut devices) = (Arms::default(), Arms::default());
    for arms in tally.arms(number) {
        at_risk_ms.treated += arms.treated.at_risk_ms;
        at_risk_ms.control += arms.within.at_risk_ms;
        devices.treated += arms.treated.devices;
        devices.control += arms.within.devices;
    }
    (at_risk_ms, devices)
}

fn by_arm(hits: &[Hit], number: ChangeNumber) -> Hits {
    let mut sums = Hits::default();
    for hit in hits {
        if hit.members.contains(&number) {
            sums.affected.treated += hit.onsets.affected;
            *sums.treated_by_ring.entry(hit.ring).or_default() += hit.onsets.affected;
            sums.first_at = sums.first_at.iter().chain(&hit.onsets.first_at).min().copied();
        } else {
            sums.affected.control += hit.onsets.affected;
        }
    }
    sums
}
