//! What people follow over time: changes, their tests as they stand, what can be seen.
//!
//! Read only: nothing here changes what is decided.

use schemas::{ChangeRecord, ChangeType, Signal, Timestamp};
use serde::{Deserialize, Serialize};

use super::Engine;
use crate::detector::ONSETS;
use crate::detector::pair::tested;
use crate::plan::{Question, can_be_planned};
use crate::policy::Reversal;

/// Ratios that the live plan speaks of: a disaster, a bad change, one that hides.
const RATIOS: [f64; 3] = [10.0, 5.0, 2.0];

/// Signals that the live plan speaks of: the most usual ones; the others are rarer still.
const PLANNED_SIGNALS_MAX: usize = 6;

/// A change that is watched, as the registry has it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChangeRow {
    pub change: String,
    pub change_type: ChangeType,
    pub reversible: bool,
    /// `None` where it was seen in telemetry only.
    pub record: Option<ChangeRecord>,
}

/// A change in a ring that it has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached<'a> {
    pub change: &'a str,
    pub ring: &'a str,
    pub exposed_from: Timestamp,
}

/// Hits of one arm so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Hits {
    pub affected: u32,
    /// Device-hours at risk; for attempts and trials their number.
    pub exposure: f32,
}

/// One test as it stands at one moment: a point of each of its curves.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    pub signal: Signal,
    pub log_e: f32,
    pub treated: Hits,
    pub control: Hits,
    pub ratio: Option<f32>,
    /// Bounds of the always-valid interval; `None` where there is none.
    pub ratio_low: Option<f32>,
    pub ratio_high: Option<f32>,
}

impl Engine {
    /// Every change that is watched, by name.
    pub fn changes(&self) -> Vec<ChangeRow> {
        let named = self.numbers.iter().map(|(name, &number)| (name, &self.changes[number]));
        let watched = named.filter(|(_, change)| change.is_watched());
        let row = |(name, change): (&_, &super::Change)| ChangeRow {
            change: str::to_owned(name),
            change_type: change.change_type(),
            reversible: change.reversal() == Reversal::Possible,
            record: change.record().cloned(),
        };
        watched.map(|(name, change)| row((&**name, change))).collect()
    }

    /// Every watched change in every ring that it has reached, by name and in rollout order.
    pub fn reached(&self) -> impl Iterator<Item = Reached<'_>> {
        let named = self.numbers.iter().map(|(name, &number)| (name, &self.changes[number]));
        let watched = named.filter(|(_, change)| change.is_watched());
        watched.flat_map(|(name, change)| {
            change.pairs.iter().map(|(&ring, pair)| Reached {
                change: name,
                ring: &self.config.rings[ring],
                exposed_from: pair.exposed_from,
            })
        })
    }

    /// The tests of a change in a ring in which a device was hit, in any arm of any comparison.
    pub fn marks(&self, change: &str, ring: &str) -> Vec<Mark> {
        let pair = self.rings.get(ring).and_then(|ring| {
            let number = *self.numbers.get(change)?;
            self.changes[number].pairs.get(ring)
        });
        let Some(pair) = pair else { return Vec::new() };
        let mut marks = Vec::new();
        for signal in tested() {
            if !pair.has_hits(signal) {
                continue;
            }
            let evidence = pair.evidence(signal, self.config.alpha);
            let hits = |arm: &schemas::alert::ArmEvidence| Hits {
                affected: u32::try_from(arm.affected).unwrap_or(u32::MAX),
                exposure: match arm.device_seconds {
                    0 => arm.devices as f32,
                    seconds => (seconds as f64 / 3_600.0) as f32,
                },
            };
            let narrow = |value: Option<f64>| value.map(|value| value as f32);
            marks.push(Mark {
                signal,
                log_e: evidence.log_e as f32,
                treated: hits(&evidence.treated),
                control: hits(&evidence.control),
                ratio: narrow(evidence.ratio),
                ratio_low: narrow(evidence.ratio_low),
                ratio_high: narrow(evidence.ratio_high),
            });
        }
        marks
    }

    /// What to ask the plan of this fleet: ring sizes and usual rates of the history before now;
    /// `None` without a whole hour of it. It changes once an hour.
    pub fn question(&self) -> Option<Question> {
        let usual = self.baseline.usual()?;
        let onset = |signal: &Signal| can_be_planned(*signal) && (*signal as usize) < ONSETS;
        let rates = Signal::ALL.into_iter().filter(onset);
        let mut rates: Vec<(Signal, f64)> =
            rates.map(|signal| (signal, usual.per_day[signal as usize])).collect();
        rates.retain(|(_, rate)| *rate > 0.0);
        rates.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        rates.truncate(PLANNED_SIGNALS_MAX);
        Some(Question {
            devices: usual.devices,
            rates,
            ratios: RATIOS.to_vec(),
            within: self.config.soak,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DetectionConfig;

    #[test]
    fn an_engine_that_has_seen_nothing_shows_nothing() {
        let engine = Engine::new(DetectionConfig::new(vec!["test".to_owned()]));
        assert!(engine.changes().is_empty() && engine.question().is_none());
        assert!(engine.reached().next().is_none() && engine.marks("kb1", "test").is_empty());
    }
}
