//! Decides what one destination is sent next. Pure: time, chance and answers are arguments.
//!
//! ```text
//! accept(commit) ─► pending ─┐
//! Book: repeats that are due ┼─► step ─► Send ─► (HTTP) ─► decide ─► Send | Wait ...
//! heartbeat, what is retried ┘                     ├─► next, the cursor: it only grows
//!                                                  └─► Notice: what others must know
//! ```
//! One request at a time, and a transition stays first until it is accepted or refused for good:
//! so the order of the chain is kept. While a destination is busy its repeats wait as well.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use schemas::{Alert, Timestamp};

use super::circuit::{Circuit, GivenUp, Turn};
use super::destination::Together;
use super::heartbeat::Heartbeat;
use super::message::ALERTS_MAX;
use super::repeat::{Book, Item, Noted};
use super::retry::{Backoff, Outcome};
use super::route::Route;
use super::{Committed, Now};

mod notice;

pub use notice::{Notice, Refused, Standing};

/// 10 min: commits without alerts for this destination need not each cost a durable write.
const CURSOR_IDLE: Duration = Duration::from_mins(10);

/// 200 refused transitions are kept to be told again; more means a destination to be configured
/// anew, and the oldest are forgotten first.
const REFUSED_MAX: usize = 200;

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
    /// The first so many of those that wait.
    Transitions(usize),
    Repeat(Vec<Item>),
    Again,
    Heartbeat,
}

/// Whether a destination that acts may do so.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Acting {
    #[default]
    Allowed,
    Paused,
}

/// How a destination wants its alerts.
#[derive(Debug)]
pub(crate) struct Terms {
    pub(crate) route: Route,
    pub(crate) book: Option<Book>,
    pub(crate) together: Together,
    pub(crate) backoff: Backoff,
    pub(crate) heartbeat: Option<Heartbeat>,
    pub(crate) act_timeout: Duration,
}

/// What a commit has for one destination.
#[derive(Debug)]
struct Waiting {
    sequence: u64,
    alerts: VecDeque<Arc<Alert>>,
    /// Ids of alerts that are kept quiet from here on.
    muted: Vec<String>,
}

/// The commits that wait, the book of repeats, and the back-off of one destination.
#[derive(Debug)]
pub(crate) struct State {
    name: String,
    terms: Terms,
    circuit: Circuit,
    acting: Acting,
    pending: VecDeque<Waiting>,
    /// Refused before, and to be sent once more.
    again: VecDeque<Arc<Alert>>,
    /// Whether the last message was a repeat.
    repeated: bool,
    sending: Sending,
    /// The first sequence that has not been handled to its end, and the first not accepted.
    next: u64,
    expected: u64,
    saved: u64,
    saved_at: Duration,
    delivered_since_saved: u64,
    forgotten: u64,
    refused: VecDeque<Refused>,
    /// An operator has asked for what was refused.
    retry: bool,
    notices: VecDeque<Notice>,
}

impl State {
    pub(crate) fn new(name: &str, terms: Terms, cursor: u64, standing: Standing) -> Self {
        let given_up = if standing.given_up { GivenUp::Yes } else { GivenUp::No };
        Self {
            name: name.to_owned(),
            circuit: Circuit::new(terms.backoff, given_up),
            acting: Acting::Allowed,
            pending: VecDeque::new(),
            again: VecDeque::new(),
            repeated: false,
            sending: Sending::Nothing,
            next: cursor,
            expected: cursor,
            saved: cursor,
            saved_at: Duration::ZERO,
            delivered_since_saved: 0,
            forgotten: 0,
            refused: standing.refused.into(),
            retry: false,
            notices: VecDeque::new(),
            terms,
        }
    }

    /// Takes a commit; one that was taken before changes nothing.
    pub(crate) fn accept(&mut self, commit: Committed, now: Now) {
        if commit.sequence < self.expected {
            return;
        }
        self.expected = commit.sequence + 1;
        if commit.retries.contains(&self.name) {
            self.hurry(now);
        }
        let Committed { sequence, muted, .. } = commit;
        // At once for what was told before; in its turn for what is told until then.
        for id in &muted {
            self.mute(id);
        }
        let takes = |alert: &Arc<Alert>| self.terms.route.takes(alert);
        let alerts = commit.alerts.into_iter().filter(takes).collect();
        self.pending.push_back(Waiting { sequence, alerts, muted });
        self.advance();
    }

