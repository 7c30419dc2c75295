//! The e-process of attempts against those of an earlier change: two shares, both unknown.
//!
//! In: attempts of both arms that ended, failed or not. Out: log e of "the treated fail more than
//! `ratio` times as often as the control", and the interval of that ratio.
//!
//! Both shares have a uniform prior; the denominator is the largest likelihood that no harm
//! allows (universal inference: Wasserman, Ramdas and Balakrishnan 2020):
//!
//! ```text
//!        B(a+1, s+1) B(c+1, d+1)           a, s: failed and succeeded of the treated
//! E = ------------------------------       c, d: of the control
//!     sup  p^a (1-p)^s  q^c (1-q)^d        over all p <= ratio q
//! ```
//! At the true p and q the quotient is a martingale in any order of the attempts of both arms,
//! and E is never larger. Only totals matter, so the control may lie in the past.

use libm::{lgamma, log, log1p, sqrt};
use serde::{Deserialize, Serialize};

/// Ratios looked at: e^-14 ..= e^14, about one millionth to one million.
const LN_RATIO_MAX: f64 = 14.0;
/// Halvings of that range: exact to 1e-10.
const HALVINGS: u32 = 38;

/// Attempts that ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    pub failed: i64,
    pub succeeded: i64,
}

impl Ended {
    pub const fn total(self) -> i64 {
        self.failed + self.succeeded
    }

    /// The share that failed.
    pub fn share(self) -> f64 {
        self.failed as f64 / self.total() as f64
    }

    /// k ln p + (N-k) ln(1-p), where 0 ln 0 = 0.
    pub fn log_likelihood(self, share: f64) -> f64 {
        let part = |count: i64, ln: f64| if count == 0 { 0.0 } else { count as f64 * ln };
        part(self.failed, log(share)) + part(self.succeeded, log1p(-share))
    }

    /// ln B(k+1, N-k+1): the likelihood's mean over all shares.
    fn log_mean(self) -> f64 {
        let (a, b) = (self.failed as f64 + 1.0, self.succeeded as f64 + 1.0);
        lgamma(a) + lgamma(b) - lgamma(a + b)
    }
}

/// ln of the e-value of "the treated fail more than `ratio` times as often".
pub fn log_e(treated: Ended, control: Ended, ratio: f64) -> f64 {
    if treated.total() == 0 || control.total() == 0 {
        return 0.0;
    }
    let best = if treated.share() <= ratio * control.share() {
        treated.log_likelihood(treated.share()) + control.log_likelihood(control.share())
    } else {
        at_ratio(treated, control, ratio)
    };
    treated.log_mean() + control.log_mean() - best
}

/// The largest log-likelihood of both arms where p = ratio q.
///
/// Its derivative is zero where q solves a quadratic; the smaller root has p and q below 1.
fn at_ratio(treated: Ended, control: Ended, ratio: f64) -> f64 {
    let failed = (treated.failed + control.failed) as f64;
    let (kept, rest) = (treated.succeeded as f64, control.succeeded as f64);
    let square = ratio * (failed + kept + rest);
    let linear = failed * (1.0 + ratio) + ratio * kept + rest;
    let root = sqrt((linear * linear - 4.0 * square * failed).max(0.0));
    // The form that does not subtract numbers of one size.
    let share = 2.0 * failed / (linear + root);
    treated.log_likelihood((ratio * share).min(1.0)) + control.log_likelihood(share)
}

/// Share of the treated that failed over that of the control; `None` where none of those did.
pub fn ratio(treated: Ended, control: Ended) -> Option<f64> {
    (treated.total() > 0 && control.failed > 0).then(|| treated.share() / control.share())
}

/// All ratios that the mixture does not refute at `alpha`, at any time; `None` = no bound.
pub fn interval(treated: Ended, control: Ended, alpha: f64) -> (Option<f64>, Option<f64>) {
    if treated.total() == 0 || control.total() == 0 {
        return (None, None);
    }
    let floor = treated.log_mean() + control.log_mean() + log(alpha);
    let within = |ln_ratio: f64| at_ratio(treated, control, libm::exp(ln_ratio)) >= floor;
    let top = match (treated.failed, control.failed) {
        (_, 0) => LN_RATIO_MAX,
        (0, _) => -LN_RATIO_MAX,
        _ => log(treated.share() / control.share()),
    };
    let end = |mut outside: f64| {
        let mut inside = top;
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(inside, outside);
            if within(middle) { inside = middle } else { outside = middle }
        }
        libm::exp(inside)
    };
    let (low, high) = (treated.failed > 0, control.failed > 0);
    (low.then(|| end(-LN_RATIO_MAX)), high.then(|| end(LN_RATIO_MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// ln of the chance of this outcome among as many attempts, each failing with this share.
    fn ln_chance(ended: Ended, share: f64) -> f64 {
        let gamma = |count: i64| lgamma(count as f64 + 1.0);
        let choices = gamma(ended.total()) - gamma(ended.failed) - gamma(ended.succeeded);
        choices + ended.log_likelihood(share)
    }

    /// Every outcome of so many attempts.
    fn outcomes(attempts: i64) -> impl Iterator<Item = Ended> {
        (0..=attempts).map(move |failed| Ended { failed, succeeded: attempts - failed })
    }

    /// E[e] of attempts of both arms, each with the share that fails: the exact sum.
    fn mean_e(ratio: f64, treated: (i64, f64), control: (i64, f64)) -> f64 {
        let mut mean = 0.0;
        for one in outcomes(treated.0) {
            for other in outcomes(control.0) {
                let ln_p = ln_chance(one, treated.1) + ln_chance(other, control.1);
                mean += libm::exp(log_e(one, other, ratio) + ln_p);
            }
        }
        mean
    }

    proptest! {
        #[test]
        fn under_no_harm_the_mean_of_e_is_at_most_one(
            ratio in 1.0..2.0_f64,
            part in 0.0..=1.0_f64,
            share in 0.001..0.49_f64,
            attempts in (1..40_i64, 1..40_i64),
        ) {
            let treated = part * ratio * share;
            let mean = mean_e(ratio, (attempts.0, treated), (attempts.1, share));
            prop_assert!(mean <= 1.0 + 1e-9, "{mean}");
        }
    }

    #[test]
    fn the_sum_above_is_over_all_outcomes_and_harm_is_seen_in_it() {
        assert!(mean_e(1.25, (39, 0.9), (39, 0.1)) > 1e3);
        let calm = mean_e(1.25, (39, 0.1), (39, 0.1));
        assert!(calm > 0.001 && calm < 1.0, "{calm}");
    }

    #[test]
    fn an_arm_without_failures_leaves_that_side_open() {
        let ended = |failed, succeeded| Ended { failed, succeeded };
        let (struck, spared) = (ended(12, 88), ended(0, 500));
        let (low, high) = interval(struck, spared, 0.01);
        assert!(low.is_some_and(|low| low > 1.25) && high.is_none(), "{low:?} {high:?}");
        let (low, high) = interval(spared, struck, 0.01);
        assert!(low.is_none() && high.is_some_and(|high| high < 0.8), "{low:?} {high:?}");
        assert_eq!((ratio(struck, spared), ratio(spared, struck)), (None, Some(0.0)));
        assert_eq!(interval(Ended::default(), spared, 0.01), (None, None));
        assert!(log_e(Ended::default(), spared, 1.25).abs() < 1e-12);
    }
}
