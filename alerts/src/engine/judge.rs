//! From evidence to levels, drafts and verdicts (design: detection 4).
//!
//! The e-value of a change is the weighted mean of those of its tests: a mean of e-processes is
//! one, whatever their dependence. It is regressed at 1/alpha; named is the test with the largest
//! weighted e-value, and besides it each test whose own reaches 1/alpha.

use std::collections::BTreeSet;
use std::sync::Arc;

use schemas::{Alert, Signal, Timestamp};

use super::Engine;
use super::change::Change;
use crate::book::{Draft, Key};
use crate::detector::cohort::Place;
use crate::detector::log_sum_exp;
use crate::detector::pair::tested;
use crate::detector::tally::ChangeNumber;
use crate::detector::verdict::{Standing, VerdictRow};
use crate::lifecycle::Level;
use crate::metrics;
use crate::policy::{action, harm, rule, signature_summary, summary};

/// One test's part of its change's e-value.
struct Weighted {
    ring: usize,
    signal: Signal,
    /// ln(w E).
    log_e: f64,
    /// It counts as it stands, but raises and resolves nothing.
    has_ended: bool,
}

/// What is looked at: with the margin for decisions, without it for `watch`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    Decide,
    Watch,
}

/// While one cohort holds most of the harm and two more hits would settle it, a change is not named
/// before its evidence is so far beyond the line: about as much as two hits bring. An action that
/// is too wide cannot be narrowed once it is taken.
const COHORT_PATIENCE: f64 = 4.0;

impl Engine {
    /// Steps every test's alert at the end of a window.
    pub(super) fn judge(&mut self, at: Timestamp) -> Vec<Alert> {
        let mut told = Vec::new();
        let names: Vec<_> = self.numbers.iter().map(|(name, &at)| (Arc::clone(name), at)).collect();
        for (name, number) in names {
            let levels = self.levels(&name, number);
            let mut book = self.book.lend();
            for (key, level) in levels {
                let draft = || self.draft(&self.changes[number], &key);
                told.extend(book.step(&key, level, at, draft));
            }
            self.book = book;
        }
        for alert in &told {
            metrics::transitions(alert.state).increment(1);
        }
        told
    }

    /// Where each test of a change stands against its line.
    fn levels(&self, name: &Arc<str>, number: ChangeNumber) -> Vec<(Key, Level)> {
        let change = &self.changes[number];
        let (tests, total) = weigh(change, Look::Decide);
        let (line, low_line) = (self.config.line(), self.config.low_line());
        let can_lead = |test: &&Weighted| !test.has_ended;
        let running = tests.iter().filter(can_lead).map(|test| test.log_e);
        let largest = running.fold(f64::NEG_INFINITY, f64::max);
        // Of equals the first: two signals can rise in step, and one name is enough.
        let leader = tests.iter().position(|test| can_lead(&test) && test.log_e >= largest);
        let named = tests.iter().any(|test| test.log_e >= line) || self.book.has_raised(name);
        let level = |(at, test): (usize, &Weighted), key: &Key| {
            let leads = total >= line && leader == Some(at);
            let crosses = test.log_e >= line || (leads && !named);
            if !change.is_watched() {
                Level::Withdrawn
            } else if test.has_ended {
                Level::Between
            } else if self.is_rare_harm(number, key)
                || self.raising_signature(change, test.ring, test.signal).is_some()
                || (crosses && !self.is_held_back(number, key, test.log_e - line))
            {
                Level::Above
            } else if test.log_e >= low_line || leads {
                Level::Between
            } else {
                Level::Below
            }
        };
        let keyed = tests.iter().enumerate().map(|(at, test)| {
            let key = (Arc::clone(name), test.ring, test.signal);
            let level = level((at, test), &key);
            (key, level)
        });
        keyed.collect()
    }

    /// Whether the change has done rare harm that is not another's. What has been told stays told.
    fn is_rare_harm(&self, number: ChangeNumber, key: &Key) -> bool {
        let &(_, ring, signal) = key;
        self.changes[number].pairs[&ring].has_rare_harm(signal)
            && (self.book.is_raised(key) || !self.is_loss_of_another(number, ring, signal))
    }

