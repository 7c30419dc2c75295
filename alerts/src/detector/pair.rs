//! Everything tested of one change in one ring.
//!
//! In: the ring's arms window by window, late onsets with the exposure of their own window,
//! attempts. Out: log e per signal, and its weight in the change's budget. What is said of it in
//! numbers stands in `evidence.rs`.

use std::array;

use schemas::totals::ChangeTotals;
use schemas::{Signal, Timestamp};
use serde::{Deserialize, Serialize};

use super::attempt::AttemptProcess;
use super::budget::signal_share;
use super::power::{attempt_growth, rate_growth};
use super::rate::{Costs, RateProcess};
use super::tally::RingArms;
use super::{Arms, ONSETS, log_sum_exp};

/// Every signal that has a test, in the order of their numbers.
pub fn tested() -> impl Iterator<Item = Signal> {
    Signal::ALL.into_iter().filter(|&signal| signal_share(signal) > 0.0)
}

/// One onset signal: two comparisons, whose mean is the e-value of the test.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct RateTest {
    pub(super) within: RateProcess,
    pub(super) later: RateProcess,
    pub(super) baseline_ratio: f64,
    pub(super) first_affected_at: Option<Timestamp>,
}

/// What one comparison has seen of both arms.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Seen {
    pub(super) exposure_ms: Arms,
    pub(super) devices: Arms,
    pub(super) windows: u64,
}

impl Seen {
    fn add(&mut self, exposure_ms: Arms, devices: Arms) {
        if exposure_ms.treated > 0 && exposure_ms.control > 0 {
            self.exposure_ms.treated += exposure_ms.treated;
            self.exposure_ms.control += exposure_ms.control;
            self.devices = devices;
            self.windows += 1;
        }
    }
}

/// A change in a ring, from its first exposure there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pair {
    ring_weight: f64,
    /// ln of each comparison's weight in their mean, `within` first.
    ln_parts: [f64; 2],
    pub(super) rates: [RateTest; ONSETS],
    pub(super) attempts: AttemptProcess,
    pub(super) first_failed_at: Option<Timestamp>,
    pub(super) within: Seen,
    pub(super) later: Seen,
    idle_windows: u32,
    /// Its tests have ended: what they say stands, and nothing is added.
    ended: bool,
}

/// What is fixed for good at a ring's first exposure.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// The ring's weight in the change's budget.
    pub ring_weight: f64,
    /// The weight of the comparison within the ring, of both.
    pub within_weight: f64,
    /// Largest ratio that is no harm, before the baseline.
    pub margin: f64,
    /// Share of attempts that may fail.
    pub failure_bound: f64,
}

impl Pair {
    /// Fixes r0: the margin within the ring, times the ring's baseline towards later ones.
    pub fn new(terms: Terms, baseline_ratio: impl Fn(usize) -> f64) -> Self {
        let rates = array::from_fn(|signal| RateTest {
            within: RateProcess::new(terms.margin),
            later: RateProcess::new(terms.margin * baseline_ratio(signal)),
            baseline_ratio: baseline_ratio(signal),
            first_affected_at: None,
        });
        Self {
            ring_weight: terms.ring_weight,
            ln_parts: [terms.within_weight, 1.0 - terms.within_weight].map(libm::log),
            rates,
            attempts: AttemptProcess::new(terms.failure_bound),
            first_failed_at: None,
            within: Seen::default(),
            later: Seen::default(),
            idle_windows: 0,
            ended: false,
        }
    }

    /// Ends the tests as they stand; false if they had ended before.
    pub const fn end(&mut self) -> bool {
        !std::mem::replace(&mut self.ended, true)
    }

    /// Whether its tests have ended.
    pub const fn has_ended(&self) -> bool {
        self.ended
    }

    /// Adds a window's exposure, and counts the windows running in which an arm had none.
    pub fn add_exposure(&mut self, arms: &RingArms) {
        let treated = &arms.treated;
        let both = |control: &super::tally::Sum| {
            let exposure_ms = Arms { treated: treated.at_risk_ms, control: control.at_risk_ms };
            (exposure_ms, Arms { treated: treated.devices, control: control.devices })
        };
        for (seen, control) in [(&mut self.within, &arms.within), (&mut self.later, &arms.later)] {
            let (exposure_ms, devices) = both(control);
            seen.add(exposure_ms, devices);
        }
        let control_ms = arms.within.at_risk_ms + arms.later.at_risk_ms;
        let compared = treated.at_risk_ms > 0 && control_ms > 0;
        self.idle_windows = if compared { 0 } else { self.idle_windows.saturating_add(1) };
    }

