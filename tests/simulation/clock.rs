//! Time that passes only when the run says so; each process has a wall clock of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use ringwatch::clock::Clock;
use schemas::{Span, Timestamp};

use super::world::START;

/// The one time of a run.
#[derive(Clone, Debug, Default)]
pub(super) struct Time(Arc<AtomicU64>);

impl Time {
    pub(super) fn now(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }

    pub(super) fn pass(&self, time: Duration) {
        self.0.fetch_add(time.as_micros() as u64, Ordering::Relaxed);
    }

    /// What a right clock would show.
    pub(super) fn wall(&self) -> Timestamp {
        START.saturating_add(Span(self.now().as_micros() as i64))
    }
}

/// The clocks of one process: its wall clock can be wrong, and be stepped.
#[derive(Clone, Debug, Default)]
pub(super) struct ProcessClock {
    pub(super) time: Time,
    /// How far the wall clock is off, in microseconds.
    pub(super) off_us: Arc<AtomicI64>,
}

impl Clock for ProcessClock {
    fn wall(&self) -> Option<Timestamp> {
        Some(self.time.wall().saturating_add(Span(self.off_us.load(Ordering::Relaxed))))
    }

    fn monotonic(&self) -> Duration {
        self.time.now()
    }

    fn sleep(&self, time: Duration) {
        self.time.pass(time);
    }
}
