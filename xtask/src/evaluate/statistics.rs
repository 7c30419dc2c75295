//! Limits of a share that was counted, and the middle of what was measured.

/// One-sided error of the limits.
const ERROR: f64 = 0.05;
/// Halvings of the interval that holds the limit: to 1e-12.
const HALVINGS: u32 = 40;

/// The upper 95 % limit of a share of which `hits` of `trials` were seen.
///
/// Source: C. J. Clopper and E. S. Pearson, "The use of confidence or fiducial limits illustrated
/// in the case of the binomial", 1934.
#[must_use]
pub fn upper(hits: u64, trials: u64) -> f64 {
    if hits >= trials {
        return 1.0;
    }
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if at_most(hits, trials, middle) > ERROR {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// The lower 95 % limit.
pub(super) fn lower(hits: u64, trials: u64) -> f64 {
    1.0 - upper(trials - hits, trials)
}

/// The chance of at most `hits` in `trials`.
fn at_most(hits: u64, trials: u64, share: f64) -> f64 {
    let (trials, odds) = (trials as f64, libm::log(share) - libm::log1p(-share));
    let mut term = trials * libm::log1p(-share);
    let mut sum = libm::exp(term);
    for hit in 1..=hits {
        let hit = hit as f64;
        term += libm::log((trials - hit + 1.0) / hit) + odds;
        sum += libm::exp(term);
    }
    sum
}

/// The value below which that share of them lies; they are sorted here. `None` of none.
pub(super) fn quantile(values: &mut [f64], share: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let rank = (share * values.len() as f64).ceil() as usize;
    values.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_those_of_the_tables() {
        // 1 - 0.05^(1/n) for none of n; the others by scipy's beta.ppf(0.95, k + 1, n - k).
        for (hits, trials, expected) in [
            (0, 400, 0.007_461_4),
            (1, 400, 0.011_804_3),
            (4, 400, 0.022_736_7),
            (3, 10, 0.606_624),
        ] {
            let limit = upper(hits, trials);
            assert!((limit - expected).abs() < 1e-5, "{hits} of {trials}: {limit}");
        }
        assert!((upper(5, 5) - 1.0).abs() < 1e-12);
        assert!((lower(100, 100) - 0.970_487).abs() < 1e-5);
    }

    #[test]
    fn quantiles_are_values_that_were_seen() {
        let mut values = [5.0, 1.0, 4.0, 2.0, 3.0];
        assert_eq!(quantile(&mut values, 0.5), Some(3.0));
        assert_eq!(quantile(&mut values, 0.9), Some(5.0));
        assert_eq!(quantile(&mut [], 0.5), None);
    }
}
