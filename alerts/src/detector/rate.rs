//! The e-process of one comparison: the hazard of the treated against that of the control.
//!
//! In: onsets and exposure of both arms, term by term, in any order. Out: log e, and what the
//! interval of the ratio needs.
//!
//! Given the onsets x + y of a term, x is binomial with odds r T / C under hazard ratio r. With
//! J = 24 ratios `r_j`, log-spaced over 1.1 r0 ..= 50 r0, and equal weights (detection 2):
//!
//! ```text
//! ll_j += x ln(r_j/r0) - (x+y) ln((r_j T + C)/(r0 T + C))      log E = logsumexp_j(ll_j - ln J)
//! ```
//! As `r_j` / r0 is the same for every r0, ln(`r_j`/r0) is a constant of the grid, and the second
//! logarithm is ln(1 + (`r_j`/r0 - 1) p) with p = r0 T / (r0 T + C), exact also for tiny arms.

use std::array;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::shape::Shape;
use super::{Arms, log_sum_exp};

/// Ratios in the mixture: neighbours differ by 18 %, so none lies far from the truth.
pub const RATIOS: usize = 24;
/// The mixture's ends as multiples of r0.
const LOWEST: f64 = 1.1;
const HIGHEST: f64 = 50.0;
/// ln 24: each ratio has the same weight.
const LN_RATIOS: f64 = 3.178_053_830_347_945_8;

/// The mixture's ratios as multiples of r0.
#[derive(Debug)]
pub struct Grid {
    pub ln: [f64; RATIOS],
    above_one: [f64; RATIOS],
}

pub static GRID: LazyLock<Grid> = LazyLock::new(|| {
    let step = libm::log(HIGHEST / LOWEST) / (RATIOS - 1) as f64;
    let ln = array::from_fn(|number| libm::log(LOWEST) + step * number as f64);
    Grid { ln, above_one: ln.map(libm::expm1) }
});

/// ln(1 + (`r_j`/r0 - 1) p) for the last p asked for: the signals of a window mostly share it.
#[derive(Debug, Default)]
pub struct Costs {
    share: f64,
    costs: [f64; RATIOS],
}

impl Costs {
    fn at(&mut self, share: f64) -> &[f64; RATIOS] {
        if self.share.to_bits() != share.to_bits() {
            self.share = share;
            self.costs = GRID.above_one.map(|above| libm::log1p(above * share));
        }
        &self.costs
    }
}

/// Evidence that the treated are hit more than r0 times as often as the control.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RateProcess {
    r0: f64,
    log_likelihoods: [f64; RATIOS],
    log_e: f64,
    onsets: Arms,
    shape: Shape,
}

impl RateProcess {
    /// No evidence yet; `r0` is the largest ratio that is no harm.
    pub fn new(r0: f64) -> Self {
        let log_likelihoods = [0.0; RATIOS];
        Self { r0, log_likelihoods, log_e: 0.0, onsets: Arms::default(), shape: Shape::default() }
    }

    /// Adds a term. Without exposure in an arm, or without onsets, it says nothing.
    pub fn add(&mut self, onsets: Arms, exposure: Arms, costs: &mut Costs) {
        if exposure.treated <= 0 || exposure.control <= 0 || onsets.total() == 0 {
            return;
        }
        let (treated, all) = (onsets.treated as f64, onsets.total() as f64);
        let at_risk = self.r0 * exposure.treated as f64;
        let costs = costs.at(at_risk / (at_risk + exposure.control as f64));
        for ((sum, ln), cost) in self.log_likelihoods.iter_mut().zip(&GRID.ln).zip(costs) {
            *sum += treated * ln - all * cost;
        }
        self.log_e = log_sum_exp(&self.log_likelihoods) - LN_RATIOS;
        self.onsets.treated += onsets.treated;
        self.onsets.control += onsets.control;
        self.shape.add(onsets, exposure);
    }

    /// ln of the e-value: 0 without evidence.
    pub const fn log_e(&self) -> f64 {
        self.log_e
    }

    pub const fn r0(&self) -> f64 {
        self.r0
    }

    /// Onsets in the terms that counted.
    pub const fn onsets(&self) -> Arms {
        self.onsets
    }

    /// The most likely ratio; `None` where no control device was hit.
    pub fn ratio(&self) -> Option<f64> {
        self.shape.ratio()
    }