    /// Adds onsets as terms with the exposure that stands beside them: of this window, or of the
    /// own window of late ones.
    pub fn add_onsets(&mut self, arms: &RingArms, first_at: impl Fn(usize) -> Option<Timestamp>) {
        let mut costs = [Costs::default(), Costs::default()];
        for (signal, test) in self.rates.iter_mut().enumerate() {
            let treated = arms.treated.onsets[signal];
            let sides = [(&mut test.within, &arms.within), (&mut test.later, &arms.later)];
            for ((process, control), costs) in sides.into_iter().zip(&mut costs) {
                let onsets = Arms { treated, control: control.onsets[signal] };
                let treated = arms.treated.at_risk_ms;
                process.add(onsets, Arms { treated, control: control.at_risk_ms }, costs);
            }
            test.first_affected_at = earlier(test.first_affected_at, first_at(signal));
        }
    }

    pub fn add_attempts(&mut self, totals: &ChangeTotals) {
        if totals.attempts_failed + totals.attempts_succeeded > 0 {
            self.attempts.add(totals.attempts_failed, totals.attempts_succeeded);
            self.first_failed_at = earlier(self.first_failed_at, totals.first_failed_at);
        }
    }

    /// ln of the signal's e-value: for onsets, the weighted mean of both comparisons.
    pub fn log_e(&self, signal: Signal) -> f64 {
        let Some(test) = self.rates.get(signal as usize) else { return self.attempts.log_e() };
        let [within, later] = self.ln_parts;
        log_sum_exp(&[within + test.within.log_e(), later + test.later.log_e()])
    }

    /// The signal's weight in the change's budget.
    pub fn weight(&self, signal: Signal) -> f64 {
        self.ring_weight * signal_share(signal)
    }

    /// Whether the signal has had nothing to compare for this many windows running.
    pub fn is_idle(&self, signal: Signal, windows: u32) -> bool {
        if signal.is_onset() { self.idle_windows >= windows } else { self.attempts.ended() == 0 }
    }

    /// Growth of exposure until harm would be seen, and the device-hours that means; `None` where
    /// it cannot be told (or, for attempts, is no matter of hours).
    pub fn growth(&self, signal: Signal, line: f64) -> (Option<f64>, Option<f64>) {
        let Some(test) = self.rates.get(signal as usize) else {
            return (attempt_growth(self.attempts.bound(), self.attempts.ended(), line), None);
        };
        let needs = |process: &RateProcess, seen: &Seen, ln_part: f64| {
            let onsets = process.onsets().control;
            let growth = rate_growth(process.r0(), seen.exposure_ms, onsets, line - ln_part)?;
            let hours = seen.exposure_ms.treated as f64 / 3.6e6;
            Some((growth, hours * (growth - 1.0).max(0.0)))
        };
        let [within, later] = self.ln_parts;
        let both =
            [needs(&test.within, &self.within, within), needs(&test.later, &self.later, later)];
        let best = both.into_iter().flatten().min_by(|one, other| one.0.total_cmp(&other.0));
        best.unzip()
    }
}

fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    one.into_iter().chain(other).min()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::detector::tally::Sum;

    pub(in crate::detector) fn sum(at_risk_ms: i64, devices: i64, os_crash: i64) -> Sum {
        let mut sum = Sum { at_risk_ms, devices, ..Sum::default() };
        sum.onsets[Signal::OsCrash as usize] = os_crash;
        sum
    }

    pub(in crate::detector) fn pair(windows: &[(Sum, Sum, Sum)]) -> Pair {
        let terms =
            Terms { ring_weight: 0.4, within_weight: 0.25, margin: 1.25, failure_bound: 0.1 };
        let mut pair = Pair::new(terms, |_| 1.5);
        for &(treated, within, later) in windows {
            let arms = RingArms { ring: 1, treated, within, later };
            pair.add_exposure(&arms);
            pair.add_onsets(&arms, |_| Some(Timestamp::YEAR_2000));
        }
        pair
    }

    #[test]
    fn the_e_value_is_the_weighted_mean_of_both_comparisons() {
        let arms = (sum(1_000, 5, 9), sum(9_000, 45, 4), sum(50_000, 250, 30));
        let pair = pair(&[arms]);
        let test = &pair.rates[Signal::OsCrash as usize];
        let (one, other) = (libm::exp(test.within.log_e()), libm::exp(test.later.log_e()));
        assert!((libm::exp(pair.log_e(Signal::OsCrash)) - 0.25 * one - 0.75 * other).abs() < 1e-9);
        assert_eq!((test.within.r0(), test.later.r0()), (1.25, 1.875));
    }

    #[test]
    fn a_window_without_an_arm_is_idle_and_one_with_both_is_not() {
        let (some, none) = (sum(1_000, 5, 0), sum(0, 0, 0));
        let idle = |windows: &[_]| pair(windows).is_idle(Signal::OsCrash, 2);
        assert!(idle(&[(some, some, some), (some, none, none), (none, some, some)]));
        assert!(!idle(&[(some, none, none), (some, none, some)]));
    }
}
