//! How a ring fared against the later rings before a change came: what r0 must allow for.
//!
//! In: every window's sums per ring, over all devices. Out: x0, y0, T0, C0 of the last 14 days as
//! one ratio. Rings are not randomised; without it, a ring of old laptops would look like harm.

use std::collections::VecDeque;

use schemas::{Signal, Span, Timestamp};
use serde::{Deserialize, Serialize};

use super::tally::Sum;
use super::{Arms, ONSETS};

/// Pseudo-onsets in each arm: with little history the ratio tends to 1.
const PRIOR_ONSETS: f64 = 10.0;
/// A ring may look at most three times as bad as the later ones before a change is blamed, and
/// never better: a lucky fortnight must not make r0 stricter than the margin.
const RATIO_RANGE: (f64, f64) = (1.0, 3.0);
/// Neither comparison of a ring that has later ones gets less than a tenth of the mean: whichever
/// turns out to have the better control then loses at most ln 10 of evidence.
pub const WITHIN_RANGE: (f64, f64) = (0.1, 0.9);
/// Resolution of the history: 336 steps of memory per ring instead of 20,160 windows.
const HOUR: Span = Span::hours(1);

/// Sums per ring and hour.
#[derive(Clone, Debug)]
pub struct Baseline {
    keep: Span,
    ring_count: usize,
    hours: VecDeque<Hour>,
}

/// Sums of one hour.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hour {
    start: Timestamp,
    rings: Vec<RingHour>,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct RingHour {
    at_risk_ms: i64,
    onsets: [i64; ONSETS],
    trials: i64,
    trials_failed: i64,
}

/// How things usually are, by the whole hours that are remembered.
#[derive(Clone, Debug, PartialEq)]
pub struct Usual {
    /// Devices at risk by ring, on average.
    pub devices: Vec<u64>,
    /// Newly hit devices per device and day, over all rings.
    pub per_day: [f64; ONSETS],
}

/// Devices that lost data, and the time at risk (device-milliseconds) in which they did.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Losses {
    pub devices: i64,
    pub at_risk_ms: i64,
}

impl Baseline {
    pub const fn new(keep: Span, ring_count: usize) -> Self {
        Self { keep, ring_count, hours: VecDeque::new() }
    }

    /// What it has seen, to be stored.
    pub(crate) const fn hours(&self) -> &VecDeque<Hour> {
        &self.hours
    }

    /// Goes on from what was stored; `None` if that was of other rings.
    pub(crate) fn with(self, hours: VecDeque<Hour>) -> Option<Self> {
        let fits = hours.iter().all(|hour| hour.rings.len() == self.ring_count);
        fits.then_some(Self { hours, ..self })
    }

    /// Adds a window's sums; windows come in order.
    pub fn add(&mut self, window: Timestamp, rings: &[Sum]) {
        let start = window.window_start(HOUR);
        if self.hours.back().is_none_or(|hour| hour.start < start) {
            self.hours.push_back(Hour { start, rings: vec![RingHour::default(); self.ring_count] });
        }
        while self.hours.front().is_some_and(|hour| hour.start < start - self.keep) {
            self.hours.pop_front();
        }
        let Some(hour) = self.hours.back_mut() else { return };
        for (ring, sum) in hour.rings.iter_mut().zip(rings) {
            ring.at_risk_ms += sum.at_risk_ms;
            for (count, more) in ring.onsets.iter_mut().zip(&sum.onsets) {
                *count += more;
            }
        }
    }

    /// Start of the newest hour that has been seen.
    pub fn until(&self) -> Option<Timestamp> {
        self.hours.back().map(|hour| hour.start)
    }

    /// Adds a window's trials of coming back, after its sums.
    pub fn add_returns(&mut self, rings: &[Sum]) {
        let Some(hour) = self.hours.back_mut() else { return };
        for (ring, sum) in hour.rings.iter_mut().zip(rings) {
            ring.trials += sum.at_risk_ms;
            ring.trials_failed += sum.onsets[0];
        }
    }

