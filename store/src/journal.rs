//! Log 1: the journal of one partition, entry by entry.
//!
//! ```text
//! EntryParts + Delta ─► bytes ─► put-if-absent at the next number ─► Arc<Entry>, durable
//!                                       └─ taken by another writer ─► Lost
//! ```
//! An entry with records names the newest snapshot: an opening reads what stands after that.
//! Numbers are dense from 0 and each entry starts where the one before it ends, so there is no gap
//! and no overlap by construction (A5). Who loses a number has lost the partition.

use std::sync::Arc;

use metrics::counter;
use schemas::entry::EntryHeader;
use schemas::{Counts, Delta, Entry, Input, Named, Stream, Timestamp};

mod columns;
mod entry;
mod headers;
mod sections;

pub(crate) use entry::decode;
pub use entry::delta_checksum;
pub(crate) use headers::{Expected, follows, snapshot_back};

use crate::blobs::{Blobs, Claim, claim};
use crate::error::StoreError;
use crate::{key, metrics as names};
use headers::Tail;

/// What a worker knows of an entry; the journal adds stream, number and writer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryParts {
    /// Offsets `[start, end)`; `start` is the `end` of the entry before.
    pub start: i64,
    pub end: i64,
    pub counts: Counts,
    pub inputs: Vec<Input>,
    pub watermark: Option<Timestamp>,
    pub closed_until: Timestamp,
    pub ended: bool,
    /// See [`EntryHeader::partition_count`].
    pub partition_count: Option<i32>,
    /// See [`EntryHeader::digest`].
    pub digest: Option<u64>,
    /// See [`EntryHeader::snapshot`].
    pub snapshot: Option<Named>,
}

/// An entry on its way to the store.
#[derive(Clone, Debug)]
pub struct Prepared {
    pub entry: Arc<Entry>,
    bytes: Vec<u8>,
}

/// Which snapshots an opening may build on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotChoice {
    /// The newest that is named.
    Use,
    /// The newest named that was taken before that of this number, because that is damaged.
    Before(u64),
    /// None: every entry is folded again.
    Ignore,
    /// None, and no entry but the last: all that is needed of `changes` and `support`.
    LastEntry,
}

/// The journal of one partition, as one writer sees it.
#[derive(Debug)]
pub struct Journal {
    blobs: Arc<dyn Blobs>,
    stream: Stream,
    writer: String,
    first_number: u64,
    snapshot: Option<Named>,
    found: Vec<EntryHeader>,
    checksums: Vec<String>,
    next_number: u64,
    next_offset: Option<i64>,
}

impl Journal {
    /// Finds the end and the newest snapshot, and reads the headers of the entries after it; checks
    /// that these follow one another. Entries before it may have been collected.
    ///
    /// `writer` names this process: 32 hexadecimal digits that no other process has.
    pub fn open(blobs: Arc<dyn Blobs>, stream: Stream, writer: String) -> Result<Self, StoreError> {
        Self::open_with(blobs, stream, writer, SnapshotChoice::Use)
    }

    /// As [`Self::open`], with another choice of snapshots.
    pub fn open_with(
        blobs: Arc<dyn Blobs>,
        stream: Stream,
        writer: String,
        snapshots: SnapshotChoice,
    ) -> Result<Self, StoreError> {
        Self::sync(&*blobs, stream)?;
        let numbers = headers::numbers(&*blobs, stream)?;
        let Tail { snapshot, found, checksums } =
            headers::tail(&*blobs, stream, &numbers, snapshots)?;
        Ok(Self {
            blobs,
            stream,
            writer,
            first_number: numbers.first().copied().unwrap_or(0),
            snapshot,
            next_number: numbers.last().map_or(0, |last| last + 1),
            next_offset: found.last().map(|last: &EntryHeader| last.end),
            found,
            checksums,
        })
    }

    /// Makes durable what another process wrote of a journal: before a commit names it.
    pub fn sync(blobs: &dyn Blobs, stream: Stream) -> Result<(), StoreError> {
        blobs.sync(&key::journal_folder(stream))
    }

    /// Reads one entry, all of its bytes checked; `None` where it has not been written yet.
    pub fn read_next(
        blobs: &dyn Blobs,
        stream: Stream,
        number: u64,
    ) -> Result<Option<Entry>, StoreError> {
        let key = key::journal_entry(stream, number);
        let Some(bytes) = blobs.get(&key)? else { return Ok(None) };
        let (entry, _) = decode(&bytes).map_err(|what| StoreError::damaged(&key, what))?;
        if (entry.header.stream, entry.header.number) != (stream, number) {
            return Err(StoreError::damaged(&key, "it is the entry of another place"));
        }
        Ok(Some(entry))
    }

