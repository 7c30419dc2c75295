//! The clock of the demo: the story's own time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use schemas::Timestamp;

use crate::clock::Clock;

/// Story seconds in a second: 60 hours in 40 s.
const SPEED: u32 = 5_400;

/// Wall clock: the arrival of the newest record sent. Monotonic: real time, sped up, so that
/// intervals end also while the fleet waits.
#[derive(Clone, Debug)]
pub(super) struct StoryClock {
    began: Instant,
    told_until: Arc<AtomicI64>,
}

impl StoryClock {
    /// A clock that stands at the start of the story.
    pub(super) fn new(start: Timestamp) -> Self {
        Self { began: Instant::now(), told_until: Arc::new(AtomicI64::new(start.0)) }
    }

    /// The story has been told up to here.
    pub(super) fn tell(&self, until: Timestamp) {
        self.told_until.fetch_max(until.0, Ordering::Release);
    }
}

impl Clock for StoryClock {
    fn wall(&self) -> Option<Timestamp> {
        Some(Timestamp(self.told_until.load(Ordering::Acquire)))
    }

    fn monotonic(&self) -> Duration {
        self.began.elapsed() * SPEED
    }
}
