//! For the fault suites: a group of real processes on a real broker, and what happens to them.
//!
//! ```text
//! Settings ─► Member (one process: start, kill, freeze, what it owns, what it costs)
//!                └─ Cluster (broker, data folder, members) ─► end: verify, compare with the truth
//! Disk (small, full, read-only) · Strace (EIO, kill at a call) · Webhook · Poller (a reader)
//! ```
//! `tests/faults` tells the stories. A fixture that cannot do its part panics.

pub mod cluster;
pub mod disk;
pub mod member;
pub mod poller;
pub mod settings;
pub mod strace;
pub mod usage;
pub mod webhook;

use std::thread::sleep;
use std::time::{Duration, Instant};

/// Between two looks at what is waited for.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Waits until `condition` holds, and how long that took; panics when the time is over.
#[track_caller]
pub fn wait_until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) -> Duration {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < limit, "not within {limit:?}: {what}");
        sleep(POLL_INTERVAL);
    }
    started.elapsed()
}