    /// All ratios that the mixture does not refute at `alpha`, at any time; `None` = no bound.
    pub fn interval(&self, alpha: f64) -> (Option<f64>, Option<f64>) {
        self.shape.interval(self.r0, alpha)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn process(r0: f64, terms: &[(i64, i64, i64, i64)]) -> RateProcess {
        let mut process = RateProcess::new(r0);
        for &(x, y, treated, control) in terms {
            let onsets = Arms { treated: x, control: y };
            process.add(onsets, Arms { treated, control }, &mut Costs::default());
        }
        process
    }

    fn check(r0: f64, terms: &[(i64, i64, i64, i64)], expected: f64) {
        let log_e = process(r0, terms).log_e();
        assert!((log_e - expected).abs() < 1e-9 * expected.abs().max(1.0), "{log_e} {expected}");
    }

    // Expected values: `python tests/oracle.py`, mpmath with 50 digits.
    #[test]
    fn log_e_is_the_formula_of_the_design() {
        check(1.25, &[(8, 25, 500, 9_500)], 4.242_367_462_454_63);
        check(1.25, &[(0, 1, 500, 9_500)], -0.391_252_582_096_371);
        check(1.0, &[(1, 0, 1, 1_000_000)], 2.593_060_271_294_07);
        check(
            2.5,
            &[
                (3, 4, 30_000_000, 570_000_000),
                (0, 7, 29_000_000, 571_000_000),
                (5, 1, 60_000, 570_000_000),
            ],
            7.427_357_073_187_16,
        );
        check(3.75, &[(400_000, 600_000, 1_000_000_000, 9_000_000_000)], 25_260.110_225_203_2);
    }

    #[test]
    fn a_term_without_exposure_in_an_arm_says_nothing() {
        for exposure in [(0, 1_000), (1_000, 0), (0, 0)] {
            let process = process(1.25, &[(50, 0, exposure.0, exposure.1)]);
            assert_eq!((process.log_e(), process.onsets().total()), (0.0, 0));
        }
    }

    /// E[e] after one term of `onsets` onsets when the true ratio is `ratio`: the exact sum.
    fn mean_e(r0: f64, ratio: f64, onsets: i64, exposure: Arms) -> f64 {
        let odds = ratio * exposure.treated as f64 / exposure.control as f64;
        let share = odds / (1.0 + odds);
        let ln_choose = |k: f64| {
            let n = onsets as f64;
            libm::lgamma(n + 1.0) - libm::lgamma(k + 1.0) - libm::lgamma(n - k + 1.0)
        };
        let value = |treated: i64| {
            let mut process = RateProcess::new(r0);
            let arms = Arms { treated, control: onsets - treated };
            process.add(arms, exposure, &mut Costs::default());
            let (k, rest) = (treated as f64, (onsets - treated) as f64);
            let ln_p = ln_choose(k) + k * libm::log(share) + rest * libm::log1p(-share);
            libm::exp(process.log_e() + ln_p)
        };
        (0..=onsets).map(value).sum()
    }

    proptest! {
        #[test]
        fn under_no_harm_the_mean_of_e_is_at_most_one(
            r0 in 1.0..3.75_f64,
            part in 0.05..=1.0_f64,
            onsets in 0..60_i64,
            treated in 1..1_000_000_i64,
            control in 1..1_000_000_i64,
        ) {
            let exposure = Arms { treated, control };
            let at_bound = mean_e(r0, r0, onsets, exposure);
            prop_assert!((at_bound - 1.0).abs() < 1e-9, "{at_bound} at the bound");
            let below = mean_e(r0, part * r0, onsets, exposure);
            prop_assert!(below <= 1.0 + 1e-9, "{below} below the bound");
        }

        #[test]
        fn terms_may_come_in_any_order(
            terms in prop::collection::vec(
                (0..20_i64, 0..200_i64, 1..10_000_000_i64, 1..10_000_000_i64), 1..20),
            turn in 0..20_usize,
        ) {
            let mut turned = terms.clone();
            turned.rotate_left(turn % terms.len());
            turned.reverse();
            let (one, other) = (process(1.25, &terms), process(1.25, &turned));
            let size = one.log_e().abs().max(1.0);
            prop_assert!((one.log_e() - other.log_e()).abs() < 1e-9 * size);
            prop_assert_eq!(one.onsets(), other.onsets());
        }
    }
}
