//! Which journal entries a commit covers.

use std::collections::BTreeMap;

use schemas::Stream;
use schemas::commit::MergedRange;
use schemas::entry::EntryHeader;

/// Entries merged since some commit: one contiguous range by stream.
#[derive(Debug, Default)]
pub(super) struct Merged(BTreeMap<Stream, MergedRange>);

impl Merged {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the next entry of its stream.
    pub(super) fn add(&mut self, header: &EntryHeader) {
        let range = self.0.entry(header.stream).or_insert_with(|| MergedRange {
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
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &MergedRange> {
        self.0.values()
    }

    /// The ranges so far, in stream order; nothing is left.
    pub(super) fn take(&mut self) -> Vec<MergedRange> {
        std::mem::take(&mut self.0).into_values().collect()
    }
}
