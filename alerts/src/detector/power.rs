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
use super::compared::Ended;

/// The ratio that must have been visible.
const RATIO: f64 = 5.0;
/// Normal quantile of the power 0.8.
const QUANTILE: f64 = 0.841_621_233_572_914_3;
/// What the mixture pays: about 3 of 24 ratios lie near the truth (ln 8).
const MIXTURE_COST: f64 = 2.079_441_541_679_835_7;
/// More attempts than 2^30 are not waited for.
const ATTEMPTS_LOG2_MAX: u32 = 30;

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
    rate_growth_at(RATIO, r0, exposure, control, line)
}

/// The same for any ratio and a known number of control onsets, whole or not.
pub fn rate_growth_at(ratio: f64, r0: f64, exposure: Arms, control: f64, line: f64) -> Option<f64> {
    if exposure.treated <= 0 || exposure.control <= 0 || control <= 0.0 || ratio <= r0 {
        return None;
    }
    let odds = exposure.treated as f64 / exposure.control as f64;
    let treated = ratio * odds * control;
    let per_control = -log((ratio * odds + 1.0) / (r0 * odds + 1.0));
    let per_treated = log(ratio / r0) + per_control;
    let gain = treated * per_treated + control * per_control;
    let variance = treated * per_treated * per_treated + control * per_control * per_control;
    (gain > 0.0).then(|| growth(gain, variance, line + MIXTURE_COST))
}

/// Attempts that it takes: by then the `log_e` of failing five times as often as usual, at most
/// nine in ten, reaches the line with power 0.8. `None` where no number of them would do.
pub fn attempts_needed(usual: f64, line: f64, log_e: impl Fn(Ended) -> f64) -> Option<i64> {
    let share = (RATIO * usual).min(0.9);
    let enough = |attempts: i64| {
        let count = attempts as f64;
        let spread = QUANTILE * sqrt(count * share * (1.0 - share));
        let failed = libm::floor(count * share - spread).max(0.0) as i64;
        log_e(Ended { failed, succeeded: attempts - failed }) >= line
    };
    let most = (0..ATTEMPTS_LOG2_MAX).map(|bits| 1_i64 << bits).find(|&most| enough(most))?;
    let (mut low, mut high) = (most / 2, most);
    while high - low > 1 {
        let middle = i64::midpoint(low, high);
        if enough(middle) { high = middle } else { low = middle }
    }
    Some(high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detector::attempt::Against;

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
        assert_eq!(attempts_needed(0.9, 7.3, |_| 0.0), None);
    }

    #[test]
    fn some_dozen_attempts_are_enough_for_the_bound_of_install_failure() {
        let bound = Against::Bound { share: 0.1 };
        let needed = attempts_needed(0.1, 7.3, |ended| bound.log_e(ended));
        assert!(needed.is_some_and(|needed| (15..60).contains(&needed)), "{needed:?}");
    }
}
