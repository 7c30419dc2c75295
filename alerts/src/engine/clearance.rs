//! Whether a change is safe to promote from a ring (`clear`, design: detection 4).
//!
//! In: the pairs at the end of a window. Out: since when a ring is clear, what it waits for, and
//! the signals too rare there for a test to have seen anything: no data is never healthy.

use std::sync::Arc;

use schemas::{Signal, Span, Timestamp};
use serde::Serialize;

use super::Engine;
use crate::detector::pair::{Pair, tested};
use crate::detector::verdict::{Limits, Look, Verdict};
use crate::policy::is_severe;

/// Exposure that has to grow more than fourfold (four times `soak` at the same pace) until a
/// ratio of 5 would be seen: nobody waits for that signal.
const RARE_GROWTH: f64 = 4.0;
/// Looks at every ring cost more than a window; nobody promotes by the minute.
const HOUR: Span = Span::hours(1);

/// How far a ring is on its way to `clear`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Clearing {
    /// Something regressed here.
    Blocked,
    /// Not exposed for long enough.
    Soaking,
    /// Signals that matter are not healthy yet.
    Waiting,
    /// Safe to promote, as far as can be seen.
    Clear,
}

/// One change x ring on its way to `clear`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Clearance {
    pub change: String,
    pub ring: String,
    pub clearing: Clearing,
    /// Since when it is clear.
    pub since: Option<Timestamp>,
    pub soaks_until: Timestamp,
    /// Signals that have to become healthy first.
    pub waits_for: Vec<Signal>,
    /// Signals too rare here for a ratio of 5 to have been seen.
    pub unseen: Vec<Signal>,
}

impl Engine {
    /// Every watched change in every ring that it has reached.
    pub fn clearances(&self) -> Vec<Clearance> {
        let mut rows = Vec::new();
        for (name, &number) in &self.numbers {
            let change = &self.changes[number];
            for (&ring, pair) in change.pairs.iter().filter(|_| change.is_watched()) {
                rows.push(self.clearance(name, ring, pair));
            }
        }
        rows
    }

    fn clearance(&self, change: &Arc<str>, ring: usize, pair: &Pair) -> Clearance {
        let soaks_until = pair.exposed_from + self.config.soak;
        let (waits_for, unseen) = open_questions(pair, &self.config.limits());
        let soaking = self.baseline.until().is_none_or(|until| until < soaks_until);
        let clearing = if self.book.has_raised_in(change, ring) {
            Clearing::Blocked
        } else if pair.clear_since.is_some() {
            Clearing::Clear
        } else if soaking {
            Clearing::Soaking
        } else {
            Clearing::Waiting
        };
        Clearance {
            change: change.to_string(),
            ring: self.config.rings[ring].clone(),
            clearing,
            since: pair.clear_since,
            soaks_until,
            waits_for,
            unseen,
        }
    }

    /// Notes which rings are clear at the end of a window, and which no longer are.
    pub(super) fn clear(&mut self, at: Timestamp) {
        let limits = self.config.limits();
        for (name, &number) in &self.numbers {
            let change = &mut self.changes[number];
            for (&ring, pair) in &mut change.pairs {
                let soaked = at >= pair.exposed_from + self.config.soak;
                if pair.clear_since.is_some() || (soaked && at.window_start(HOUR) == at) {
                    let blocked = self.book.has_raised_in(name, ring);
                    let clear = || {
                        let known = pair.clear_since.is_some();
                        known || open_questions(pair, &limits).0.is_empty()
                    };
                    let clear = !blocked && clear();
                    pair.clear_since = clear.then(|| pair.clear_since.unwrap_or(at));
                }
            }
        }
    }
}

/// Signals that a pair has to wait for, and those that it will not see.
///
/// A severe signal is let pass unseen only while no treated device has it.
fn open_questions(pair: &Pair, limits: &Limits) -> (Vec<Signal>, Vec<Signal>) {
    let (mut waits_for, mut unseen) = (Vec::new(), Vec::new());
    for signal in tested() {
        let Some(look) = Look::at(pair, signal, limits) else {
            waits_for.push(signal);
            continue;
        };
        let rare = look.growth.is_none_or(|growth| growth > RARE_GROWTH);
        let harmless = !is_severe(signal) || pair.arms(signal).0.affected == 0;
        let idle = look.verdict == Verdict::NoData && signal.is_onset();
        match look.verdict {
            Verdict::Healthy => {}
            _ if rare && harmless && !idle => unseen.push(signal),
            _ => waits_for.push(signal),
        }
    }
    (waits_for, unseen)
}
