//! The proof, from the files alone, that every record is in the tables exactly once (faults.md,
//! promise 1).
//!
//! ```text
//! chain ──► ranges merged, files named ─┬─► journal: dense, contiguous, sums agree (A5, A6)
//!                                       ├─► tables: each file whole, where it should be, and its
//!                                       │   sums those of the entries that its commit covers
//!                                       ├─► settled: the rows of the table files it covers
//!                                       └─► states: the newest named are as they were named
//! ```
//! A commit that names files covers the entries merged, and the alerts raised, since the commit
//! with files before it, its own included. What was merged after the last one of them is not yet
//! in the tables; that is a problem only where everything should be. Entries that were collected,
//! days that were dropped and gaps that somebody accepted are reported, and are no problem.

use std::collections::{BTreeMap, BTreeSet};

use schemas::commit::DroppedDay;
use schemas::{Counts, FileRecord, Stream, StreamKind};
use serde::Serialize;

mod chain;
mod journal;
mod rows;
mod settled;
mod states;
mod tables;

use crate::blobs::Blobs;
use crate::error::StoreError;
use crate::key;
use crate::world::{TopicNames, World};

/// Problems that a report lists. 1,000: one fault can break every later entry, and nobody reads
/// more.
const PROBLEMS_MAX: usize = 1_000;

/// How much has to be in the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// What commits with files cover: right at any instant.
    Committed,
    /// Everything journalled: right after an orderly end.
    Complete,
}

/// What has been checked so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// `commits`, `entries` or `files`.
    pub step: &'static str,
    pub done: u64,
    pub total: u64,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    pub partitions: Vec<PartitionReport>,
    /// By dataset.
    pub tables: BTreeMap<String, TableReport>,
    /// The same for files of finished days; their rows stand in the tables as well.
    pub settled: BTreeMap<String, TableReport>,
    /// Days that retention dropped: what their files held is proven by the chain alone.
    pub days_dropped: Vec<DroppedDay>,
    pub commits: u64,
    /// Journalled, but not yet in a table file.
    pub records_not_in_tables: u64,
    /// Files of the newest commit with files that are staged, but not yet shown to readers.
    pub files_unpublished: u64,
    /// Each in one clause; empty if all is as it should be.
    pub problems: Vec<String>,
    /// Problems beyond those listed.
    pub problems_omitted: u64,
}

/// One partition's journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartitionReport {
    pub topic: String,
    pub stream: StreamKind,
    pub partition: i32,
    /// Entries that are there, and those before them that were collected.
    pub entries: u64,
    pub entries_collected: u64,
    /// Offsets `[start, end)`.
    pub start: i64,
    pub end: i64,
    /// Records received, and what became of them.
    pub records: u64,
    pub applied: u64,
    pub duplicates: u64,
    pub rejected: u64,
    /// Offsets `[start, end)` that no entry covers, or that two do.
    pub gaps: Vec<(i64, i64)>,
    pub overlaps: Vec<(i64, i64)>,
    /// Offsets `[from, to)` that somebody accepted as lost, from entries that are still there.
    pub gaps_accepted: Vec<(i64, i64)>,
    /// Everything before this offset is in the tables; `None` while nothing is.
    pub covered_until_in_tables: Option<i64>,
    pub records_not_in_tables: u64,
    /// What the broker holds of it, if that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker: Option<BrokerReport>,
}

/// One partition at the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct BrokerReport {
    /// Offsets `[start, end)` of the log; what was before `start` is proven by the files alone.
    pub start: i64,
    pub end: i64,
    /// The first record there that no entry covers.
    pub uncovered: Option<i64>,
}

/// One dataset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TableReport {
    pub files: u64,
    pub rows: u64,
    pub bytes: u64,
}

impl PartitionReport {
    fn new(topic: &str, stream: Stream) -> Self {
        Self {
            topic: topic.to_owned(),
            stream: stream.kind,
            partition: stream.partition,
            entries: 0,
            entries_collected: 0,
            start: 0,
            end: 0,
            records: 0,
            applied: 0,
            duplicates: 0,
            rejected: 0,
            gaps: Vec::new(),
            overlaps: Vec::new(),
            gaps_accepted: Vec::new(),
            covered_until_in_tables: None,
            records_not_in_tables: 0,
            broker: None,
        }
    }

