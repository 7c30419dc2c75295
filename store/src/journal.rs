//! Log 1: the journal of one partition, entry by entry.
//!
//! ```text
//! EntryParts + Delta ─► bytes ─► put-if-absent at the next number ─► Arc<Entry>, durable
//!                                       └─ taken by another writer ─► Lost
//! ```
//! Numbers are dense from 0 and each entry starts where the one before it ends, so there is no gap
//! and no overlap by construction (A5). Who loses a number has lost the partition.

use std::sync::Arc;

use metrics::counter;
use schemas::entry::EntryHeader;
use schemas::{Counts, Delta, Entry, Input, Named, Stream, Timestamp};

mod columns;
mod entry;
mod sections;

pub(crate) use entry::decode;
pub use entry::delta_checksum;

use crate::blobs::{Blobs, Claim, claim};
use crate::error::StoreError;
use crate::{key, metrics as names};
use entry::{HEADER_BYTES_FIRST, Stored};

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
    /// See [`EntryHeader::snapshot`].
    pub snapshot: Option<Named>,
}

/// An entry on its way to the store.
#[derive(Clone, Debug)]
pub struct Prepared {
    pub entry: Arc<Entry>,
    bytes: Vec<u8>,
}

/// The journal of one partition, as one writer sees it.
#[derive(Debug)]
pub struct Journal {
    blobs: Arc<dyn Blobs>,
    stream: Stream,
    writer: String,
    found: Vec<EntryHeader>,
    checksums: Vec<String>,
    next_number: u64,
    next_offset: Option<i64>,
}

impl Journal {
    /// Reads the headers of all entries and checks that they follow one another.
    ///
    /// `writer` names this process: 32 hexadecimal digits that no other process has.
    pub fn open(blobs: Arc<dyn Blobs>, stream: Stream, writer: String) -> Result<Self, StoreError> {
        let folder = key::journal_folder(stream);
        blobs.sync(&folder)?;
        let (mut found, mut checksums) = (Vec::new(), Vec::new());
        for key in blobs.list(&folder)? {
            let stored = read_header(&*blobs, &key)?;
            let follows = follows(found.last(), &stored.header, stream, &key);
            follows.map_err(|what| StoreError::Broken { stream, what })?;
            found.push(stored.header);
            checksums.push(stored.delta_checksum);
        }
        let (next_number, next_offset) = (found.len() as u64, found.last().map(|last| last.end));
        Ok(Self { blobs, stream, writer, found, checksums, next_number, next_offset })
    }

    /// The partition whose journal this is.
    pub const fn stream(&self) -> Stream {
        self.stream
    }

    /// The entries found at the opening, in order; those appended since are not among them.
    pub fn headers(&self) -> &[EntryHeader] {
        &self.found
    }

    /// What the rows of an entry found at the opening hash to ([`delta_checksum`]).
    pub fn checksum(&self, number: u64) -> Option<&str> {
        self.checksums.get(number as usize).map(String::as_str)
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
        let missing = || StoreError::Missing { key: key::journal_entry(self.stream, number) };
        Self::read_next(&*self.blobs, self.stream, number)?.ok_or_else(missing)
    }

    /// Reads the entry of that number of any journal; `None` while nobody has written it.
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

    /// Makes the entries durable that another process has written and we have read.
    pub fn sync(blobs: &dyn Blobs, stream: Stream) -> Result<(), StoreError> {
        blobs.sync(&key::journal_folder(stream))
    }

    /// Encodes the next entry; nothing is written yet.
    pub fn prepare(&self, parts: EntryParts, delta: Delta) -> Result<Prepared, StoreError> {
        let header = self.header(parts);
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
            let other = decode(&standing).map_err(|what| StoreError::damaged(&key, what))?.0;
            counter!(names::LOST).increment(1);
            let (number, writer) = (header.number, other.header.writer);
            return Err(StoreError::Lost { key, number, writer });
        }
        counter!(names::ENTRIES).increment(1);
        counter!(names::ENTRY_BYTES).increment(bytes.len() as u64);
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

    fn header(&self, parts: EntryParts) -> EntryHeader {
        let EntryParts { start, end, counts, inputs, watermark, closed_until, ended, snapshot } =
            parts;
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
            snapshot,
        }
    }
}

/// Why an entry cannot stand where it does, if it cannot.
pub(crate) fn follows(
    before: Option<&EntryHeader>,
    header: &EntryHeader,
    stream: Stream,
    key: &str,
) -> Result<(), String> {
    let expected = before.map_or(0, |before| before.number + 1);
    match key::parse_journal_entry(key) {
        Some((place, number)) if place == stream => {
            if number != expected {
                return Err(format!("entry {expected} is missing before entry {number}"));
            }
        }
        _ => return Err(format!("`{key}` is no entry of it")),
    }
    if (header.stream, header.number) != (stream, expected) {
        let (other, number) = (header.stream, header.number);
        return Err(format!("entry {expected} is entry {number} of {other}"));
    }
    let end = before.map_or(header.start, |before| before.end);
    if header.start != end || header.end < header.start {
        let (first, last) = (header.start, header.end);
        return Err(format!("entry {expected} is of [{first}, {last}), not from offset {end} on"));
    }
    if header.counts.balance() {
        Ok(())
    } else {
        Err(format!("the counts of entry {expected} do not add up"))
    }
}

fn read_header(blobs: &dyn Blobs, key: &str) -> Result<Stored, StoreError> {
    let read = |bytes_max| -> Result<Vec<u8>, StoreError> {
        let missing = || StoreError::Missing { key: key.to_owned() };
        blobs.get_start(key, bytes_max)?.ok_or_else(missing)
    };
    let damaged = |what| StoreError::damaged(key, what);
    let mut bytes = read(HEADER_BYTES_FIRST)?;
    let header_bytes = entry::header_end(&bytes).map_err(damaged)?;
    if header_bytes > bytes.len() {
        bytes = read(header_bytes)?;
    }
    entry::decode_header(&bytes).map_err(damaged)
}

#[cfg(test)]
mod tests;
