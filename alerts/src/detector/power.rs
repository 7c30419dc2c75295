//! Whether a test could have seen harm yet: what tells `healthy` from `insufficient`.
//!
//! In: exposure, the control's rate, the line. Out: how much longer it takes, as a factor.
//!
//! An approximation (design: detection 4, ratio 5, power 0.8). At ratio 5 and the control's
//! hazard, the log-likelihood of ratio 5 against r0 grows by `gain` with standard deviation
//! `spread` (compound Poisson: each treated onset adds a, each control onset b). It crosses with
//! power 0.8 where gain - 0.84 spread reaches the line and what the mixture pays for not knowing
//! the ratio. Exposure grown s-fold multiplies gain by s and spread by sqrt(s).

use libm::{log, sqrt};

use super::Arms;

/// The ratio that must have been visible.
const RATIO: f64 = 5.0;
/// Normal quantile of the power 0.8.
const QUANTILE: f64 = 0.841_621_233_572_914_3;
/// What the mixture pays: about 3 of 24 ratios lie near the truth (ln 8).
const MIXTURE_COST: f64 = 2.079_441_541_679_835_7;
/// What the Bernoulli mixture pays: half the logarithm of some hundred attempts.
const ATTEMPT_COST: f64 = 2.3;

/// The factor s by which exposure must grow until gain and spread suffice.
fn growth(gain: f64, variance: f64, line: f64) -> f64 {
    let reach = QUANTILE * sqrt(variance);
    let root = (reach + sqrt(reach * reach + 4.0 * gain * line)) / (2.0 * gain);
    root * root
}

/// Growth of both arms' exposure that a rate test needs; at most 1 where it has enough, `None`
/// where the control's onsets are too few to tell.
pub fn rate_growth(r0: f64, exposure: Arms, control_onsets: i64, line: f64) -> Option<f64> {
    // One standard error below the estimate: a lucky first onset must not pass for knowledge.
    let control = control_onsets as f64 - sqrt(control_onsets as f64);
    if exposure.treated <= 0 || exposure.control <= 0 || control <= 0.0 {
        return None;
    }
    let odds = exposure.treated as f64 / exposure.control as f64;
    let treated = RATIO * odds * control;
    let per_control = -log((RATIO * odds + 1.0) / (r0 * odds + 1.0));
    let per_treated = log(RATIO / r0) + per_control;
    let gain = treated * per_treated + control * per_control;
    let variance = treated * per_treated * per_treated + control * per_control * per_control;
    (gain > 0.0).then(|| growth(gain, variance, line + MIXTURE_COST))
}

/// The same for attempts against a bound, failing five times as often, at most nine in ten.
pub fn attempt_growth(bound: f64, ended: i64, line: f64) -> Option<f64> {
    let share = (RATIO * bound).min(0.9);
    let (failed, succeeded) = (log(share / bound), log((1.0 - share) / (1.0 - bound)));
    let attempts = ended as f64;
    let gain = attempts * (share * failed + (1.0 - share) * succeeded);
    let step = failed - succeeded;
    let variance = attempts * share * (1.0 - share) * step * step;
    (gain > 0.0).then(|| growth(gain, variance, line + ATTEMPT_COST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_exposure_needs_less_growth_in_proportion() {
        let needs = |scale: i64| {
            let exposure = Arms { treated: 500 * scale, control: 9_500 * scale };
            rate_growth(1.25, exposure, 100 * scale * scale, 7.3).unwrap() * scale as f64
        };
        assert!(needs(1) > needs(4) && needs(4) > needs(16));
    }

    #[test]
    fn without_a_known_rate_or_an_arm_nothing_can_be_told() {
        let exposure = Arms { treated: 500, control: 9_500 };
        assert_eq!(rate_growth(1.25, exposure, 0, 7.3), None);
        assert_eq!(rate_growth(1.25, exposure, 1, 7.3), None);
        assert_eq!(rate_growth(1.25, Arms { control: 0, ..exposure }, 50, 7.3), None);
        assert_eq!(attempt_growth(0.1, 0, 7.3), None);
    }

    #[test]
    fn some_dozen_attempts_are_enough_for_the_bound_of_install_failure() {
        let enough = |ended| attempt_growth(0.1, ended, 7.3).is_some_and(|growth| growth <= 1.0);
        let first = (1..1_000).find(|&ended| enough(ended));
        assert!(first.is_some_and(|first| (20..60).contains(&first)), "{first:?}");
    }
}
