//! Who is not to be named: a change whose harm another change explains better (detection 4).
//!
//! Where changes overlap, each one's test is repeated inside the devices that have the other and
//! inside those that have not. A change is held back while another's log e there is larger than
//! its own by 1 or more, unless its own reaches ln(1/alpha) there.

use schemas::Signal;

use super::Engine;
use crate::detector::strata::Question;
use crate::detector::tally::ChangeNumber;

/// How much larger another's evidence must be.
const LEAD: f64 = 1.0;
/// While neither leads, a change is not named before its evidence is so far beyond the line: three
/// or four hits more tell most changes apart, and two that share every device wait no longer.
const PATIENCE: f64 = 10.0;
/// Only what has this much evidence by itself can explain the harm of another.
const SUSPICION: f64 = 1.0;

impl Engine {
    /// Whether another change explains this one's harm better.
    pub(super) fn is_explained(
        &self,
        number: ChangeNumber,
        ring: usize,
        signal: Signal,
        surplus: f64,
    ) -> bool {
        if !signal.is_onset() {
            return false;
        }
        let others = self.changes.iter().enumerate().filter(|&(other, change)| {
            let pair = change.pairs.get(&ring).filter(|_| other != number && change.is_watched());
            pair.is_some_and(|pair| pair.log_e(signal) >= SUSPICION)
        });
        let mut others = others.map(|(other, _)| other);
        others.any(|other| {
            let own = self.log_e_apart(number, other, ring, signal);
            let explained = self.log_e_apart(other, number, ring, signal);
            let lead = if surplus < PATIENCE { -LEAD } else { LEAD };
            own < self.config.line() && explained >= own + lead
        })
    }

    /// Whether every device of this change that was hit also has another change, with which more
    /// devices were hit: rare harm, of which no rate can be told apart.
    pub(super) fn is_loss_of_another(
        &self,
        number: ChangeNumber,
        ring: usize,
        signal: Signal,
    ) -> bool {
        let from = self.changes[number].pairs[&ring].exposed_from;
        let hit = |has, lacks| self.group_hours.onsets((ring, signal, from), has, lacks);
        let own = hit(number, None);
        let others = self.changes.iter().enumerate().filter(|&(other, change)| {
            other != number && change.is_watched() && change.pairs.contains_key(&ring)
        });
        others
            .map(|(other, _)| other)
            .any(|other| hit(number, Some(other)) == 0 && hit(other, None) > own)
    }

    /// log e of a change inside the strata of another.
    fn log_e_apart(
        &self,
        change: ChangeNumber,
        apart_from: ChangeNumber,
        ring: usize,
        signal: Signal,
    ) -> f64 {
        let Some(pair) = self.changes[change].pairs.get(&ring) else { return 0.0 };
        let (from, margin) = (pair.exposed_from, self.config.margin);
        let (baseline_ratio, within_weight) = (pair.baseline_ratio(signal), pair.within_weight());
        self.group_hours.log_e(&Question {
            change,
            apart_from,
            ring,
            signal,
            from,
            margin,
            baseline_ratio,
            within_weight,
        })
    }
}