    /// Adds late onsets to the hour of their own window, if it is still remembered.
    pub fn add_late(&mut self, window: Timestamp, ring: usize, signal: usize, onsets: i64) {
        let start = window.window_start(HOUR);
        if let Ok(at) = self.hours.binary_search_by_key(&start, |hour| hour.start) {
            self.hours[at].rings[ring].onsets[signal] += onsets;
        }
    }

    /// clip((x0 + 10) / (y0 T0/C0 + 10), 1, 3) of this ring against the later ones (detection 2);
    /// 1 without history in an arm.
    pub fn ratio(&self, ring: usize, signal: usize) -> f64 {
        let exposure = self.sums(ring, |hour| hour.at_risk_ms);
        Self::clipped(exposure, self.sums(ring, |hour| hour.onsets[signal]))
    }

    /// What the ring and the later ones lost, and in how much time at risk.
    pub fn losses(&self, ring: usize) -> Losses {
        let at_risk_ms = self.sums(ring, |hour| hour.at_risk_ms).total();
        let devices = self.sums(ring, |hour| hour.onsets[Signal::DataLoss as usize]).total();
        Losses { devices, at_risk_ms }
    }

    /// The ratio for trials of coming back.
    pub fn return_ratio(&self, ring: usize) -> f64 {
        let trials = self.sums(ring, |hour| hour.trials);
        Self::clipped(trials, self.sums(ring, |hour| hour.trials_failed))
    }

    fn clipped(exposure: Arms, onsets: Arms) -> f64 {
        if exposure.treated == 0 || exposure.control == 0 {
            return 1.0;
        }
        let scale = exposure.treated as f64 / exposure.control as f64;
        let expected = onsets.control as f64 * scale + PRIOR_ONSETS;
        let ratio = (onsets.treated as f64 + PRIOR_ONSETS) / expected;
        ratio.clamp(RATIO_RANGE.0, RATIO_RANGE.1)
    }

    /// The within-ring comparison's weight in the mean of both: its control is at most the ring,
    /// the other's the later rings, so each counts by its exposure; half without history, all for
    /// the last ring.
    pub fn within_weight(&self, ring: usize) -> f64 {
        if ring + 1 == self.ring_count {
            return 1.0;
        }
        let exposure = self.sums(ring, |hour| hour.at_risk_ms);
        if exposure.total() == 0 {
            return 0.5;
        }
        let share = exposure.treated as f64 / exposure.total() as f64;
        share.clamp(WITHIN_RANGE.0, WITHIN_RANGE.1)
    }

    /// Ring sizes and rates; `None` before the first hour has passed.
    pub fn usual(&self) -> Option<Usual> {
        let whole = self.hours.len().checked_sub(1).filter(|&whole| whole > 0)?;
        let mut at_risk_ms = vec![0; self.ring_count];
        let mut onsets = [0; ONSETS];
        for hour in self.hours.iter().take(whole) {
            for (ring, sum) in hour.rings.iter().zip(&mut at_risk_ms) {
                *sum += ring.at_risk_ms;
                for (count, more) in onsets.iter_mut().zip(&ring.onsets) {
                    *count += more;
                }
            }
        }
        let hour_ms = Span::hours(1).as_secs_f64() * 1_000.0;
        let device_days = at_risk_ms.iter().sum::<i64>() as f64 / (24.0 * hour_ms);
        let devices = at_risk_ms.iter().map(|&ms| (ms as f64 / hour_ms / whole as f64) as u64);
        (device_days > 0.0).then(|| Usual {
            devices: devices.collect(),
            per_day: onsets.map(|count| count as f64 / device_days),
        })
    }

