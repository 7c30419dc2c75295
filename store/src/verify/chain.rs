//! The chain as verify reads it: what each commit with files covers, which days it settles, and
//! which it drops.

use std::collections::{BTreeMap, BTreeSet};

use schemas::commit::{DroppedDay, MergedRange};
use schemas::{Commit, FileRecord, Stream};

use super::tables::day_of;
use super::{Progress, VerifyReport};
use crate::blobs::{Blobs, exists};
use crate::error::StoreError;
use crate::retention::{Drops, is_dropped, newest_drops};
use crate::{chain, key};

/// What the chain says.
#[derive(Debug, Default)]
pub(super) struct ChainRead {
    /// Commits with files, in order.
    pub(super) cuts: Vec<Cut>,
    /// Every range merged, by partition, in order.
    pub(super) ranges: BTreeMap<Stream, Vec<Told>>,
    /// Commits that name files of finished days, in order.
    pub(super) settled: Vec<Settled>,
    pub(super) drops: Drops,
    /// One more than the greatest sequence seen.
    pub(super) next_sequence: u64,
}

/// The files of finished days that one commit names.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) sequence: u64,
    pub(super) files: Vec<FileRecord>,
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
            Err(error) if error.is_transient() => return Err(error),
            Err(damaged) => report.problem(damaged.to_string()),
        }
        progress(Progress { step: "commits", done, total });
    }
    Ok(read)
}

impl ChainRead {
    /// Whether a commit written since this was read drops the day of that file.
    pub(super) fn dropped_since(&self, blobs: &dyn Blobs, path: &str) -> Result<bool, StoreError> {
        for sequence in self.next_sequence.. {
            if !exists(blobs, &key::commit(sequence))? {
                break;
            }
            let commit = chain::read(blobs, sequence)?;
            if is_dropped(&newest_drops(&[commit]), path) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The days of which some rows are settled.
    pub(super) fn settled_days(&self) -> BTreeSet<DroppedDay> {
        self.settled.iter().flat_map(|settled| &settled.files).filter_map(day_of).collect()
    }

    fn take(&mut self, commit: Commit, open: &mut Cut, report: &mut VerifyReport) {
        check_order(&commit, report);
        let sequence = commit.sequence;
        self.drops.extend(commit.dropped.into_iter().map(|day| (day, sequence)));
        if !commit.settled.is_empty() {
            self.settled.push(Settled { sequence, files: commit.settled });
        }
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

/// The order of merging names each range once for each of its entries.
fn check_order(commit: &Commit, report: &mut VerifyReport) {
    let mut left: Vec<u64> =
        commit.merged.iter().map(|range| (range.last + 1).saturating_sub(range.first)).collect();
    let mut is_sound = true;
    for &place in &commit.order {
        match left.get_mut(place as usize) {
            Some(left) if *left > 0 => *left -= 1,
            _ => is_sound = false,
        }
    }
    let is_whole = commit.order.is_empty() || left.iter().all(|left| *left == 0);
    if !(is_sound && is_whole) {
        let sequence = commit.sequence;
        report.problem(format!("the order of commit {sequence} does not fit what it merges"));
    }
}
