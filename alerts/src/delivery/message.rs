//! What people are told of alerts, before it takes the form that Slack, Teams or mail want.
//!
//! In: alerts of one change and ring. Out: a title, and for each alert a sentence and facts. Texts
//! are as they came, without what misleads (`schemas::text`): whoever renders them escapes them.

use std::cmp::Reverse;

use schemas::alert::{ArmEvidence, EvidenceKind};
use schemas::{Alert, AlertState, Severity};

use super::limited;
use super::repeat::Item;

/// More facts of one alert there never are; longer values say nothing that a page has room for.
pub(super) const VALUE_BYTES_MAX: usize = 500;

/// 10 alerts share a message, and it spells out each: what was told must have been named, and
/// more is a list that nobody reads to its end.
pub(super) const ALERTS_MAX: usize = 10;

/// The order in which people read: what fires, then what somebody cares for, then what is over;
/// in each the severest first.
pub(super) fn loudest_first(items: &[Item]) -> Vec<Item> {
    let mut items = items.to_vec();
    items.sort_by_key(|item| {
        let alert = &item.alert;
        let stage = match alert.state {
            AlertState::Firing | AlertState::Pending => 0,
            AlertState::Acknowledged => 1,
            AlertState::Resolved => 2,
        };
        (stage, alert.severity, Reverse(alert.decision))
    });
    items
}

/// The title of a message: what the first, the loudest, is about.
pub(super) fn title(items: &[Item], bytes_max: usize) -> String {
    let alert = &items[0].alert;
    let about = match (&*alert.change, &*alert.ring) {
        ("", "") => alert.signal.clone(),
        ("", ring) => format!("ring {ring}"),
        (change, "") => change.to_owned(),
        (change, ring) => format!("{change} in ring {ring}"),
    };
    let more = match items.len() {
        1 => String::new(),
        count => format!(" (and {} more)", count - 1),
    };
    let (state, decision) = (state(alert), alert.decision.name());
    limited(&format!("[{state}] {decision}: {about}{more}"), bytes_max)
}

/// The state as it stands in a title: what fires is as urgent as it is severe.
pub(super) fn state(alert: &Alert) -> &'static str {
    match (alert.state, alert.severity) {
        (AlertState::Resolved, _) => "RESOLVED",
        (AlertState::Acknowledged, _) => "ACKNOWLEDGED",
        (_, Severity::Critical) => "CRITICAL",
        (_, Severity::Warning) => "WARNING",
        (_, Severity::Info) => "INFO",
    }
}

/// What is known of an alert, as name and value.
pub(super) fn facts(alert: &Alert) -> Vec<(&'static str, String)> {
    let mut facts = vec![("Action", alert.action.what.clone())];
    let owner = alert.action.owner.name();
    facts.push((
        "Owner",
        match &alert.action.notice {
            None => owner.to_owned(),
            Some(notice) => {
                let channels: Vec<_> =
                    notice.channels.iter().map(|channel| channel.name()).collect();
                let when = notice.when.map(|when| format!(", {} the change", when.name()));
                format!("{owner}, by {}{}", channels.join(" and "), when.unwrap_or_default())
            }
        },
    ));
    if let Some(escalation) = alert.escalation {
        facts.push(("Support case", format!("severity {}", escalation.name())));
    }
    facts.push(("Signal", alert.signal.clone()));
    if !alert.change.is_empty() {
        facts.push(("Change", format!("{} ({})", alert.change, alert.change_type.name())));
    }
    if !alert.ring.is_empty() {
        facts.push(("Ring", alert.ring.clone()));
    }
    facts.extend(evidence(alert));
    if let Some(cohort) = &alert.cohort {
        let share = cohort.share * 100.0;
        facts.push(("Cohort", format!("{} {} ({share:.0} %)", cohort.key, cohort.value)));
    }
    facts.push(("Since", alert.starts_at.to_string()));
    facts.extend(alert.ends_at.map(|end| ("Until", end.to_string())));
    let links = [("Dashboard", &alert.links.dashboard), ("Runbook", &alert.links.runbook)];
    facts.extend(links.into_iter().filter_map(|(name, link)| Some((name, link.clone()?))));
    facts.push(("Alert", format!("{} ({})", alert.id, alert.transition)));
    let short = |(name, value): (_, String)| (name, limited(&value, VALUE_BYTES_MAX));
    facts.into_iter().map(short).collect()
}

fn evidence(alert: &Alert) -> Option<(&'static str, String)> {
    let evidence = &alert.evidence;
    let arm = |arm: &ArmEvidence| format!("{} of {}", arm.affected, arm.devices);
    if evidence.kind == EvidenceKind::Process {
        return (evidence.treated.affected > 0).then(|| ("Counted", arm(&evidence.treated)));
    }
    let (treated, control) = (arm(&evidence.treated), arm(&evidence.control));
    let interval = evidence.interval_in_words().map(|words| format!(" ({words})"));
    let interval = interval.unwrap_or_default();
    let ratio = evidence.ratio.map(|ratio| format!("; {ratio:.1}x as likely{interval}"));
    let ratio = ratio.unwrap_or_default();
    Some(("Evidence", format!("{treated} devices with it, {control} without{ratio}")))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use schemas::Decision;
    use schemas::alert::{Channel, Notice, When};

    use super::*;
    use crate::delivery::examples::{firing, resolved};

    #[test]
    fn the_title_says_how_bad_what_and_where() {
        let item = |alert| Item::new(Arc::new(alert));
        assert_eq!(title(&[item(firing("kb1"))], 99), "[CRITICAL] rollback: kb1 in ring first");
        let both = loudest_first(&[item(resolved("kb1")), item(firing("kb1"))]);
        assert_eq!(title(&both, 99), "[CRITICAL] rollback: kb1 in ring first (and 1 more)");
        let alone = Alert { change: String::new(), ..firing("kb1") };
        assert_eq!(title(&[item(alone)], 99), "[CRITICAL] rollback: ring first");
    }

    #[test]
    fn what_fires_comes_before_what_is_over_and_then_the_severest() {
        let alert = |id: &str, state, severity, decision| {
            let id = id.to_owned();
            Item::new(Arc::new(Alert { id, state, severity, decision, ..firing("kb1") }))
        };
        let (firing, over) = (AlertState::Firing, AlertState::Resolved);
        let items = [
            alert("over", over, Severity::Critical, Decision::Rollback),
            alert("cared", AlertState::Acknowledged, Severity::Critical, Decision::Rollback),
            alert("info", firing, Severity::Info, Decision::Watch),
            alert("hold", firing, Severity::Warning, Decision::Hold),
            alert("escalate", firing, Severity::Warning, Decision::Escalate),
            alert("rollback", firing, Severity::Critical, Decision::Rollback),
        ];
        let order: Vec<String> =
            loudest_first(&items).into_iter().map(|item| item.alert.id.clone()).collect();
        assert_eq!(order, ["rollback", "escalate", "hold", "info", "cared", "over"]);
    }

    #[test]
    fn the_change_process_names_its_channels_and_no_test() {
        let mut alert = firing("kb1");
        alert.evidence.kind = EvidenceKind::Process;
        let channels = vec![Channel::Page, Channel::Email];
        alert.action.notice = Some(Notice { channels, when: Some(When::Before) });
        let facts = facts(&alert);
        assert_eq!(facts[1], ("Owner", "service, by page and email, before the change".to_owned()));
        assert!(facts.contains(&("Counted", "8 of 500".to_owned())), "{facts:?}");
    }
}
