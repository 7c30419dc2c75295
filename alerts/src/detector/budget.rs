//! How the error budget of one change is spread over its tests (design: detection 4).
//!
//! In: the rollout plan. Out: a fixed weight per ring and signal, at most 1 in all. The e-value
//! of the change is the weighted mean of those of its tests, so its error is at most alpha.

use schemas::Signal;
use serde::{Deserialize, Serialize};

/// Parts of a ring's weight: `os_crash`, `boot_loop`, silence, `no_return`, `install_failure` and
/// all others have one each.
const PARTS: f64 = 6.0;
/// The others: eight with an equal share, and one share halved between `other`, which is no
/// signal of its own, and `data_loss`, which a rule for rare harm is to watch.
const SHARES: f64 = 9.0;

/// A signal's part of its ring's weight.
pub fn signal_share(signal: Signal) -> f64 {
    match signal {
        Signal::OsCrash
        | Signal::BootLoop
        | Signal::Silence
        | Signal::NoReturn
        | Signal::InstallFailure => 1.0 / PARTS,
        Signal::DataLoss | Signal::Other => 0.5 / SHARES / PARTS,
        // Learned silence has half of the weight of silence.
        Signal::RingDrift | Signal::SilenceLearned => 0.0,
        _ => 1.0 / SHARES / PARTS,
    }
}

/// The weight of the ring that stands `at` in a plan of `count` rings: 1/10, 4/10, then each half
/// of what is left, the last two alike; equal for fewer than three.
pub fn ring_weight(at: usize, count: usize) -> f64 {
    match (at, count) {
        (_, ..3) => 1.0 / count as f64,
        (0, _) => 0.1,
        (1, _) => 0.4,
        _ => {
            let halvings = (at - 1).min(count - 3);
            (0..halvings).fold(0.5, |left, _| left / 2.0)
        }
    }
}

/// What is left of one change's budget.
///
/// A ring's weight is granted at its first exposure and never changes: until then its tests stand
/// at e = 1 whatever their weight, so a plan that changes before cannot favour anything.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Budget {
    left: f64,
}

impl Budget {
    pub const fn whole() -> Self {
        Self { left: 1.0 }
    }

    /// The weight of a ring that stands `at` in a plan of `count`; one outside of the plan gets
    /// half of what is left, so that it is watched too.
    pub fn grant(&mut self, at: Option<usize>, count: usize) -> f64 {
        let asked = at.map_or(self.left / 2.0, |at| ring_weight(at, count));
        let granted = asked.min(self.left);
        self.left = (self.left - granted).max(0.0);
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(asked: &[(Option<usize>, usize)]) -> Vec<f64> {
        let mut budget = Budget::whole();
        let granted = asked.iter().map(|&(at, count)| budget.grant(at, count));
        granted.map(|weight| (weight * 1e12).round() / 1e12).collect()
    }

    fn check(count: usize, expected: &[f64]) {
        let asked: Vec<_> = (0..count).map(|at| (Some(at), count)).collect();
        assert_eq!(grants(&asked), expected, "{count} rings");
    }

    #[test]
    fn rings_are_weighted_as_the_design_says() {
        check(1, &[1.0]);
        check(2, &[0.5, 0.5]);
        check(3, &[0.1, 0.4, 0.5]);
        check(4, &[0.1, 0.4, 0.25, 0.25]);
        check(5, &[0.1, 0.4, 0.25, 0.125, 0.125]);
        check(6, &[0.1, 0.4, 0.25, 0.125, 0.0625, 0.0625]);
    }

    #[test]
    fn a_ring_outside_of_the_plan_takes_half_of_what_is_left_and_no_more_is_granted_than_one() {
        assert_eq!(grants(&[(None, 5), (Some(1), 5), (Some(2), 5)]), [0.5, 0.4, 0.1]);
        assert_eq!(grants(&[(Some(0), 1), (None, 1)]), [1.0, 0.0]);
    }

    #[test]
    fn the_lines_are_those_of_the_design() {
        let line = |signal| -libm::log(0.01 * ring_weight(1, 5) * signal_share(signal));
        assert!((line(Signal::OsCrash) - 7.3).abs() < 0.05);
        assert!((line(Signal::AppCrash) - 9.5).abs() < 0.05);
    }

    #[test]
    fn the_shares_of_a_ring_make_one() {
        let given: f64 = Signal::ALL.into_iter().map(signal_share).sum();
        assert!((given - 1.0).abs() < 1e-12, "{given}");
    }
}
