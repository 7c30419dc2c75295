//! What a scenario says must come of it: which alarm, by when, or none at all.

use serde::Deserialize;

use crate::scenario::{ScenarioError, not_negative, wrong};

/// The table `expect` of a scenario.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// The guilty change; absent: every alarm is a false one.
    pub change: Option<String>,
    /// Where it must be found first; absent: anywhere.
    pub ring: Option<String>,
    /// `rollback`, `hold` or `escalate`; absent: any of them.
    pub decision: Option<String>,
    /// Signals of which one must be named; empty: any.
    #[serde(default)]
    pub signals: Vec<String>,
    /// `dimension=value` to which the harm must be narrowed down.
    pub cohort: Option<String>,
    /// Latest median time from the start of the ring to the alarm.
    pub within_h: Option<f64>,
}

impl Expect {
    pub(crate) fn check(&self, changes: &[&str], rings: &[&str]) -> Result<(), ScenarioError> {
        not_negative("expect.within_h", self.within_h.unwrap_or_default())?;
        let known = |field: &str, name: &Option<String>, names: &[&str]| match name {
            Some(name) if !names.contains(&name.as_str()) => {
                wrong(field, format!("names {name}, which the scenario does not have"))
            }
            _ => Ok(()),
        };
        known("expect.change", &self.change, changes)?;
        known("expect.ring", &self.ring, rings)?;
        known("expect.decision", &self.decision, &["rollback", "hold", "escalate"])
    }
}