    /// The partition whose journal this is.
    pub const fn stream(&self) -> Stream {
        self.stream
    }

    /// The number of the oldest entry that is still there; those before it were collected.
    pub const fn first_number(&self) -> u64 {
        self.first_number
    }

    /// The snapshot to start from; `None`: from nothing.
    pub const fn snapshot(&self) -> Option<&Named> {
        self.snapshot.as_ref()
    }

    /// The entries after the snapshot, in order, as found at the opening; those appended since are
    /// not among them.
    pub fn headers(&self) -> &[EntryHeader] {
        &self.found
    }

    /// What the rows of one of [`Self::headers`] hash to ([`delta_checksum`]).
    pub fn checksum(&self, number: u64) -> Option<&str> {
        self.checksums.get(self.place(number)?).map(String::as_str)
    }

    fn place(&self, number: u64) -> Option<usize> {
        number.checked_sub(self.found.first()?.number).map(|place| place as usize)
    }

    /// Drops what the opening found, once the state has been recovered from it.
    pub fn forget_headers(&mut self) {
        self.found = Vec::new();
        self.checksums = Vec::new();
    }

    /// The number of the next entry.
    pub const fn next_number(&self) -> u64 {
        self.next_number
    }

    /// Where the next entry starts; `None` before the first, which may start anywhere.
    pub const fn next_offset(&self) -> Option<i64> {
        self.next_offset
    }

    /// Reads one entry with its rows, all of its bytes checked.
    pub fn read(&self, number: u64) -> Result<Entry, StoreError> {
        let entry = Self::read_next(&*self.blobs, self.stream, number)?;
        entry.ok_or_else(|| StoreError::Missing { key: key::journal_entry(self.stream, number) })
    }

    /// Encodes the next entry; nothing is written yet.
    pub fn prepare(&self, parts: EntryParts, delta: Delta) -> Result<Prepared, StoreError> {
        let header = self.header_of(parts);
        let bytes = entry::encode(&header, &delta)?;
        Ok(Prepared { entry: Arc::new(Entry { header, delta }), bytes })
    }

    /// Writes the prepared entry; durable when this returns.
    ///
    /// After [`StoreError::Lost`] the partition belongs to another; after any other error it is
    /// not known whether the entry stands, and writing the same again finds out.
    pub fn write(&mut self, prepared: &Prepared) -> Result<(), StoreError> {
        let Prepared { entry, bytes } = prepared;
        let header = &entry.header;
        assert_eq!(header.number, self.next_number, "entries are written in order");
        let key = key::journal_entry(self.stream, header.number);
        if let Claim::Other(standing) = claim(&*self.blobs, &key, bytes)? {
            assert_ne!(standing, *bytes, "what we wrote is not taken for another's");
            let other = decode(&standing).map_err(|what| StoreError::damaged(&key, what))?.0;
            counter!(names::LOST).increment(1);
            let (number, writer) = (header.number, other.header.writer);
            return Err(StoreError::Lost { key, number, writer });
        }
        counter!(names::ENTRIES).increment(1);
        counter!(names::ENTRY_BYTES).increment(bytes.len() as u64);
        names::journalled(self.stream, &header.counts);
        self.next_number += 1;
        self.next_offset = Some(header.end);
        Ok(())
    }

    /// Prepares and writes the next entry.
    pub fn append(&mut self, parts: EntryParts, delta: Delta) -> Result<Arc<Entry>, StoreError> {
        let prepared = self.prepare(parts, delta)?;
        self.write(&prepared)?;
        Ok(prepared.entry)
    }

    fn header_of(&self, parts: EntryParts) -> EntryHeader {
        let EntryParts { start, end, counts, inputs, watermark, closed_until, .. } = parts;
        let EntryParts { ended, partition_count, digest, snapshot, .. } = parts;
        assert!(start <= end, "A5: offsets {start} to {end}");
        assert_eq!(start, self.next_offset.unwrap_or(start), "A5: the entry leaves a gap");
        assert!(counts.balance(), "A6: {counts:?}");
        EntryHeader {
            stream: self.stream,
            number: self.next_number,
            writer: self.writer.clone(),
            start,
            end,
            counts,
            inputs,
            watermark,
            closed_until,
            ended,
            partition_count,
            digest,
            snapshot,
        }
    }
}

#[cfg(test)]
mod tests;
