//! The loop of one destination, in a thread of its own: takes commits in, sends, waits.
//!
//! In: [`Feed::offer`] and [`CatchUp`]. Out: requests through an [`HttpClient`], and the cursor.
//! What is sent when is decided in `state.rs`; here is only what touches the world.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;
use std::{fmt, io, thread};

use schemas::{Alert, AlertState};

use super::destination::Memory;
use super::heartbeat::Heartbeat;
use super::repeat::{Book, Item, Listener};
use super::retry::{Backoff, Outcome};
use super::route::Route;
use super::state::{Acting, Notice, Standing, State, Step, Terms};
use super::{CatchUp, Committed, Destination, HttpClient, Now, OpenAlert, metrics};

mod running;

use running::Shared;
pub use running::{Feed, Running, Stopped};

type ReadError = Box<dyn std::error::Error + Send + Sync>;

/// 100 ms: how late a stop is noticed; ten wake-ups a second cost nothing that could be measured.
const WAKE_EVERY: Duration = Duration::from_millis(100);

/// 5 s: what the data folder did not take is offered again.
const NOTIFY_EVERY: Duration = Duration::from_secs(5);

/// 5 s: time to bring out what is queued, before a service manager becomes impatient.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// Everything that a loop needs from outside.
pub struct Wiring {
    pub destination: Destination,
    pub http: Box<dyn HttpClient>,
    pub catch_up: Box<dyn CatchUp>,
    /// The first sequence of the chain that was not handled to its end, as last saved.
    pub cursor: u64,
    /// What stood open when the loop was made; the chain is read from the cursor only.
    pub open: Vec<OpenAlert>,
    /// Called with each later cursor worth keeping; it only grows.
    pub save_cursor: Box<dyn FnMut(u64) + Send>,
    /// How the destination stood when that was last saved, and where it is saved: before the
    /// cursor, as often as it changes.
    pub standing: Standing,
    pub save_standing: Box<dyn FnMut(&Standing) -> Taken + Send>,
    /// Hands in what others must know; both are offered again until they are taken.
    pub notify: Box<dyn FnMut(&Notice) -> Taken + Send>,
    /// Whether a destination that acts may do so now.
    pub acting: Box<dyn Fn() -> Acting + Send>,
    /// Whether a request may begin now: not once another process may have taken over.
    pub may_send: Box<dyn Fn() -> bool + Send>,
    pub clock: Box<dyn Fn() -> Now + Send>,
    /// Uniform over all of `u64`.
    pub random: Box<dyn FnMut() -> u64 + Send>,
    pub backoff: Backoff,
    /// Alerts that may wait in memory; the rest waits in the chain.
    pub queued_max: usize,
}

impl fmt::Debug for Wiring {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Wiring({} from {})", self.destination.name(), self.cursor)
    }
}

/// Whether what was handed in is durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taken {
    Yes,
    No,
}

/// Brings the commits of the chain to one destination.
pub struct DestinationLoop {
    wiring: Wiring,
    state: State,
    queue: Receiver<Committed>,
    shared: Arc<Shared>,
    /// Whether the chain holds commits that did not come by the queue.
    catching_up: bool,
    /// How far the chain has been looked through for news of what stood open at the start.
    opened_until: u64,
    /// How it stood when that was last saved.
    standing: Standing,
    notify_from: Duration,
    /// The end of the time that a stop leaves.
    stop_at: Option<Duration>,
}

impl fmt::Debug for DestinationLoop {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "DestinationLoop({})", self.shared.destination)
    }
}

impl DestinationLoop {
    pub fn new(mut wiring: Wiring) -> (Self, Feed) {
        let (sender, queue) = mpsc::sync_channel(wiring.queued_max);
        let shared = Arc::new(Shared {
            destination: wiring.destination.name().to_owned(),
            queued: AtomicUsize::new(0),
            queued_max: wiring.queued_max,
            behind: AtomicBool::new(false),
            hurry: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        });
        let standing = wiring.standing.clone();
        let (terms, cursor) = (terms(&wiring), wiring.cursor);
        if terms.book.is_none() {
            wiring.open.clear();
        }
        let state = State::new(&shared.destination, terms, cursor, standing.clone());
        let feed = Feed { queue: sender, shared: Arc::clone(&shared) };
        let this = Self {
            wiring,
            state,
            queue,
            shared,
            catching_up: true,
            opened_until: cursor,
            standing,
            notify_from: Duration::ZERO,
            stop_at: None,
        };
        (this, feed)
    }

