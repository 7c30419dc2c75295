//! The change process beside the detector: what the rules need, kept and stepped window by window.
//!
//! In: support records, windows, the registry and what is clear. Out: transitions of alerts with
//! the signal `process.<rule>`. A rule is looked at once a window, for changes under way only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schemas::alert::{Action, ArmEvidence, Evidence};
use schemas::delta::SupportDelta;
use schemas::{Alert, Span, Timestamp, WindowTotals};
use serde::{Deserialize, Serialize};

use super::change::Change;
use super::{ChangeNumber, Engine};
use crate::book::{AlertBook, Draft, Page, Registered};
use crate::desk::no_evidence;
use crate::lifecycle::{Level, Patience};
use crate::metrics;
use crate::policy::Ruling;
use crate::process::ledger::Ledger;
use crate::process::rules::{self, RingStand, Rollout};
use crate::process::{Finding, Key, notice};

/// A rule is broken or it is not: there is no evidence to wait for, up or down, and what holds
/// again is withdrawn at once. A rule with a share that may swing has a bound for each way.
const AT_ONCE: Patience = Patience { pending_for: Span::ZERO, resolve_after: Span::ZERO };

#[derive(Clone, Debug)]
pub(super) struct Process {
    ledger: Ledger,
    /// Devices exposed in a ring before its start, also none: forgotten when it starts.
    early: BTreeMap<(ChangeNumber, usize), i64>,
    /// What that counts of rings that it does not hold yet.
    counted: Counted,
    /// Rings, by bit, that started when the ring ahead was clear.
    passed: BTreeMap<ChangeNumber, u64>,
    /// The start of the first window: whether a ring was clear before that nobody has seen.
    since: Option<Timestamp>,
    book: AlertBook<Key>,
}

/// What early exposure is counted from where a start is first known to lie ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    /// All who have the change.
    All,
    /// In state of a version that counted no others, once: its alerts must come of it again.
    NewExposures,
}

/// What is stored of it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Stored {
    ledger: Ledger,
    early: BTreeMap<(ChangeNumber, usize), i64>,
    passed: BTreeMap<ChangeNumber, u64>,
    since: Option<Timestamp>,
    pages: BTreeMap<Key, Page>,
}

impl Process {
    pub(super) fn new() -> Self {
        let (ledger, early, passed) = (Ledger::default(), BTreeMap::new(), BTreeMap::new());
        let (counted, book) = (Counted::All, AlertBook::new(AT_ONCE));
        Self { ledger, early, counted, passed, since: None, book }
    }

    pub(super) fn stored(&self) -> Stored {
        let Self { ledger, early, counted: _, passed, since, book } = self.clone();
        Stored { ledger, early, passed, since, pages: book.pages().clone() }
    }

    /// Goes on from what was stored; `None` where it names what is not there.
    pub(super) fn with(
        stored: Stored,
        counted: Counted,
        changes: usize,
        rings: usize,
    ) -> Option<Self> {
        let Stored { ledger, early, passed, since, pages } = stored;
        let numbers = early.keys().map(|(number, _)| number).chain(passed.keys());
        let known = numbers.into_iter().all(|&number| number < changes);
        let known = known && early.keys().all(|&(_, ring)| ring < rings);
        let book = AlertBook::new(AT_ONCE).with(pages, BTreeMap::new());
        known.then_some(Self { ledger, early, counted, passed, since, book })
    }

    pub(super) const fn counted(&self) -> Counted {
        self.counted
    }

    pub(super) fn open_alerts(&self) -> Vec<&Alert> {
        self.book.open_alerts()
    }
}

impl Engine {
    /// Takes in a support record: the latest of a ticket counts.
    pub fn support(&mut self, support: &SupportDelta) {
        match serde_json::from_str(&support.record) {
            Ok(record) => self.process.ledger.support(record, support.takes_effect),
            Err(error) => {
                tracing::error!(offset = support.offset, %error, "support record unreadable");
                metrics::support_unreadable().increment(1);
            }
        }
    }

