//! What the detector can be told: limits of error, spans and bounds, each with its reason.
//!
//! In: values that the shell has read. Out: [`DetectionConfig`], checked by
//! [`DetectionConfig::check`] before anything is built from it.

use schemas::Span;
use serde::Serialize;

use crate::detector::verdict::Limits;

/// Settings of detector, policy and lifecycle.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DetectionConfig {
    /// Ring names in rollout order; at least one, none twice.
    pub rings: Vec<String>,
    /// Chance that a change that does nothing alarms, over its whole life.
    pub alpha: f64,
    /// Largest ratio of hazards that is no harm: rings and arms are never quite alike.
    pub margin: f64,
    /// History that fixes a ring's own ratio to the later rings.
    pub baseline: Span,
    /// Share of attempts that may fail without a change being called bad.
    pub install_failure_bound: f64,
    /// How far back a late onset finds the exposure of its own window. 73 h: learned silence,
    /// the slowest signal, speaks after 72 h.
    pub late_max: Span,
    /// Windows running without exposure in an arm after which a test says `no_data`.
    pub no_data_windows: u32,
    /// How long a ring must have been exposed before a change may be called safe to promote.
    pub soak: Span,
    /// How long evidence must stand before an alert fires; zero: the line already bounds errors.
    pub pending_for: Span,
    /// How long evidence must stay low before an alert resolves.
    pub resolve_after: Span,
    /// Changes tracked; 1,000 is years of monthly changes, at up to 70 KB per exposed ring.
    pub changes_max: usize,
    /// Sets of changes remembered with past windows; what comes beyond is left out of every arm.
    pub sets_max: usize,
}

/// Why a configuration cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ConfigError {
    #[error("detection.{key} is {value}, it must be {expected}")]
    OutOfRange { key: &'static str, value: String, expected: &'static str },
    #[error("ring {0:?} stands twice in the rollout order")]
    RingTwice(String),
}

impl DetectionConfig {
    /// The defaults of contracts.md 5 for rings in this rollout order.
    pub const fn new(rings: Vec<String>) -> Self {
        Self {
            rings,
            alpha: 0.01,
            margin: 1.25,
            baseline: Span::days(14),
            install_failure_bound: 0.10,
            late_max: Span::hours(73),
            no_data_windows: 3,
            soak: Span::days(3),
            pending_for: Span::ZERO,
            resolve_after: Span::hours(6),
            changes_max: 1_000,
            sets_max: 4_096,
        }
    }

    /// Whether every value is one that the formulas hold for.
    pub fn check(&self) -> Result<(), ConfigError> {
        let in_range = |key, value: f64, low: f64, high: f64, expected| {
            let inside = value >= low && value <= high;
            let error = || ConfigError::OutOfRange { key, value: value.to_string(), expected };
            inside.then_some(()).ok_or_else(error)
        };
        in_range("alpha", self.alpha, 1e-6, 0.1, "0.000001 to 0.1")?;
        in_range("margin", self.margin, 1.0, 1.6, "1 to 1.6")?;
        let bound = self.install_failure_bound;
        in_range("install_failure_bound", bound, 0.001, 0.5, "0.001 to 0.5")?;
        let spans = [
            ("baseline", self.baseline, Span::hours(1)),
            ("late_max", self.late_max, Span::ZERO),
            ("soak", self.soak, Span::ZERO),
            ("for", self.pending_for, Span::ZERO),
            ("resolve_after", self.resolve_after, Span::ZERO),
        ];
        for (key, span, low) in spans {
            in_range(key, span.as_secs_f64(), low.as_secs_f64(), 7.8e6, "0 s (1 h) to 90 d")?;
        }
        in_range("rings", self.rings.len() as f64, 1.0, 64.0, "1 to 64 rings")?;
        let twice = |(at, ring)| self.rings[..at].contains(ring);
        match self.rings.iter().enumerate().find(|&found| twice(found)) {
            Some((_, ring)) => Err(ConfigError::RingTwice(ring.clone())),
            None => Ok(()),
        }
    }

    /// What verdicts are held against.
    pub(crate) fn limits(&self) -> Limits {
        let (line, low_line) = (self.line(), self.low_line());
        Limits { line, low_line, no_data_windows: self.no_data_windows }
    }

    /// ln(1/alpha): what the weighted evidence must reach.
    pub(crate) fn line(&self) -> f64 {
        -libm::log(self.alpha)
    }

    /// ln(1/(10 alpha)): below this the evidence is low.
    pub(crate) fn low_line(&self) -> f64 {
        self.line() - core::f64::consts::LN_10
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: fn(&mut DetectionConfig), expected: &str) {
        let mut config = DetectionConfig::new(vec!["test".to_owned(), "first".to_owned()]);
        change(&mut config);
        let said = config.check().map_or_else(|error| error.to_string(), |()| "fine".to_owned());
        assert_eq!(said, expected);
    }

    #[test]
    fn a_value_the_formulas_do_not_hold_for_is_refused_by_name() {
        check(|_| (), "fine");
        check(|c| c.alpha = 0.0, "detection.alpha is 0, it must be 0.000001 to 0.1");
        check(|c| c.alpha = f64::NAN, "detection.alpha is NaN, it must be 0.000001 to 0.1");
        check(|c| c.margin = 0.9, "detection.margin is 0.9, it must be 1 to 1.6");
        check(|c| c.rings.clear(), "detection.rings is 0, it must be 1 to 64 rings");
        check(
            |c| c.rings[0] = "first".to_owned(),
            "ring \"first\" stands twice in the rollout order",
        );
        check(
            |c| c.resolve_after = Span::seconds(-1),
            "detection.resolve_after is -1, it must be 0 s (1 h) to 90 d",
        );
    }
}
