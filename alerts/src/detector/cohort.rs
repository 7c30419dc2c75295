//! Whether a regression is that of one cohort: a model, a build, a driver, a region.
//!
//! In: how the ring's devices were spread over the values of each dimension before the change, and
//! the treated onsets by value. Out: the value that holds most of the onsets, far beyond its share.
//!
//! With k of n onsets at a value that had the share q of the exposure, the likelihood ratio of
//! k/n against q is exp(n KL(k/n, q)); it must exceed a thousand for each value looked at. The
//! shares are those of before: a build that only comes with the change is no cohort of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use libm::log;
use schemas::alert::Cohort;
use schemas::{OTHER, Signal};
use serde::{Deserialize, Serialize};

use super::evidence::rounded;

/// ln 1000, before the number of values that were looked at.
const LN_ODDS: f64 = 6.907_755_278_982_137;
/// Most of the onsets: more than half.
const MOST: f64 = 0.5;
/// Values remembered per ring: beyond some hundred a dimension names devices, not cohorts.
const VALUES_MAX: usize = 1_024;

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

    /// The value that the harm is confined to, if there is one.
    pub fn localised(&self, signal: Signal, before: &Spread) -> Option<Cohort> {
        let values = self.0.get(&signal)?;
        let needed = LN_ODDS + log(values.len() as f64);
        // What stands for the values beyond the fold's bound is nothing to act on.
        let named = values.iter().filter(|((_, value), _)| **value != *OTHER);
        let scored = named.filter_map(|(value, &onsets)| {
            let of_dimension = values.iter().filter(|((key, _), _)| *key == value.0);
            let total: i64 = of_dimension.map(|(_, &onsets)| onsets).sum();
            let share = onsets as f64 / total as f64;
            let score = score(onsets, total, before.share(value)?);
            (share > MOST && score >= needed).then_some((score, value, share))
        });
        let (_, (key, value), share) = scored.max_by(|one, other| one.0.total_cmp(&other.0))?;
        Some(Cohort { key: key.to_string(), value: value.to_string(), share: rounded(share) })
    }
}

/// n KL(k/n, q), where k/n is larger than q.
fn score(onsets: i64, total: i64, usual: f64) -> f64 {
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
        let found = onsets.localised(Signal::OsCrash, &before);
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
        let found = onsets.localised(Signal::OsCrash, &before).map(|cohort| cohort.key);
        assert_eq!(found.as_deref(), Some("driver"));
    }
}