    /// Looks at every rule at the end of a window.
    pub(super) fn watch_process(&mut self, totals: &WindowTotals) -> Vec<Alert> {
        self.process.since.get_or_insert(totals.start);
        self.process.ledger.add(totals);
        self.add_early(totals);
        let findings = self.findings(totals);
        let mut book = self.process.book.lend();
        let raised: BTreeSet<Key> = book.pages().keys().cloned().collect();
        let gone: Vec<&Key> = raised.iter().filter(|key| !findings.contains_key(key)).collect();
        let is_sure = |key: &Key| !(totals.partial && key.0.needs_all_devices());
        let mut told = Vec::new();
        for key in gone.into_iter().filter(|key| is_sure(key)) {
            if let Some(open) = book.alert(key).cloned() {
                told.extend(book.step(key, Level::Withdrawn, totals.end, || again(open)));
            }
        }
        for (key, finding) in findings.iter().filter(|(key, _)| is_sure(key)) {
            // More of the same, after people were told: a new episode, acknowledged by nobody yet.
            let open = book.alert(key).filter(|open| {
                finding.newest.is_some_and(|newest| newest > open.starts_at + key.0.again_after())
            });
            if let Some(open) = open.cloned() {
                told.extend(book.step(key, Level::Withdrawn, totals.end, || again(open)));
            }
            let draft = || self.process_draft(key, finding, totals.end);
            told.extend(book.step(key, Level::Above, totals.end, draft));
        }
        self.process.book = book;
        for alert in &told {
            metrics::transitions(alert.state).increment(1);
        }
        told
    }

    fn findings(&mut self, totals: &WindowTotals) -> BTreeMap<Key, Finding> {
        let known = |ring: &str| {
            let groups = totals.groups.iter().filter(|((name, _), _)| **name == *ring);
            groups.map(|(_, group)| group.devices_active + group.devices_silent).sum()
        };
        let is_open = |key: &Key| self.process.book.is_raised(key);
        let mut findings = self.process.ledger.findings(totals.end, known, is_open);
        for (change, &count) in &totals.foreign {
            let ring = Arc::from(schemas::UNMANAGED);
            let finding = rules::foreign_group(change, count);
            let key = (crate::process::Rule::ForeignGroup, Arc::clone(change), ring);
            findings.extend(finding.map(|finding| (key, finding)));
        }
        for (name, &number) in &self.numbers {
            let Some(rollout) = self.rollout(number, totals.end) else {
                self.process.passed.remove(&number);
                continue;
            };
            let passed = let_pass(&rollout);
            let found = rollout.findings();
            self.process.passed.insert(number, passed);
            findings.extend(
                found
                    .into_iter()
                    .map(|(rule, ring, finding)| ((rule, Arc::clone(name), ring), finding)),
            );
        }
        findings
    }

