//! Durations as counts in buckets that are fixed for ever, so that sums over any rows are right.
//!
//! Exact below 16, then 16 equal buckets per power of two: a bound is at most a sixteenth above
//! the values it holds. A bucket is named by the greatest value in it, and only those that hold
//! something are kept.

use serde::{Deserialize, Serialize};

/// Log2 of the buckets per power of two.
const BUCKETS_LOG2: u32 = 4;

/// The greatest value of the bucket that holds `value`, for values up to 2^62.
pub const fn bucket_le(value: u64) -> i64 {
    let power = (value | 1).ilog2();
    let width = 1_u64 << power.saturating_sub(BUCKETS_LOG2);
    (value | (width - 1)) as i64
}

/// Counts by bucket: two lists of equal length, as they stand in the tables.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    le: Vec<i64>,
    n: Vec<i64>,
}

impl Histogram {
    pub const EMPTY: Self = Self { le: Vec::new(), n: Vec::new() };

    /// The histogram with these buckets; `None` unless each is one, in order, and holds something.
    pub fn new(le: &[i64], n: &[i64]) -> Option<Self> {
        let is_bucket = |&le: &i64| (0..1 << 62).contains(&le) && bucket_le(le as u64) == le;
        let buckets = le.len() == n.len() && le.iter().all(is_bucket);
        let sound = buckets && le.is_sorted_by(|a, b| a < b) && n.iter().all(|&count| count > 0);
        sound.then(|| Self { le: le.to_vec(), n: n.to_vec() })
    }

    /// Counts one value.
    pub fn record(&mut self, value: u64) {
        self.add_bucket(bucket_le(value), 1);
    }

    /// Adds all that another has counted.
    pub fn add(&mut self, other: &Self) {
        self.le.reserve(other.le.len());
        other.buckets().for_each(|(le, n)| self.add_bucket(le, n));
    }

    /// What was counted here beyond what `old` has; `None` if `old` has what this has not.
    pub fn less(&self, old: &Self) -> Option<Self> {
        let mut rest = self.clone();
        for (le, n) in old.buckets() {
            let at = rest.le.binary_search(&le).ok()?;
            rest.n[at] = rest.n[at].checked_sub(n).filter(|&left| left >= 0)?;
        }
        let (le, n) = rest.buckets().filter(|&(_, n)| n > 0).unzip();
        Some(Self { le, n })
    }

    fn add_bucket(&mut self, le: i64, n: i64) {
        match self.le.binary_search(&le) {
            Ok(at) => self.n[at] += n,
            Err(at) => {
                self.le.insert(at, le);
                self.n.insert(at, n);
            }
        }
    }

    /// Greatest value of each bucket that holds something, ascending.
    pub fn le(&self) -> &[i64] {
        &self.le
    }

    /// What each of these buckets holds; never 0.
    pub fn n(&self) -> &[i64] {
        &self.n
    }

    /// Buckets with what they hold, ascending.
    pub fn buckets(&self) -> impl Iterator<Item = (i64, i64)> {
        self.le.iter().copied().zip(self.n.iter().copied())
    }

    /// How many values were counted.
    pub fn count(&self) -> i64 {
        self.n.iter().sum()
    }

    pub fn is_empty(&self) -> bool {
        self.le.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_exact_below_32_and_sixteen_a_power_of_two_above() {
        assert!((0..32).all(|value| bucket_le(value) == value as i64));
        for (value, le) in [(32, 33), (33, 33), (34, 35), (63, 63), (64, 67), (1_000, 1_023)] {
            assert_eq!(bucket_le(value), le, "{value}");
        }
        assert_eq!(bucket_le(1 << 40), (1 << 40) + (1 << 36) - 1);
        for value in (0..20_000).map(|step| step * step) {
            let le = bucket_le(value);
            assert!(value as i64 <= le && le - value as i64 <= value as i64 / 16, "{value}: {le}");
            assert_eq!(bucket_le(le as u64), le, "a bound is in the bucket it names");
        }
    }

    #[test]
    fn sums_of_histograms_are_the_histogram_of_all() {
        let of = |values: &[u64]| {
            let mut histogram = Histogram::default();
            for &value in values {
                histogram.record(value);
            }
            histogram
        };
        let mut sum = of(&[5, 900, 70_000, 5]);
        sum.add(&of(&[1, 901, 80_000]));
        assert_eq!(sum, of(&[1, 5, 5, 900, 901, 70_000, 80_000]));
        assert_eq!((sum.count(), sum.le()[0], sum.n()[1]), (7, 1, 2));
        let rest = sum.less(&of(&[5, 80_000])).unwrap();
        assert_eq!(rest, of(&[1, 5, 900, 901, 70_000]));
        assert_eq!((rest.less(&of(&[80_000])), sum.less(&sum)), (None, Some(Histogram::EMPTY)));
        assert_eq!(Histogram::new(sum.le(), sum.n()), Some(sum));
    }

    #[test]
    fn what_is_no_histogram_is_refused() {
        for (le, n) in [
            (&[1, 2][..], &[1][..]),
            (&[2, 1], &[1, 1]),
            (&[1, 1], &[1, 1]),
            (&[32], &[1]),
            (&[-1], &[1]),
            (&[5], &[0]),
            (&[i64::MAX], &[1]),
        ] {
            assert_eq!(Histogram::new(le, n), None, "{le:?} {n:?}");
        }
    }
}
