//! The log-likelihood of a comparison as a function of the hazard ratio, kept small.
//!
//! In: the same terms as the e-process. Out: the most likely ratio and the always-valid interval.
//!
//! Up to a constant, terms (x, y, T, C) add up to
//!
//! ```text
//! l(r) = X ln r - sum over terms of (x + y) ln(1 + r e^u),      u = ln(T/C)
//! ```
//! so only the onsets at each u matter. They are kept in bins of u, each with its mean. ln(1 + r
//! e^u) has a second derivative of at most 1/4 in u, so a bin of width 0.05 moves the most likely
//! ratio and the interval's ends by less than 0.01 %, however many onsets there are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::rate::GRID;
use super::{Arms, log_sum_exp};

/// Width of a bin of u.
const BIN: f64 = 0.05;
/// Arms further apart than e^20 count as that far apart: bounds the bins at 800.
const LN_SPREAD_MAX: f64 = 20.0;
/// Ratios looked at: e^-14 ..= e^14, about one millionth to one million.
const LN_RATIO_MAX: f64 = 14.0;
/// Logarithms of ratios are exact to this: six digits are printed.
const LN_RATIO_ERROR_MAX: f64 = 1e-10;
/// Newton's method takes some ten steps to that, halvings alone 38 from the whole range.
const STEPS_MAX: u32 = 100;

/// Onsets by ln(T/C).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Shape {
    treated: i64,
    bins: BTreeMap<i32, Bin>,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Bin {
    onsets: i64,
    ln_spread_sum: f64,
}

impl Shape {
    /// Adds a term with onsets, and ln(T/C) of its exposure.
    pub fn add(&mut self, onsets: Arms, ln_odds: f64) {
        let spread = ln_odds.clamp(-LN_SPREAD_MAX, LN_SPREAD_MAX);
        let bin = self.bins.entry(libm::floor(spread / BIN) as i32).or_default();
        bin.onsets += onsets.total();
        bin.ln_spread_sum += spread * onsets.total() as f64;
        self.treated += onsets.treated;
    }

    fn onsets(&self) -> i64 {
        self.bins.values().map(|bin| bin.onsets).sum()
    }

    /// Onsets, and ln(r T / C) for each bin.
    fn points(&self, ln_ratio: f64) -> impl Iterator<Item = (f64, f64)> {
        self.bins.values().map(move |bin| {
            let onsets = bin.onsets as f64;
            (onsets, ln_ratio + bin.ln_spread_sum / onsets)
        })
    }

    /// l(r) as above, its first derivative by ln r and, as it is never positive, minus its second.
    /// The first is the treated onsets less those expected under the ratio, given all onsets.
    fn log_likelihood(&self, ln_ratio: f64) -> [f64; 3] {
        let treated = self.treated as f64;
        self.points(ln_ratio).fold([treated * ln_ratio, treated, 0.0], |sums, (onsets, z)| {
            let small = libm::exp(-z.abs());
            let share = if z > 0.0 { 1.0 } else { small } / (1.0 + small);
            let softplus = z.max(0.0) + libm::log1p(small);
            let [value, slope, bend] = sums;
            let expected = onsets * share;
            [value - onsets * softplus, slope - expected, bend + expected * (1.0 - share)]
        })
    }

    /// Where what `of` says rises through zero, with its slope: by Newton's method, kept within
    /// what is known, as a step beyond it is a halving.
    fn root((mut low, mut high): (f64, f64), of: impl Fn(f64) -> (f64, f64)) -> f64 {
        let mut at = f64::midpoint(low, high);
        for _ in 0..STEPS_MAX {
            let (value, slope) = of(at);
            if value < 0.0 {
                low = at;
            } else {
                high = at;
            }
            let newton = at - value / slope;
            let is_within = newton > low && newton < high;
            let next = if is_within { newton } else { f64::midpoint(low, high) };
            let step = (next - at).abs();
            at = next;
            if step < LN_RATIO_ERROR_MAX {
                break;
            }
        }
        at
    }

    /// ln of the most likely ratio: there the expected treated onsets are those seen.
    fn ln_ratio(&self) -> f64 {
        Self::root((-LN_RATIO_MAX, LN_RATIO_MAX), |ln_ratio| {
            let [_, slope, bend] = self.log_likelihood(ln_ratio);
            (-slope, bend)
        })
    }

    /// The most likely ratio; `None` where no control device was hit.
    pub fn ratio(&self) -> Option<f64> {
        match (self.treated, self.onsets() - self.treated) {
            (_, 0) => None,
            (0, _) => Some(0.0),
            _ => Some(libm::exp(self.ln_ratio())),
        }
    }

