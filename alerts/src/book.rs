//! The open alerts, and the transitions that are told.
//!
//! In: the level of each test at the end of each window. Out: one [`Alert`] per transition. Ids
//! follow from what the alert is about and when it began: the same input gives the same bytes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use schemas::alert::{Action, Cohort, Evidence, Links};
use schemas::{Alert, AlertState, ChangeType, SCHEMA_VERSION, Signal, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::lifecycle::{Flaps, Level, Move, Patience, Phase};
use crate::policy::Ruling;

mod kept;

/// Change, ring by its number, signal.
pub type Key = (Arc<str>, usize, Signal);

/// What an alert is about: names its page in the book.
pub trait Subject: Ord + Clone {
    fn change(&self) -> &str;

    /// The name in alerts.
    fn signal(&self) -> &'static str;
}

impl Subject for Key {
    fn change(&self) -> &str {
        &self.0
    }

    fn signal(&self) -> &'static str {
        self.2.name()
    }
}

/// Everything of an alert that its lifecycle does not decide.
#[derive(Clone, Debug)]
pub struct Draft {
    pub change_type: ChangeType,
    pub registered: Registered,
    pub ring: String,
    pub ruling: Ruling,
    pub summary: String,
    pub evidence: Evidence,
    pub action: Action,
    pub cohort: Option<Cohort>,
}

/// Whether a change was ever announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registered {
    Yes,
    No,
}

/// Phases and open alerts by test. Bounded by the tests: changes x rings x signals.
#[derive(Clone, Debug)]
pub struct AlertBook<K = Key> {
    patience: Patience,
    pages: BTreeMap<K, Page>,
    /// Tests that have resolved within a day, or are open again after that.
    flaps: BTreeMap<K, Flaps>,
}

/// One test that is not clear.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Page {
    phase: Phase,
    #[serde(with = "kept")]
    alert: Option<Alert>,
}

impl<K: Subject> AlertBook<K> {
    pub const fn new(patience: Patience) -> Self {
        Self { patience, pages: BTreeMap::new(), flaps: BTreeMap::new() }
    }

    /// Every test that is not clear, to be stored.
    pub(crate) const fn pages(&self) -> &BTreeMap<K, Page> {
        &self.pages
    }

    /// What is remembered of tests that flap, to be stored.
    pub(crate) const fn flaps(&self) -> &BTreeMap<K, Flaps> {
        &self.flaps
    }

    /// Goes on from what was stored.
    pub(crate) fn with(self, pages: BTreeMap<K, Page>, flaps: BTreeMap<K, Flaps>) -> Self {
        Self { pages, flaps, ..self }
    }

    /// The book, for as long as an empty one stands in its place.
    #[must_use]
    pub fn lend(&mut self) -> Self {
        let empty = Self::new(self.patience);
        std::mem::replace(self, empty)
    }

    /// Takes in the level of a test; returns the transition that follows, if one does. The draft
    /// is asked for only then.
    pub fn step(
        &mut self,
        key: &K,
        level: Level,
        at: Timestamp,
        draft: impl FnOnce() -> Draft,
    ) -> Option<Alert> {
        let page = self.pages.get_mut(key);
        let phase = page.as_ref().map_or(Phase::Clear, |page| page.phase);
        let flaps = self.flaps.get(key).copied().unwrap_or_default();
        let (phase, moved) = phase.next(flaps, level, at, self.patience);
        let flaps = flaps.after(moved, level, at);
        if flaps == Flaps::default() || (phase == Phase::Clear && flaps.is_over(at)) {
            self.flaps.remove(key);
        } else {
            self.flaps.insert(key.clone(), flaps);
        }
        let told = match (moved, page.as_ref().and_then(|page| page.alert.as_ref())) {
            (Some(Move::Fire), _) => Some(fired(key, draft(), at)),
            (Some(Move::Resolve), Some(alert)) => Some(resolved(alert.clone(), draft(), at)),
            _ => None,
        };
        match page {
            _ if phase == Phase::Clear => {
                self.pages.remove(key);
            }
            Some(page) => {
                page.phase = phase;
                if told.is_some() {
                    page.alert.clone_from(&told);
                }
            }
            None => {
                self.pages.insert(key.clone(), Page { phase, alert: told.clone() });
            }
        }
        told
    }

    /// Whether the test's alert is firing, or pending.
    pub fn is_raised(&self, key: &K) -> bool {
        self.pages.contains_key(key)
    }

    /// The last transition of an open alert.
    pub(crate) fn alert(&self, key: &K) -> Option<&Alert> {
        self.pages.get(key)?.alert.as_ref()
    }

    /// The last transition of every open alert, by change, ring and signal.
    pub fn open_alerts(&self) -> Vec<&Alert> {
        self.pages.values().filter_map(|page| page.alert.as_ref()).collect()
    }
}

impl AlertBook {
    /// Whether any alert of a change is firing, or pending.
    pub fn has_raised(&self, change: &Arc<str>) -> bool {
        let first: Key = (Arc::clone(change), 0, Signal::ALL[0]);
        self.pages.range(first..).next().is_some_and(|((raised, ..), _)| raised == change)
    }

    /// Whether any alert of a change in a ring is.
    pub fn has_raised_in(&self, change: &Arc<str>, ring: usize) -> bool {
        let first: Key = (Arc::clone(change), ring, Signal::ALL[0]);
        let next = self.pages.range(first..).next();
        next.is_some_and(|((raised, at, _), _)| raised == change && *at == ring)
    }
}

