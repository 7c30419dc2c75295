//! What to do about a regression, and how to say it (design: detection 5).
//!
//! In: what the change is, and the evidence. Out: decision, escalation, severity, action, summary.

use std::sync::Arc;

use schemas::alert::{Action, Cohort, Evidence, EvidenceKind, Owner};
use schemas::{ChangeType, Decision, Escalation, Severity, Signal};

/// Ratio from which harm of any kind is severe, by the low end of its interval.
const SEVERE_RATIO: f64 = 10.0;

/// Whether a change can be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reversal {
    Possible,
    Impossible,
}

/// How bad the harm is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    Ordinary,
    Severe,
}

/// Whether the later rings wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LaterRings {
    Hold,
    GoOn,
}

/// The decision on one regression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ruling {
    pub decision: Decision,
    pub escalation: Option<Escalation>,
    pub severity: Severity,
    later: LaterRings,
}

/// Whether any harm of this kind is severe.
pub const fn is_severe(signal: Signal) -> bool {
    matches!(signal, Signal::DataLoss | Signal::NoReturn | Signal::Silence | Signal::BootLoop)
}

/// Severe by kind, or by the least that the ratio can be.
pub fn harm(signal: Signal, evidence: &Evidence) -> Harm {
    let by_kind = is_severe(signal);
    let by_ratio = evidence.ratio_low.is_some_and(|low| low >= SEVERE_RATIO);
    if by_kind || by_ratio { Harm::Severe } else { Harm::Ordinary }
}

/// The table of detection 5. Where two of its rows hold, the more urgent one does: an emergency
/// that cannot be taken back is escalated as an emergency.
pub fn rule(change_type: ChangeType, reversal: Reversal, harm: Harm) -> Ruling {
    let emergency = change_type == ChangeType::Emergency;
    let reopens_the_hole = change_type == ChangeType::Security;
    let roll_back = !emergency && !reopens_the_hole && reversal == Reversal::Possible;
    let urgent = (harm == Harm::Severe || emergency).then_some(Escalation::A);
    let (decision, escalation) = if roll_back {
        (Decision::Rollback, urgent)
    } else {
        (Decision::Escalate, urgent.or(Some(Escalation::B)))
    };
    let critical = roll_back || urgent.is_some();
    let severity = if critical { Severity::Critical } else { Severity::Warning };
    // An emergency is itself the mitigation: stopping it would leave the later rings in danger.
    let later = if emergency { LaterRings::GoOn } else { LaterRings::Hold };
    Ruling { decision, escalation, severity, later }
}

impl Ruling {
    /// What a rule of the change process asks for, as loud as contracts.md 4 has it.
    pub(crate) fn of_process(decision: Decision, escalation: Option<Escalation>) -> Self {
        let critical = decision == Decision::Rollback || escalation == Some(Escalation::A);
        let severity = match (critical, decision, escalation) {
            (true, ..) => Severity::Critical,
            (_, Decision::Hold, _) | (_, _, Some(_)) => Severity::Warning,
            _ => Severity::Info,
        };
        Self { decision, escalation, severity, later: LaterRings::GoOn }
    }

    /// The same where the harm is that of one cohort: only it is held back.
    #[must_use]
    pub fn narrowed(self) -> Self {
        if self.decision != Decision::Rollback {
            return self;
        }
        let urgent = self.escalation == Some(Escalation::A);
        let severity = if urgent { Severity::Critical } else { Severity::Warning };
        Self { decision: Decision::Hold, severity, ..self }
    }
}

/// What should be done with `change` in `ring`, and with the rings after it; with a cohort, only
/// on the devices in it.
pub fn action(
    ruling: &Ruling,
    change: &str,
    ring: &str,
    cohort: Option<&Cohort>,
    later: &[&str],
) -> Action {
    let urgency = ruling.escalation.map_or("", Escalation::name);
    let whom = cohort.map(|cohort| format!("{} {}", cohort.key, cohort.value));
    let undo = match &whom {
        None => format!("roll back {change} in ring {ring}"),
        Some(whom) => format!("roll back {change} on {whom} in ring {ring}, and hold it there"),
    };
    let mut what = match (ruling.decision, ruling.escalation) {
        (Decision::Rollback | Decision::Hold, None) => undo,
        (Decision::Rollback | Decision::Hold, Some(_)) => {
            format!("{undo}; open a support case of severity {urgency}")
        }
        _ => format!("open a support case of severity {urgency} for {change} in ring {ring}"),
    };
    if ruling.later == LaterRings::Hold && !later.is_empty() {
        what.push_str("; hold ");
        what.push_str(&later.join(", "));
        if let Some(whom) = &whom {
            what.push_str(" for ");
            what.push_str(whom);
        }
    }
    Action { what, owner: Owner::Service, notice: None }
}

