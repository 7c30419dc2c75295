//! A scenario: the fleet, its everyday faults and the changes that roll through its rings.
//!
//! In: TOML text, see `scenarios/*.toml`. Out: a [`Scenario`] whose every value has been checked.
//! Hours count from `start`; rates are per device and day.

use std::collections::BTreeMap;

use schemas::registry::ChangeType;
use schemas::{Signal, Span, Timestamp};
use serde::Deserialize;

use crate::expect::Expect;
use crate::life::Life;

/// Bits of a device's set of changes: enough for every scenario, and one word per device.
pub const CHANGES_MAX: usize = 64;

/// Ring numbers are one byte per device.
pub const RINGS_MAX: usize = 256;

/// Why a scenario was refused.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    #[error("the scenario is not what it should be")]
    Toml(#[from] toml::de::Error),
    #[error("`{field}` in the scenario {need}")]
    Value { field: String, need: String },
}

/// What happens, to whom, from when to when.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    pub seed: u64,
    pub start: Timestamp,
    pub duration_h: f64,
    pub devices: u32,
    pub partitions: i32,
    pub heartbeat_interval_s: u32,
    pub boots_per_day: f64,
    /// Share of records that are sent twice.
    #[serde(default)]
    pub duplicate_share: f64,
    /// Share of records that are uploaded late, by up to `late_max_h`.
    #[serde(default)]
    pub late_share: f64,
    #[serde(default)]
    pub late_max_h: f64,
    /// Support cases of the whole fleet per day that are tied to no device (topic `support`).
    #[serde(default)]
    pub support_cases_per_day: f64,
    /// In rollout order.
    #[serde(rename = "ring")]
    pub rings: Vec<RingShare>,
    /// Base rate by signal: the kinds of fault, and `support_ticket`.
    #[serde(default)]
    pub faults_per_day: BTreeMap<String, f64>,
    /// Weights of what a server may be, reported as the attribute `role`; none: no such attribute.
    #[serde(default)]
    pub roles: BTreeMap<String, f64>,
    #[serde(default)]
    pub life: Life,
    #[serde(default, rename = "change")]
    pub changes: Vec<ChangePlan>,
    #[serde(default)]
    pub expect: Expect,
}

/// A ring and its part of the fleet.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RingShare {
    pub name: String,
    pub share: f64,
    /// What the base rates of its devices are multiplied by, before any change.
    #[serde(default = "one")]
    pub base_ratio: f64,
    /// Its devices upload what they gathered only this often; absent: at once.
    pub upload_every_h: Option<f64>,
}

/// A change, its plan, and what it does to the devices that take it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangePlan {
    pub id: String,
    pub title: String,
    #[serde(rename = "type")]
    pub change_type: ChangeType,
    #[serde(default = "reversible_unless_said_otherwise")]
    pub reversible: bool,
    pub announced_h: f64,
    /// When it is taken back everywhere, if it is.
    pub withdrawn_h: Option<f64>,
    /// Every device of a ring begins to install within this time of the ring's start.
    pub ramp_h: f64,
    /// Shortest and longest time from `installing` to `installed`.
    pub install_s: [u32; 2],
    #[serde(default)]
    pub install_failure_share: f64,
    /// Share of installing devices that are never heard again.
    #[serde(default)]
    pub brick_share: f64,
    /// Share of a ring's devices that ever take it.
    #[serde(default = "one")]
    pub reach: f64,
    /// Boots in one installation, the last one before `installed`.
    #[serde(default = "one_boot")]
    pub restarts: u32,
    /// What exposed devices' base rates are multiplied by, by signal.
    #[serde(default)]
    pub effect: BTreeMap<String, f64>,
    /// Hours of working days, UTC, outside of which it has no such effect; absent: always.
    pub effect_hours: Option<[f64; 2]>,
    /// Share of installing devices that report such a fault, once, within `harm_within_h`.
    #[serde(default)]
    pub harm: BTreeMap<String, f64>,
    #[serde(default)]
    pub harm_within_h: f64,
    /// Share of installing devices that from then on do nothing but boot, each `boot_loop_s`.
    #[serde(default)]
    pub boot_loop_share: f64,
    #[serde(default)]
    pub boot_loop_s: [u32; 2],
    /// Devices that any harm of it is confined to: `build`, `model`, `driver`, `region`, `role`.
    #[serde(default)]
    pub only: BTreeMap<String, String>,
    /// People who update and shut down.
    pub shut_down: Option<ShutDown>,
    pub rings: Vec<RingPlan>,
}

