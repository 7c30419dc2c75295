//! Whether a regression is that of one cohort: a model, a build, a driver, a region.
//!
//! In: how the ring's devices were spread over the values of each dimension before the change, and
//! the treated onsets by value. Out: the value that holds most of the onsets, far beyond its share.
//!
//! With k of n onsets at a value that had the share q of the exposure, the likelihood ratio of
//! k/n against q is exp(n KL(k/n, q)); it must exceed three hundred for each value looked at. The
//! shares are those of before: a build that only comes with the change is no cohort of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use libm::log;
use schemas::alert::Cohort;
use schemas::{OTHER, Signal};
use serde::{Deserialize, Serialize};

use super::evidence::rounded;

/// ln 300, before the number of values that were looked at. At a hundred, 2 of 600 simulated
/// regressions that were everywhere were laid at the door of one cohort; at a thousand, a bad
/// driver on a fifth of the ring needs seven hits, which is later than the alarm.
const LN_ODDS: f64 = 5.703_782_474_656_201;
/// Most of the onsets: more than half.
const MOST: f64 = 0.5;
/// Values remembered per ring: beyond some hundred a dimension names devices, not cohorts.
const VALUES_MAX: usize = 1_024;

/// Two hits more may settle what three or four have left open.
const SOON: i64 = 2;

/// Where a regression sits.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// No value holds most of it, far beyond its share.
    Everywhere,
    /// One value holds most of it: two more hits there would settle it.
    Open,
    Cohort(Cohort),
}

impl Place {
    /// The cohort, where there is one.
    pub fn cohort(self) -> Option<Cohort> {
        match self {
            Self::Cohort(cohort) => Some(cohort),
            Self::Everywhere | Self::Open => None,
        }
    }
}

/// Dimension and value.
pub type Value = (Arc<str>, Arc<str>);

/// Device-milliseconds at risk by value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread(BTreeMap<Value, i64>);

impl Spread {
    /// Adds exposure; whether there was room for the value.
    pub fn add(&mut self, value: Value, at_risk_ms: i64) -> bool {
        if self.0.len() >= VALUES_MAX && !self.0.contains_key(&value) {
            return false;
        }
        *self.0.entry(value).or_default() += at_risk_ms;
        true
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A value's part of its dimension; `None` for one that has none.
    fn share(&self, (key, value): &Value) -> Option<f64> {
        let of_dimension = self.0.iter().filter(|((other, _), _)| other == key);
        let total: i64 = of_dimension.map(|(_, &exposure)| exposure).sum();
        let own = *self.0.get(&(Arc::clone(key), Arc::clone(value)))?;
        (own > 0).then(|| own as f64 / total as f64)
    }
}

/// Treated onsets by signal and value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CohortOnsets(BTreeMap<Signal, BTreeMap<Value, i64>>);

impl CohortOnsets {
    /// Adds onsets; whether there was room for the value.
    pub fn add(&mut self, signal: Signal, value: Value, onsets: i64) -> bool {
        let values = self.0.entry(signal).or_default();
        if values.len() >= VALUES_MAX && !values.contains_key(&value) {
            return false;
        }
        *values.entry(value).or_default() += onsets;
        true
    }

    /// Whether the harm is confined to one value.
    pub fn localised(&self, signal: Signal, before: &Spread) -> Place {
        let Some(values) = self.0.get(&signal) else { return Place::Everywhere };
        let needed = LN_ODDS + log(values.len() as f64);
        // What stands for the values beyond the fold's bound is nothing to act on.
        let named = values.iter().filter(|((_, value), _)| **value != *OTHER);
        let scored = named.filter_map(|(value, &onsets)| {
            let of_dimension = values.iter().filter(|((key, _), _)| *key == value.0);
            let total: i64 = of_dimension.map(|(_, &onsets)| onsets).sum();
            let share = onsets as f64 / total as f64;
            let usual = before.share(value)?;
            let (now, soon) =
                (score(onsets, total, usual), score(onsets + SOON, total + SOON, usual));
            (share > MOST).then_some((now, soon, value, share))
        });
        let Some((now, soon, (key, value), share)) =
            scored.max_by(|one, other| one.0.total_cmp(&other.0))
        else {
            return Place::Everywhere;
        };
        if now >= needed {
            let (key, value) = (key.to_string(), value.to_string());
            Place::Cohort(Cohort { key, value, share: rounded(share) })
        } else if soon >= needed && now >= needed / 2.0 {
            Place::Open
        } else {
            Place::Everywhere
        }
    }
}

/// n KL(k/n, q), where k/n is larger than q: ln of the odds against k of n by chance.
pub(super) fn score(onsets: i64, total: i64, usual: f64) -> f64 {
    let (k, n) = (onsets as f64, total as f64);
    let part = |count: f64, usual: f64| {
        if count > 0.0 { count * log(count / n / usual) } else { 0.0 }
    };
    if k / n > usual { part(k, usual) + part(n - k, 1.0 - usual) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(key: &str, value: &str) -> Value {
        (Arc::from(key), Arc::from(value))
    }

    /// Onsets at driver nv and at others, where nv has this part of the ring.
    fn check(nv: i64, others: i64, percent: i64, expected: Option<&str>) {
        let (mut before, mut onsets) = (Spread::default(), CohortOnsets::default());
        before.add(value("driver", "nv"), percent);
        before.add(value("driver", "amd"), 100 - percent);
        onsets.add(Signal::OsCrash, value("driver", "nv"), nv);
        onsets.add(Signal::OsCrash, value("driver", "amd"), others);
        onsets.add(Signal::OsCrash, value("build", "new"), nv + others);
        let found = onsets.localised(Signal::OsCrash, &before).cohort();
        assert_eq!(found.as_ref().map(|cohort| &*cohort.value), expected, "{found:?}");
    }

    #[test]
    fn a_value_is_named_where_it_holds_most_onsets_far_beyond_its_share() {
        check(9, 0, 10, Some("nv"));
        check(13, 1, 20, Some("nv"));
        check(3, 0, 20, None);
        check(9, 0, 90, None);
        check(5, 5, 10, None);
        check(4, 0, 0, None);
    }

    #[test]
    fn what_two_hits_more_may_settle_is_open() {
        for (hits, expected) in [(1, false), (2, true), (3, true), (4, false), (9, false)] {
            let (mut before, mut onsets) = (Spread::default(), CohortOnsets::default());
            before.add(value("driver", "nv"), 20);
            before.add(value("driver", "amd"), 80);
            onsets.add(Signal::OsCrash, value("driver", "nv"), hits);
            let place = onsets.localised(Signal::OsCrash, &before);
            assert_eq!(place == Place::Open, expected, "{hits}: {place:?}");
        }
    }

    #[test]
    fn of_several_dimensions_the_narrowest_is_named() {
        let (mut before, mut onsets) = (Spread::default(), CohortOnsets::default());
        for (key, name, exposure) in
            [("model", "L5", 30), ("model", "x", 70), ("driver", "nv", 5), ("driver", "y", 95)]
        {
            before.add(value(key, name), exposure);
        }
        for (key, name) in [("model", "L5"), ("driver", "nv")] {
            onsets.add(Signal::OsCrash, value(key, name), 12);
        }
        let found = onsets.localised(Signal::OsCrash, &before).cohort().map(|cohort| cohort.key);
        assert_eq!(found.as_deref(), Some("driver"));
    }
}