    /// A registered change under way, with what is known of it in each ring.
    fn rollout(&self, number: ChangeNumber, at: Timestamp) -> Option<Rollout<'_>> {
        let change = &self.changes[number];
        let record = change.record().filter(|record| !rules::is_over(record))?;
        let passed = self.process.passed.get(&number).copied().unwrap_or_default();
        let stand = |(ring, name): (usize, &'_ String)| {
            let early = self.process.early.get(&(number, ring)).copied().unwrap_or_default();
            let clear = change.pairs.get(&ring).is_some_and(|pair| pair.clear_since.is_some());
            let started = rules::has_started(record, name, at);
            let unseen = rules::start_of(record, name) < self.process.since;
            RingStand { early, clear, let_pass: started && (unseen || passed >> ring & 1 == 1) }
        };
        let rings = self.config.rings.iter().enumerate();
        let rings = rings.map(|ring| (ring.1.as_str(), stand(ring))).collect();
        let mut rollout = Rollout { record, rings, at };
        let passed = let_pass(&rollout);
        for (ring, (_, stand)) in rollout.rings.iter_mut().enumerate() {
            stand.let_pass = passed >> ring & 1 == 1;
        }
        Some(rollout)
    }

    /// Counts devices that are exposed in a ring before its start: those that have the change when
    /// the start is first known to lie ahead, and each that gets it from then on. One that is moved
    /// there later brings the change along, and is none.
    fn add_early(&mut self, totals: &WindowTotals) {
        let mut early = BTreeMap::new();
        for (name, &number) in &self.numbers {
            let record = self.changes[number].record().filter(|record| !rules::is_over(record));
            let Some(record) = record else { continue };
            let rings = self.config.rings.iter().enumerate();
            for (ring, ring_name) in rings {
                if !rules::is_ahead(record, ring_name, totals.end) {
                    continue;
                }
                let exposed = newly_exposed(totals, ring_name, name);
                let count = match self.process.early.get(&(number, ring)) {
                    Some(before) => before + exposed,
                    None if self.process.counted == Counted::NewExposures => exposed,
                    // Who is exposed just as the window begins is in both.
                    None => have(totals, ring_name, name).max(exposed),
                };
                // That there are none is known only of a window with all partitions.
                if count > 0 || !totals.partial {
                    early.insert((number, ring), count);
                }
            }
        }
        self.process.early = early;
        if !totals.partial {
            self.process.counted = Counted::All;
        }
    }

    fn process_draft(&self, (rule, change, ring): &Key, finding: &Finding, at: Timestamp) -> Draft {
        let unknown = if change.is_empty() { Registered::Yes } else { Registered::No };
        let change = self.numbers.get(change).map(|&number| &self.changes[number]);
        let (decision, escalation) = rule.decision();
        let notice = Some(notice(change.and_then(Change::record), at));
        Draft {
            change_type: change.map_or(schemas::ChangeType::Unknown, Change::change_type),
            registered: change.map_or(unknown, Change::registered),
            ring: ring.to_string(),
            ruling: Ruling::of_process(decision, escalation),
            summary: finding.summary.clone(),
            evidence: evidence(finding),
            action: Action { what: finding.what.clone(), owner: rule.owner(), notice },
            cohort: None,
        }
    }
}

/// Devices of a ring that got a change in a window.
fn newly_exposed(totals: &WindowTotals, ring: &str, change: &Arc<str>) -> i64 {
    let counts = totals.changes.get(&(Arc::from(ring), Arc::clone(change)));
    counts.map_or(0, |counts| counts.devices_exposed.max(0))
}

/// Devices of a ring that have a change when a window begins, heard of lately or not.
fn have(totals: &WindowTotals, ring: &str, change: &Arc<str>) -> i64 {
    let groups = totals.groups.iter();
    let groups = groups.filter(|((name, set), _)| **name == *ring && set.contains(change));
    groups.map(|(_, group)| group.devices_active + group.devices_silent).sum()
}

/// Rings that started when the ring ahead was clear, now or before, and those with none ahead.
fn let_pass(rollout: &Rollout<'_>) -> u64 {
    let rings = rollout.rings.iter().enumerate().filter(|&(ring, (name, stand))| {
        let ahead = rollout.ring_ahead(ring);
        let clear = ahead.is_none_or(|ahead| rollout.rings[ahead].1.clear);
        rules::has_started(rollout.record, name, rollout.at) && (stand.let_pass || clear)
    });
    rings.fold(0, |bits, (ring, _)| bits | 1 << ring)
}

/// What a finding that holds no longer is told with: the words that it was told with.
fn again(alert: Alert) -> Draft {
    Draft {
        change_type: alert.change_type,
        registered: if alert.unregistered { Registered::No } else { Registered::Yes },
        ring: alert.ring,
        ruling: Ruling::of_process(alert.decision, alert.escalation),
        summary: alert.summary,
        evidence: alert.evidence,
        action: alert.action,
        cohort: alert.cohort,
    }
}

/// No test stands behind it: only what was counted.
fn evidence(finding: &Finding) -> Evidence {
    let treated =
        ArmEvidence { devices: finding.of, affected: finding.affected, ..ArmEvidence::default() };
    Evidence { treated, first_affected_at: finding.first_at, ..no_evidence() }
}
