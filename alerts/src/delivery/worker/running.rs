//! What the publisher holds of a loop: where it hands in commits, and how it ends it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use super::super::{Committed, metrics};

/// 5.5 s: a loop takes 5 s for itself, and notices a tenth late that it is to end.
const ENDS_WITHIN: Duration = Duration::from_millis(5_500);

/// Where the publisher hands in its commits; never blocks.
#[derive(Clone, Debug)]
pub struct Feed {
    pub(super) queue: SyncSender<Committed>,
    pub(super) shared: Arc<Shared>,
}

/// What the publisher's side and the loop's side both see.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) destination: String,
    /// Alerts in the queue.
    pub(super) queued: AtomicUsize,
    pub(super) queued_max: usize,
    /// A commit was left out: it is to be read from the chain.
    pub(super) behind: AtomicBool,
    /// An operator wants the destination tried at once.
    pub(super) hurry: AtomicBool,
    pub(super) stop: AtomicBool,
}

impl Shared {
    pub(super) fn count(&self, change: impl FnOnce(&AtomicUsize) -> usize) {
        change(&self.queued);
        metrics::queued(&self.destination).set(self.queued.load(Ordering::Acquire) as f64);
    }
}

impl Feed {
    /// Offers a commit that *is in the chain*, also one without alerts: the cursor follows it.
    pub fn offer(&self, commit: Committed) {
        let alerts = commit.alerts.len();
        if commit.retries.contains(&self.shared.destination) {
            self.shared.hurry.store(true, Ordering::Release);
        }
        let queued = self.shared.queued.load(Ordering::Acquire);
        // A commit above the bound goes in alone: it is in memory anyway.
        let fits = queued == 0 || queued + alerts <= self.shared.queued_max;
        self.shared.count(|queued| queued.fetch_add(alerts, Ordering::AcqRel));
        if !fits || self.queue.try_send(commit).is_err() {
            self.shared.count(|queued| queued.fetch_sub(alerts, Ordering::AcqRel));
            self.shared.behind.store(true, Ordering::Release);
            metrics::catch_ups(&self.shared.destination).increment(1);
        }
    }
}

/// A loop that runs in its own thread.
#[derive(Debug)]
pub struct Running {
    pub feed: Feed,
    pub(super) done: Receiver<()>,
}

/// How a loop came to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stopped {
    Finished,
    /// It hangs in a request; its cursor stands before it, so the next start sends it again.
    Abandoned,
}

impl Running {
    /// The name of its destination.
    pub fn destination(&self) -> &str {
        &self.feed.shared.destination
    }

    /// Asks loops to bring out what they hold and to end, and waits for all of them together.
    pub fn stop(loops: Vec<Self>) -> Stopped {
        for running in &loops {
            running.feed.shared.stop.store(true, Ordering::Release);
        }
        let (asked, mut stopped) = (Instant::now(), Stopped::Finished);
        for running in loops {
            let left = ENDS_WITHIN.saturating_sub(asked.elapsed());
            if running.done.recv_timeout(left) == Err(RecvTimeoutError::Timeout) {
                let destination = &running.feed.shared.destination;
                tracing::warn!(destination, "no answer; what it lacks is sent at the next start");
                stopped = Stopped::Abandoned;
            }
        }
        stopped
    }
}