/// Devices that go away in the middle of the installation, and finish it when they come back.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShutDown {
    pub share: f64,
    /// Shortest and longest time away.
    pub hours: [f64; 2],
    /// Share of them that say `lifecycle: offline` before.
    pub offline_share: f64,
}

/// When a ring begins to receive a change.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RingPlan {
    pub ring: String,
    pub starts_h: f64,
}

const fn reversible_unless_said_otherwise() -> bool {
    true
}

const fn one() -> f64 {
    1.0
}

const fn one_boot() -> u32 {
    1
}

impl Scenario {
    /// Reads and checks a scenario.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        let scenario: Self = toml::from_str(text)?;
        scenario.check()?;
        Ok(scenario)
    }

    /// The moment that many hours after the start.
    pub fn at(&self, hours: f64) -> Timestamp {
        self.start + hours_span(hours)
    }

    /// The end of the story; nothing happens from here on.
    pub fn end(&self) -> Timestamp {
        self.at(self.duration_h)
    }

    fn check(&self) -> Result<(), ScenarioError> {
        positive("duration_h", self.duration_h)?;
        positive("devices", f64::from(self.devices))?;
        positive("partitions", f64::from(self.partitions))?;
        positive("heartbeat_interval_s", f64::from(self.heartbeat_interval_s))?;
        not_negative("boots_per_day", self.boots_per_day)?;
        not_negative("late_max_h", self.late_max_h)?;
        not_negative("support_cases_per_day", self.support_cases_per_day)?;
        share("duplicate_share", self.duplicate_share)?;
        share("late_share", self.late_share)?;
        at_most("ring", self.rings.len(), RINGS_MAX)?;
        at_most("change", self.changes.len(), CHANGES_MAX)?;
        for ring in &self.rings {
            share("ring.share", ring.share)?;
            not_negative("ring.base_ratio", ring.base_ratio)?;
            positive("ring.upload_every_h", ring.upload_every_h.unwrap_or(1.0))?;
        }
        self.roles.values().try_for_each(|weight| not_negative("roles", *weight))?;
        let whole: f64 = self.rings.iter().map(|ring| ring.share).sum();
        if (whole - 1.0).abs() > 1e-9 {
            return wrong("ring.share", format!("must add up to 1, not {whole}"));
        }
        for (kind, rate) in &self.faults_per_day {
            not_negative("faults_per_day", *rate)?;
            if !Signal::from_name(kind).is_some_and(is_reported) {
                return wrong("faults_per_day", format!("names {kind}, which no device reports"));
            }
        }
        self.life.check(&self.faults_per_day)?;
        self.changes.iter().try_for_each(|change| self.check_change(change))?;
        let changes: Vec<&str> = self.changes.iter().map(|change| change.id.as_str()).collect();
        let rings: Vec<&str> = self.rings.iter().map(|ring| ring.name.as_str()).collect();
        self.expect.check(&changes, &rings)
    }

    fn check_change(&self, change: &ChangePlan) -> Result<(), ScenarioError> {
        not_negative("change.ramp_h", change.ramp_h)?;
        share("change.install_failure_share", change.install_failure_share)?;
        share("change.brick_share", change.brick_share)?;
        if change.install_s[0] > change.install_s[1] {
            return wrong("change.install_s", "must be [shortest, longest]".to_owned());
        }
        for (kind, ratio) in &change.effect {
            not_negative("change.effect", *ratio)?;
            if !self.faults_per_day.contains_key(kind) {
                return wrong("change.effect", format!("names {kind}, which has no base rate"));
            }
        }
        Self::check_harm(change)?;
        for plan in &change.rings {
            if !self.rings.iter().any(|ring| ring.name == plan.ring) {
                return wrong("change.rings", format!("names {}, which is no ring", plan.ring));
            }
        }
        Ok(())
    }

    /// Whether what a change does to its devices can be simulated.
    fn check_harm(change: &ChangePlan) -> Result<(), ScenarioError> {
        share("change.reach", change.reach)?;
        share("change.boot_loop_share", change.boot_loop_share)?;
        not_negative("change.harm_within_h", change.harm_within_h)?;
        positive("change.restarts", f64::from(change.restarts))?;
        let [shortest, longest] = change.boot_loop_s;
        if change.boot_loop_share > 0.0 && (shortest == 0 || shortest > longest) {
            return wrong("change.boot_loop_s", "must be [shortest, longest]".to_owned());
        }
        for (kind, part) in &change.harm {
            share("change.harm", *part)?;
            if !Signal::from_name(kind).is_some_and(|kind| is_reported(kind) && is_fault(kind)) {
                return wrong("change.harm", format!("names {kind}, which is no kind of fault"));
            }
        }
        for dimension in change.only.keys() {
            if !["build", "model", "driver", "region", "role"].contains(&dimension.as_str()) {
                return wrong("change.only", format!("names {dimension}, which no device has"));
            }
        }
        let Some(away) = change.shut_down else { return Ok(()) };
        share("change.shut_down.share", away.share)?;
        share("change.shut_down.offline_share", away.offline_share)?;
        if away.hours[0] < 0.0 || away.hours[0] > away.hours[1] {
            return wrong("change.shut_down.hours", "must be [shortest, longest]".to_owned());
        }
        Ok(())
    }
}

