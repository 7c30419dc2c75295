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
//! As `r_j` / r0 is the same for every r0 it is a constant of the grid, and the second logarithm is
//! ln(1 + (`r_j`/r0 - 1) p) with p = r0 T / (r0 T + C), exact also for tiny arms. What is kept are
//! the likelihood ratios themselves, each with an exponent of its own, so that a window's terms
//! cost multiplications and one logarithm, and nothing over- or underflows.

use core::f64::consts::LN_2;
use std::array;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::Arms;
use super::shape::Shape;

/// Ratios in the mixture: neighbours differ by 18 %, so none lies far from the truth.
pub const RATIOS: usize = 24;
/// The mixture's ends as multiples of r0.
const LOWEST: f64 = 1.1;
const HIGHEST: f64 = 50.0;
/// ln 24: each ratio has the same weight.
const LN_RATIOS: f64 = 3.178_053_830_347_945_8;
/// Onsets of one term that are multiplied: 50^64 = 1e109 times what is kept stays below 1e308.
const MULTIPLIED_MAX: i64 = 64;
/// A likelihood ratio is kept as `mantissa * 2^(500 exponent)`, the mantissa within 2^±500 or so.
const STEP_BITS: f64 = 500.0;
const STEP: f64 = pow2(500);
const STEP_DOWN: f64 = pow2(-500);

/// 2^exponent, exactly.
const fn pow2(exponent: i64) -> f64 {
    f64::from_bits(((1_023 + exponent) as u64) << 52)
}

/// The mixture's ratios as multiples of r0.
#[derive(Debug)]
pub struct Grid {
    pub ln: [f64; RATIOS],
    ratio: [f64; RATIOS],
    above_one: [f64; RATIOS],
}

pub static GRID: LazyLock<Grid> = LazyLock::new(|| {
    let step = libm::log(HIGHEST / LOWEST) / (RATIOS - 1) as f64;
    let ln = array::from_fn(|number| libm::log(LOWEST) + step * number as f64);
    Grid { ln, ratio: ln.map(libm::exp), above_one: ln.map(libm::expm1) }
});

/// Exposure of both arms, and what all terms with it share.
#[derive(Clone, Copy, Debug)]
pub struct Exposure {
    arms: Arms,
    /// ln(T/C).
    ln_odds: f64,
}

impl Exposure {
    /// `None` where an arm has none: such a term says nothing.
    pub fn new(arms: Arms) -> Option<Self> {
        let both = arms.treated > 0 && arms.control > 0;
        both.then(|| Self { arms, ln_odds: libm::log(arms.treated as f64 / arms.control as f64) })
    }

    pub const fn ln_odds(&self) -> f64 {
        self.ln_odds
    }

    /// r T / (r T + C).
    fn share(&self, ratio: f64) -> f64 {
        let at_risk = ratio * self.arms.treated as f64;
        at_risk / (at_risk + self.arms.control as f64)
    }
}

/// Likelihood ratios, each `mantissa * 2^(500 exponent)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Likelihoods {
    mantissas: [f64; RATIOS],
    exponents: [i32; RATIOS],
}

impl Likelihoods {
    const ONE: Self = Self { mantissas: [1.0; RATIOS], exponents: [0; RATIOS] };

    /// Times factors within 1e±150.
    fn multiply(&mut self, factors: &[f64; RATIOS]) {
        for (mantissa, factor) in self.mantissas.iter_mut().zip(factors) {
            *mantissa *= factor;
        }
        let (low, high) =
            self.mantissas.iter().fold((STEP, STEP_DOWN), |(low, high), &mantissa| {
                (
                    if mantissa < low { mantissa } else { low },
                    if mantissa > high { mantissa } else { high },
                )
            });
        if low < STEP_DOWN || high > STEP {
            self.normalise();
        }
    }

    #[cold]
    fn normalise(&mut self) {
        for (mantissa, exponent) in self.mantissas.iter_mut().zip(&mut self.exponents) {
            if *mantissa > STEP {
                *mantissa *= STEP_DOWN;
                *exponent += 1;
            } else if *mantissa < STEP_DOWN {
                *mantissa *= STEP;
                *exponent -= 1;
            }
        }
    }

    /// Times e^ln each.
    fn multiply_exp(&mut self, lns: &[f64; RATIOS]) {
        let step = STEP_BITS * LN_2;
        let steps = lns.map(|ln| libm::round(ln / step));
        for (exponent, steps) in self.exponents.iter_mut().zip(steps) {
            *exponent += steps as i32;
        }
        self.multiply(&array::from_fn(|at| libm::exp(lns[at] - steps[at] * step)));
    }

    fn ln(&self) -> [f64; RATIOS] {
        array::from_fn(|at| ln_scaled(self.mantissas[at], self.exponents[at]))
    }

    /// ln of the sum.
    fn ln_sum(&self) -> f64 {
        let top = self.exponents.iter().copied().max().unwrap_or(0);
        let mut sum = 0.0;
        for (mantissa, exponent) in self.mantissas.iter().zip(self.exponents) {
            // What lies two steps below the top is beyond the last bit of the sum.
            sum += match top - exponent {
                0 => *mantissa,
                1 => mantissa * STEP_DOWN,
                _ => 0.0,
            };
        }
        ln_scaled(sum, top)
    }
}

fn ln_scaled(mantissa: f64, exponent: i32) -> f64 {
    libm::log(mantissa) + f64::from(exponent) * STEP_BITS * LN_2
}

