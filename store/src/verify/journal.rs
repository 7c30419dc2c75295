//! One partition's journal, walked entry by entry beside the ranges that the chain says it merged.
//!
//! Of entries that were collected the chain still says offsets and counts: the walk begins after
//! them.

use schemas::entry::EntryHeader;
use schemas::{Counts, Delta, Input, Stream, StreamKind};

use super::chain::Told;
use super::{PartitionReport, VerifyReport, owed};
use crate::blobs::Blobs;
use crate::error::StoreError;
use crate::journal::{Expected, decode, delta_checksum, follows};
use crate::key;

/// The walk over one journal.
pub(super) struct Walk<'a> {
    stream: Stream,
    partition: PartitionReport,
    /// Where the next entry has to stand; `None` before the first that is there.
    expected: Option<Expected>,
    /// Ranges of the chain not yet walked to their end.
    ranges: &'a [Told],
    /// Entries so far of the first of those.
    part: Part,
}

/// What has been walked of a range.
#[derive(Default)]
struct Part {
    counts: Counts,
    start: Option<i64>,
    /// Its first entries were collected: its counts have been taken from the chain.
    is_headless: bool,
}

impl<'a> Walk<'a> {
    pub(super) fn new(stream: Stream, topic: &str, ranges: &'a [Told]) -> Self {
        let partition = PartitionReport::new(topic, stream);
        Self { stream, partition, expected: None, ranges, part: Part::default() }
    }

    /// Checks the next entry by itself, after the one before it, and against the chain.
    pub(super) fn entry(
        &mut self,
        blobs: &dyn Blobs,
        key: &str,
        report: &mut VerifyReport,
    ) -> Result<(), StoreError> {
        let Some(bytes) = blobs.get(key)? else {
            // Collection takes the oldest entries, also while this reads.
            if self.expected.is_some() {
                report.problem(format!("`{key}` is missing"));
            }
            return Ok(());
        };
        let expected = match self.expected {
            Some(expected) => expected,
            None => self.begin(key, report),
        };
        self.expected = Some(expected);
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
        if let Err(what) = follows(expected, &entry.header, self.stream, key) {
            report.problem(format!("the journal of {}: {what}", self.stream));
        }
        self.skip_passed(entry.header.number, report);
        self.cover(&entry.header, expected);
        self.compare(&entry.header, report);
        self.expected = Some(Expected::after(&entry.header));
        Ok(())
    }

    /// Takes what was collected before the first entry from the chain; where that does not cover
    /// it, the journal has to begin at 0.
    fn begin(&mut self, key: &str, report: &mut VerifyReport) -> Expected {
        let nothing = Expected { number: 0, offset: None };
        let number = key::parse_journal_entry(key).map_or(0, |(_, number)| number);
        let count = self.ranges.partition_point(|told| told.range.first < number);
        let (gone, _) = self.ranges.split_at(count);
        let Some((newest, oldest)) = gone.last().zip(gone.first()) else { return nothing };
        if newest.range.last + 1 < number {
            return nothing;
        }
        let stream = self.stream;
        let is_owed = |told: &Told| !told.in_tables && owed(stream.kind, &told.range.counts) > 0;
        if gone.iter().any(is_owed) {
            report.problem(format!("{stream}: entries were collected before their rows had files"));
        }
        let partition = &mut self.partition;
        partition.entries_collected = number;
        partition.start = oldest.range.start;
        partition.end = newest.range.end;
        partition.covered_until_in_tables = Some(newest.range.end);
        for told in gone {
            partition.add(&told.range.counts);
        }
        self.part.is_headless = newest.range.last >= number;
        self.ranges = &self.ranges[count - usize::from(self.part.is_headless)..];
        let offset = (!self.part.is_headless).then_some(newest.range.end);
        Expected { number, offset }
    }

    fn cover(&mut self, header: &EntryHeader, expected: Expected) {
        let partition = &mut self.partition;
        let end = expected.offset.unwrap_or(header.start);
        if partition.entries + partition.entries_collected == 0 {
            partition.start = header.start;
        }
        match header.start {
            start if start > end => partition.gaps.push((end, start)),
            start if start < end => partition.overlaps.push((start, end)),
            _ => {}
        }
        for input in &header.inputs {
            if let Input::Gap(gap) = input {
                partition.gaps_accepted.push((gap.from, gap.to));
            }
        }
        partition.entries += 1;
        partition.end = header.end;
        if !self.part.is_headless {
            partition.add(&header.counts);
        }
    }

    /// Adds the entry to the range of the chain that it is part of.
    fn compare(&mut self, header: &EntryHeader, report: &mut VerifyReport) {
        let told = self.ranges.first().filter(|told| told.range.first <= header.number);
        if !told.is_some_and(|told| told.in_tables) {
            self.partition.records_not_in_tables += owed(self.stream.kind, &header.counts);
        }
        let Some(told) = told else { return };
        self.part.counts.add(&header.counts);
        let start = *self.part.start.get_or_insert(header.start);
        if header.number < told.range.last {
            return;
        }
        let agrees = if self.part.is_headless {
            told.range.end == header.end && told.range.start <= start
        } else {
            let said = (told.range.start, told.range.end, told.range.counts);
            said == (start, header.end, self.part.counts)
        };
        if !agrees {
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

    /// Leaves ranges behind that hold entries that the journal lacks.
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
        self.part = Part::default();
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