    /// Runs the loop in a thread named after the destination.
    pub fn spawn(wiring: Wiring) -> io::Result<Running> {
        let (this, feed) = Self::new(wiring);
        let (ended, done) = mpsc::sync_channel(1);
        let name = format!("deliver-{}", this.shared.destination);
        thread::Builder::new().name(name).spawn(move || {
            this.run();
            drop(ended);
        })?;
        Ok(Running { feed, done })
    }

    /// Runs until it is asked to stop, or until every [`Feed`] is gone and all is delivered.
    pub fn run(mut self) {
        let mut step = self.refreshed();
        while let Some(next) = self.advance(step) {
            step = next;
            let elapsed = self.now().elapsed;
            if self.tell(elapsed) == Taken::Yes
                && let Some(cursor) = self.state.cursor_to_save(elapsed)
            {
                (self.wiring.save_cursor)(cursor);
            }
        }
        let elapsed = self.now().elapsed;
        self.notify_from = elapsed;
        if self.tell(elapsed) == Taken::Yes
            && let Some(cursor) = self.state.last_cursor(elapsed)
        {
            (self.wiring.save_cursor)(cursor);
        }
    }

    /// Hands in notices, and saves how the destination stands; the cursor comes after both: what
    /// was refused stands nowhere else once the cursor is past it.
    fn tell(&mut self, elapsed: Duration) -> Taken {
        while elapsed >= self.notify_from
            && let Some(notice) = self.state.notice()
        {
            match (self.wiring.notify)(notice) {
                Taken::Yes => self.state.gave_notice(),
                Taken::No => self.notify_from = elapsed + NOTIFY_EVERY,
            }
        }
        let standing = self.state.standing();
        metrics::failing(&self.shared.destination).set(f64::from(standing.failing.is_some()));
        if standing == self.standing {
            return Taken::Yes;
        }
        if elapsed < self.notify_from {
            return Taken::No;
        }
        let taken = (self.wiring.save_standing)(&standing);
        match taken {
            Taken::Yes => self.standing = standing,
            Taken::No => self.notify_from = elapsed + NOTIFY_EVERY,
        }
        taken
    }

    fn advance(&mut self, step: Step) -> Option<Step> {
        let now = self.now();
        if self.stop_at.is_none() && self.shared.stop.load(Ordering::Acquire) {
            self.stop_at = Some(now.elapsed + STOP_WITHIN);
        }
        if self.stop_at.is_some_and(|at| now.elapsed >= at) {
            return None;
        }
        match step {
            Step::Send(_) if (self.wiring.may_send)() && self.is_over() => {
                Some(self.state.drop_action(now))
            }
            Step::Send(items) if (self.wiring.may_send)() => Some(self.send(&items, now)),
            // Its cursor stands before them: whoever publishes next sends them.
            Step::Send(_) if self.stop_at.is_some() => None,
            // Much may have changed when the lease is back.
            Step::Send(_) => {
                thread::sleep(WAKE_EVERY);
                Some(self.refreshed())
            }
            Step::Wait(until) => {
                if let Some(end) = self.stop_at {
                    if self.has_more(now) {
                        return Some(self.refreshed());
                    }
                    if self.nothing_left() || until.is_none_or(|until| until >= end) {
                        return None;
                    }
                }
                self.wait(until, now);
                Some(self.refreshed())
            }
        }
    }

    /// Whether the next message asks for an action on what has since ended or been taken care of.
    fn is_over(&self) -> bool {
        let Some(alert) = self.state.action() else { return false };
        match self.last_since_the_cursor(&alert.id) {
            Ok(last) => last.is_some_and(|last| {
                last.transition > alert.transition && last.state != AlertState::Firing
            }),
            Err(error) => {
                let destination = &self.shared.destination;
                tracing::warn!(destination, error = &*error, "cannot read how an alert stands");
                false
            }
        }
    }

