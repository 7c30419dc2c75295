//! Which journal entries a commit covers, and in which order they were merged.

use std::collections::BTreeMap;

use schemas::Stream;
use schemas::commit::MergedRange;
use schemas::entry::EntryHeader;

/// Entries merged since some commit: one contiguous range by stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Merged {
    ranges: BTreeMap<Stream, MergedRange>,
    order: Vec<Stream>,
}

impl Merged {
    /// Ranges of earlier commits, for which the order no longer matters.
    pub(super) fn of(ranges: Vec<MergedRange>) -> Self {
        let ranges = ranges.into_iter().map(|range| (range.stream, range)).collect();
        Self { ranges, order: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Adds the next entry of its stream.
    pub(super) fn add(&mut self, header: &EntryHeader) {
        let range = self.ranges.entry(header.stream).or_insert_with(|| MergedRange {
            stream: header.stream,
            first: header.number,
            last: header.number,
            start: header.start,
            end: header.start,
            counts: schemas::Counts::default(),
        });
        assert_eq!(range.end, header.start, "A5: {} is contiguous", header.stream);
        range.last = header.number;
        range.end = header.end;
        range.counts.add(&header.counts);
        self.order.push(header.stream);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &MergedRange> {
        self.ranges.values()
    }

    /// The ranges so far, in stream order.
    pub(super) fn to_vec(&self) -> Vec<MergedRange> {
        self.ranges.values().cloned().collect()
    }

    /// The order of the entries: for each the index of its range.
    pub(super) fn order(&self) -> Vec<u32> {
        let numbers: BTreeMap<Stream, u32> = self.ranges.keys().copied().zip(0..).collect();
        self.order.iter().map(|stream| numbers[stream]).collect()
    }
}
