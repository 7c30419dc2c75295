//! Trials of coming back, window by window, to the pairs of their change (`no_return`).
//!
//! Treated are the attempts of the change; control are heartbeats and boots of devices without it,
//! in the same ring and in the later ones (design: detection 1). Arms are those of a tally whose
//! exposure is trials, and whose first onset signal stands for the failed ones.

use schemas::WindowTotals;
use schemas::delta::Scope;
use schemas::totals::Returns;

use super::Engine;
use crate::detector::tally::{RingArms, Sum, Tally};
use crate::metrics;

fn sum(returns: &Returns) -> Sum {
    let mut sum = Sum { at_risk_ms: returns.trials, devices: returns.trials, ..Sum::default() };
    sum.onsets[0] = returns.failed;
    sum
}

impl Engine {
    /// Adds the window's trials to the pairs and to the history of the rings.
    pub(super) fn add_returns(&mut self, totals: &WindowTotals) {
        let mut control = Tally::new(self.rings.len());
        for ((ring, scope), returns) in &totals.returns {
            let (Some(&ring), Scope::Set(set)) = (self.rings.get(&**ring), scope) else { continue };
            let numbers = &self.numbers;
            match self.past.members(set, |name| numbers.get(name).copied()) {
                Some(members) => control.add(ring, &members, &sum(returns)),
                None => metrics::groups_refused().increment(1),
            }
        }
        self.baseline.add_returns(control.rings());
        for ((ring, scope), returns) in &totals.returns {
            let (Some(&ring), Scope::Change(change)) = (self.rings.get(&**ring), scope) else {
                continue;
            };
            let Some(&number) = self.numbers.get(change) else { continue };
            let change = &mut self.changes[number];
            if !change.is_watched() {
                continue;
            }
            let arms = control.arms(number).find(|arms| arms.ring == ring);
            if let (Some(arms), Some(pair)) = (arms, change.pairs.get_mut(&ring)) {
                let arms = RingArms { treated: sum(returns), ..arms };
                pair.add_returns(&arms, returns.first_failed_at);
            }
        }
    }
}