    /// An alert is kept quiet: people are not told again; a receiver that forgets must be, and
    /// that it is to keep quiet, too.
    pub(crate) fn mute(&mut self, id: &str) {
        if let Some(book) = &mut self.terms.book {
            book.mute(id);
        }
    }

    /// An operator wants it tried at once, and what it refused tried again.
    pub(crate) fn hurry(&mut self, now: Now) {
        self.circuit.hurry(now);
        self.retry = !self.refused.is_empty();
    }

    /// The alerts to be told again, if an operator asks for that; then [`State::resend`].
    pub(crate) fn take_retry(&mut self) -> Option<Vec<String>> {
        let ids = || self.refused.iter().map(|refused| refused.alert.clone()).collect();
        std::mem::take(&mut self.retry).then(ids)
    }

    /// Sends these once more, which stay among the refused until they have been answered anew. Of
    /// the others something waits: it tells how they stand, in its turn, or is refused then.
    pub(crate) fn resend(&mut self, mut alerts: Vec<Arc<Alert>>) {
        let waiting = || self.pending.iter().flat_map(|waiting| &waiting.alerts);
        alerts.retain(|alert| waiting().all(|other| other.id != alert.id));
        self.refused.retain(|refused| alerts.iter().any(|alert| alert.id == refused.alert));
        self.again = alerts.into();
    }

    /// Whether an alert is for this destination.
    pub(crate) fn takes(&self, alert: &Alert) -> bool {
        self.terms.route.takes(alert)
    }

    pub(crate) fn set_acting(&mut self, acting: Acting) {
        self.acting = acting;
    }

    /// Takes an alert that stands since before the cursor.
    pub(crate) fn seed(&mut self, alert: Arc<Alert>, now: Now) {
        if let Some(book) = self.terms.book.as_mut().filter(|_| self.terms.route.takes(&alert)) {
            self.forgotten += u64::from(book.seed(alert, now) == Noted::Full);
        }
    }

    /// What to do now, when nothing is being sent. Signs of life and repeats go first: they are
    /// few, and an alert must not end at its receiver because others arrive.
    pub(crate) fn step(&mut self, now: Now) -> Step {
        let deadline = self.drop_stale_actions(now);
        let overdue = self.circuit.overdue(now);
        self.note_turn(overdue);
        if !self.may_act(now) {
            let wake = earlier(deadline, self.circuit.give_up_at());
            return Step::Wait(earlier(wake, Some(self.circuit.not_before())));
        }
        let people = self.terms.book.as_ref().is_some_and(Book::is_for_people);
        let closed = self.closed_until(now);
        let mut wake = if people && closed.is_some() { closed } else { None };
        if let Some(heartbeat) = &self.terms.heartbeat {
            if heartbeat.is_due(now.elapsed) {
                self.sending = Sending::Heartbeat;
                return Step::Send(vec![heartbeat.item(now.wall)]);
            }
            wake = earlier(wake, Some(heartbeat.due()));
        }
        // In turns: neither ends alerts at their receiver, nor keeps new ones from it.
        let repeats_turn = !self.repeated || self.first().is_none();
        if closed.is_none() && repeats_turn {
            let book = self.terms.book.as_mut();
            let mut repeats = book.map(|book| book.due(now.elapsed)).unwrap_or_default();
            if people {
                repeats = self.gathered(repeats.into_iter());
            }
            if !repeats.is_empty() {
                self.repeated = true;
                self.sending = Sending::Repeat(repeats.clone());
                return Step::Send(repeats);
            }
            wake = earlier(wake, self.terms.book.as_ref().and_then(Book::next_due));
        }
        if closed.is_some() {
            return Step::Wait(if self.is_done() { wake } else { earlier(wake, closed) });
        }
        if let Some(alert) = self.again.front() {
            let muted = self.terms.book.as_ref().is_some_and(|book| book.is_muted(alert));
            self.sending = Sending::Again;
            return Step::Send(vec![Item { muted, ..item(alert) }]);
        }
        let paused = self.terms.route.acts() && self.acting == Acting::Paused;
        let waiting = self.pending.iter().flat_map(|waiting| &waiting.alerts);
        let items = self.gathered(waiting.map(item));
        if items.is_empty() || paused {
            return Step::Wait(earlier(wake, deadline));
        }
        self.repeated = false;
        self.sending = Sending::Transitions(items.len());
        Step::Send(items)
    }

