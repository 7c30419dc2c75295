//! An alert's evidence once more, from counts that anybody can read in the tables.
//!
//! In: an alert, and per window both arms' exposure and newly hit devices. Out: the same numbers,
//! and the arithmetic that leads to them, step by step.
//!
//! Tables know whole seconds and, by now, late records that the alert did not; so the last digits
//! may differ from what the alert said, and both are shown.

use std::collections::BTreeMap;

use schemas::alert::{Alert, EvidenceKind};
use schemas::{Signal, Timestamp};
use serde::Serialize;

use crate::detector::Arms;
use crate::detector::attempt::Against;
use crate::detector::compared::{self, Ended};
use crate::detector::evidence::rounded;
use crate::detector::rate::{Exposure, RateProcess};

mod text;

/// Both arms in one window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counted {
    /// Device-seconds at risk.
    pub seconds: Arms,
    /// Newly hit devices.
    pub affected: Arms,
}

/// One window's term of the likelihood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Term {
    pub window_start: Timestamp,
    #[serde(flatten)]
    pub counted: Counted,
}

/// A ratio of the mixture, and ln of its likelihood against r0.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Likelihood {
    pub ratio: f64,
    pub log_likelihood: f64,
}

/// The evidence, recomputed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    pub alert: Alert,
    /// Whose devices are the control.
    pub control: String,
    /// Over all windows in which both arms had exposure.
    pub counted: Counted,
    pub windows: usize,
    /// Windows in which a device was newly hit.
    pub terms: Vec<Term>,
    pub ratio: Option<f64>,
    pub ratio_low: Option<f64>,
    pub ratio_high: Option<f64>,
    pub mixture: Vec<Likelihood>,
    /// Of the comparison that the alert shows.
    pub log_e: Option<f64>,
    /// ln of its weight, plus `log_e`: the alert's own is at least this.
    pub weighted: Option<f64>,
}

/// Whether the evidence can be recomputed from the tables' windows.
pub fn needs_windows(alert: &Alert) -> bool {
    let trials = alert.signal == Signal::NoReturn.name();
    matches!(alert.evidence.kind, EvidenceKind::Rate | EvidenceKind::Rare) && !trials
}

/// Recomputes the evidence of an alert. Attempts need no windows: their test knows only totals.
pub fn explain(alert: &Alert, windows: &BTreeMap<Timestamp, Counted>) -> Explanation {
    match alert.evidence.kind {
        EvidenceKind::Attempt => of_attempts(alert),
        _ => of_windows(alert, windows),
    }
}

fn of_windows(alert: &Alert, windows: &BTreeMap<Timestamp, Counted>) -> Explanation {
    let evidence = &alert.evidence;
    let baseline = evidence.baseline_ratio.unwrap_or(1.0);
    let mut process = RateProcess::new(evidence.r0 / baseline, baseline);
    let mut explanation = empty(alert);
    explanation.control = if evidence.baseline_ratio.is_some() {
        "devices of the later rings without the change".to_owned()
    } else {
        format!("devices of ring {} without the change", alert.ring)
    };
    let rare = evidence.kind == EvidenceKind::Rare;
    for (&window_start, counted) in windows {
        let exposure = Exposure::new(counted.seconds);
        if exposure.is_none() && !rare {
            continue;
        }
        explanation.windows += 1;
        explanation.counted.seconds = sum(explanation.counted.seconds, counted.seconds);
        explanation.counted.affected = sum(explanation.counted.affected, counted.affected);
        process.add_some(counted.affected, exposure.as_ref());
        if counted.affected.total() > 0 {
            explanation.terms.push(Term { window_start, counted: *counted });
        }
    }
    let (low, high) = process.interval(evidence.alpha);
    let likelihoods = process.log_likelihoods();
    let mixture = likelihoods
        .map(|(ratio, log)| Likelihood { ratio: rounded(ratio), log_likelihood: rounded(log) });
    let weight = evidence.comparison_weight.unwrap_or(1.0);
    Explanation {
        ratio: process.ratio().map(rounded),
        ratio_low: low.map(rounded),
        ratio_high: high.map(rounded),
        mixture: mixture.collect(),
        log_e: Some(rounded(process.log_e())),
        weighted: Some(rounded(process.log_e() + libm::log(weight))),
        ..explanation
    }
}

fn of_attempts(alert: &Alert) -> Explanation {
    let evidence = &alert.evidence;
    let arm = |arm: &schemas::alert::ArmEvidence| Ended {
        failed: arm.affected,
        succeeded: arm.devices - arm.affected,
    };
    let (treated, control) = (arm(&evidence.treated), arm(&evidence.control));
    let affected = Arms { treated: treated.failed, control: control.failed };
    let counted = Counted { affected, ..Counted::default() };
    let explanation = Explanation { counted, ..empty(alert) };
    if alert.signal == Signal::NoReturn.name() {
        // The windows of its trials stand in no table.
        let control = "heartbeats and boots of devices without the change".to_owned();
        return Explanation { control, ..explanation };
    }
    let compared = control.total() > 0;
    let bound = evidence.ratio.filter(|&ratio| ratio > 0.0).map(|ratio| treated.share() / ratio);
    let log_e = match (compared, bound) {
        (true, _) => Some(compared::log_e(treated, control, evidence.r0)),
        (false, Some(share)) => Some(Against::Bound { share }.log_e(treated)),
        (false, None) => None,
    };
    Explanation {
        control: match (compared, bound) {
            (true, _) => "attempts of the earlier change".to_owned(),
            (false, Some(share)) => format!("none; {:.1} % may fail", 100.0 * share),
            (false, None) => "none".to_owned(),
        },
        log_e: log_e.map(rounded),
        weighted: log_e.map(rounded),
        ..explanation
    }
}

fn empty(alert: &Alert) -> Explanation {
    let evidence = &alert.evidence;
    Explanation {
        control: String::new(),
        counted: Counted::default(),
        windows: 0,
        terms: Vec::new(),
        ratio: evidence.ratio,
        ratio_low: evidence.ratio_low,
        ratio_high: evidence.ratio_high,
        mixture: Vec::new(),
        log_e: None,
        weighted: None,
        alert: alert.clone(),
    }
}

const fn sum(one: Arms, other: Arms) -> Arms {
    Arms { treated: one.treated + other.treated, control: one.control + other.control }
}