/// Evidence that the treated are hit more than r0 times as often as the control.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RateProcess {
    r0: f64,
    margin: f64,
    onsets: Arms,
    /// Likelihood ratios of the mixture's ratios against r0.
    likelihoods: Likelihoods,
    log_e: f64,
    /// ln of the likelihood of r0 over that of r0 / margin.
    watch_gain: f64,
    shape: Shape,
}

impl RateProcess {
    /// No evidence yet; the largest ratio that is no harm is `margin` times the baseline's.
    pub fn new(margin: f64, baseline_ratio: f64) -> Self {
        Self {
            r0: margin * baseline_ratio,
            margin,
            onsets: Arms::default(),
            likelihoods: Likelihoods::ONE,
            log_e: 0.0,
            watch_gain: 0.0,
            shape: Shape::default(),
        }
    }

    /// Adds a term. Without onsets it says nothing.
    pub fn add(&mut self, onsets: Arms, exposure: &Exposure) {
        if onsets.total() == 0 {
            return;
        }
        let (treated, all) = (onsets.treated as f64, onsets.total() as f64);
        let share = exposure.share(self.r0);
        if onsets.total() > MULTIPLIED_MAX {
            self.likelihoods.multiply_exp(&array::from_fn(|at| {
                treated * GRID.ln[at] - all * libm::log1p(GRID.above_one[at] * share)
            }));
        } else {
            let spent = GRID.above_one.map(|above| 1.0 + above * share);
            let spent = powers(spent, onsets.total());
            let gained = powers(GRID.ratio, onsets.treated);
            self.likelihoods.multiply(&array::from_fn(|at| gained[at] / spent[at]));
        }
        self.log_e = self.likelihoods.ln_sum() - LN_RATIOS;
        let gained = libm::log1p((1.0 / self.margin - 1.0) * share);
        self.watch_gain += treated * libm::log(self.margin) + all * gained;
        self.onsets.treated += onsets.treated;
        self.onsets.control += onsets.control;
        self.shape.add(onsets, exposure.ln_odds());
    }

    /// Adds a term, if both arms have exposure.
    pub fn add_some(&mut self, onsets: Arms, exposure: Option<&Exposure>) {
        if let Some(exposure) = exposure {
            self.add(onsets, exposure);
        }
    }

    /// ln of the e-value: 0 without evidence.
    pub const fn log_e(&self) -> f64 {
        self.log_e
    }

    /// Each ratio of the mixture, with ln of its likelihood ratio against r0.
    pub fn log_likelihoods(&self) -> impl Iterator<Item = (f64, f64)> {
        let ratios = GRID.ratio.iter().map(|ratio| self.r0 * ratio);
        ratios.zip(self.likelihoods.ln())
    }

    /// ln of the e-value without the margin: the same mixture against the baseline's ratio alone.
    pub const fn log_e_watch(&self) -> f64 {
        self.log_e + self.watch_gain
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

/// Each base to the same exponent, by squaring: the same on every machine.
fn powers(bases: [f64; RATIOS], exponent: i64) -> [f64; RATIOS] {
    let (mut results, mut squares, mut left) = ([1.0; RATIOS], bases, exponent);
    while left > 0 {
        if left & 1 == 1 {
            for (result, square) in results.iter_mut().zip(&squares) {
                *result *= square;
            }
        }
        left >>= 1;
        if left > 0 {
            squares = squares.map(|square| square * square);
        }
    }
    results
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn process(r0: f64, terms: &[(i64, i64, i64, i64)]) -> RateProcess {
        let mut process = RateProcess::new(1.25, r0 / 1.25);
        for &(x, y, treated, control) in terms {
            let exposure = Exposure::new(Arms { treated, control }).expect("both arms");
            process.add(Arms { treated: x, control: y }, &exposure);
        }
        process
    }

    #[test]
    fn without_exposure_in_an_arm_there_is_no_term() {
        for (treated, control) in [(0, 1_000), (1_000, 0), (0, 0)] {
            assert!(Exposure::new(Arms { treated, control }).is_none());
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
            let mut process = RateProcess::new(1.0, r0);
            let arms = Arms { treated, control: onsets - treated };
            process.add(arms, &Exposure::new(exposure).expect("both arms"));
            let (k, rest) = (treated as f64, (onsets - treated) as f64);
            let ln_p = ln_choose(k) + k * libm::log(share) + rest * libm::log1p(-share);
            libm::exp(process.log_e() + ln_p)
        };
        (0..=onsets).map(value).sum()
    }

    /// Terms that move the likelihoods by thousands of orders of magnitude, there and back.
    #[test]
    fn nothing_over_or_underflows_whatever_the_order_of_magnitude() {
        let (struck, spared) = ((60, 4, 500, 9_500), (0, 64, 9_500, 500));
        let mut terms = vec![struck; 700];
        terms.extend(vec![spared; 900]);
        let many = process(1.25, &terms);
        // The same counts, as two terms beyond what is multiplied.
        let sums = [(42_000, 2_800, 500, 9_500), (0, 57_600, 9_500, 500)];
        let few = process(1.25, &sums);
        assert!(
            (many.log_e() / few.log_e() - 1.0).abs() < 1e-10,
            "{} {}",
            many.log_e(),
            few.log_e()
        );
        assert!(process(1.25, &terms[..700]).log_e() > 50_000.0);
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
