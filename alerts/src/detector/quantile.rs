//! Bands for the median and the p90 of durations that hold at any time, from histograms.
//!
//! In: durations of both arms as histograms. Out: each quantile with a band, and whether the
//! treated's lies above the control's.
//!
//! The number of values at or below the true q-quantile is a sum of Bernoulli variables, so a
//! boundary u(t) that such a sum crosses with the chance alpha at most, ever, gives the order
//! statistics ceil(tq - u) and floor(tq + u) + 1 as a band (Howard and Ramdas 2022). Here u is that
//! of a half-normal mixture with the variance t/4: M(u) = 1/alpha, with w = t/4 + rho,
//!
//! ```text
//! M(s) = 2 sqrt(rho/w) exp(s^2 / 2w) Phi(s / sqrt(w))
//! ```

use core::f64::consts::SQRT_2;

use schemas::histogram::Histogram;
use serde::{Deserialize, Serialize};

/// The mixture's precision: narrowest near 500 values at alpha 0.005; any is valid.
const RHO: f64 = 12.0;
/// Halvings of the range of the boundary: exact to 1e-13 of it.
const HALVINGS: u32 = 44;
/// A duration counts as longer only beyond this; histograms are exact to a sixteenth.
const MARGIN: f64 = 1.25;
/// Quantiles that are compared.
pub const QUANTILES: [f64; 2] = [0.5, 0.9];

/// u(t): what the count may stray from its mean, on one side, at any time.
pub fn boundary(count: i64, alpha: f64) -> f64 {
    let width = count as f64 / 4.0 + RHO;
    let target = -libm::log(alpha) - core::f64::consts::LN_2 - 0.5 * libm::log(RHO / width);
    let excess = |s: f64| {
        let upper = 0.5 * libm::erfc(-s / (SQRT_2 * libm::sqrt(width)));
        s * s / (2.0 * width) + libm::log(upper) - target
    };
    let (mut low, mut high) = (0.0, libm::sqrt(2.0 * width * (target + 2.0)));
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if excess(middle) > 0.0 { high = middle } else { low = middle }
    }
    f64::midpoint(low, high)
}

/// A quantile in milliseconds with its band; an end that is not known yet is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Band {
    pub estimate_ms: Option<i64>,
    pub low_ms: Option<i64>,
    pub high_ms: Option<i64>,
}

impl Band {
    /// The band of a quantile; each end is missed with the chance `alpha` at most, ever.
    pub fn of(durations: &Histogram, quantile: f64, alpha: f64) -> Self {
        let count = durations.count();
        if count == 0 {
            return Self::default();
        }
        let (mean, stray) = (count as f64 * quantile, boundary(count, alpha));
        let middle = (libm::ceil(mean) as i64).max(1);
        let (low, high) = (libm::ceil(mean - stray) as i64, libm::floor(mean + stray) as i64 + 1);
        Self {
            estimate_ms: bucket_at(durations, middle),
            low_ms: bucket_at(durations, low).map(least_of_bucket),
            high_ms: bucket_at(durations, high),
        }
    }
}

/// The bucket of the value with that rank, from 1.
fn bucket_at(durations: &Histogram, rank: i64) -> Option<i64> {
    let mut below = 0;
    let reaches = |(_, n): &(i64, i64)| {
        below += n;
        below >= rank
    };
    if rank < 1 { None } else { durations.buckets().find(reaches).map(|(le, _)| le) }
}

/// The least value in a bucket: it is as wide as a sixteenth of its power of two.
const fn least_of_bucket(le: i64) -> i64 {
    let power = 63 - (le | 1).leading_zeros();
    le + 1 - (1 << power.saturating_sub(4))
}

/// Durations of one kind: of the treated, of the same ring's others, of the later rings'.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DurationArms {
    pub treated: Histogram,
    pub within: Histogram,
    pub later: Histogram,
}

/// One quantile of both arms.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Compared {
    pub quantile: f64,
    pub treated: Band,
    pub control: Band,
    /// The treated's band lies above 1.25 times the control's.
    pub watch: bool,
}

impl DurationArms {
    /// Both quantiles, `alpha` shared by the arms; the control is the same ring's as soon as it
    /// says anything.
    pub fn compared(&self, alpha: f64) -> [Compared; 2] {
        QUANTILES.map(|quantile| {
            let band = |of: &Histogram| Band::of(of, quantile, alpha / 2.0);
            let (treated, within) = (band(&self.treated), band(&self.within));
            let control = if within.high_ms.is_some() { within } else { band(&self.later) };
            let longer = |(low, high): (i64, i64)| low as f64 > MARGIN * high as f64;
            let watch = treated.low_ms.zip(control.high_ms).is_some_and(longer);
            Compared { quantile, treated, control, watch }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(values: impl Iterator<Item = u64>) -> Histogram {
        let mut histogram = Histogram::default();
        values.for_each(|value| histogram.record(value));
        histogram
    }

    /// Durations from 1,000 ms on, `step` apart.
    fn arm(count: u64, step: u64) -> Histogram {
        histogram((0..count).map(|at| 1_000 + step * at))
    }

    #[test]
    fn a_band_holds_its_quantile_and_narrows() {
        let width = |count: u64| {
            let band = Band::of(&arm(count, 20_000 / count), 0.5, 0.005);
            let (low, high) = (band.low_ms.expect("enough"), band.high_ms.expect("enough"));
            assert!(low <= 11_000 && high >= 11_000, "{band:?}");
            high - low
        };
        assert!(width(200) > width(2_000) && width(2_000) > width(20_000));
    }

    #[test]
    fn few_values_have_no_band() {
        let band = Band::of(&arm(9, 1), 0.9, 0.005);
        assert!(band.estimate_ms.is_some() && band.high_ms.is_none(), "{band:?}");
        assert_eq!(Band::of(&Histogram::EMPTY, 0.5, 0.005), Band::default());
    }

    #[test]
    fn the_least_value_of_a_bucket_follows_the_bucket_before() {
        for value in (0..5_000).map(|step: u64| step * step) {
            let le = schemas::histogram::bucket_le(value);
            let least = least_of_bucket(le);
            assert!(least <= value as i64, "{value}");
            assert_eq!(schemas::histogram::bucket_le(least as u64), le, "{value}");
            if least > 0 {
                assert!(schemas::histogram::bucket_le(least as u64 - 1) < le, "{value}");
            }
        }
    }

    #[test]
    fn twice_as_long_is_watched_and_a_tenth_more_is_not() {
        let arms = |step| DurationArms {
            treated: histogram((0..500_u64).map(|at| 100 * step + step * at)),
            within: histogram((0..900_u64).map(|at| 1_000 + 5 * at)),
            later: Histogram::EMPTY,
        };
        assert!(arms(20).compared(0.01).iter().all(|each| each.watch));
        assert!(arms(10).compared(0.01).iter().all(|each| !each.watch));
        let alone = DurationArms { within: Histogram::EMPTY, ..arms(20) };
        assert!(alone.compared(0.01).iter().all(|each| !each.watch));
        let later = DurationArms { later: arms(20).within, ..alone };
        assert!(later.compared(0.01).iter().all(|each| each.watch));
    }
}
