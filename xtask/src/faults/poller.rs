//! A reader who knows nothing of us: sums over the plain glob, ten times a second, throughout.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::fixture::{Running, python, spawn};
use crate::repository;

/// It ends after the query it is in.
const STOP_TIMEOUT: Duration = Duration::from_mins(1);

/// The reader under way.
#[derive(Debug)]
pub struct Poller(Running);

/// What it saw.
#[derive(Debug)]
pub struct Seen {
    pub polls: u64,
    /// The last sums by dataset and column; they never decreased, so they are the largest.
    pub sums: Value,
}

impl Poller {
    /// Starts it over a data folder, which need not exist yet.
    #[track_caller]
    pub fn start(data: &Path) -> Self {
        let script = repository().join("tests/oracle/poll.py");
        Self(spawn(Command::new(python()).arg(script).arg(data)))
    }

    /// Stops it; panics if it ever met a file it could not read, or a sum below an earlier one.
    #[track_caller]
    pub fn finish(self) -> Seen {
        let said = self.0.terminate(STOP_TIMEOUT).with_code(0).json();
        Seen { polls: said["polls"].as_u64().unwrap_or(0), sums: said["sums"].clone() }
    }
}