    const fn place(&self) -> Stream {
        Stream { kind: self.stream, partition: self.partition }
    }

    fn add(&mut self, counts: &Counts) {
        self.records += counts.received;
        self.applied += counts.applied;
        self.duplicates += counts.duplicates;
        self.rejected += counts.rejected;
    }
}

impl TableReport {
    fn add(&mut self, file: &FileRecord) {
        self.files += 1;
        self.rows += file.rows;
        self.bytes += file.bytes;
    }
}

impl VerifyReport {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    /// Adds something that is wrong.
    pub fn problem(&mut self, what: impl Into<String>) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(what.into());
        } else {
            self.problems_omitted += 1;
        }
    }
}

/// Checks a data folder that may still be growing.
pub fn verify(blobs: &dyn Blobs) -> Result<VerifyReport, StoreError> {
    verify_with(blobs, Extent::Committed, &mut |_| {})
}

/// Checks a data folder. An error means that it could not be read, not that it is wrong.
pub fn verify_with(
    blobs: &dyn Blobs,
    extent: Extent,
    progress: &mut dyn FnMut(Progress),
) -> Result<VerifyReport, StoreError> {
    let mut report = VerifyReport::default();
    let topics = topics(blobs, &mut report)?;
    let chain = chain::read(blobs, &mut report, progress)?;
    let entries = entries_by_stream(blobs, &mut report)?;
    let streams: BTreeSet<Stream> = entries.keys().chain(chain.ranges.keys()).copied().collect();
    let total = entries.values().map(Vec::len).sum::<usize>() as u64;
    let mut done = 0;
    for stream in streams {
        let keys = entries.get(&stream).map_or(&[][..], Vec::as_slice);
        let ranges = chain.ranges.get(&stream).map_or(&[][..], Vec::as_slice);
        let mut walk = journal::Walk::new(stream, topics.of(stream.kind), ranges);
        for key in keys {
            walk.entry(blobs, key, &mut report)?;
            done += 1;
            progress(Progress { step: "entries", done, total });
        }
        walk.finish(&mut report);
    }
    let days = tables::check(blobs, &chain, &topics, &mut report, progress)?;
    settled::check(blobs, &chain, &days, &mut report)?;
    tables::check_foreign(blobs, &chain, &mut report)?;
    states::check(blobs, &chain, &mut report)?;
    report.days_dropped = chain.drops.into_keys().collect();
    if extent == Extent::Complete {
        check_complete(&mut report);
    }
    Ok(report)
}

fn topics(blobs: &dyn Blobs, report: &mut VerifyReport) -> Result<TopicNames, StoreError> {
    match World::read(blobs) {
        Ok(Some(world)) => return Ok(world.topics),
        Ok(None) => report.problem(format!("`{}` is missing: no data folder", key::IDENTITY)),
        Err(damaged @ StoreError::Damaged { .. }) => report.problem(damaged.to_string()),
        Err(error) => return Err(error),
    }
    Ok(TopicNames::default())
}

fn entries_by_stream(
    blobs: &dyn Blobs,
    report: &mut VerifyReport,
) -> Result<BTreeMap<Stream, Vec<String>>, StoreError> {
    let mut entries: BTreeMap<Stream, Vec<String>> = BTreeMap::new();
    for key in blobs.list(key::JOURNAL)? {
        match key::parse_journal_entry(&key) {
            Some((stream, _)) => entries.entry(stream).or_default().push(key),
            None => report.problem(format!("`{key}` is no journal entry")),
        }
    }
    Ok(entries)
}

fn check_complete(report: &mut VerifyReport) {
    let (records, files) = (report.records_not_in_tables, report.files_unpublished);
    if records > 0 {
        report.problem(format!("{records} records are journalled, but not yet in the tables"));
    }
    if files > 0 {
        report.problem(format!("{files} files are committed, but not yet shown to readers"));
    }
}

/// Records of which something has to be seen in the tables: those of `changes` and `support` make
/// rows only where they are rejected.
const fn owed(kind: StreamKind, counts: &Counts) -> u64 {
    match kind {
        StreamKind::Telemetry => counts.received,
        StreamKind::Changes | StreamKind::Support => counts.rejected,
    }
}

#[cfg(test)]
mod tests;
