//! The chain as verify reads it: which entries and alerts each commit with files covers.

use std::collections::BTreeMap;

use schemas::commit::MergedRange;
use schemas::{Commit, FileRecord, Stream};

use super::{Progress, VerifyReport};
use crate::blobs::Blobs;
use crate::error::StoreError;
use crate::{chain, key};

/// What the chain says.
#[derive(Debug, Default)]
pub(super) struct ChainRead {
    /// Commits with files, in order.
    pub(super) cuts: Vec<Cut>,
    /// Every range merged, by partition, in order.
    pub(super) ranges: BTreeMap<Stream, Vec<Told>>,
    /// One more than the greatest sequence seen.
    pub(super) next_sequence: u64,
}

/// A commit with files, and what they cover.
#[derive(Debug, Default)]
pub(super) struct Cut {
    pub(super) sequence: u64,
    pub(super) merged: Vec<MergedRange>,
    pub(super) alert_count: u64,
    pub(super) files: Vec<FileRecord>,
}

/// A range merged, and the commit that says so.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) sequence: u64,
    pub(super) range: MergedRange,
    /// Whether a commit with files covers it.
    pub(super) in_tables: bool,
}

pub(super) fn read(
    blobs: &dyn Blobs,
    report: &mut VerifyReport,
    progress: &mut dyn FnMut(Progress),
) -> Result<ChainRead, StoreError> {
    let (mut read, mut open) = (ChainRead::default(), Cut::default());
    let keys = blobs.list(key::CHAIN)?;
    let total = keys.len() as u64;
    for (key, done) in keys.iter().zip(1..) {
        let Some(sequence) = key.rsplit('/').next().and_then(key::number) else {
            report.problem(format!("`{key}` is no commit"));
            continue;
        };
        for missing in read.next_sequence..sequence {
            report.problem(format!("`{}` is missing", key::commit(missing)));
        }
        read.next_sequence = sequence + 1;
        report.commits += 1;
        match chain::read(blobs, sequence) {
            Ok(commit) => read.take(commit, &mut open, report),
            Err(StoreError::Io { action, path, source }) => {
                return Err(StoreError::Io { action, path, source });
            }
            Err(damaged) => report.problem(damaged.to_string()),
        }
        progress(Progress { step: "commits", done, total });
    }
    Ok(read)
}

impl ChainRead {
    fn take(&mut self, commit: Commit, open: &mut Cut, report: &mut VerifyReport) {
        for range in commit.merged {
            self.take_range(commit.sequence, range.clone(), report);
            open.merged.push(range);
        }
        open.alert_count += commit.alerts.len() as u64;
        if commit.files.is_empty() {
            return;
        }
        for ranges in self.ranges.values_mut() {
            let uncovered = ranges.iter_mut().rev().take_while(|told| !told.in_tables);
            uncovered.for_each(|told| told.in_tables = true);
        }
        let cut = std::mem::take(open);
        self.cuts.push(Cut { sequence: commit.sequence, files: commit.files, ..cut });
    }

    fn take_range(&mut self, sequence: u64, range: MergedRange, report: &mut VerifyReport) {
        let MergedRange { stream, first, last, start, end, counts } = range;
        let told = self.ranges.entry(stream).or_default();
        let before = told.last().map(|told| &told.range);
        let (number, offset) = before.map_or((0, start), |before| (before.last + 1, before.end));
        if first != number || last < first || start != offset || end < start {
            report.problem(format!(
                "commit {sequence} merges entries {first} to {last}, offsets [{start}, {end}), of \
                 {stream}, where entry {number} and offset {offset} are next"
            ));
        }
        if !counts.balance() {
            report.problem(format!("counts of {stream} in commit {sequence} do not add up"));
        }
        told.push(Told { sequence, range, in_tables: false });
    }
}