/// Hours as a span, to the microsecond.
pub(crate) fn hours_span(hours: f64) -> Span {
    Span((hours * Span::hours(1).0 as f64) as i64)
}

/// Whether devices report the signal themselves, so that a scenario can give it a rate.
const fn is_reported(signal: Signal) -> bool {
    use Signal::{BootLoop, InstallFailure, NoReturn, Other, RingDrift, Silence, SilenceLearned};
    !matches!(
        signal,
        Other | BootLoop | Silence | SilenceLearned | InstallFailure | RingDrift | NoReturn
    )
}

/// Whether it is the kind of a fault record.
const fn is_fault(signal: Signal) -> bool {
    !matches!(signal, Signal::SupportTicket)
}

pub(crate) fn wrong(field: &str, need: String) -> Result<(), ScenarioError> {
    Err(ScenarioError::Value { field: field.to_owned(), need })
}

pub(crate) fn positive(field: &str, value: f64) -> Result<(), ScenarioError> {
    if value > 0.0 { Ok(()) } else { wrong(field, "must be more than 0".to_owned()) }
}

pub(crate) fn not_negative(field: &str, value: f64) -> Result<(), ScenarioError> {
    if value >= 0.0 { Ok(()) } else { wrong(field, "must be 0 or more".to_owned()) }
}

pub(crate) fn share(field: &str, value: f64) -> Result<(), ScenarioError> {
    if (0.0..=1.0).contains(&value) { Ok(()) } else { wrong(field, "must be 0..=1".to_owned()) }
}

fn at_most(field: &str, count: usize, limit: usize) -> Result<(), ScenarioError> {
    if (1..=limit).contains(&count) || (count == 0 && field == "change") {
        return Ok(());
    }
    wrong(field, format!("must stand 1 to {limit} times"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OS_CRASH: &str = include_str!("../scenarios/os-crash-10x.toml");

    #[test]
    fn every_scenario_that_is_shipped_is_valid() {
        for text in [
            include_str!("../scenarios/demo.toml"),
            include_str!("../scenarios/no-op.toml"),
            OS_CRASH,
        ] {
            Scenario::parse(text).unwrap();
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (from, to, named) in [
            ("devices = 10_000", "devices = 0", "`devices`"),
            ("share = 0.05", "share = 0.06", "add up to 1"),
            ("os_crash = 0.005", "os_crash = -1.0", "`faults_per_day`"),
            ("os_crash = 0.005", "boot_loop = 0.005", "names boot_loop"),
            ("effect = { os_crash = 10.0 }", "effect = { data_loss = 2.0 }", "no base rate"),
            ("ring = \"first\", starts", "ring = \"fist\", starts", "names fist"),
        ] {
            assert!(OS_CRASH.contains(from), "{from}");
            let error = Scenario::parse(&OS_CRASH.replacen(from, to, 1)).unwrap_err();
            assert!(error.to_string().contains(named), "{to}: {error}");
        }
        assert!(matches!(
            Scenario::parse(&format!("sede = 1\n{OS_CRASH}")),
            Err(ScenarioError::Toml(_))
        ));
    }
}