    /// All r with mixture-to-r likelihood ratio below 1/alpha: valid at any time, as that ratio
    /// is an e-process of "the ratio is r" (Ville's inequality).
    pub fn interval(&self, r0: f64, alpha: f64) -> (Option<f64>, Option<f64>) {
        let (treated, all) = (self.treated, self.onsets());
        if all == 0 {
            return (None, None);
        }
        let value = |ln_ratio| {
            let [value, ..] = self.log_likelihood(ln_ratio);
            value
        };
        let mixture = GRID.ln.map(|ln| value(libm::log(r0) + ln));
        let floor = log_sum_exp(&mixture) - libm::log(mixture.len() as f64) + libm::log(alpha);
        let top = match treated {
            0 => -LN_RATIO_MAX,
            _ if treated == all => LN_RATIO_MAX,
            _ => self.ln_ratio(),
        };
        let rising = |at| {
            let [value, slope, _] = self.log_likelihood(at);
            (value - floor, slope)
        };
        let falling = |at| {
            let (value, slope) = rising(at);
            (-value, -slope)
        };
        let low = || Self::root((-LN_RATIO_MAX, top), rising);
        let high = || Self::root((top, LN_RATIO_MAX), falling);
        let low = (treated > 0).then(low).map(libm::exp);
        (low, (treated < all).then(high).map(libm::exp))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shape(terms: &[(i64, i64, i64, i64)]) -> Shape {
        let mut shape = Shape::default();
        for &(x, y, treated, control) in terms {
            let ln_odds = libm::log(treated as f64 / control as f64);
            shape.add(Arms { treated: x, control: y }, ln_odds);
        }
        shape
    }

    /// Where `below` turns from true to false.
    fn halved((mut low, mut high): (f64, f64), below: impl Fn(f64) -> bool) -> f64 {
        for _ in 0..60 {
            let middle = f64::midpoint(low, high);
            if below(middle) { low = middle } else { high = middle }
        }
        low
    }

    proptest! {
        #[test]
        fn roots_are_those_that_halving_finds(
            terms in prop::collection::vec(
                (0_i64..50, 0_i64..50, 1_i64..1_000_000, 1_i64..1_000_000), 1..30
            ),
            floor_below in 0.001_f64..40.0,
        ) {
            let shape = shape(&terms);
            prop_assume!(shape.onsets() > 0);
            let top = shape.ln_ratio();
            let all = (-LN_RATIO_MAX, LN_RATIO_MAX);
            let slope = |at| shape.log_likelihood(at)[1];
            prop_assert!((top - halved(all, |at| slope(at) > 0.0)).abs() < 1e-9);
            let floor = shape.log_likelihood(top)[0] - floor_below;
            let rising = |at| {
                let [value, slope, _] = shape.log_likelihood(at);
                (value - floor, slope)
            };
            let found = Shape::root((-LN_RATIO_MAX, top), rising);
            let exact = halved((-LN_RATIO_MAX, top), |at| rising(at).0 < 0.0);
            prop_assert!((found - exact).abs() < 1e-7, "{found} {exact}");
            let falling = |at| (-rising(at).0, -rising(at).1);
            let found = Shape::root((top, LN_RATIO_MAX), falling);
            let exact = halved((top, LN_RATIO_MAX), |at| falling(at).0 < 0.0);
            prop_assert!((found - exact).abs() < 1e-7, "{found} {exact}");
        }
    }

    /// Ratio, low and high end at r0 and alpha 0.01.
    fn check(r0: f64, terms: &[(i64, i64, i64, i64)], expected: [f64; 3]) {
        let shape = shape(terms);
        let (low, high) = shape.interval(r0, 0.01);
        for (found, expected) in [shape.ratio(), low, high].into_iter().zip(expected) {
            let found = found.expect("both arms have onsets");
            assert!((found / expected - 1.0).abs() < 1e-4, "{found} {expected}");
        }
    }

    // Expected values: mpmath, by root search on the unbinned likelihood.
    #[test]
    fn the_ratio_and_its_interval_are_those_of_the_unbinned_likelihood() {
        check(1.25, &[(8, 25, 500, 9_500)], [6.08, 1.176_887_083_364_38, 22.061_711_881_020_1]);
        check(
            1.25,
            &[
                (3, 4, 30_000_000, 570_000_000),
                (0, 7, 29_000_000, 571_000_000),
                (5, 1, 60_000, 570_000_000),
            ],
            [25.668_294_069_342_2, 3.963_901_045_152_97, 194.303_618_289_144],
        );
        check(
            1.875,
            &[(40, 900, 700, 8_000), (60, 400, 2_000, 7_000), (9, 3, 3_000, 1_000)],
            [0.527_086_891_579_032, 0.059_858_529_745_285_3, 2.136_875_551_090_77],
        );
    }

    #[test]
    fn a_million_onsets_give_the_ratio_to_four_digits() {
        let terms: Vec<_> = (0..1_000).map(|n| (300, 700, 1_000 + n, 7_000 - 3 * n)).collect();
        let exact = {
            let miss = |r: f64| {
                let share = |t: i64, c: i64| r * t as f64 / (r * t as f64 + c as f64);
                terms
                    .iter()
                    .map(|&(x, y, t, c)| (x + y) as f64 * share(t, c) - x as f64)
                    .sum::<f64>()
            };
            libm::exp(halved((-3.0, 3.0), |ln| miss(libm::exp(ln)) < 0.0))
        };
        let found = shape(&terms).ratio().expect("both arms have onsets");
        assert!((found / exact - 1.0).abs() < 1e-4, "{found} {exact}");
    }

    #[test]
    fn an_arm_without_onsets_leaves_that_side_open() {
        let (spared, struck) = (shape(&[(0, 90, 500, 9_500)]), shape(&[(5, 0, 500, 9_500)]));
        assert_eq!((spared.ratio(), struck.ratio()), (Some(0.0), None));
        let (low, high) = spared.interval(1.25, 0.01);
        assert!(low.is_none() && high.is_some_and(|high| high > 1.25));
        let (low, high) = struck.interval(1.25, 0.01);
        assert!(low.is_some_and(|low| low > 1.25) && high.is_none());
        assert_eq!(Shape::default().interval(1.25, 0.01), (None, None));
    }
}