    /// Whether a test that crosses its line must not be named yet. What has been told stays told.
    fn is_held_back(&self, number: ChangeNumber, key: &Key, surplus: f64) -> bool {
        let &(_, ring, signal) = key;
        let pair = &self.changes[number].pairs[&ring];
        let place = || pair.cohort_onsets.localised(signal, &pair.spread);
        !self.book.is_raised(key)
            && (self.is_explained(number, ring, signal, surplus)
                || (surplus < COHORT_PATIENCE && place() == Place::Open))
    }

    /// What an alert of this test would say now.
    fn draft(&self, change: &Change, (name, ring, signal): &Key) -> Draft {
        let config = &self.config;
        let (ring_name, pair) = (&config.rings[*ring], &change.pairs[ring]);
        let own = pair.evidence(*signal, config.alpha);
        let alone = own.log_e >= own.line || pair.has_rare_harm(*signal);
        let signature = self.raising_signature(change, *ring, *signal).filter(|_| !alone);
        let (evidence, summary) = if let Some((signature, new)) = signature {
            let evidence = change.signatures.evidence(new, config.alpha);
            let summary = signature_summary(name, ring_name, signature, &evidence);
            (evidence, summary)
        } else {
            let compared_with = pair.compared_with(*signal).map(|earlier| &**earlier);
            let summary = summary(name, ring_name, *signal, &own, compared_with);
            (own, summary)
        };
        let cohort = pair.cohort_onsets.localised(*signal, &pair.spread).cohort();
        let ruling = rule(change.change_type(), change.reversal(), harm(*signal, &evidence));
        let ruling = if cohort.is_some() { ruling.narrowed() } else { ruling };
        let later = change.later_rings(*ring, &config.rings);
        Draft {
            change_type: change.change_type(),
            registered: change.registered(),
            ring: ring_name.clone(),
            ruling,
            summary,
            action: action(&ruling, name, ring_name, cohort.as_ref(), &later),
            cohort,
            evidence,
        }
    }

    /// Every watched change x ring x signal as it stands: rows of the live table.
    pub fn verdicts(&self) -> Vec<VerdictRow> {
        let limits = self.config.limits();
        let mut rows = Vec::new();
        for (name, &number) in &self.numbers {
            let change = &self.changes[number];
            if !change.is_watched() {
                continue;
            }
            let watched = watched(change, limits.line);
            for (ring, ring_name) in self.config.rings.iter().enumerate() {
                let acted_on = self.book.has_raised_in(name, ring);
                for signal in tested() {
                    let row = VerdictRow::unexposed(name, ring_name, signal);
                    let row = VerdictRow { partial: self.partial, ..row };
                    let raised = self.book.is_raised(&(Arc::clone(name), ring, signal));
                    let standing = if raised { Standing::Alerting } else { Standing::Quiet };
                    let pair = change.pairs.get(&ring);
                    let watch = !acted_on && watched.contains(&(ring, signal));
                    let row = VerdictRow { watch, ..row };
                    rows.push(match pair {
                        None => row,
                        Some(pair) => row.of(pair, standing, &limits),
                    });
                }
            }
        }
        rows
    }
}

/// ln(w E) of every test of a change that has a weight, and ln E of the change.
fn weigh(change: &Change, look: Look) -> (Vec<Weighted>, f64) {
    let mut tests = Vec::new();
    let mut granted = 0.0;
    for (&ring, pair) in &change.pairs {
        for signal in tested().filter(|&signal| pair.weight(signal) > 0.0) {
            let log_e = match look {
                Look::Decide => pair.log_e(signal),
                Look::Watch => pair.log_e_watch(signal),
            };
            let log_e = libm::log(pair.weight(signal)) + log_e;
            tests.push(Weighted { ring, signal, log_e, has_ended: pair.has_ended() });
            granted += pair.weight(signal);
        }
    }
    // Rings not yet exposed, and what is reserved, stand at e = 1.
    let rest = libm::log((1.0 - granted).max(0.0));
    let parts: Vec<f64> = tests.iter().map(|test| test.log_e).chain([rest]).collect();
    (tests, log_sum_exp(&parts))
}

/// Tests that cross the line without the margin, each by itself or as the largest of all.
fn watched(change: &Change, line: f64) -> BTreeSet<(usize, Signal)> {
    let (tests, total) = weigh(change, Look::Watch);
    let largest = tests.iter().max_by(|one, other| one.log_e.total_cmp(&other.log_e));
    let leader = largest.filter(|_| total >= line).into_iter();
    let crossed = tests.iter().filter(|test| test.log_e >= line);
    leader.chain(crossed).map(|test| (test.ring, test.signal)).collect()
}
