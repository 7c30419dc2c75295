//! Everything tested of one change in one ring.
//!
//! In: the ring's arms window by window, late onsets with the exposure of their own window,
//! attempts. Out: log e per signal, its weight in the change's budget, and the evidence.

use std::array;

use schemas::alert::{ArmEvidence, Evidence, EvidenceKind};
use schemas::totals::ChangeTotals;
use schemas::{Signal, Timestamp};

use super::attempt::AttemptProcess;
use super::budget::signal_share;
use super::power::{attempt_growth, rate_growth};
use super::rate::RateProcess;
use super::tally::RingArms;
use super::{Arms, ONSETS, log_sum_exp};

/// Every signal that has a test, in the order of their numbers.
pub fn tested() -> impl Iterator<Item = Signal> {
    Signal::ALL.into_iter().filter(|&signal| signal_share(signal) > 0.0)
}

/// One onset signal: two comparisons, whose mean is the e-value of the test.
#[derive(Clone, Debug)]
struct RateTest {
    within: RateProcess,
    later: RateProcess,
    baseline_ratio: f64,
    first_affected_at: Option<Timestamp>,
}

/// What one comparison has seen of both arms.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    exposure_ms: Arms,
    devices: Arms,
    windows: u64,
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
#[derive(Clone, Debug)]
pub struct Pair {
    ring_weight: f64,
    rates: [RateTest; ONSETS],
    attempts: AttemptProcess,
    first_failed_at: Option<Timestamp>,
    within: Seen,
    later: Seen,
    idle_windows: u32,
}

impl RateTest {
    fn log_e(&self) -> f64 {
        let both = log_sum_exp(&[self.within.log_e(), self.later.log_e()]);
        both - core::f64::consts::LN_2
    }
}

impl Pair {
    /// Fixes r0 for good: `margin` within the ring, times the ring's baseline towards later ones.
    pub fn new(
        ring_weight: f64,
        margin: f64,
        bound: f64,
        baseline_ratio: impl Fn(usize) -> f64,
    ) -> Self {
        let rates = array::from_fn(|signal| RateTest {
            within: RateProcess::new(margin),
            later: RateProcess::new(margin * baseline_ratio(signal)),
            baseline_ratio: baseline_ratio(signal),
            first_affected_at: None,
        });
        let attempts = AttemptProcess::new(bound);
        let (within, later) = (Seen::default(), Seen::default());
        let first_failed_at = None;
        Self { ring_weight, rates, attempts, first_failed_at, within, later, idle_windows: 0 }
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
        for (signal, test) in self.rates.iter_mut().enumerate() {
            let treated = arms.treated.onsets[signal];
            for (process, control) in
                [(&mut test.within, &arms.within), (&mut test.later, &arms.later)]
            {
                let onsets = Arms { treated, control: control.onsets[signal] };
                let treated_ms = arms.treated.at_risk_ms;
                process.add(onsets, Arms { treated: treated_ms, control: control.at_risk_ms });
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

    /// ln of the signal's e-value.
    pub fn log_e(&self, signal: Signal) -> f64 {
        self.rates.get(signal as usize).map_or_else(|| self.attempts.log_e(), RateTest::log_e)
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
        let needs = |process: &RateProcess, seen: &Seen| {
            let onsets = process.onsets().control;
            let growth = rate_growth(process.r0(), seen.exposure_ms, onsets, line)?;
            let hours = seen.exposure_ms.treated as f64 / 3.6e6;
            Some((growth, hours * (growth - 1.0).max(0.0)))
        };
        let both = [needs(&test.within, &self.within), needs(&test.later, &self.later)];
        let best = both.into_iter().flatten().min_by(|one, other| one.0.total_cmp(&other.0));
        best.unzip()
    }

    /// The numbers of one signal, floats rounded; intervals hold at `alpha`.
    pub fn evidence(&self, signal: Signal, alpha: f64) -> Evidence {
        let ratio = |found: &Facts<'_>| match found {
            Facts::Rate { process, .. } => (process.ratio(), process.interval(alpha)),
            Facts::Attempt => (self.attempts.ratio(), self.attempts.interval(alpha)),
        };
        let facts = self.facts(signal);
        let (ratio, (low, high)) = ratio(&facts);
        let (treated, control) = self.arms(signal);
        let (kind, r0, windows, first_affected_at, baseline_ratio) = match facts {
            Facts::Rate { process, seen, test, baseline_ratio } => {
                let first_at = test.first_affected_at;
                (EvidenceKind::Rate, process.r0(), seen.windows, first_at, baseline_ratio)
            }
            Facts::Attempt => (EvidenceKind::Attempt, 1.0, 0, self.first_failed_at, None),
        };
        Evidence {
            kind,
            log_e: rounded(self.log_e(signal)),
            line: rounded(-libm::log(alpha * self.weight(signal))),
            alpha,
            r0: rounded(r0),
            treated,
            control,
            ratio: ratio.map(rounded),
            ratio_low: low.map(rounded),
            ratio_high: high.map(rounded),
            windows,
            first_affected_at,
            baseline_ratio: baseline_ratio.map(rounded),
        }
    }

    /// The most likely ratio of the stronger comparison.
    pub fn ratio(&self, signal: Signal) -> Option<f64> {
        match self.facts(signal) {
            Facts::Rate { process, .. } => process.ratio(),
            Facts::Attempt => self.attempts.ratio(),
        }
    }

    /// Counts of both arms of the stronger comparison.
    pub fn arms(&self, signal: Signal) -> (ArmEvidence, ArmEvidence) {
        let Facts::Rate { process, seen, .. } = self.facts(signal) else {
            let (devices, affected) = (self.attempts.ended(), self.attempts.failed());
            return (ArmEvidence { devices, device_seconds: 0, affected }, ArmEvidence::default());
        };
        let arm = |devices, exposure_ms: i64, affected| ArmEvidence {
            devices,
            device_seconds: exposure_ms / 1_000,
            affected,
        };
        let (devices, exposure, onsets) = (seen.devices, seen.exposure_ms, process.onsets());
        (
            arm(devices.treated, exposure.treated, onsets.treated),
            arm(devices.control, exposure.control, onsets.control),
        )
    }

    /// The comparison that speaks more strongly; without a difference the one within the ring,
    /// unless it has no control.
    fn facts(&self, signal: Signal) -> Facts<'_> {
        let Some(test) = self.rates.get(signal as usize) else { return Facts::Attempt };
        let stronger = test.later.log_e() > test.within.log_e();
        if stronger || self.within.windows == 0 {
            let baseline_ratio = Some(test.baseline_ratio);
            Facts::Rate { process: &test.later, seen: &self.later, test, baseline_ratio }
        } else {
            let process = &test.within;
            Facts::Rate { process, seen: &self.within, test, baseline_ratio: None }
        }
    }
}

enum Facts<'a> {
    Rate {
        process: &'a RateProcess,
        seen: &'a Seen,
        test: &'a RateTest,
        baseline_ratio: Option<f64>,
    },
    Attempt,
}

fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    one.into_iter().chain(other).min()
}

/// To 6 significant digits: what is printed must not depend on the last bits.
pub fn rounded(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detector::tally::Sum;

    fn sum(at_risk_ms: i64, devices: i64, os_crash: i64) -> Sum {
        let mut sum = Sum { at_risk_ms, devices, ..Sum::default() };
        sum.onsets[Signal::OsCrash as usize] = os_crash;
        sum
    }

    fn pair(windows: &[(Sum, Sum, Sum)]) -> Pair {
        let mut pair = Pair::new(0.4, 1.25, 0.1, |_| 1.5);
        for &(treated, within, later) in windows {
            let arms = RingArms { ring: 1, treated, within, later };
            pair.add_exposure(&arms);
            pair.add_onsets(&arms, |_| Some(Timestamp::YEAR_2000));
        }
        pair
    }

    #[test]
    fn the_e_value_is_the_mean_of_both_comparisons() {
        let arms = (sum(1_000, 5, 9), sum(9_000, 45, 4), sum(50_000, 250, 30));
        let pair = pair(&[arms]);
        let test = &pair.rates[Signal::OsCrash as usize];
        let (one, other) = (libm::exp(test.within.log_e()), libm::exp(test.later.log_e()));
        assert!((libm::exp(pair.log_e(Signal::OsCrash)) - f64::midpoint(one, other)).abs() < 1e-9);
        assert_eq!((test.within.r0(), test.later.r0()), (1.25, 1.875));
    }

    #[test]
    fn evidence_names_the_stronger_comparison() {
        let check = |within, later, baseline_ratio, control| {
            let evidence =
                pair(&[(sum(1_000, 5, 9), within, later)]).evidence(Signal::OsCrash, 0.01);
            assert_eq!(
                (evidence.baseline_ratio, evidence.control.affected),
                (baseline_ratio, control)
            );
            assert_eq!((evidence.windows, evidence.treated.affected), (1, 9));
            assert_eq!(evidence.first_affected_at, Some(Timestamp::YEAR_2000));
            assert!((evidence.line - 7.313_22).abs() < 1e-9, "{}", evidence.line);
        };
        check(sum(9_000, 45, 4), sum(50_000, 250, 300), None, 4);
        check(sum(9_000, 45, 90), sum(50_000, 250, 20), Some(1.5), 20);
        check(sum(0, 0, 0), sum(50_000, 250, 300), Some(1.5), 300);
    }

    #[test]
    fn a_window_without_an_arm_is_idle_and_one_with_both_is_not() {
        let (some, none) = (sum(1_000, 5, 0), sum(0, 0, 0));
        let idle = |windows: &[_]| pair(windows).is_idle(Signal::OsCrash, 2);
        assert!(idle(&[(some, some, some), (some, none, none), (none, some, some)]));
        assert!(!idle(&[(some, none, none), (some, none, some)]));
    }

    #[test]
    fn numbers_are_rounded_to_six_significant_digits() {
        for (value, expected) in
            [(7.123_456_78, 7.123_46), (123_456_789.0, 123_457_000.0), (0.0, 0.0)]
        {
            assert!((rounded(value) - expected).abs() < 1e-9, "{value}");
        }
    }
}