    /// The last transition of an alert from the cursor on, which stands before whatever waits.
    fn last_since_the_cursor(&self, id: &str) -> Result<Option<Arc<Alert>>, ReadError> {
        let mut last = None;
        self.told_from(self.state.next(), |alert| {
            if alert.id == id {
                last = Some(alert);
            }
        })?;
        Ok(last)
    }

    /// Hands out what the chain tells from a commit on.
    fn told_from(&self, mut next: u64, mut told: impl FnMut(Arc<Alert>)) -> Result<(), ReadError> {
        loop {
            let commits = self.wiring.catch_up.since(next)?;
            let Some(end) = commits.last() else { return Ok(()) };
            next = end.sequence + 1;
            commits.into_iter().flat_map(|commit| commit.alerts).for_each(&mut told);
        }
    }

    fn send(&mut self, items: &[Item], now: Now) -> Step {
        let destination = &self.wiring.destination;
        let rest = self.stop_at.map_or(Duration::MAX, |at| at.saturating_sub(now.elapsed));
        let at_most = destination.config().request_timeout.min(rest);
        let outcome = destination.send(&*self.wiring.http, items, now.wall, at_most);
        let after = (self.wiring.clock)();
        metrics::delivery(
            destination.name(),
            outcome.label(),
            after.elapsed.saturating_sub(now.elapsed),
        );
        log(destination.name(), items, &outcome);
        self.state.set_acting((self.wiring.acting)());
        let step = self.state.decide(&outcome, after, (self.wiring.random)());
        let forgotten = self.state.take_forgotten();
        if forgotten > 0 {
            metrics::repeats_refused(self.wiring.destination.name(), forgotten);
        }
        step
    }

    /// Takes in what there is to take in, and asks what to do.
    fn refreshed(&mut self) -> Step {
        let now = self.now();
        self.state.set_acting((self.wiring.acting)());
        if self.state.may_act(now)
            && let Err(error) = self.take_up_open(now)
        {
            self.postpone(&error, now);
        }
        if self.state.may_act(now) {
            self.catch_up(now);
        }
        while !self.catching_up && self.state.is_done() {
            let Ok(commit) = self.queue.try_recv() else { break };
            self.take(commit, now);
            self.catch_up(now);
        }
        self.look_for_retries(now);
        self.state.step(now)
    }

    /// An operator asks at any time, also while commits wait.
    fn look_for_retries(&mut self, now: Now) {
        if self.shared.hurry.swap(false, Ordering::AcqRel) {
            self.state.hurry(now);
        }
        let Some(ids) = self.state.take_retry() else { return };
        match self.to_resend(&ids) {
            Ok(alerts) => self.state.resend(alerts),
            Err(error) => {
                let destination = &self.shared.destination;
                tracing::warn!(destination, error = &*error, "cannot read what is to be retried");
            }
        }
    }

    /// How these alerts stand, but for those of which the chain holds more that was not accepted.
    fn to_resend(&self, ids: &[String]) -> Result<Vec<Arc<Alert>>, ReadError> {
        // This first: what enters the chain in between is told after it.
        let mut last = self.wiring.catch_up.last(ids)?;
        self.told_from(self.state.expected(), |later| {
            if self.state.takes(&later) {
                last.retain(|alert| alert.id != later.id);
            }
        })?;
        Ok(last)
    }

    /// Reads the chain to its end, as far as nothing waits to be sent.
    fn catch_up(&mut self, now: Now) {
        self.catching_up |= self.shared.behind.swap(false, Ordering::AcqRel);
        while self.catching_up && self.state.is_done() {
            if let Err(error) = self.read_chain(now) {
                self.postpone(&error, now);
                break;
            }
            if self.shared.stop.load(Ordering::Acquire) {
                break;
            }
        }
    }

    fn postpone(&mut self, error: &ReadError, now: Now) {
        let destination = &self.shared.destination;
        tracing::warn!(destination, error = &**error, "the chain cannot be read");
        let random = (self.wiring.random)();
        self.state.postpone(now, random);
    }

