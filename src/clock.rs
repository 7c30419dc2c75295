//! The only place that asks for the time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use schemas::Timestamp;

/// Where the time comes from.
pub trait Clock: Send + Sync {
    /// Wall clock, UTC; `None` where there is none (`replay`: arrival stands in the records).
    fn wall(&self) -> Option<Timestamp>;
    /// Time since some fixed moment; never goes back.
    fn monotonic(&self) -> Duration;
    /// Lets that much time pass.
    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn wall(&self) -> Option<Timestamp> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Some(Timestamp(since.as_micros() as i64))
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

/// No clock at all: for `replay`, where the records alone decide everything.
#[derive(Clone, Copy, Debug)]
pub struct NoClock;

impl Clock for NoClock {
    fn wall(&self) -> Option<Timestamp> {
        None
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}
