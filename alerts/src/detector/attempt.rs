//! The e-process of attempts against a fixed bound: a one-sided Bernoulli mixture.
//!
//! In: attempts that ended, failed or not. Out: log e of "more than the share p0 fail".
//!
//! The alternative is uniform (Beta(1,1)) over p0 < p < 1 (detection 3 and 7). With k of N failed:
//!
//! ```text
//!             integral over p0..1 of p^k (1-p)^(N-k) dp
//! E = ---------------------------------------------------          E[E] <= 1 for every p <= p0
//!                (1-p0) p0^k (1-p0)^(N-k)
//! ```
//! The integral is an incomplete beta function, taken from its continued fraction on the side
//! where that converges fast (DLMF 8.17.22), so nothing over- or underflows at a million attempts.

use serde::{Deserialize, Serialize};

/// Terms of the continued fraction: it needs about sqrt(N), so this serves 10^8 attempts.
const FRACTION_TERMS_MAX: u32 = 20_000;
/// Halvings of a range of shares: exact to 1e-12.
const HALVINGS: u32 = 40;

/// Evidence that more than a bounded share of attempts fails.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct AttemptProcess {
    bound: f64,
    failed: i64,
    succeeded: i64,
    log_e: f64,
}

impl AttemptProcess {
    pub const fn new(bound: f64) -> Self {
        Self { bound, failed: 0, succeeded: 0, log_e: 0.0 }
    }

    pub fn add(&mut self, failed: i64, succeeded: i64) {
        self.failed += failed;
        self.succeeded += succeeded;
        self.log_e = self.mixture();
    }

    /// Attempts ended.
    pub const fn ended(&self) -> i64 {
        self.failed + self.succeeded
    }

    /// The share that may fail.
    pub const fn bound(&self) -> f64 {
        self.bound
    }

    pub const fn failed(&self) -> i64 {
        self.failed
    }

    /// ln of the e-value: 0 without evidence.
    pub const fn log_e(&self) -> f64 {
        self.log_e
    }

    fn mixture(&self) -> f64 {
        let (k, rest, p0) = (self.failed as f64, self.succeeded as f64, self.bound);
        let (a, b) = (k + 1.0, rest + 1.0);
        if p0 > a / (a + b) {
            // The upper tail is the small side: I_{1-p0}(b, a); its powers cancel against E's.
            return libm::log(p0) - libm::log(b) + libm::log(fraction(b, a, 1.0 - p0));
        }
        let ln_beta = libm::lgamma(a) + libm::lgamma(b) - libm::lgamma(a + b);
        let ln_powers = a * libm::log(p0) + b * libm::log1p(-p0);
        let ln_lower = ln_powers - libm::log(a) + libm::log(fraction(a, b, p0)) - ln_beta;
        let ln_upper = ln_beta + libm::log1p(-libm::exp(ln_lower).min(1.0));
        ln_upper - ln_powers + libm::log(p0)
    }

    /// Share that failed, over the bound; `None` before any attempt ended.
    pub fn ratio(&self) -> Option<f64> {
        (self.ended() > 0).then(|| self.failed as f64 / self.ended() as f64 / self.bound)
    }

    /// All shares, over the bound, that the mixture does not refute at `alpha`, at any time.
    pub fn interval(&self, alpha: f64) -> (Option<f64>, Option<f64>) {
        if self.ended() == 0 {
            return (None, None);
        }
        let floor = self.log_e() + self.log_likelihood(self.bound) + libm::log(alpha);
        let share = self.failed as f64 / self.ended() as f64;
        let end = |mut inside: f64, mut outside: f64| {
            for _ in 0..HALVINGS {
                let middle = f64::midpoint(inside, outside);
                let within = self.log_likelihood(middle) >= floor;
                if within { inside = middle } else { outside = middle }
            }
            inside / self.bound
        };
        (Some(end(share, 0.0)), Some(end(share, 1.0)))
    }

    /// k ln p + (N-k) ln(1-p), where 0 ln 0 = 0.
    fn log_likelihood(&self, share: f64) -> f64 {
        let part = |count: i64, ln: f64| if count == 0 { 0.0 } else { count as f64 * ln };
        part(self.failed, libm::log(share)) + part(self.succeeded, libm::log1p(-share))
    }
}

/// The continued fraction of `I_x(a, b)` = x^a (1-x)^b / (a B(a,b)) * fraction, by Lentz's method.
fn fraction(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let away_from_zero = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut above = 1.0;
    let mut below = 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut value = below;
    for m in (1..=FRACTION_TERMS_MAX).map(f64::from) {
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut factor = 1.0;
        for coefficient in [even, odd] {
            below = 1.0 / away_from_zero(1.0 + coefficient * below);
            above = away_from_zero(1.0 + coefficient / above);
            factor = above * below;
            value *= factor;
        }
        if (factor - 1.0).abs() < 1e-15 {
            break;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(bound: f64, failed: i64, succeeded: i64) -> AttemptProcess {
        let mut process = AttemptProcess::new(bound);
        process.add(failed, succeeded);
        process
    }

    fn check(bound: f64, failed: i64, succeeded: i64, expected: f64) {
        let log_e = process(bound, failed, succeeded).log_e();
        assert!((log_e - expected).abs() < 1e-9 * expected.abs().max(1.0), "{log_e} {expected}");
    }

    // Expected values: `python tests/oracle.py`, mpmath quadrature with 50 digits.
    #[test]
    fn log_e_is_the_formula_of_the_design() {
        check(0.1, 0, 0, 0.0);
        check(0.1, 0, 1, -core::f64::consts::LN_2);
        check(0.1, 1, 0, 1.704_748_092_238_43);
        check(0.1, 7, 13, 3.289_716_317_656_59);
        check(0.1, 3, 97, -4.302_655_334_061_49);
        check(0.05, 10, 190, -3.749_595_660_925_25);
        check(0.05, 11, 189, -3.469_161_266_367_39);
        check(0.1, 900, 9_100, -6.976_641_450_525_63);
        check(0.1, 1_100, 8_900, 0.655_545_581_956_464);
        check(0.5, 12, 3, 2.186_776_411_961_3);
    }

    /// E[e] over N = 200 attempts of which the share `p` fails, by the exact sum.
    fn mean_e(p: f64) -> f64 {
        let ln_choose =
            |k: f64| libm::lgamma(201.0) - libm::lgamma(k + 1.0) - libm::lgamma(201.0 - k);
        let value = |failed: i64| {
            let k = failed as f64;
            let ln_p = ln_choose(k) + k * libm::log(p) + (200.0 - k) * libm::log1p(-p);
            libm::exp(process(0.05, failed, 200 - failed).log_e() + ln_p)
        };
        (0..=200).map(value).sum()
    }

    #[test]
    fn the_mean_of_e_under_no_harm_is_that_of_the_design() {
        for (p, expected) in [(0.01, 0.0062), (0.03, 0.0124), (0.05, 1.0)] {
            assert!((mean_e(p) - expected).abs() < 5e-5, "{p}: {}", mean_e(p));
        }
    }

    #[test]
    fn the_interval_holds_the_share_and_shrinks_with_attempts() {
        let width = |times: i64| {
            let process = process(0.1, 3 * times, 7 * times);
            let (low, high) = process.interval(0.01);
            let (low, high) = (low.unwrap(), high.unwrap());
            assert!(low < 3.0 && high > 3.0 && (process.ratio().unwrap() - 3.0).abs() < 1e-12);
            high - low
        };
        assert!(width(10) > width(100) && width(100) > width(10_000));
        assert_eq!(process(0.1, 0, 0).interval(0.01), (None, None));
    }
}
