//! Everything tested of one change in one ring.
//!
//! In: the ring's arms window by window, late onsets with the exposure of their own window,
//! attempts. Out: log e per signal, and its weight in the change's budget. What is said of it in
//! numbers stands in `evidence.rs`.

use std::collections::BTreeMap;
use std::{array, slice};

use schemas::totals::ChangeTotals;
use schemas::{DurationSignal, Signal, Timestamp};
use serde::{Deserialize, Serialize};

use super::attempt::{Against, AttemptProcess};
use super::baseline::Losses;
use super::budget::signal_share;
use super::cohort::{CohortOnsets, Spread, score};
use super::compared::Ended;
use super::power::rate_growth;
use super::quantile::DurationArms;
use super::rate::{Exposure, RateProcess};
use super::tally::{RingArms, Sum};
use super::{Arms, ONSETS, log_sum_exp};

/// Not coming back may be twice as frequent after an attempt: people install and go home.
const RETURN_MARGIN: f64 = 2.0;

/// Devices from which rare harm is no accident.
const RARE_DEVICES: i64 = 2;
/// ln 1000: what chance would do once in a thousand changes. With nothing lost before, two devices
/// are enough while the treated hold less than a thirtieth of the time at risk, three below a
/// tenth.
const RARE_LN_ODDS: f64 = 6.907_755_278_982_137;

/// Every signal that has a test, in the order of their numbers.
pub fn tested() -> impl Iterator<Item = Signal> {
    Signal::ALL.into_iter().filter(|&signal| signal_share(signal) > 0.0)
}

/// Two comparisons, whose weighted mean is the e-value of the test.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct RateTest {
    pub(super) within: RateProcess,
    pub(super) later: RateProcess,
    pub(super) baseline_ratio: f64,
    pub(super) first_affected_at: Option<Timestamp>,
}

impl RateTest {
    fn new(margin: f64, baseline_ratio: f64) -> Self {
        Self {
            within: RateProcess::new(margin, 1.0),
            later: RateProcess::new(margin, baseline_ratio),
            baseline_ratio,
            first_affected_at: None,
        }
    }
}

/// What one comparison has seen of both arms.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Seen {
    /// Device-milliseconds at risk, or trials.
    pub(super) exposure: Arms,
    /// At risk at the last window's start, or trials.
    pub(super) devices: Arms,
    pub(super) windows: u64,
}

/// Both comparisons.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Sides {
    pub(super) within: Seen,
    pub(super) later: Seen,
}

/// A change in a ring, from its first exposure there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pair {
    ring_weight: f64,
    /// ln of each comparison's weight in their mean, `within` first.
    ln_parts: [f64; 2],
    rates: [RateTest; ONSETS],
    returns: RateTest,
    pub(super) attempts: AttemptProcess,
    pub(super) first_failed_at: Option<Timestamp>,
    pub(super) onset_sides: Sides,
    pub(super) return_sides: Sides,
    idle: Idle,
    /// Devices that lost data, whether or not the other arm had any exposure.
    pub(super) lost: Arms,
    /// Devices of the ring and the later ones that lost data in the 14 days before.
    losses_before: Losses,
    /// Exposure likewise.
    pub(super) exposed: Seen,
    /// How the ring was spread over cohorts before the change.
    pub spread: Spread,
    pub cohort_onsets: CohortOnsets,
    /// Of both arms, by kind.
    pub durations: BTreeMap<DurationSignal, DurationArms>,
    /// Start of the window of the first exposure.
    pub exposed_from: Timestamp,
    /// Since when the change is safe to promote from this ring.
    pub clear_since: Option<Timestamp>,
    /// Its tests have ended: what they say stands, and nothing is added.
    ended: bool,
}

/// Windows running in which an arm had no exposure, and which it was in the last of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Idle {
    windows: u32,
    arm: IdleArm,
}

/// The arm that has no device at risk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IdleArm {
    Treated,
    Control,
}

