//! The e-process of attempts: do more of them fail than should?
//!
//! In: attempts that ended, failed or not. Out: log e, against an earlier change of the same type
//! (`compared.rs`), or without any comparison against a bound: "more than the share p0 fail".
//!
//! Against the bound it is a one-sided Bernoulli mixture, uniform (Beta(1,1)) over p0 < p < 1
//! (detection 3 and 7). With k of N failed:
//!
//! ```text
//!             integral over p0..1 of p^k (1-p)^(N-k) dp
//! E = ---------------------------------------------------          E[E] <= 1 for every p <= p0
//!                (1-p0) p0^k (1-p0)^(N-k)
//! ```
//! The integral is an incomplete beta function, taken from its continued fraction on the side
//! where that converges fast (DLMF 8.17.22), so nothing over- or underflows at a million attempts.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::compared::{self, Ended};
use super::power::attempts_needed;

/// Terms of the continued fraction: it needs about sqrt(N), so this serves 10^8 attempts.
const FRACTION_TERMS_MAX: u32 = 20_000;
/// Halvings of a range of shares: exact to 1e-12.
const HALVINGS: u32 = 40;

/// What attempts are held against, fixed at a ring's first exposure.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Against {
    /// The share that may fail.
    Bound { share: f64 },
    /// Attempts of an earlier change of the same type, which may fail `margin` times as often.
    Earlier { change: Arc<str>, ended: Ended, margin: f64 },
}

/// Evidence that too many attempts fail.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AttemptProcess {
    against: Against,
    ended: Ended,
    log_e: f64,
    log_e_watch: f64,
}

impl AttemptProcess {
    pub const fn new(against: Against) -> Self {
        Self { against, ended: Ended { failed: 0, succeeded: 0 }, log_e: 0.0, log_e_watch: 0.0 }
    }

    pub fn add(&mut self, ended: Ended) {
        self.ended.failed += ended.failed;
        self.ended.succeeded += ended.succeeded;
        self.log_e = self.against.log_e(self.ended);
        self.log_e_watch = match &self.against {
            Against::Bound { .. } => self.log_e,
            Against::Earlier { ended, .. } => compared::log_e(self.ended, *ended, 1.0),
        };
    }

    /// Attempts that ended.
    pub const fn ended(&self) -> Ended {
        self.ended
    }

    pub const fn against(&self) -> &Against {
        &self.against
    }

    /// ln of the e-value: 0 without evidence.
    pub const fn log_e(&self) -> f64 {
        self.log_e
    }

    /// The same without a margin over the earlier change.
    pub const fn log_e_watch(&self) -> f64 {
        self.log_e_watch
    }

    /// How often attempts fail, as a multiple of what they are held against.
    pub fn ratio(&self) -> Option<f64> {
        match &self.against {
            Against::Bound { share } => {
                (self.ended.total() > 0).then(|| self.ended.share() / share)
            }
            Against::Earlier { ended, .. } => compared::ratio(self.ended, *ended),
        }
    }

    /// All such multiples that the mixture does not refute at `alpha`, at any time.
    pub fn interval(&self, alpha: f64) -> (Option<f64>, Option<f64>) {
        match &self.against {
            Against::Bound { share } => bounded_interval(self.ended, *share, alpha),
            Against::Earlier { ended, .. } => compared::interval(self.ended, *ended, alpha),
        }
    }

    /// Growth of the number of attempts until harm would be seen; `None` before the first one.
    pub fn growth(&self, line: f64) -> Option<f64> {
        let ended = self.ended.total();
        let needed =
            || attempts_needed(self.against.usual_share(), line, |e| self.against.log_e(e));
        (ended > 0).then(needed).flatten().map(|needed| needed as f64 / ended as f64)
    }
}

impl Against {
    /// ln of the e-value of these attempts.
    pub fn log_e(&self, ended: Ended) -> f64 {
        match self {
            Self::Bound { share } => bounded_log_e(ended, *share),
            Self::Earlier { ended: control, margin, .. } => {
                compared::log_e(ended, *control, *margin)
            }
        }
    }

    /// The share that fails without harm: the bound, or the control's posterior mean.
    pub fn usual_share(&self) -> f64 {
        match self {
            Self::Bound { share } => *share,
            Self::Earlier { ended, .. } => {
                (ended.failed as f64 + 1.0) / (ended.total() as f64 + 2.0)
            }
        }
    }
}

/// ln of the mixture's e-value against a bounded share.
fn bounded_log_e(ended: Ended, bound: f64) -> f64 {
    let (a, b) = (ended.failed as f64 + 1.0, ended.succeeded as f64 + 1.0);
    if bound > a / (a + b) {
        // The upper tail is the small side: I_{1-p0}(b, a); its powers cancel against E's.
        return libm::log(bound) - libm::log(b) + libm::log(fraction(b, a, 1.0 - bound));
    }
    let ln_beta = libm::lgamma(a) + libm::lgamma(b) - libm::lgamma(a + b);
    let ln_powers = a * libm::log(bound) + b * libm::log1p(-bound);
    let ln_lower = ln_powers - libm::log(a) + libm::log(fraction(a, b, bound)) - ln_beta;
    let ln_upper = ln_beta + libm::log1p(-libm::exp(ln_lower).min(1.0));
    ln_upper - ln_powers + libm::log(bound)
}

/// All shares, over the bound, that the mixture does not refute at `alpha`, at any time.
fn bounded_interval(ended: Ended, bound: f64, alpha: f64) -> (Option<f64>, Option<f64>) {
    if ended.total() == 0 {
        return (None, None);
    }
    let floor = bounded_log_e(ended, bound) + ended.log_likelihood(bound) + libm::log(alpha);
    let end = |mut inside: f64, mut outside: f64| {
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(inside, outside);
            let within = ended.log_likelihood(middle) >= floor;
            if within { inside = middle } else { outside = middle }
        }
        inside / bound
    };
    (Some(end(ended.share(), 0.0)), Some(end(ended.share(), 1.0)))
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
        let mut process = AttemptProcess::new(Against::Bound { share: bound });
        process.add(Ended { failed, succeeded });
        process
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
