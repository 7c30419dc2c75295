//! What the detector says of one change x ring x signal: rows of the live table.

use schemas::Signal;
use schemas::alert::ArmEvidence;
use serde::Serialize;

use super::evidence::rounded;
use super::pair::{IdleArm, Pair};

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
    /// What it takes until more can be said, for people; `None` where nothing is missing.
    pub missing: Option<String>,
    /// Whether the line is crossed without the margin, and nothing in this ring is acted on: worth
    /// a look, wrong more often.
    pub watch: bool,
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
        let missing = Some("the change has not reached this ring".to_owned());
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
            missing,
            watch: false,
            partial,
            repartitioned,
        }
    }

    /// Fills in what a pair knows of this row's signal.
    #[must_use]
    pub fn of(self, pair: &Pair, standing: Standing, limits: &Limits) -> Self {
        let Some(look) = Look::at(pair, self.signal, limits) else { return self };
        let alerting = standing == Standing::Alerting;
        let (treated, control) = pair.arms(self.signal);
        Self {
            verdict: if alerting { Verdict::Regressed } else { look.verdict },
            missing: look.missing(pair, self.signal, limits).filter(|_| !alerting),
            log_e: rounded(look.log_e),
            line: Some(rounded(look.line)),
            treated,
            control,
            ratio: pair.ratio(self.signal).map(rounded),
            repartitioned: pair.has_ended(),
            missing_device_hours: look.hours.map(rounded),
            ..self
        }
    }
}

/// What one test can say of a signal, but for the alerts that are open.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Never `Regressed`.
    pub verdict: Verdict,
    pub log_e: f64,
    pub line: f64,
    /// By which factor exposure must grow for a ratio of 5 to be seen; `None` where it cannot be
    /// told.
    pub growth: Option<f64>,
    hours: Option<f64>,
}

impl Look {
    /// `None` for a ring that has no weight in its change's budget.
    pub fn at(pair: &Pair, signal: Signal, limits: &Limits) -> Option<Self> {
        let weight = pair.weight(signal);
        if weight <= 0.0 {
            return None;
        }
        let (line, log_e) = (limits.line - libm::log(weight), pair.log_e(signal));
        let (growth, hours) = pair.growth(signal, line);
        let low = log_e < limits.low_line - libm::log(weight);
        let verdict = if pair.has_ended() {
            Verdict::Insufficient
        } else if pair.idle_arm(signal, limits.no_data_windows).is_some() {
            Verdict::NoData
        } else if low && growth.is_some_and(|growth| growth <= 1.0) {
            Verdict::Healthy
        } else {
            Verdict::Insufficient
        };
        Some(Self { verdict, log_e, line, growth, hours })
    }

    fn missing(&self, pair: &Pair, signal: Signal, limits: &Limits) -> Option<String> {
        if pair.has_ended() {
            return Some("devices have moved between partitions: its test has ended".to_owned());
        }
        let windows = limits.no_data_windows;
        let text = match (self.verdict, pair.idle_arm(signal, windows), self.growth) {
            (Verdict::Healthy | Verdict::Regressed, ..) => return None,
            (_, Some(_), _) if !signal.is_onset() => "no attempt could be compared yet".to_owned(),
            (_, Some(IdleArm::Treated), _) => {
                format!("no treated device was at risk in {windows} windows")
            }
            (_, Some(IdleArm::Control), _) => {
                format!("no control device was at risk in {windows} windows")
            }
            (.., None) if signal == Signal::InstallFailure => {
                "too few earlier attempts for a ratio of 5 ever to be seen".to_owned()
            }
            (.., None) => "too few of the control were hit to know the usual rate".to_owned(),
            (.., Some(growth)) if growth <= 1.0 => {
                "would have seen a ratio of 5; the evidence is neither low nor enough".to_owned()
            }
            (.., Some(growth)) => {
                let trials = pair.arms(signal).0.devices as f64 * (growth - 1.0);
                let (count, what) = match self.hours {
                    Some(hours) => (hours, "device-hours"),
                    None => (trials, "attempts"),
                };
                format!("needs {} more {what} to see a ratio of 5", grouped(libm::ceil(count)))
            }
        };
        Some(text)
    }
}

/// A whole number with a comma after every third digit.
fn grouped(count: f64) -> String {
    let digits = format!("{count:.0}");
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        for (count, expected) in
            [(0.0, "0"), (999.0, "999"), (1_900.0, "1,900"), (1e6, "1,000,000")]
        {
            assert_eq!(grouped(count), expected);
        }
    }
}
