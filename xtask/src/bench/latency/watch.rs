//! Watches the data folder from outside: when each journal entry and each table file appeared.
//!
//! ```text
//! system/journal/telemetry/<p>/<next> ─► Seen { records [start, end), at }
//! system/chain/<next>, then its files below tables/ ─► the same for what it merged
//! ```
//! An entry is linked into its place once its bytes are synced, a file once a commit names it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle, sleep};
use std::time::Duration;

use hdrhistogram::Histogram;
use schemas::commit::Commit;
use schemas::{StreamKind, Timestamp};

use super::wall;
use crate::Failure;
use crate::bench::PARTITIONS;

/// Short against what is measured, long against the look.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// Before its header an entry has the name of the layout and the header's length.
const MAGIC_BYTES: usize = 8;

/// Some records of a partition, and when they were there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub partition: i32,
    /// Offsets `[start, end)`.
    pub start: i64,
    pub end: i64,
    pub at: Timestamp,
}

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Watched {
    pub journal: Vec<Seen>,
    pub tables: Vec<Seen>,
}

/// A watcher under way.
#[derive(Debug)]
pub(super) struct Watch {
    asked_to_stop: Arc<AtomicBool>,
    thread: JoinHandle<Watched>,
}

impl Watch {
    pub(super) fn start(data: &Path) -> Self {
        let asked_to_stop = Arc::new(AtomicBool::new(false));
        let (asked, data) = (Arc::clone(&asked_to_stop), data.to_owned());
        let thread = thread::spawn(move || {
            let mut watcher = Watcher { data, ..Watcher::default() };
            while !asked.load(Ordering::Relaxed) {
                watcher.look();
                sleep(LOOK_INTERVAL);
            }
            watcher.watched
        });
        Self { asked_to_stop, thread }
    }

    pub(super) fn stop(self) -> Result<Watched, Failure> {
        self.asked_to_stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| Failure::Unmet("the watcher panicked".to_owned()))
    }
}

#[derive(Debug, Default)]
struct Watcher {
    data: PathBuf,
    next_entry: BTreeMap<i32, u64>,
    next_commit: u64,
    /// Merged, but not yet in a file.
    pending: Vec<Seen>,
    /// Files of a commit that was seen.
    awaited: Vec<PathBuf>,
    watched: Watched,
}

impl Watcher {
    fn look(&mut self) {
        for partition in 0..PARTITIONS {
            let next = self.next_entry.entry(partition).or_default();
            let path = format!("system/journal/telemetry/{partition}/{next:020}");
            let at = wall();
            if let Some((start, end)) =
                fs::read(self.data.join(path)).ok().and_then(|bytes| offsets(&bytes))
            {
                self.watched.journal.push(Seen { partition, start, end, at });
                *next += 1;
            }
        }
        if self.awaited.is_empty() {
            self.follow();
        }
        self.look_for_files();
    }

    /// Takes up the next commit, if it is there.
    fn follow(&mut self) {
        let path = self.data.join(format!("system/chain/{:020}", self.next_commit));
        let Some(commit) = fs::read(path).ok().and_then(|bytes| commit(&bytes)) else { return };
        self.next_commit += 1;
        for range in commit.merged {
            if range.stream.kind == StreamKind::Telemetry {
                let (partition, start, end) = (range.stream.partition, range.start, range.end);
                self.pending.push(Seen { partition, start, end, at: Timestamp(0) });
            }
        }
        self.awaited = commit.files.iter().map(|file| self.data.join(&file.path)).collect();
    }

    /// Once all files of a commit are there, so is all that was merged up to it.
    fn look_for_files(&mut self) {
        let at = wall();
        if !self.awaited.is_empty() && self.awaited.iter().all(|file| file.is_file()) {
            self.awaited.clear();
            let visible = self.pending.drain(..).map(|seen| Seen { at, ..seen });
            self.watched.tables.extend(visible);
        }
    }
}

/// `[start, end)` of an entry, from its header.
fn offsets(bytes: &[u8]) -> Option<(i64, i64)> {
    let length = bytes.get(MAGIC_BYTES..)?.first_chunk()?;
    let start = MAGIC_BYTES + length.len();
    let json = bytes.get(start..start + u32::from_le_bytes(*length) as usize)?;
    let stored: serde_json::Value = serde_json::from_slice(json).ok()?;
    let header = &stored["header"];
    Some((header["start"].as_i64()?, header["end"].as_i64()?))
}

/// A commit is a line of JSON, then its checksum.
fn commit(bytes: &[u8]) -> Option<Commit> {
    serde_json::from_slice(bytes.split(|byte| *byte == b'\n').next()?).ok()
}

/// Milliseconds from the instants of the schedule to when records were seen, each record once.
pub(super) fn latencies(
    seen: &[Seen],
    instants: &[Vec<(i64, Timestamp)>],
) -> Result<Histogram<u64>, Failure> {
    let refused = || Failure::Unmet("a latency is beyond what a histogram holds".to_owned());
    let mut histogram = Histogram::new(3).map_err(|_| refused())?;
    for &Seen { partition, start, end, at } in seen {
        let instants = instants.get(partition as usize).map_or(&[][..], Vec::as_slice);
        let mut from = start;
        let first = instants.partition_point(|(until, _)| *until <= start);
        for &(until, instant) in &instants[first..] {
            if from >= end {
                break;
            }
            let count = (until.min(end) - from).max(0) as u64;
            let late_ms = ((at - instant).0 / 1_000).max(0) as u64;
            // None at all would still count for the largest value.
            if count > 0 {
                histogram.record_n(late_ms, count).map_err(|_| refused())?;
            }
            from = until.max(from);
        }
    }
    Ok(histogram)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_late_against_the_instant_they_belong_to() {
        let instants =
            vec![vec![(10, Timestamp(0)), (10, Timestamp(10_000)), (30, Timestamp(20_000))]];
        let seen = |start, end, at| Seen { partition: 0, start, end, at: Timestamp(at) };
        let all = [seen(0, 15, 50_000), seen(15, 30, 120_000)];
        let histogram = latencies(&all, &instants).unwrap();
        assert_eq!(histogram.len(), 30);
        let at = |value| histogram.count_at(value);
        assert_eq!((at(50), at(30), at(100)), (10, 5, 15));
    }

    #[test]
    fn the_offsets_of_an_entry_stand_in_its_header() {
        let json = br#"{"header":{"start":3,"end":9},"delta_checksum":""}"#;
        let mut bytes = b"RINGWJ01".to_vec();
        bytes.extend((json.len() as u32).to_le_bytes());
        bytes.extend(json);
        assert_eq!(offsets(&bytes), Some((3, 9)));
        assert_eq!(offsets(&bytes[..20]), None);
    }
}