    /// The history of a ring, beside that of the later rings together.
    fn sums(&self, ring: usize, count: impl Fn(&RingHour) -> i64) -> Arms {
        let mut sums = Arms::default();
        for hour in &self.hours {
            sums.treated += count(&hour.rings[ring]);
            sums.control += hour.rings[ring + 1..].iter().map(&count).sum::<i64>();
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(at_risk_ms: i64, onsets: i64) -> Sum {
        Sum { at_risk_ms, onsets: [onsets; ONSETS], ..Sum::default() }
    }

    fn check(windows: &[(i64, [Sum; 3])], ring: usize, expected: f64) {
        let mut baseline = Baseline::new(Span::days(14), 3);
        for (hour, rings) in windows {
            baseline.add(Timestamp::YEAR_2000 + Span::hours(*hour), rings);
        }
        assert!((baseline.ratio(ring, 0) - expected).abs() < 1e-12, "{}", baseline.ratio(ring, 0));
    }

    #[test]
    fn the_ratio_is_the_clipped_one_of_the_design() {
        let even = [sum(100, 30), sum(100, 20), sum(300, 0)];
        check(&[(0, even)], 0, 40.0 / (20.0 * 100.0 / 400.0 + 10.0));
        let more = [sum(100, 2), sum(100, 20), sum(300, 30)];
        check(&[(0, even), (5, more)], 0, 42.0 / (70.0 * 200.0 / 800.0 + 10.0));
        check(&[(0, [sum(100, 900), sum(100, 20), sum(100, 20)])], 0, 3.0);
        check(&[(0, [sum(100, 1), sum(100, 500), sum(100, 500)])], 0, 1.0);
    }

    #[test]
    fn what_is_usual_is_told_by_whole_hours() {
        let mut baseline = Baseline::new(Span::days(14), 2);
        let hour_ms = 3_600_000;
        baseline.add(Timestamp::YEAR_2000, &[sum(10 * hour_ms, 1), sum(14 * hour_ms, 0)]);
        assert_eq!(baseline.usual(), None);
        baseline.add(Timestamp::YEAR_2000 + Span::hours(1), &[sum(hour_ms, 9), sum(1, 9)]);
        let usual = baseline.usual().expect("an hour has passed");
        assert_eq!((usual.devices, usual.per_day[0]), (vec![10, 14], 1.0));
    }

    #[test]
    fn without_history_or_a_later_ring_the_ratio_is_one() {
        check(&[], 0, 1.0);
        check(&[(0, [sum(0, 0), sum(100, 50), sum(100, 50)])], 0, 1.0);
        check(&[(0, [sum(100, 50), sum(100, 50), sum(100, 500)])], 2, 1.0);
    }

    #[test]
    fn the_comparison_within_the_ring_weighs_by_its_exposure() {
        let mut baseline = Baseline::new(Span::days(14), 3);
        let weights = |baseline: &Baseline| {
            [0, 1, 2].map(|ring| format!("{:.4}", baseline.within_weight(ring)))
        };
        assert_eq!(weights(&baseline), ["0.5000", "0.5000", "1.0000"]);
        baseline.add(Timestamp::YEAR_2000, &[sum(1, 0), sum(300, 0), sum(500, 0)]);
        assert_eq!(weights(&baseline), ["0.1000", "0.3750", "1.0000"]);
    }

    #[test]
    fn what_is_older_than_the_history_is_forgotten() {
        let (bad, fair) = ([sum(100, 900), sum(100, 0), sum(0, 0)], [sum(9, 0); 3]);
        check(&[(0, bad), (336, fair)], 0, 3.0);
        check(&[(0, bad), (337, fair)], 0, 1.0);
    }

    #[test]
    fn late_onsets_count_in_the_hour_of_their_window() {
        let mut baseline = Baseline::new(Span::days(14), 2);
        baseline.add(Timestamp::YEAR_2000, &[sum(100, 0), sum(100, 0)]);
        baseline.add_late(Timestamp::YEAR_2000 + Span::minutes(59), 0, 4, 10);
        baseline.add_late(Timestamp::YEAR_2000 + Span::minutes(60), 0, 4, 1_000);
        assert!((baseline.ratio(0, 4) - 2.0).abs() < 1e-12);
    }
}