/// What is fixed for good at a ring's first exposure.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The ring's weight in the change's budget.
    pub ring_weight: f64,
    /// The weight of the comparison within the ring, of both.
    pub within_weight: f64,
    /// Largest ratio that is no harm, before the baseline.
    pub margin: f64,
    /// What failed attempts are held against.
    pub attempts: Against,
    /// Start of the window of the first exposure.
    pub exposed_from: Timestamp,
    /// Devices that lost data before, in the ring and the later ones.
    pub losses_before: Losses,
    /// How the ring was spread over cohorts before.
    pub spread: Spread,
    /// Those of the installs that this change's are compared with.
    pub durations: BTreeMap<DurationSignal, DurationArms>,
}

impl Pair {
    /// Fixes r0: the margin within the ring, times the ring's baseline towards later ones. The
    /// baseline is asked for each onset signal, and for the returns under `ONSETS`.
    pub fn new(terms: Terms, baseline_ratio: impl Fn(usize) -> f64) -> Self {
        Self {
            ring_weight: terms.ring_weight,
            ln_parts: [terms.within_weight, 1.0 - terms.within_weight].map(libm::log),
            rates: array::from_fn(|signal| RateTest::new(terms.margin, baseline_ratio(signal))),
            returns: RateTest::new(RETURN_MARGIN, baseline_ratio(ONSETS)),
            attempts: AttemptProcess::new(terms.attempts),
            first_failed_at: None,
            onset_sides: Sides::default(),
            return_sides: Sides::default(),
            idle: Idle { windows: 0, arm: IdleArm::Control },
            lost: Arms::default(),
            losses_before: terms.losses_before,
            exposed: Seen::default(),
            spread: terms.spread,
            cohort_onsets: CohortOnsets::default(),
            durations: terms.durations,
            exposed_from: terms.exposed_from,
            clear_since: None,
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
        self.onset_sides.within.add(&arms.treated, &arms.within);
        self.onset_sides.later.add(&arms.treated, &arms.later);
        self.exposed.note(&arms.treated, &arms.within, &arms.later);
        let control_ms = arms.within.at_risk_ms + arms.later.at_risk_ms;
        let arm = if arms.treated.at_risk_ms > 0 { IdleArm::Control } else { IdleArm::Treated };
        let compared = arms.treated.at_risk_ms > 0 && control_ms > 0;
        let windows = if compared { 0 } else { self.idle.windows.saturating_add(1) };
        self.idle = Idle { windows, arm };
    }

    /// Adds onsets as terms with the exposure that stands beside them: of this window, or of the
    /// own window of late ones.
    pub fn add_onsets(
        &mut self,
        window: Timestamp,
        arms: &RingArms,
        first_at: impl Fn(usize) -> Option<Timestamp>,
    ) {
        let lost = |sum: &Sum| sum.onsets[Signal::DataLoss as usize];
        self.lost.treated += lost(&arms.treated);
        let control = lost(&arms.within) + lost(&arms.later);
        if window < self.exposed_from {
            self.losses_before.devices += control;
        } else {
            self.lost.control += control;
        }
        let (within, later) = exposures(arms);
        for (signal, test) in self.rates.iter_mut().enumerate() {
            let treated = arms.treated.onsets[signal];
            let onsets = |control: &Sum| Arms { treated, control: control.onsets[signal] };
            test.within.add_some(onsets(&arms.within), within.as_ref());
            test.later.add_some(onsets(&arms.later), later.as_ref());
            if treated > 0 {
                test.first_affected_at = earlier(test.first_affected_at, first_at(signal));
            }
        }
    }

    /// Adds a window's trials of coming back: arms whose exposure is trials, and whose first
    /// onsets are the failed ones.
    pub fn add_returns(&mut self, arms: &RingArms, first_at: Option<Timestamp>) {
        let (within, later) = exposures(arms);
        let failed =
            |control: &Sum| Arms { treated: arms.treated.onsets[0], control: control.onsets[0] };
        self.returns.within.add_some(failed(&arms.within), within.as_ref());
        self.returns.later.add_some(failed(&arms.later), later.as_ref());
        self.returns.first_affected_at = earlier(self.returns.first_affected_at, first_at);
        self.return_sides.within.add(&arms.treated, &arms.within);
        self.return_sides.later.add(&arms.treated, &arms.later);
    }

    pub fn add_attempts(&mut self, totals: &ChangeTotals) {
        let (failed, succeeded) = (totals.attempts_failed, totals.attempts_succeeded);
        if failed + succeeded > 0 {
            self.attempts.add(Ended { failed, succeeded });
            self.first_failed_at = earlier(self.first_failed_at, totals.first_failed_at);
        }
    }

    /// Attempts that ended here so far.
    pub const fn attempts(&self) -> Ended {
        self.attempts.ended()
    }

    /// The rate tests of a signal, each with the same part of its weight: silence has two forms,
    /// attempts have none.
    pub(super) fn rate_tests(&self, signal: Signal) -> &[RateTest] {
        let first = signal as usize;
        match signal {
            Signal::Silence => &self.rates[first..=Signal::SilenceLearned as usize],
            Signal::NoReturn => slice::from_ref(&self.returns),
            _ => self.rates.get(first..=first).unwrap_or_default(),
        }
    }

    /// Whether any device was hit, in either arm of any comparison.
    pub fn has_hits(&self, signal: Signal) -> bool {
        let hit = |test: &RateTest| test.within.onsets().total() + test.later.onsets().total() > 0;
        let tests = self.rate_tests(signal);
        tests.iter().any(hit) || (tests.is_empty() && self.attempts.ended().total() > 0)
    }

    /// Both comparisons' exposure for a signal.
    pub(super) fn sides(&self, signal: Signal) -> &Sides {
        if signal == Signal::NoReturn { &self.return_sides } else { &self.onset_sides }
    }

    /// ln of the signal's e-value: for rates, the weighted mean of all comparisons.
    pub fn log_e(&self, signal: Signal) -> f64 {
        self.mean(signal, AttemptProcess::log_e, RateProcess::log_e)
    }

    /// The same without the margin: what `watch` looks at.
    pub fn log_e_watch(&self, signal: Signal) -> f64 {
        self.mean(signal, AttemptProcess::log_e_watch, RateProcess::log_e_watch)
    }

    fn mean(
        &self,
        signal: Signal,
        of_attempts: impl Fn(&AttemptProcess) -> f64,
        of_rate: impl Fn(&RateProcess) -> f64,
    ) -> f64 {
        let [within, later] = self.ln_parts;
        let both = |test: &RateTest| [within + of_rate(&test.within), later + of_rate(&test.later)];
        match self.rate_tests(signal) {
            [] => of_attempts(&self.attempts),
            [test] => log_sum_exp(&both(test)),
            tests => {
                let parts: Vec<f64> = tests.iter().flat_map(both).collect();
                log_sum_exp(&parts) - libm::log(tests.len() as f64)
            }
        }
    }

    /// The ring's own ratio to the later ones, for an onset signal.
    pub fn baseline_ratio(&self, signal: Signal) -> f64 {
        self.rate_tests(signal).first().map_or(1.0, |test| test.baseline_ratio)
    }

    /// The weight of the comparison within the ring, of both.
    pub fn within_weight(&self) -> f64 {
        libm::exp(self.ln_parts[0])
    }

    /// Whether rare harm has been done: two devices, none of the control since the ring's first
    /// exposure, and not what the fleet's last 14 days before it would bring about by chance. No
    /// rate test could see one device in ten thousand.
    pub fn has_rare_harm(&self, signal: Signal) -> bool {
        signal == Signal::DataLoss
            && self.lost.treated >= RARE_DEVICES
            && self.lost.control == 0
            && self.loss_odds() >= RARE_LN_ODDS
    }

    /// How far the losses exceed what falls on the treated if each falls on a moment at risk like
    /// any other, those before the change included: the Chernoff bound of the binomial tail.
    fn loss_odds(&self) -> f64 {
        let treated = self.exposed.exposure.treated as f64;
        let others = self.exposed.exposure.control as f64 + self.losses_before.at_risk_ms as f64;
        let (share, lost) = (treated / (treated + others).max(1.0), self.lost.treated);
        score(lost, lost + self.losses_before.devices, share)
    }

    /// The signal's weight in the change's budget.
    pub fn weight(&self, signal: Signal) -> f64 {
        self.ring_weight * signal_share(signal)
    }

    /// The arm that a signal lacks: for onsets, once it has had no exposure for this many windows
    /// running.
    pub fn idle_arm(&self, signal: Signal, windows: u32) -> Option<IdleArm> {
        let sides = &self.return_sides;
        match signal {
            Signal::InstallFailure => {
                (self.attempts.ended().total() == 0).then_some(IdleArm::Treated)
            }
            Signal::NoReturn if sides.within.windows + sides.later.windows == 0 => {
                Some(IdleArm::Treated)
            }
            Signal::NoReturn => None,
            _ => (self.idle.windows >= windows).then_some(self.idle.arm),
        }
    }

    /// Growth of exposure until harm would be seen, and the device-hours that means (`None` for
    /// attempts); `None` where it cannot be told.
    pub fn growth(&self, signal: Signal, line: f64) -> (Option<f64>, Option<f64>) {
        let tests = self.rate_tests(signal);
        if tests.is_empty() {
            return (self.attempts.growth(line), None);
        }
        let needs = |process: &RateProcess, seen: &Seen, ln_part: f64| {
            let onsets = process.onsets().control;
            let line = line - ln_part + libm::log(tests.len() as f64);
            let growth = rate_growth(process.r0(), seen.exposure, onsets, line)?;
            let hours = seen.exposure.treated as f64 / 3.6e6;
            Some((growth, hours * (growth - 1.0).max(0.0)))
        };
        let ([within, later], sides) = (self.ln_parts, self.sides(signal));
        let both = |test: &RateTest| {
            [needs(&test.within, &sides.within, within), needs(&test.later, &sides.later, later)]
        };
        let all = tests.iter().flat_map(both).flatten();
        let best = all.min_by(|one, other| one.0.total_cmp(&other.0));
        let (growth, hours) = best.unzip();
        (growth, hours.filter(|_| signal != Signal::NoReturn))
    }
}

impl Seen {
    fn add(&mut self, treated: &Sum, control: &Sum) {
        if treated.at_risk_ms > 0 && control.at_risk_ms > 0 {
            self.exposure.treated += treated.at_risk_ms;
            self.exposure.control += control.at_risk_ms;
            self.devices = Arms { treated: treated.devices, control: control.devices };
            self.windows += 1;
        }
    }
}

impl Seen {
    /// Adds exposure of all arms, compared or not.
    fn note(&mut self, treated: &Sum, within: &Sum, later: &Sum) {
        self.exposure.treated += treated.at_risk_ms;
        self.exposure.control += within.at_risk_ms + later.at_risk_ms;
        let control = within.devices + later.devices;
        self.devices = Arms { treated: treated.devices, control };
        self.windows += 1;
    }
}

/// Exposure of the comparison within the ring, and of that with the later rings.
fn exposures(arms: &RingArms) -> (Option<Exposure>, Option<Exposure>) {
    let exposure = |control: &Sum| {
        Exposure::new(Arms { treated: arms.treated.at_risk_ms, control: control.at_risk_ms })
    };
    (exposure(&arms.within), exposure(&arms.later))
}

fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    one.into_iter().chain(other).min()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::detector) fn sum(at_risk_ms: i64, devices: i64, os_crash: i64) -> Sum {
        let mut sum = Sum { at_risk_ms, devices, ..Sum::default() };
        sum.onsets[Signal::OsCrash as usize] = os_crash;
        sum
    }

    pub(in crate::detector) fn pair(windows: &[(Sum, Sum, Sum)]) -> Pair {
        let attempts = Against::Bound { share: 0.1 };
        let terms = Terms {
            ring_weight: 0.4,
            within_weight: 0.25,
            margin: 1.25,
            losses_before: Losses::default(),
            attempts,
            exposed_from: Timestamp::YEAR_2000,
            spread: Spread::default(),
            durations: BTreeMap::new(),
        };
        let mut pair = Pair::new(terms, |_| 1.5);
        for &(treated, within, later) in windows {
            let arms = RingArms { ring: 1, treated, within, later };
            pair.add_exposure(&arms);
            pair.add_onsets(Timestamp::YEAR_2000, &arms, |_| Some(Timestamp::YEAR_2000));
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
        let idle = |windows: &[_]| pair(windows).idle_arm(Signal::OsCrash, 2);
        let (treated, control) = (Some(IdleArm::Treated), Some(IdleArm::Control));
        assert_eq!(idle(&[(some, some, some), (some, none, none), (none, some, some)]), treated);
        assert_eq!(idle(&[(some, none, none), (some, none, none)]), control);
        assert_eq!(idle(&[(some, none, none), (some, none, some)]), None);
    }
}
