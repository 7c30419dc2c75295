//! One partition's journal, walked entry by entry beside the ranges that the chain says it merged.

use schemas::entry::EntryHeader;
use schemas::{Counts, Delta, Stream, StreamKind};

use super::chain::Told;
use super::{PartitionReport, VerifyReport, owed};
use crate::blobs::Blobs;
use crate::error::StoreError;
use crate::journal::{decode, delta_checksum, follows};

/// The walk over one journal.
pub(super) struct Walk<'a> {
    stream: Stream,
    partition: PartitionReport,
    before: Option<EntryHeader>,
    /// Ranges of the chain not yet walked to their end.
    ranges: &'a [Told],
    /// Counts of the entries so far of the first of those, and where they started.
    counts: Counts,
    start: Option<i64>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(stream: Stream, topic: &str, ranges: &'a [Told]) -> Self {
        let partition = PartitionReport {
            topic: topic.to_owned(),
            stream: stream.kind,
            partition: stream.partition,
            entries: 0,
            start: 0,
            end: 0,
            records: 0,
            applied: 0,
            duplicates: 0,
            rejected: 0,
            gaps: Vec::new(),
            overlaps: Vec::new(),
            covered_until_in_tables: None,
            records_not_in_tables: 0,
        };
        Self { stream, partition, before: None, ranges, counts: Counts::default(), start: None }
    }

    /// Checks the next entry by itself, after the one before it, and against the chain.
    pub(super) fn entry(
        &mut self,
        blobs: &dyn Blobs,
        key: &str,
        report: &mut VerifyReport,
    ) -> Result<(), StoreError> {
        let Some(bytes) = blobs.get(key)? else {
            report.problem(format!("`{key}` is missing"));
            return Ok(());
        };
        let (entry, checksum) = match decode(&bytes) {
            Ok(decoded) => decoded,
            Err(what) => {
                report.problem(format!("`{key}` is damaged: {what}"));
                return Ok(());
            }
        };
        if delta_checksum(&entry.delta) != checksum {
            report.problem(format!("`{key}` holds other rows than its header says"));
        }
        if !rows_agree(self.stream.kind, &entry.header.counts, &entry.delta) {
            report.problem(format!("the rows of `{key}` do not agree with its counts"));
        }
        if let Err(what) = follows(self.before.as_ref(), &entry.header, self.stream, key) {
            report.problem(format!("the journal of {}: {what}", self.stream));
        }
        self.cover(&entry.header);
        self.compare(&entry.header, report);
        self.before = Some(entry.header);
        Ok(())
    }

    fn cover(&mut self, header: &EntryHeader) {
        let partition = &mut self.partition;
        let end = self.before.as_ref().map_or(header.start, |before| before.end);
        if partition.entries == 0 {
            partition.start = header.start;
        }
        match header.start {
            start if start > end => partition.gaps.push((end, start)),
            start if start < end => partition.overlaps.push((start, end)),
            _ => {}
        }
        partition.entries += 1;
        partition.end = header.end;
        partition.records += header.counts.received;
        partition.applied += header.counts.applied;
        partition.duplicates += header.counts.duplicates;
        partition.rejected += header.counts.rejected;
    }

    /// Adds the entry to the range of the chain that it is part of.
    fn compare(&mut self, header: &EntryHeader, report: &mut VerifyReport) {
        self.skip_passed(header.number, report);
        let told = self.ranges.first().filter(|told| told.range.first <= header.number);
        if !told.is_some_and(|told| told.in_tables) {
            self.partition.records_not_in_tables += owed(self.stream.kind, &header.counts);
        }
        let Some(told) = told else { return };
        self.counts.add(&header.counts);
        let start = *self.start.get_or_insert(header.start);
        if header.number < told.range.last {
            return;
        }
        let said = (told.range.start, told.range.end, told.range.counts);
        if said != (start, header.end, self.counts) {
            let (first, last) = (told.range.first, told.range.last);
            report.problem(format!(
                "commit {} says other offsets or counts of entries {first} to {last} of {} than \
                 the journal",
                told.sequence, self.stream
            ));
        }
        if told.in_tables {
            self.partition.covered_until_in_tables = Some(header.end);
        }
        self.next_range();
    }

    /// Ranges that end before `number` hold entries that the journal lacks.
    fn skip_passed(&mut self, number: u64, report: &mut VerifyReport) {
        while let Some(told) = self.ranges.first().filter(|told| told.range.last < number) {
            let (first, last) = (told.range.first, told.range.last);
            report.problem(format!(
                "commit {} merged entries {first} to {last} of {}, which the journal lacks in part",
                told.sequence, self.stream
            ));
            self.next_range();
        }
    }

    fn next_range(&mut self) {
        self.ranges = &self.ranges[1..];
        self.counts = Counts::default();
        self.start = None;
    }

    pub(super) fn finish(mut self, report: &mut VerifyReport) {
        self.skip_passed(u64::MAX, report);
        report.records_not_in_tables += self.partition.records_not_in_tables;
        report.partitions.push(self.partition);
    }
}

/// Whether the rows of an entry are those of as many records as its header counts.
fn rows_agree(kind: StreamKind, counts: &Counts, delta: &Delta) -> bool {
    let applied: i64 = delta.health.iter().map(|row| row.records).sum();
    let duplicates: i64 = delta.health.iter().map(|row| row.duplicates).sum();
    let telemetry = (applied, duplicates) == (counts.applied as i64, counts.duplicates as i64);
    let rejected = delta.rejected.len() as u64 == counts.rejected;
    rejected && (kind != StreamKind::Telemetry || telemetry)
}
