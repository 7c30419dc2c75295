//! What is said of a test in numbers: counts of both arms, ratio, interval.
//!
//! In: a pair. Out: [`Evidence`] of its stronger comparison, floats rounded to 6 digits: what is
//! printed must not depend on the last bits.

use std::sync::Arc;

use schemas::Signal;
use schemas::alert::{ArmEvidence, Evidence, EvidenceKind};

use super::attempt::Against;
use super::compared::Ended;
use super::pair::{Pair, RateTest, Seen};
use super::rate::RateProcess;

impl Pair {
    /// The numbers of one signal, floats rounded; intervals hold at `alpha`.
    pub fn evidence(&self, signal: Signal, alpha: f64) -> Evidence {
        let facts = self.facts(signal);
        let (low, high) = match &facts {
            Facts::Rate { process, .. } => process.interval(alpha),
            Facts::Attempt => self.attempts.interval(alpha),
        };
        let rare = self.has_rare_harm(signal);
        let (treated, control) = if rare { self.rare_arms() } else { self.arms(signal) };
        let (kind, r0, windows, first_affected_at, baseline_ratio) = match &facts {
            Facts::Rate { process, seen, test, baseline_ratio, .. } => {
                let trials = signal == Signal::NoReturn;
                let kind = match () {
                    () if rare => EvidenceKind::Rare,
                    () if trials => EvidenceKind::Attempt,
                    () => EvidenceKind::Rate,
                };
                let first_at = test.first_affected_at;
                (kind, process.r0(), seen.windows, first_at, *baseline_ratio)
            }
            Facts::Attempt => {
                let r0 = match self.attempts.against() {
                    Against::Bound { .. } => 1.0,
                    Against::Earlier { margin, .. } => *margin,
                };
                (EvidenceKind::Attempt, r0, 0, self.first_failed_at, None)
            }
        };
        Evidence {
            kind,
            log_e: rounded(self.log_e(signal)),
            line: rounded(-libm::log(alpha * self.weight(signal))),
            alpha,
            r0: rounded(r0),
            treated,
            control,
            ratio: self.ratio(signal).map(rounded),
            ratio_low: low.map(rounded),
            ratio_high: high.map(rounded),
            windows,
            first_affected_at,
            baseline_ratio: baseline_ratio.map(rounded),
            comparison_weight: match &facts {
                Facts::Rate { weight, .. } => Some(rounded(*weight)),
                Facts::Attempt => None,
            },
        }
    }

    /// The most likely ratio of the strongest comparison.
    pub fn ratio(&self, signal: Signal) -> Option<f64> {
        match self.facts(signal) {
            Facts::Rate { process, .. } => process.ratio(),
            Facts::Attempt => self.attempts.ratio(),
        }
    }

    /// Counts of both arms of the strongest comparison.
    pub fn arms(&self, signal: Signal) -> (ArmEvidence, ArmEvidence) {
        let Facts::Rate { process, seen, .. } = self.facts(signal) else {
            let control = match self.attempts.against() {
                Against::Bound { .. } => Ended::default(),
                Against::Earlier { ended, .. } => *ended,
            };
            return (attempts(self.attempts.ended()), attempts(control));
        };
        let (exposure, devices, onsets) = (seen.exposure, seen.devices, process.onsets());
        let arm = |devices: i64, exposure: i64, affected: i64| match signal {
            Signal::NoReturn => ArmEvidence { devices: exposure, device_seconds: 0, affected },
            _ => ArmEvidence { devices, device_seconds: exposure / 1_000, affected },
        };
        (
            arm(devices.treated, exposure.treated, onsets.treated),
            arm(devices.control, exposure.control, onsets.control),
        )
    }

    /// Both arms of rare harm: everything since the first exposure.
    fn rare_arms(&self) -> (ArmEvidence, ArmEvidence) {
        let (seen, lost) = (&self.exposed, self.lost);
        let arm = |devices, exposure: i64, affected| ArmEvidence {
            devices,
            device_seconds: exposure / 1_000,
            affected,
        };
        (
            arm(seen.devices.treated, seen.exposure.treated, lost.treated),
            arm(seen.devices.control, seen.exposure.control, lost.control),
        )
    }

    /// The earlier change that attempts are held against.
    pub fn compared_with(&self, signal: Signal) -> Option<&Arc<str>> {
        match (signal, self.attempts.against()) {
            (Signal::InstallFailure, Against::Earlier { change, .. }) => Some(change),
            _ => None,
        }
    }

    /// The comparison that speaks most strongly; without a difference the one within the ring,
    /// unless it has no control.
    fn facts(&self, signal: Signal) -> Facts<'_> {
        let sides = self.sides(signal);
        let strength = |test: &RateTest| test.within.log_e().max(test.later.log_e());
        let stronger = |best: &'_ RateTest, test: &'_ RateTest| strength(test) > strength(best);
        let tests = self.rate_tests(signal).iter();
        let best = tests.reduce(|best, test| if stronger(best, test) { test } else { best });
        let Some(test) = best else { return Facts::Attempt };
        let (within, forms) = (self.within_weight(), self.rate_tests(signal).len() as f64);
        if test.later.log_e() > test.within.log_e() || sides.within.windows == 0 {
            let baseline_ratio = Some(test.baseline_ratio);
            let (process, seen) = (&test.later, &sides.later);
            Facts::Rate { process, seen, test, baseline_ratio, weight: (1.0 - within) / forms }
        } else {
            let process = &test.within;
            let (seen, weight) = (&sides.within, within / forms);
            Facts::Rate { process, seen, test, baseline_ratio: None, weight }
        }
    }
}

const fn attempts(ended: Ended) -> ArmEvidence {
    ArmEvidence { devices: ended.total(), device_seconds: 0, affected: ended.failed }
}

enum Facts<'a> {
    Rate {
        process: &'a RateProcess,
        seen: &'a Seen,
        test: &'a RateTest,
        baseline_ratio: Option<f64>,
        /// Of all comparisons.
        weight: f64,
    },
    Attempt,
}

/// To 6 significant digits.
pub fn rounded(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detector::pair::tests::{pair, sum};
    use schemas::Timestamp;

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
    fn numbers_are_rounded_to_six_significant_digits() {
        for (value, expected) in
            [(7.123_456_78, 7.123_46), (123_456_789.0, 123_457_000.0), (0.0, 0.0)]
        {
            assert!((rounded(value) - expected).abs() < 1e-9, "{value}");
        }
    }
}