    fn read_chain(&mut self, now: Now) -> Result<(), ReadError> {
        let expected = self.state.expected();
        for commit in self.wiring.catch_up.since(expected)? {
            self.state.accept(commit, now);
        }
        self.catching_up = self.state.expected() != expected;
        Ok(())
    }

    /// Takes up what stood open at the start, once; but for that of which the chain has more to
    /// tell from the cursor on, which comes in its turn. A part of the chain at a time.
    fn take_up_open(&mut self, now: Now) -> Result<(), ReadError> {
        if self.wiring.open.is_empty() {
            return Ok(());
        }
        let commits = self.wiring.catch_up.since(self.opened_until)?;
        if let Some(last) = commits.last() {
            self.opened_until = last.sequence + 1;
            let news = commits.iter().flat_map(|commit| &commit.alerts);
            let news: HashSet<&str> =
                news.filter(|alert| self.state.takes(alert)).map(|alert| &*alert.id).collect();
            self.wiring.open.retain(|open| !news.contains(&*open.alert.id));
            let muted: HashSet<&String> = commits.iter().flat_map(|commit| &commit.muted).collect();
            for open in &mut self.wiring.open {
                open.muted |= muted.contains(&open.alert.id);
            }
            return Ok(());
        }
        for OpenAlert { alert, muted } in std::mem::take(&mut self.wiring.open) {
            let id = alert.id.clone();
            self.state.seed(alert, now);
            if muted {
                self.state.mute(&id);
            }
        }
        Ok(())
    }

    /// Takes a commit from the queue, or, where one before it is missing, leaves it to the chain.
    fn take(&mut self, commit: Committed, now: Now) {
        self.shared.count(|queued| queued.fetch_sub(commit.alerts.len(), Ordering::AcqRel));
        if commit.sequence > self.state.expected() {
            self.catching_up = true;
        } else {
            self.state.accept(commit, now);
        }
    }

    fn wait(&mut self, until: Option<Duration>, now: Now) {
        let longest = until.map_or(WAKE_EVERY, |until| until.saturating_sub(now.elapsed));
        let slice = longest.min(WAKE_EVERY);
        if !self.state.is_done() || self.catching_up {
            return thread::sleep(slice);
        }
        match self.queue.recv_timeout(slice) {
            Ok(commit) => self.take(commit, now),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => self.shared.stop.store(true, Ordering::Release),
        }
    }

    /// Whether what was not looked at yet may be sent at once.
    fn has_more(&self, now: Now) -> bool {
        self.state.is_done() && self.state.may_act(now) && !self.nothing_left()
    }

    fn nothing_left(&self) -> bool {
        self.state.is_done()
            && self.wiring.open.is_empty()
            && !self.catching_up
            && !self.shared.behind.load(Ordering::Acquire)
            && self.shared.queued.load(Ordering::Acquire) == 0
    }

    fn now(&self) -> Now {
        (self.wiring.clock)()
    }
}

fn terms(wiring: &Wiring) -> Terms {
    let (destination, config) = (&wiring.destination, wiring.destination.config());
    let listener = match (destination.memory(), config.repeat_interval) {
        (Memory::Forgets, _) => Some(Listener::Forgetful),
        (Memory::Keeps, every) => every.map(|every| Listener::People { every }),
    };
    Terms {
        route: Route::new(config),
        book: listener.map(Book::new),
        together: destination.together(),
        backoff: wiring.backoff,
        heartbeat: config.heartbeat_interval.map(Heartbeat::new),
        act_timeout: config.act_timeout,
    }
}

fn log(destination: &str, items: &[Item], outcome: &Outcome) {
    let (alerts, id, transition) = (items.len(), &items[0].alert.id, items[0].alert.transition);
    match outcome {
        Outcome::Accepted => tracing::debug!(destination, alerts, id, transition, "delivered"),
        Outcome::Busy { reason, retry_after } => {
            tracing::warn!(
                destination,
                alerts,
                id,
                transition,
                reason,
                ?retry_after,
                "not yet delivered"
            );
        }
        Outcome::Refused { reason } => {
            tracing::error!(destination, alerts, id, transition, reason, "refused for good");
        }
    }
}

#[cfg(test)]
mod tests;
