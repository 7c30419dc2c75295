//! What the detector says of one change x ring x signal: rows of the live table.

use schemas::Signal;
use schemas::alert::ArmEvidence;
use serde::Serialize;

use super::evidence::rounded;
use super::pair::Pair;

/// The four things a test can say (design: detection 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing to compare. Never healthy.
    NoData,
    /// It could not have seen a ratio of 5 yet, or the evidence is neither low nor enough.
    Insufficient,
    /// It could have, and the evidence is low.
    Healthy,
    /// An alert is open, or would be but for its `for`.
    Regressed,
}

impl Verdict {
    /// The word for people and the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoData => "no_data",
            Self::Insufficient => "insufficient",
            Self::Healthy => "healthy",
            Self::Regressed => "regressed",
        }
    }
}

/// One change x ring x signal as it stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VerdictRow {
    pub change: String,
    pub ring: String,
    pub signal: Signal,
    pub verdict: Verdict,
    pub log_e: f64,
    /// What `log_e` must reach; `None` where the ring has had no exposure, hence no weight yet.
    pub line: Option<f64>,
    pub treated: ArmEvidence,
    pub control: ArmEvidence,
    pub ratio: Option<f64>,
    /// Treated device-hours until a ratio of 5 would be seen; 0 where it would be already.
    pub missing_device_hours: Option<f64>,
    /// Whether a straggling partition was left out of the last window.
    pub partial: bool,
    /// Whether its test has ended because devices moved between partitions: it stays insufficient,
    /// or regressed.
    pub repartitioned: bool,
}

/// What the lifecycle has of a test: it decides between `regressed` and the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Alerting,
    Quiet,
}

/// The limits that a verdict is held against.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// ln(1/alpha) and ln(1/(10 alpha)), before the weight.
    pub line: f64,
    pub low_line: f64,
    pub no_data_windows: u32,
}

impl VerdictRow {
    /// The row of a ring without exposure.
    pub fn unexposed(change: &str, ring: &str, signal: Signal) -> Self {
        let (change, ring) = (change.to_owned(), ring.to_owned());
        let (treated, control) = (ArmEvidence::default(), ArmEvidence::default());
        let (verdict, log_e, partial, repartitioned) = (Verdict::NoData, 0.0, false, false);
        let (line, ratio, missing_device_hours) = (None, None, None);
        Self {
            change,
            ring,
            signal,
            verdict,
            log_e,
            line,
            treated,
            control,
            ratio,
            missing_device_hours,
            partial,
            repartitioned,
        }
    }

    /// Fills in what a pair knows of this row's signal.
    #[must_use]
    pub fn of(self, pair: &Pair, standing: Standing, limits: &Limits) -> Self {
        let weight = pair.weight(self.signal);
        if weight <= 0.0 {
            return self;
        }
        let line = limits.line - libm::log(weight);
        let log_e = pair.log_e(self.signal);
        let (growth, missing) = pair.growth(self.signal, line);
        let low = log_e < limits.low_line - libm::log(weight);
        let verdict = if standing == Standing::Alerting {
            Verdict::Regressed
        } else if pair.has_ended() {
            Verdict::Insufficient
        } else if pair.is_idle(self.signal, limits.no_data_windows) {
            Verdict::NoData
        } else if low && growth.is_some_and(|growth| growth <= 1.0) {
            Verdict::Healthy
        } else {
            Verdict::Insufficient
        };
        let (treated, control) = pair.arms(self.signal);
        Self {
            verdict,
            log_e: rounded(log_e),
            line: Some(rounded(line)),
            treated,
            control,
            ratio: pair.ratio(self.signal).map(rounded),
            repartitioned: pair.has_ended(),
            missing_device_hours: missing.map(rounded),
            ..self
        }
    }
}
