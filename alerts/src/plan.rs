//! What each ring can see, and by when: before a rollout, from ring sizes and usual rates.
//!
//! In: devices per ring, newly hit devices per device and day. Out: for each ring, signal and
//! ratio, the hours until it is seen with power 0.8, the devices hit by then, and the ring size
//! that a goal needs. The same approximation as that behind `healthy` (`detector/power.rs`).

use schemas::{Signal, Span};
use serde::Serialize;

use crate::config::DetectionConfig;
use crate::detector::Arms;
use crate::detector::baseline::WITHIN_RANGE;
use crate::detector::budget::{ring_weight, signal_share};
use crate::detector::power::rate_growth_at;

/// More devices than this no ring has.
const DEVICES_MAX: u64 = 100_000_000;

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// Devices per ring, in rollout order; as many as there are rings.
    pub devices: Vec<u64>,
    /// Newly hit devices per device and day.
    pub rates: Vec<(Signal, f64)>,
    /// How many times as often the treated are hit.
    pub ratios: Vec<f64>,
    /// The goal: seen within this time.
    pub within: Span,
}

/// What one ring sees of one ratio of one signal, when all of it has the change.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sight {
    pub ring: String,
    pub devices: u64,
    pub signal: Signal,
    pub ratio: f64,
    /// What log E must reach.
    pub line: f64,
    /// Until it is seen with power 0.8; `None` where there is no later ring to compare with.
    pub hours: Option<f64>,
    /// Devices of the ring that are newly hit by then.
    pub devices_hit: Option<f64>,
    /// Devices that the ring would need to see it within the goal's time; `None` where no number
    /// of them would do.
    pub devices_needed: Option<u64>,
}

/// Whether a rate test with a weight of its own decides: learned silence shares that of silence,
/// and for data loss two devices are enough.
pub fn can_be_planned(signal: Signal) -> bool {
    signal.is_onset() && !matches!(signal, Signal::SilenceLearned | Signal::DataLoss)
}

/// Every ring x signal x ratio, in that order.
pub fn plan(config: &DetectionConfig, question: &Question) -> Vec<Sight> {
    let mut sights = Vec::new();
    for (at, ring) in config.rings.iter().enumerate() {
        let later: u64 = question.devices[at + 1..].iter().sum();
        for &(signal, per_day) in &question.rates {
            for &ratio in &question.ratios {
                let weight = ring_weight(at, config.rings.len()) * signal_share(signal);
                let forms = if signal == Signal::Silence { 2.0 } else { 1.0 };
                let line = config.line() - libm::log(weight / forms);
                let devices = question.devices[at];
                let test = Test { later, per_hour: per_day / 24.0, ratio, line, r0: config.margin };
                let hours = test.hours(devices);
                let hit = |hours: f64| hours * ratio * test.per_hour * devices as f64;
                sights.push(Sight {
                    ring: ring.clone(),
                    devices,
                    signal,
                    ratio,
                    line: test.line(devices),
                    hours,
                    devices_hit: hours.map(hit),
                    devices_needed: test.devices_needed(question.within.as_secs_f64() / 3_600.0),
                });
            }
        }
    }
    sights
}

/// A test of a whole ring against the later rings.
struct Test {
    later: u64,
    per_hour: f64,
    ratio: f64,
    /// Before the weight of the comparison.
    line: f64,
    r0: f64,
}

impl Test {
    /// What log E must reach: of the two comparisons, weighed by exposure as the detector does,
    /// the one with the later rings.
    fn line(&self, devices: u64) -> f64 {
        let both = (devices + self.later).max(1) as f64;
        let within = (devices as f64 / both).clamp(WITHIN_RANGE.0, WITHIN_RANGE.1);
        self.line - libm::log(1.0 - within)
    }

    /// Hours until this many treated devices show the ratio.
    fn hours(&self, devices: u64) -> Option<f64> {
        let exposure = Arms { treated: devices as i64, control: self.later as i64 };
        let onsets = self.per_hour * self.later as f64;
        rate_growth_at(self.ratio, self.r0, exposure, onsets, self.line(devices))
    }

    fn devices_needed(&self, hours: f64) -> Option<u64> {
        let enough = |devices: u64| self.hours(devices).is_some_and(|needed| needed <= hours);
        if !enough(DEVICES_MAX) {
            return None;
        }
        let (mut low, mut high) = (0, DEVICES_MAX);
        while high - low > 1 {
            let middle = u64::midpoint(low, high);
            if enough(middle) { high = middle } else { low = middle }
        }
        Some(high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(devices: [u64; 5], rate: f64, ratios: &[f64], hours: i64) -> Vec<Sight> {
        let rings = ["test", "first", "fast", "broad", "last"].map(str::to_owned).to_vec();
        let question = Question {
            devices: devices.to_vec(),
            rates: vec![(Signal::OsCrash, rate)],
            ratios: ratios.to_vec(),
            within: Span::hours(hours),
        };
        plan(&DetectionConfig::new(rings), &question)
    }

    /// Ring `first` of the design: 500 treated, 9,400 later, 0.5 % a day. The medians simulated
    /// there, at a line lower by 0.2, are 1.2, 6.9, 25 and 105 h; power 0.8 takes longer.
    #[test]
    fn the_hours_are_those_of_the_simulated_fleets_and_somewhat_more() {
        let sights = ask([100, 500, 1_400, 3_000, 5_000], 0.005, &[30.0, 10.0, 5.0, 3.0], 24);
        let first: Vec<&Sight> = sights.iter().filter(|sight| sight.ring == "first").collect();
        for (sight, median) in first.into_iter().zip([1.2, 6.9, 25.0, 105.0]) {
            let hours = sight.hours.expect("there are later rings");
            assert!(hours > median && hours < 2.5 * median, "{sight:?}");
            let hit = sight.devices_hit.expect("there are later rings");
            assert!((hit - hours * sight.ratio * 500.0 * 0.005 / 24.0).abs() < 1e-9);
        }
        let last = sights.iter().find(|sight| sight.ring == "last").expect("a row");
        assert_eq!((last.hours, last.devices_needed), (None, None));
    }

    #[test]
    fn the_size_that_a_goal_needs_meets_it_just_so() {
        let needed = |sights: Vec<Sight>| sights[0].devices_needed.expect("some size is enough");
        let rest = [500, 1_400, 3_000, 5_000];
        let ring = |size: u64| [size, rest[0], rest[1], rest[2], rest[3]];
        let size = needed(ask(ring(100), 0.005, &[5.0], 24));
        let hours = |size: u64| ask(ring(size), 0.005, &[5.0], 24)[0].hours.expect("a control");
        assert!(hours(size) <= 24.0 && hours(size - 1) > 24.0, "{size}: {}", hours(size));
        assert_eq!(ask(ring(100), 0.005, &[1.3], 1)[0].devices_needed, None);
    }
}
