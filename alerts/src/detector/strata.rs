//! Which of several overlapping changes does the harm: the test repeated inside strata.
//!
//! In: each window's groups (ring x set of changes). Out: for a change, log e of its test inside
//! the devices that have another change and inside those that have not, added up. Hours of 14 days
//! are kept, as in the baseline: exposure of an hour is enough to tell changes apart.

use std::collections::{BTreeMap, VecDeque};

use schemas::{Signal, Span, Timestamp};
use serde::{Deserialize, Serialize};

use super::rate::{Exposure, RateProcess};
use super::tally::{ChangeNumber, Sum};
use super::{Arms, ONSETS, log_sum_exp};

/// Resolution of the history.
const HOUR: Span = Span::hours(1);
/// Groups of one ring and hour, as eight overlapping changes make. What comes beyond is in no
/// stratum.
const GROUPS_MAX: usize = 256;

/// Sums by hour, ring and set of changes.
#[derive(Clone, Debug)]
pub struct GroupHours {
    keep: Span,
    ring_count: usize,
    hours: VecDeque<GroupHour>,
}

/// Sums of one hour, by ring and the tracked changes of the set. The lists are its own: how often
/// a set is shared decides elsewhere which ones are forgotten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupHour {
    start: Timestamp,
    rings: Vec<BTreeMap<Vec<ChangeNumber>, Counts>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Counts {
    at_risk_ms: i64,
    onsets: [i64; ONSETS],
}

/// Whose harm is asked for: a change in a ring, apart from another change.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    pub change: ChangeNumber,
    pub apart_from: ChangeNumber,
    pub ring: usize,
    pub signal: Signal,
    /// Start of the window of the change's first exposure there.
    pub from: Timestamp,
    pub margin: f64,
    pub baseline_ratio: f64,
    /// The weight of the comparison within the ring, of both.
    pub within_weight: f64,
}

impl GroupHours {
    pub const fn new(keep: Span, ring_count: usize) -> Self {
        Self { keep, ring_count, hours: VecDeque::new() }
    }

    /// What it has seen, to be stored.
    pub(crate) const fn hours(&self) -> &VecDeque<GroupHour> {
        &self.hours
    }

    /// Goes on from what was stored; `None` if that was of other rings or changes.
    pub(crate) fn with(self, hours: VecDeque<GroupHour>, change_count: usize) -> Option<Self> {
        let mut sets = hours.iter().flat_map(|hour| &hour.rings).flat_map(BTreeMap::keys);
        let known = sets.all(|set| set.iter().all(|&change| change < change_count))
            && hours.iter().all(|hour| hour.rings.len() == self.ring_count);
        known.then_some(Self { hours, ..self })
    }

    /// Adds what was counted of one group in a window; windows come in order. Whether there was
    /// room for it.
    pub fn add(
        &mut self,
        window: Timestamp,
        ring: usize,
        members: &[ChangeNumber],
        sum: &Sum,
    ) -> bool {
        let start = window.window_start(HOUR);
        if self.hours.back().is_none_or(|hour| hour.start < start) {
            let rings = vec![BTreeMap::new(); self.ring_count];
            self.hours.push_back(GroupHour { start, rings });
            while self.hours.front().is_some_and(|hour| hour.start < start - self.keep) {
                self.hours.pop_front();
            }
        }
        self.add_to(start, ring, members, sum)
    }

    /// Adds late onsets to the hour of their own window, if it is still remembered.
    pub fn add_to(
        &mut self,
        window: Timestamp,
        ring: usize,
        members: &[ChangeNumber],
        sum: &Sum,
    ) -> bool {
        let start = window.window_start(HOUR);
        let Ok(at) = self.hours.binary_search_by_key(&start, |hour| hour.start) else {
            return true;
        };
        let groups = &mut self.hours[at].rings[ring];
        if !groups.contains_key(members) {
            if groups.len() >= GROUPS_MAX {
                return false;
            }
            groups.insert(members.to_vec(), Counts::default());
        }
        let Some(counts) = groups.get_mut(members) else { return false };
        counts.at_risk_ms += sum.at_risk_ms;
        for (count, more) in counts.onsets.iter_mut().zip(&sum.onsets) {
            *count += more;
        }
        true
    }

    /// Onsets in a ring since then, of the devices that have one change and lack another.
    pub fn onsets(
        &self,
        (ring, signal, from): (usize, Signal, Timestamp),
        has: ChangeNumber,
        lacks: Option<ChangeNumber>,
    ) -> i64 {
        let from = from.window_start(HOUR);
        let groups = self.hours.iter().filter(|hour| hour.start >= from);
        let groups = groups.flat_map(|hour| &hour.rings[ring]).filter(|(members, _)| {
            members.contains(&has) && lacks.is_none_or(|lacks| !members.contains(&lacks))
        });
        groups.map(|(_, counts)| counts.onsets[signal as usize]).sum()
    }

