//! Decides what one destination is sent next. Pure: time, chance and answers are arguments.
//!
//! ```text
//! accept(commit) ─► pending ─┐
//!                            ├─► step ─► Send ─► (HTTP) ─► decide ─► Send | Wait ...
//! Book: repeats that are due ┘                     └─► next, the cursor: it only grows
//! ```
//! One request at a time, and a transition stays first until it is accepted or refused for good:
//! so the order of the chain is kept. While a destination is busy its repeats wait as well.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use schemas::{Alert, AlertState, Decision};

use super::repeat::{Book, Item, Noted};
use super::retry::{Backoff, Outcome};
use super::{Committed, Now};

/// 10 min: commits without alerts for this destination need not each cost a durable write.
const CURSOR_IDLE: Duration = Duration::from_mins(10);

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    Send(Vec<Item>),
    /// Nothing before this moment of the monotonic clock, or before something new is accepted.
    Wait(Option<Duration>),
}

/// What is being sent.
#[derive(Debug, Default)]
enum Sending {
    #[default]
    Nothing,
    Transition,
    Repeat(Vec<Item>),
}

/// The commits that wait, the book of repeats, and the back-off of one destination.
#[derive(Debug)]
pub(crate) struct State {
    decisions: Option<Vec<Decision>>,
    backoff: Backoff,
    book: Option<Book>,
    pending: VecDeque<(u64, VecDeque<Arc<Alert>>)>,
    sending: Sending,
    /// The first sequence that has not been handled to its end, and the first not accepted.
    next: u64,
    expected: u64,
    saved: u64,
    saved_at: Duration,
    delivered_since_saved: u64,
    failures: u32,
    not_before: Duration,
    refused: u64,
}

impl State {
    pub(crate) fn new(decisions: Option<Vec<Decision>>, book: Option<Book>, cursor: u64) -> Self {
        Self {
            decisions,
            backoff: Backoff::default(),
            book,
            pending: VecDeque::new(),
            sending: Sending::Nothing,
            next: cursor,
            expected: cursor,
            saved: cursor,
            saved_at: Duration::ZERO,
            delivered_since_saved: 0,
            failures: 0,
            not_before: Duration::ZERO,
            refused: 0,
        }
    }

    pub(crate) fn with_backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Takes a commit; one that was taken before changes nothing.
    pub(crate) fn accept(&mut self, commit: Committed) {
        if commit.sequence < self.expected {
            return;
        }
        self.expected = commit.sequence + 1;
        let wanted =
            commit.alerts.into_iter().filter(|alert| wants(self.decisions.as_deref(), alert));
        self.pending.push_back((commit.sequence, wanted.collect()));
        self.advance();
    }

    /// Takes an alert that stands since before the cursor.
    pub(crate) fn seed(&mut self, alert: Arc<Alert>, now: Now) {
        if let Some(book) = self.book.as_mut().filter(|_| wants(self.decisions.as_deref(), &alert))
        {
            self.refused += u64::from(book.seed(alert, now) == Noted::Full);
        }
    }

    /// What to do now, when nothing is being sent. Repeats go first: they are few, and an alert
    /// must not end at its receiver because others arrive.
    pub(crate) fn step(&mut self, now: Now) -> Step {
        if !self.may_act(now) {
            return Step::Wait(Some(self.not_before));
        }
        let repeats = self.book.as_mut().map(|book| book.due(now.elapsed)).unwrap_or_default();
        if !repeats.is_empty() {
            self.sending = Sending::Repeat(repeats.clone());
            return Step::Send(repeats);
        }
        if let Some(alert) = self.pending.front().and_then(|(_, alerts)| alerts.front()) {
            self.sending = Sending::Transition;
            return Step::Send(vec![Item { alert: Arc::clone(alert), resolved_at: None }]);
        }
        Step::Wait(self.book.as_ref().and_then(Book::next_due))
    }

    /// What to do after what was sent came to `outcome`; `random` is uniform over all of `u64`.
    pub(crate) fn decide(&mut self, outcome: &Outcome, now: Now, random: u64) -> Step {
        match (outcome, std::mem::take(&mut self.sending)) {
            (Outcome::Busy { retry_after, .. }, _) => self.postpone(*retry_after, now, random),
            (_, Sending::Transition) => self.finish_transition(now),
            (_, Sending::Repeat(items)) => {
                self.failures = 0;
                if let Some(book) = &mut self.book {
                    book.told(&items, now.elapsed);
                }
            }
            (_, Sending::Nothing) => {}
        }
        self.step(now)
    }

    /// Something did not work: nothing is sent for a while.
    pub(crate) fn postpone(&mut self, retry_after: Option<Duration>, now: Now, random: u64) {
        self.failures = self.failures.saturating_add(1);
        self.not_before = now.elapsed + self.backoff.wait(self.failures, retry_after, random);
    }

    fn finish_transition(&mut self, now: Now) {
        self.failures = 0;
        let Some((_, alerts)) = self.pending.front_mut() else { return };
        if let (Some(alert), Some(book)) = (alerts.pop_front(), &mut self.book) {
            self.refused += u64::from(book.note(alert, now) == Noted::Full);
        }
        self.delivered_since_saved += 1;
        self.advance();
    }

    fn advance(&mut self) {
        while self.pending.front().is_some_and(|(_, alerts)| alerts.is_empty()) {
            if let Some((sequence, _)) = self.pending.pop_front() {
                self.next = sequence + 1;
            }
        }
    }

    /// Whether no back-off is running.
    pub(crate) fn may_act(&self, now: Now) -> bool {
        now.elapsed >= self.not_before
    }

    /// Whether every accepted commit has been handled to its end.
    pub(crate) fn is_done(&self) -> bool {
        self.pending.is_empty()
    }

    /// The first sequence that has not been accepted.
    pub(crate) fn expected(&self) -> u64 {
        self.expected
    }

    /// The cursor if it is worth keeping: after each commit with alerts, else now and then.
    pub(crate) fn cursor_to_save(&mut self, elapsed: Duration) -> Option<u64> {
        let worth = self.delivered_since_saved > 0 || elapsed >= self.saved_at + CURSOR_IDLE;
        if worth { self.last_cursor(elapsed) } else { None }
    }

    /// The cursor if it has grown at all: at the end.
    pub(crate) fn last_cursor(&mut self, elapsed: Duration) -> Option<u64> {
        if self.next == self.saved {
            return None;
        }
        (self.saved, self.saved_at, self.delivered_since_saved) = (self.next, elapsed, 0);
        Some(self.next)
    }

    /// Alerts that the full book did not take since the last call.
    pub(crate) fn take_refused(&mut self) -> u64 {
        std::mem::take(&mut self.refused)
    }
}

/// A pending alert is not yet told to anyone.
fn wants(decisions: Option<&[Decision]>, alert: &Alert) -> bool {
    alert.state != AlertState::Pending
        && decisions.is_none_or(|wanted| wanted.contains(&alert.decision))
}

#[cfg(test)]
mod tests;
