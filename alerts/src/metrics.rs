//! The detector's metrics, each declared once. Those of delivery stand in `delivery/metrics.rs`.

use metrics::{Counter, counter, describe_counter};

const WINDOWS: &str = "ringwatch_detector_windows_total";
const CHANGES_REFUSED: &str = "ringwatch_detector_changes_refused_total";
const GROUPS_REFUSED: &str = "ringwatch_detector_groups_refused_total";
const STRATA_REFUSED: &str = "ringwatch_detector_strata_refused_total";
const COHORTS_REFUSED: &str = "ringwatch_detector_cohorts_refused_total";
const SIGNATURES_REFUSED: &str = "ringwatch_detector_signatures_refused_total";
const LATE_ELSEWHERE: &str = "ringwatch_detector_late_elsewhere_total";
const REGISTRY_UNREADABLE: &str = "ringwatch_detector_registry_unreadable_total";
const SUPPORT_UNREADABLE: &str = "ringwatch_process_support_unreadable_total";
const TICKETS_REFUSED: &str = "ringwatch_process_tickets_refused_total";
const UNBUDGETED: &str = "ringwatch_detector_unbudgeted_rings_total";
const TESTS_ENDED: &str = "ringwatch_detector_tests_ended_total";
const SILENCES_REFUSED: &str = "ringwatch_silences_refused_total";
const TRANSITIONS: &str = "ringwatch_alert_transitions_total";

/// Says what each metric means; called once by the shell.
pub fn describe() {
    describe_counter!(WINDOWS, "windows evaluated");
    describe_counter!(CHANGES_REFUSED, "sightings of changes beyond detection.changes_max");
    describe_counter!(GROUPS_REFUSED, "groups left out of every arm, beyond detection.sets_max");
    describe_counter!(STRATA_REFUSED, "groups left out when overlapping changes are told apart");
    describe_counter!(COHORTS_REFUSED, "cohort values beyond what one ring of a change remembers");
    describe_counter!(SIGNATURES_REFUSED, "fault signatures not tested: too many are known or new");
    describe_counter!(LATE_ELSEWHERE, "windows of late onsets whose exposure is no longer known");
    describe_counter!(REGISTRY_UNREADABLE, "registry records that this version cannot read");
    describe_counter!(SUPPORT_UNREADABLE, "support records that this version cannot read");
    describe_counter!(TICKETS_REFUSED, "open tickets of severity A beyond 10,000, not watched");
    describe_counter!(UNBUDGETED, "rings first exposed when the change's error budget was spent");
    describe_counter!(
        TESTS_ENDED,
        "changes in a ring whose tests ended with a growth of the topic"
    );
    describe_counter!(SILENCES_REFUSED, "silences of everything, or beyond 1,000 at once");
    describe_counter!(TRANSITIONS, "alert transitions by state");
    // There from the start: what appears with its first event shows no increase by it.
    for start in [WINDOWS, CHANGES_REFUSED, GROUPS_REFUSED, REGISTRY_UNREADABLE] {
        counter!(start).increment(0);
    }
}

pub(crate) fn windows() -> Counter {
    counter!(WINDOWS)
}

pub(crate) fn changes_refused() -> Counter {
    counter!(CHANGES_REFUSED)
}

pub(crate) fn silences_refused() -> Counter {
    counter!(SILENCES_REFUSED)
}

pub(crate) fn groups_refused() -> Counter {
    counter!(GROUPS_REFUSED)
}

pub(crate) fn strata_refused() -> Counter {
    counter!(STRATA_REFUSED)
}

pub(crate) fn cohorts_refused() -> Counter {
    counter!(COHORTS_REFUSED)
}

pub(crate) fn signatures_refused() -> Counter {
    counter!(SIGNATURES_REFUSED)
}

pub(crate) fn late_elsewhere() -> Counter {
    counter!(LATE_ELSEWHERE)
}

pub(crate) fn registry_unreadable() -> Counter {
    counter!(REGISTRY_UNREADABLE)
}

pub(crate) fn support_unreadable() -> Counter {
    counter!(SUPPORT_UNREADABLE)
}

pub(crate) fn tickets_refused() -> Counter {
    counter!(TICKETS_REFUSED)
}

pub(crate) fn unbudgeted_rings() -> Counter {
    counter!(UNBUDGETED)
}

pub(crate) fn tests_ended() -> Counter {
    counter!(TESTS_ENDED)
}

pub(crate) fn transitions(state: schemas::AlertState) -> Counter {
    counter!(TRANSITIONS, "state" => state.name())
}