    /// Whether what is about to be sent is an action, and which alert it is about.
    pub(crate) fn action(&self) -> Option<&Arc<Alert>> {
        let acts = self.terms.route.acts() && matches!(self.sending, Sending::Transitions(_));
        self.first().filter(|_| acts)
    }

    /// The action that was to be sent is about an alert that fires no longer: nobody takes it.
    pub(crate) fn drop_action(&mut self, now: Now) -> Step {
        self.sending = Sending::Nothing;
        self.pop();
        self.advance();
        self.step(now)
    }

    fn note_turn(&mut self, turn: Option<Turn>) {
        let reason = self.circuit.reason().unwrap_or_default().to_owned();
        self.notices.extend(turn.map(|turn| match turn {
            Turn::GivenUp => Notice::Failing { reason },
            Turn::Works => Notice::Works,
        }));
    }

    /// When office hours begin, on the monotonic clock; `None` while they last.
    fn closed_until(&self, now: Now) -> Option<Duration> {
        let opens = self.terms.route.hours?.next_open(now.wall);
        (opens > now.wall).then(|| now.elapsed + between(now.wall, opens))
    }

    /// Tells of actions that come too late, whatever else holds them up; the next deadline.
    fn drop_stale_actions(&mut self, now: Now) -> Option<Duration> {
        while let (true, Some(alert)) = (self.terms.route.acts(), self.first()) {
            let deadline = alert.updated_at.saturating_add(span(self.terms.act_timeout));
            if now.wall < deadline {
                return Some(now.elapsed + between(now.wall, deadline));
            }
            let reason = match (self.acting, self.circuit.reason()) {
                (Acting::Paused, _) => "acting is paused".to_owned(),
                (_, Some(reason)) => reason.to_owned(),
                (_, None) => "it came too late to be sent".to_owned(),
            };
            self.notices.push_back(Notice::NotActed { alert: alert.id.clone(), reason });
            self.pop();
            self.advance();
        }
        None
    }

    /// The first of some items, with those that may share its message.
    fn gathered(&self, items: impl Iterator<Item = Item>) -> Vec<Item> {
        let mut together: Vec<Item> = Vec::new();
        for item in items {
            let alert = &item.alert;
            let shares = together.first().is_none_or(|first| {
                self.terms.together == Together::ChangeAndRing
                    && (&first.alert.change, &first.alert.ring) == (&alert.change, &alert.ring)
                    && together.len() < ALERTS_MAX
                    && together.iter().all(|other| other.alert.id != alert.id)
            });
            if !shares {
                break;
            }
            together.push(item);
        }
        together
    }

    /// What to do after what was sent came to `outcome`; `random` is uniform over all of `u64`.
    pub(crate) fn decide(&mut self, outcome: &Outcome, now: Now, random: u64) -> Step {
        let turn = match outcome {
            Outcome::Busy { reason, retry_after } => {
                self.sending = Sending::Nothing;
                self.circuit.failed(reason, *retry_after, now, random)
            }
            Outcome::Refused { reason } if !self.terms.route.acts() => self.circuit.refused(reason),
            // That an action was refused is told for each.
            Outcome::Refused { .. } | Outcome::Accepted => self.circuit.worked(),
        };
        self.note_turn(turn);
        match std::mem::take(&mut self.sending) {
            Sending::Transitions(count) => {
                for _ in 0..count {
                    self.finish_transition(outcome, now);
                    // What was muted in between, before what was told after it.
                    self.advance();
                }
            }
            Sending::Repeat(items) => {
                if let Some(book) = &mut self.terms.book {
                    book.told(&items, now);
                }
            }
            Sending::Again => {
                if let Some(alert) = self.again.pop_front() {
                    self.refused.retain(|refused| refused.alert != alert.id);
                    self.note_refused(&alert, outcome);
                }
            }
            Sending::Heartbeat => {
                if let Some(heartbeat) = &mut self.terms.heartbeat {
                    heartbeat.sent(now.elapsed);
                }
            }
            Sending::Nothing => {}
        }
        self.step(now)
    }

    /// Something of ours did not work: nothing is sent for a while.
    pub(crate) fn postpone(&mut self, now: Now, random: u64) {
        self.circuit.rest(now, random);
    }