    /// ln of the e-value inside both strata.
    pub fn log_e(&self, question: &Question) -> f64 {
        let forms: &[Signal] = match question.signal {
            Signal::Silence => &[Signal::Silence, Signal::SilenceLearned],
            _ => &[question.signal],
        };
        let parts = forms.iter().flat_map(|&form| self.comparisons(question, form));
        log_sum_exp(&parts.collect::<Vec<_>>()) - libm::log(forms.len() as f64)
    }

    /// ln(w E) of the comparison within the ring, and of that with the later rings.
    fn comparisons(&self, question: &Question, form: Signal) -> [f64; 2] {
        let mut within = RateProcess::new(question.margin, 1.0);
        let mut later = RateProcess::new(question.margin, question.baseline_ratio);
        let from = question.from.window_start(HOUR);
        for hour in self.hours.iter().filter(|hour| hour.start >= from) {
            for stratum in hour.strata(question, form) {
                let [treated, same_ring, later_rings] = stratum;
                for (process, control) in [(&mut within, same_ring), (&mut later, later_rings)] {
                    let arms = Arms { treated: treated.0, control: control.0 };
                    let onsets = Arms { treated: treated.1, control: control.1 };
                    process.add_some(onsets, Exposure::new(arms).as_ref());
                }
            }
        }
        let weight = question.within_weight;
        [libm::log(weight) + within.log_e(), libm::log(1.0 - weight) + later.log_e()]
    }
}

/// Exposure and onsets.
type Counted = (i64, i64);

impl GroupHour {
    /// Treated, control of the ring, control of the later rings: among the devices that have the
    /// other change, and among those that have not.
    fn strata(&self, question: &Question, form: Signal) -> [[Counted; 3]; 2] {
        let mut strata = [[(0, 0); 3]; 2];
        let groups = (0..).zip(&self.rings).flat_map(|(ring, groups)| {
            groups.iter().map(move |(members, counts)| (ring, members, counts))
        });
        for (ring, members, counts) in groups {
            let has = |change| members.contains(&change);
            let arm = match (ring, has(question.change)) {
                (ring, true) if ring == question.ring => 0,
                (ring, false) if ring == question.ring => 1,
                (ring, false) if ring > question.ring => 2,
                _ => continue,
            };
            let counted = &mut strata[usize::from(has(question.apart_from))][arm];
            counted.0 += counts.at_risk_ms;
            counted.1 += counts.onsets[form as usize];
        }
        strata
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUESTION: Question = Question {
        change: 0,
        apart_from: 1,
        ring: 0,
        signal: Signal::OsCrash,
        from: Timestamp::YEAR_2000,
        margin: 1.25,
        baseline_ratio: 1.0,
        within_weight: 0.5,
    };

    /// Two rings; in the first, devices with both changes, with one, with none.
    fn hours(onsets: [i64; 4]) -> GroupHours {
        let mut hours = GroupHours::new(Span::days(14), 2);
        let sets: [&[usize]; 4] = [&[0, 1], &[0], &[1], &[]];
        for (set, count) in sets.into_iter().zip(onsets) {
            let mut sum = Sum { at_risk_ms: 1_000_000, ..Sum::default() };
            sum.onsets[Signal::OsCrash as usize] = count;
            assert!(hours.add(Timestamp::YEAR_2000, 0, set, &sum));
        }
        hours
    }

    fn check(onsets: [i64; 4]) -> (f64, f64) {
        let hours = hours(onsets);
        let other = Question { change: 1, apart_from: 0, ..QUESTION };
        (hours.log_e(&QUESTION), hours.log_e(&other))
    }

    #[test]
    fn the_change_that_does_the_harm_has_the_evidence_inside_the_strata() {
        let (guilty, innocent) = check([40, 40, 2, 2]);
        assert!(guilty > 10.0 && innocent < 0.0, "{guilty} {innocent}");
        let (innocent, guilty) = check([40, 2, 40, 2]);
        assert!(guilty > 10.0 && innocent < 0.0, "{guilty} {innocent}");
        let (one, other) = check([90, 40, 40, 2]);
        assert!(one > 5.0 && other > 5.0, "both do harm: {one} {other}");
    }

    #[test]
    fn what_came_before_the_change_or_lies_too_far_back_does_not_count() {
        let hours = hours([40, 40, 2, 2]);
        let later = Question { from: Timestamp::YEAR_2000 + Span::hours(1), ..QUESTION };
        assert!(hours.log_e(&later).abs() < 1e-12);
        let mut hours = hours;
        hours.add(Timestamp::YEAR_2000 + Span::days(15), 0, &[], &Sum::default());
        assert!(hours.log_e(&QUESTION).abs() < 1e-12);
    }
}