/// One sentence for people; attempts may have been compared with those of an earlier change.
pub fn summary(
    change: &str,
    ring: &str,
    signal: Signal,
    evidence: &Evidence,
    compared_with: Option<&str>,
) -> String {
    let (treated, name) = (&evidence.treated, signal.name());
    let (affected, devices) = (treated.affected, treated.devices);
    if let (EvidenceKind::Attempt, Some(earlier)) = (evidence.kind, compared_with) {
        let control = &evidence.control;
        return format!(
            "{change} makes {name} more likely in ring {ring} than {earlier} did ({affected} of \
             {devices} attempts; {} of {})",
            control.affected, control.devices
        );
    }
    match (evidence.kind, evidence.ratio) {
        (EvidenceKind::Rare, _) => format!(
            "{change} causes {name} in ring {ring} ({affected} of {devices} devices; none of the \
             control)"
        ),
        (EvidenceKind::Attempt, ratio) if signal == Signal::InstallFailure => {
            let ratio = ratio.unwrap_or_default();
            let bound = affected as f64 / ratio;
            format!(
                "{change} makes {name} {ratio:.1}x as likely as allowed in ring {ring} \
                 ({affected} of {devices} attempts; allowed {bound:.1})"
            )
        }
        (kind, Some(ratio)) if ratio > 0.0 => {
            let expected = affected as f64 / ratio;
            let what = of(kind);
            format!(
                "{change} makes {name} {ratio:.1}x as likely in ring {ring} \
                 ({affected} of {devices} {what}; expected {expected:.1})"
            )
        }
        (kind, _) => format!(
            "{change} makes {name} more likely in ring {ring} \
             ({affected} of {devices} {}; none of the control)",
            of(kind)
        ),
    }
}

/// One sentence on a fault signature that came after the change.
pub fn signature_summary(
    change: &str,
    ring: &str,
    (signal, signature): &(Signal, Arc<str>),
    evidence: &Evidence,
) -> String {
    let (treated, control) = (&evidence.treated, &evidence.control);
    format!(
        "{change} brings {} {signature}, never seen before, most of it in ring {ring} ({} of {} \
         devices with the change, {} of {} without)",
        signal.name(),
        treated.affected,
        treated.devices,
        control.affected,
        control.devices
    )
}

const fn of(kind: EvidenceKind) -> &'static str {
    if matches!(kind, EvidenceKind::Attempt) { "attempts" } else { "devices" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change_type: ChangeType, reversal: Reversal, harm: Harm, expected: &str) {
        let ruling = rule(change_type, reversal, harm);
        let escalation = ruling.escalation.map_or("-", Escalation::name);
        let said = [ruling.decision.name(), escalation, ruling.severity.name()].join(" ");
        assert_eq!(said, expected, "{change_type:?} {reversal:?} {harm:?}");
    }

    #[test]
    fn decisions_are_those_of_the_table() {
        use ChangeType::{Emergency, Feature, Quality, Security, Unknown};
        use Harm::{Ordinary, Severe};
        use Reversal::{Impossible, Possible};
        for change_type in [Feature, Quality, Unknown] {
            check(change_type, Possible, Ordinary, "rollback - critical");
            check(change_type, Possible, Severe, "rollback A critical");
            check(change_type, Impossible, Ordinary, "escalate B warning");
            check(change_type, Impossible, Severe, "escalate A critical");
        }
        for reversal in [Possible, Impossible] {
            check(Security, reversal, Ordinary, "escalate B warning");
            check(Security, reversal, Severe, "escalate A critical");
            check(Emergency, reversal, Ordinary, "escalate A critical");
            check(Emergency, reversal, Severe, "escalate A critical");
        }
    }

    #[test]
    fn the_action_names_the_rings_that_wait() {
        let check = |change_type, harm, later: &[&str], expected: &str| {
            let ruling = rule(change_type, Reversal::Possible, harm);
            assert_eq!(action(&ruling, "kb5040442", "first", None, later).what, expected);
        };
        let later = ["fast", "broad", "last"];
        let text = "roll back kb5040442 in ring first; hold fast, broad, last";
        check(ChangeType::Quality, Harm::Ordinary, &later, text);
        check(ChangeType::Quality, Harm::Ordinary, &[], "roll back kb5040442 in ring first");
        let text =
            "roll back kb5040442 in ring first; open a support case of severity A; hold last";
        check(ChangeType::Unknown, Harm::Severe, &["last"], text);
        let text = "open a support case of severity B for kb5040442 in ring first; hold last";
        check(ChangeType::Security, Harm::Ordinary, &["last"], text);
        let text = "open a support case of severity A for kb5040442 in ring first";
        check(ChangeType::Emergency, Harm::Ordinary, &later, text);
    }

    #[test]
    fn harm_to_one_cohort_holds_only_that_cohort() {
        let (key, value) = ("driver".to_owned(), "nv-551.23".to_owned());
        let cohort = Cohort { key, value, share: 0.9 };
        let check = |change_type, harm, expected: [&str; 3]| {
            let ruling = rule(change_type, Reversal::Possible, harm).narrowed();
            let what = action(&ruling, "kb1", "first", Some(&cohort), &["last"]).what;
            assert_eq!([ruling.decision.name(), ruling.severity.name(), &what], expected);
        };
        let undo = "roll back kb1 on driver nv-551.23 in ring first, and hold it there";
        let last = "hold last for driver nv-551.23";
        let text = format!("{undo}; {last}");
        check(ChangeType::Quality, Harm::Ordinary, ["hold", "warning", &text]);
        let text = format!("{undo}; open a support case of severity A; {last}");
        check(ChangeType::Quality, Harm::Severe, ["hold", "critical", &text]);
        let text = format!("open a support case of severity B for kb1 in ring first; {last}");
        check(ChangeType::Security, Harm::Ordinary, ["escalate", "warning", &text]);
    }
}