    fn finish_transition(&mut self, outcome: &Outcome, now: Now) {
        let Some(alert) = self.pop() else { return };
        self.note_refused(&alert, outcome);
        if self.terms.route.acts() {
            let id = alert.id.clone();
            self.notices.push_back(match outcome {
                Outcome::Refused { reason } => {
                    Notice::NotActed { alert: id, reason: reason.clone() }
                }
                _ => Notice::Acted { alert: id },
            });
        }
        if let Some(book) = &mut self.terms.book {
            self.forgotten += u64::from(book.note(alert, now) == Noted::Full);
        }
    }

    fn note_refused(&mut self, alert: &Alert, outcome: &Outcome) {
        let Outcome::Refused { reason } = outcome else { return };
        if self.terms.route.acts() {
            // People were told; nobody asks for it again once it is stale.
            return;
        }
        if self.refused.len() >= REFUSED_MAX {
            self.refused.pop_front();
        }
        let (id, transition) = (alert.id.clone(), alert.transition);
        self.refused.push_back(Refused { alert: id, transition, reason: reason.clone() });
    }

    fn first(&self) -> Option<&Arc<Alert>> {
        self.pending.iter().find_map(|waiting| waiting.alerts.front())
    }

    fn pop(&mut self) -> Option<Arc<Alert>> {
        let alert = self.pending.iter_mut().find_map(|waiting| waiting.alerts.pop_front())?;
        self.delivered_since_saved += 1;
        Some(alert)
    }

    fn advance(&mut self) {
        while self.pending.front().is_some_and(|waiting| waiting.alerts.is_empty()) {
            if let Some(Waiting { sequence, muted, .. }) = self.pending.pop_front() {
                self.next = sequence + 1;
                for id in &muted {
                    self.mute(id);
                }
            }
        }
    }

    /// Whether no back-off is running.
    pub(crate) fn may_act(&self, now: Now) -> bool {
        now.elapsed >= self.circuit.not_before()
    }

    /// Whether every accepted commit has been handled to its end.
    pub(crate) fn is_done(&self) -> bool {
        self.pending.is_empty() && self.again.is_empty()
    }

    /// The first sequence that has not been accepted.
    pub(crate) const fn expected(&self) -> u64 {
        self.expected
    }

    /// The next notice to be given: it stays until [`State::gave_notice`].
    pub(crate) fn notice(&self) -> Option<&Notice> {
        self.notices.front()
    }

    pub(crate) fn gave_notice(&mut self) {
        self.notices.pop_front();
    }

    /// How it stands, for those who look from outside.
    pub(crate) fn standing(&self) -> Standing {
        Standing {
            failing: self.circuit.reason().filter(|_| self.circuit.is_open()).map(str::to_owned),
            given_up: self.circuit.given_up(),
            refused: self.refused.iter().cloned().collect(),
        }
    }

    /// The first commit of which something may still have to be told.
    pub(crate) const fn next(&self) -> u64 {
        self.next
    }

    /// The cursor if it is worth keeping: after each commit with alerts, else now and then.
    pub(crate) fn cursor_to_save(&mut self, elapsed: Duration) -> Option<u64> {
        let worth = self.delivered_since_saved > 0 || elapsed >= self.saved_at + CURSOR_IDLE;
        if worth { self.last_cursor(elapsed) } else { None }
    }

    /// The cursor if it has grown at all: at the end. Never past a notice that was not given.
    pub(crate) fn last_cursor(&mut self, elapsed: Duration) -> Option<u64> {
        if self.next == self.saved || !self.notices.is_empty() {
            return None;
        }
        (self.saved, self.saved_at, self.delivered_since_saved) = (self.next, elapsed, 0);
        Some(self.next)
    }

    /// Alerts that the full book did not take since the last call.
    pub(crate) fn take_forgotten(&mut self) -> u64 {
        std::mem::take(&mut self.forgotten)
    }
}

fn item(alert: &Arc<Alert>) -> Item {
    Item::new(Arc::clone(alert))
}

fn earlier(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    [one, other].into_iter().flatten().min()
}

fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::from_micros(u64::try_from((to - from).0).unwrap_or_default())
}

/// The same in the units of [`Timestamp`].
pub(super) fn span(duration: Duration) -> schemas::Span {
    schemas::Span(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