fn fired(subject: &impl Subject, draft: Draft, at: Timestamp) -> Alert {
    let decision = draft.ruling.decision;
    let (change, signal) = (subject.change(), subject.signal());
    let fingerprint = fingerprint(&[change, &draft.ring, signal, decision.name()]);
    Alert {
        v: SCHEMA_VERSION,
        id: episode_id(&fingerprint, at),
        fingerprint,
        state: AlertState::Firing,
        decision,
        escalation: draft.ruling.escalation,
        severity: draft.ruling.severity,
        change: change.to_owned(),
        change_type: draft.change_type,
        unregistered: draft.registered == Registered::No,
        ring: draft.ring,
        signal: signal.to_owned(),
        transition: 1,
        starts_at: at,
        updated_at: at,
        ends_at: None,
        summary: draft.summary,
        evidence: draft.evidence,
        cohort: draft.cohort,
        action: draft.action,
        links: Links::default(),
    }
}

/// The decision stays that of the episode; the evidence is that of its end.
fn resolved(alert: Alert, draft: Draft, at: Timestamp) -> Alert {
    Alert {
        state: AlertState::Resolved,
        transition: alert.transition + 1,
        updated_at: at,
        ends_at: Some(at),
        summary: draft.summary,
        evidence: draft.evidence,
        ..alert
    }
}

/// 32 hexadecimal digits that name change + ring + signal + decision.
pub(crate) fn fingerprint(parts: &[&str]) -> String {
    let digest = Sha256::digest(parts.join("\0"));
    digest[..16].iter().fold(String::with_capacity(32), |mut text, byte| {
        // Writing to a String cannot fail.
        let _written = write!(text, "{byte:02x}");
        text
    })
}

/// `rw-` and 20 characters of RFC 4648 base32, lower case: 100 bits of a SHA-256.
pub(crate) fn episode_id(fingerprint: &str, starts_at: Timestamp) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let digest = Sha256::digest(format!("{fingerprint}\0{starts_at}"));
    let bit = |at: usize| usize::from(digest[at / 8] >> (7 - at % 8) & 1);
    let letter = |at: usize| (0..5).fold(0, |value, next| value << 1 | bit(5 * at + next));
    let letters = (0..20).map(|at| char::from(ALPHABET[letter(at)]));
    "rw-".chars().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Harm, Reversal, rule};
    use schemas::alert::{ArmEvidence, EvidenceKind, Owner};
    use schemas::{Decision, Span};

    fn draft(affected: i64) -> Draft {
        let arm = ArmEvidence { devices: 500, device_seconds: 9, affected };
        let evidence = Evidence {
            kind: EvidenceKind::Rate,
            log_e: 8.0,
            line: 7.0,
            alpha: 0.01,
            r0: 1.25,
            treated: arm,
            control: arm,
            ratio: None,
            ratio_low: None,
            ratio_high: None,
            windows: 1,
            first_affected_at: None,
            baseline_ratio: None,
            comparison_weight: None,
        };
        Draft {
            change_type: ChangeType::Quality,
            registered: Registered::No,
            ring: "first".to_owned(),
            ruling: rule(ChangeType::Quality, Reversal::Possible, Harm::Ordinary),
            summary: format!("{affected} affected"),
            evidence,
            action: Action { what: "roll back".to_owned(), owner: Owner::Service, notice: None },
            cohort: None,
        }
    }

    fn minute(minute: i64) -> Timestamp {
        Timestamp::YEAR_2000 + Span::minutes(minute)
    }

    fn told(levels: &[Level]) -> Vec<Alert> {
        let patience = Patience { pending_for: Span::ZERO, resolve_after: Span::minutes(2) };
        let mut book = AlertBook::new(patience);
        let key: Key = (Arc::from("kb1"), 1, Signal::OsCrash);
        let step = |(at, &level)| book.step(&key, level, minute(at), || draft(at));
        (0..).zip(levels).filter_map(step).collect()
    }

    #[test]
    fn an_episode_is_told_once_at_each_end_under_one_id() {
        use Level::{Above, Below, Between};
        let told = told(&[Below, Above, Above, Between, Below, Below, Below, Below, Above]);
        let states: Vec<_> =
            told.iter().map(|a| (a.state.name(), a.transition, a.updated_at)).collect();
        let expected =
            [("firing", 1, minute(1)), ("resolved", 2, minute(6)), ("firing", 1, minute(8))];
        assert_eq!(states, expected);
        assert_eq!(told[0].id, told[1].id);
        assert_ne!(told[0].id, told[2].id);
        assert_eq!(told[0].fingerprint, told[2].fingerprint);
        assert_eq!((told[1].starts_at, told[1].ends_at), (minute(1), Some(minute(6))));
        assert_eq!((told[1].decision, &*told[1].summary), (Decision::Rollback, "6 affected"));
    }

    // Expected: `printf 'kb1\0first\0os_crash\0rollback' | sha256sum | head -c32`, and
    // `printf '<fingerprint>\0<time>' | openssl dgst -sha256 -binary | base32 | head -c20`.
    #[test]
    fn ids_follow_from_what_the_alert_is_about_and_when_it_began() {
        let told = told(&[Level::Above]);
        assert_eq!(told[0].fingerprint, "3fddd175b5930981c6544056bac963f4");
        assert_eq!(told[0].id, "rw-g2qq2eaoyrzp74bhrcyy");
    }
}
