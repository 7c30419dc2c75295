//! How late a partition's records come: what silence waits for (detection 1).
//!
//! Over the previous day, of (the partition's clock minus the record's time): per ring the p90, the
//! largest of the rings, one value for all short forms; and the p99 over all records for the
//! learned one, which can wait and must not mistake a late upload for a device that is gone. The
//! clock is the greatest min(event time, arrival) so far, so a backlog read at full speed gives the
//! same, and one fast device cannot move it.

use schemas::Span;

use crate::state::{Reader, StateError, Writer};

/// Before a first full day has passed.
const LAG_FIRST_DAY: Span = Span::hours(2);

/// What waits longer than this would be told to nobody in time; and what waits takes memory.
const LAG_MAX: Span = Span::days(7);

/// One day by the partition's clock.
const DAY_MS: i64 = Span::days(1).as_millis();

/// Buckets of a histogram: exact to 16 ms, then 16 per power of two up to 2^40 ms (35 years).
const BUCKETS: usize = 16 + 36 * 16;

/// Lags of one partition.
#[derive(Clone, Debug)]
pub(crate) struct Lag {
    rings: Vec<[u32; BUCKETS]>,
    clock_ms: i64,
    /// Start of the present day; a day begins at the first record.
    day_ms: Option<i64>,
    value: Span,
    learned: Span,
}

impl Lag {
    pub(crate) fn new(ring_count: usize) -> Self {
        let rings = vec![[0; BUCKETS]; ring_count];
        let (value, learned) = (LAG_FIRST_DAY, LAG_FIRST_DAY);
        Self { rings, clock_ms: i64::MIN, day_ms: None, value, learned }
    }

    /// Stores the buckets that hold something.
    pub(crate) fn save(&self, out: &mut Writer) {
        out.put(&(self.clock_ms, self.day_ms, self.value, self.learned));
        out.put_all(self.rings.iter().map(|ring| {
            let counts = (0_u16..).zip(ring).filter(|&(_, &count)| count > 0);
            counts.collect::<Vec<_>>()
        }));
    }

    pub(crate) fn load(&mut self, from: &mut Reader<'_>) -> Result<(), StateError> {
        (self.clock_ms, self.day_ms, self.value, self.learned) = from.take()?;
        let rings: Vec<Vec<(u16, u32)>> = from.take_all(Reader::take)?;
        if rings.len() != self.rings.len() {
            return Err(StateError::Settings);
        }
        for (ring, counts) in self.rings.iter_mut().zip(rings) {
            for (bucket, count) in counts {
                *ring.get_mut(usize::from(bucket)).ok_or(StateError::Damaged)? = count;
            }
        }
        Ok(())
    }

    /// Moves the clock; at the end of a day its percentiles become the lags.
    pub(crate) fn tick(&mut self, at_ms: i64) {
        self.clock_ms = self.clock_ms.max(at_ms);
        let day_ms = *self.day_ms.get_or_insert(at_ms);
        if self.clock_ms - day_ms >= DAY_MS {
            let days = (self.clock_ms - day_ms) / DAY_MS;
            self.day_ms = Some(day_ms + days * DAY_MS);
            let largest = self.rings.iter().filter_map(|ring| percentile(ring, 90)).max();
            self.value = largest.map_or(self.value, span);
            let mut all = [0; BUCKETS];
            for ring in &self.rings {
                all.iter_mut()
                    .zip(ring)
                    .for_each(|(sum, &count)| *sum = count.saturating_add(*sum));
            }
            self.learned = percentile(&all, 99).map_or(self.learned, span);
            self.rings.iter_mut().for_each(|ring| *ring = [0; BUCKETS]);
        }
    }

    pub(crate) fn record(&mut self, ring: u8, at_ms: i64) {
        let lag_ms = (self.clock_ms - at_ms).max(0) as u64;
        let count = &mut self.rings[usize::from(ring)][bucket(lag_ms).min(BUCKETS - 1)];
        *count = count.saturating_add(1);
    }

    /// The greatest event time so far that was not ahead of its arrival.
    pub(crate) const fn clock_ms(&self) -> i64 {
        self.clock_ms
    }

    /// What the short forms wait for.
    pub(crate) const fn value(&self) -> Span {
        self.value
    }

    /// What the learned form of silence waits for.
    pub(crate) const fn learned(&self) -> Span {
        self.learned
    }
}

/// The bucket of a value, numbered from 0.
pub(crate) fn bucket(value: u64) -> usize {
    if value < 16 {
        return value as usize;
    }
    let power = 63 - value.leading_zeros() as usize;
    let sixteenth = (value >> (power - 4)) as usize & 15;
    (power - 3) * 16 + sixteenth
}

/// Greatest value of a bucket.
pub(crate) fn bucket_max(bucket: usize) -> i64 {
    if bucket < 16 {
        return bucket as i64;
    }
    let (power, sixteenth) = (bucket / 16 + 3, bucket % 16);
    (1_i64 << power) + ((sixteenth as i64 + 1) << (power - 4)) - 1
}

/// Upper bound of the bucket that holds a percentile.
fn percentile(ring: &[u32; BUCKETS], percent: u64) -> Option<i64> {
    let total: u64 = ring.iter().copied().map(u64::from).sum();
    let rank = (total * percent).div_ceil(100);
    let mut below = 0;
    let at = ring.iter().position(|&count| {
        below += u64::from(count);
        below >= rank && total > 0
    })?;
    Some(bucket_max(at))
}

fn span(lag_ms: i64) -> Span {
    Span(lag_ms * 1_000).min(LAG_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_bucket_holds_what_is_up_to_a_sixteenth_below_its_bound(value in 0_u64..1 << 40) {
            let bound = bucket_max(bucket(value));
            prop_assert!(value as i64 <= bound && bound - value as i64 <= value as i64 / 16);
        }
    }

    #[test]
    fn the_lag_is_two_hours_at_first_and_then_the_day_before_of_the_latest_ring() {
        let mut lag = Lag::new(2);
        for minute in 0..24 * 60 {
            lag.tick(minute * 60_000);
            lag.record(0, minute * 60_000);
            lag.record(1, minute * 60_000 - 8);
            if minute % 5 == 0 {
                lag.record(1, minute * 60_000 - 600_000);
            }
        }
        assert_eq!(lag.value(), LAG_FIRST_DAY);
        lag.tick(DAY_MS);
        let bound = bucket_max(bucket(600_000));
        assert_eq!(lag.value().as_millis(), bound, "a sixth of ring 1 is 10 min late");
        assert_eq!(lag.learned().as_millis(), bound, "and an eleventh of all");
        lag.tick(5 * DAY_MS);
        assert_eq!(lag.value().as_millis(), bound, "days without records change nothing");
    }
}
