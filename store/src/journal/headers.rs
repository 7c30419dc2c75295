//! The headers that an opening reads: from the end of the journal back to a snapshot.
//!
//! ```text
//! collected │ … │ snapshot after k │ k + 1 … m (the newest with records: it names k) … last
//! may be gone                        └──────────────── read and checked ──────────────┘
//! ```

use schemas::entry::EntryHeader;
use schemas::{Named, Stream};

use super::SnapshotChoice;
use super::entry::{self, HEADER_BYTES_FIRST, Stored};
use crate::blobs::Blobs;
use crate::error::StoreError;
use crate::key;

/// Headers read back in search of the one that names a snapshot. 4,096: the inputs of three idle
/// days; entries further back are read by an opening, but not by housekeeping.
const HEADERS_BACK_MAX: u64 = 4_096;

/// What an opening found.
pub(super) struct Tail {
    pub(super) snapshot: Option<Named>,
    pub(super) found: Vec<EntryHeader>,
    pub(super) checksums: Vec<String>,
}

/// The numbers of all entries that are there, in order.
pub(super) fn numbers(blobs: &dyn Blobs, stream: Stream) -> Result<Vec<u64>, StoreError> {
    let number = |key: String| match key::parse_journal_entry(&key) {
        Some((place, number)) if place == stream => Ok(number),
        _ => Err(StoreError::Broken { stream, what: format!("`{key}` is no entry of it") }),
    };
    blobs.list(&key::journal_folder(stream))?.into_iter().map(number).collect()
}

/// Reads headers back from the end as far as the snapshot needs, then checks them in order.
pub(super) fn tail(
    blobs: &dyn Blobs,
    stream: Stream,
    numbers: &[u64],
    snapshots: SnapshotChoice,
) -> Result<Tail, StoreError> {
    let broken = |what| StoreError::Broken { stream, what };
    let mut snapshot = None;
    let mut first = match snapshots {
        SnapshotChoice::LastEntry => numbers.last().copied().unwrap_or(0),
        SnapshotChoice::Use | SnapshotChoice::Before(_) | SnapshotChoice::Ignore => 0,
    };
    let mut read = Vec::new();
    for &number in numbers.iter().rev() {
        if number < first {
            break;
        }
        let key = key::journal_entry(stream, number);
        let stored = read_header(blobs, &key)?;
        if snapshot.is_none() {
            snapshot = named_by(&stored.header, number, snapshots).map_err(broken)?;
            first = snapshot.as_ref().map_or(first, |named| named.after + 1);
        }
        read.push((key, stored));
    }
    let mut tail = Tail { snapshot, found: Vec::new(), checksums: Vec::new() };
    let mut expected = Expected { number: first, offset: None };
    for (key, Stored { header, delta_checksum }) in read.into_iter().rev() {
        follows(expected, &header, stream, &key).map_err(broken)?;
        expected = Expected::after(&header);
        tail.found.push(header);
        tail.checksums.push(delta_checksum);
    }
    Ok(tail)
}

/// The newest named snapshot of that choice, and the number of the newest entry that names it, as
/// of entry `last`; `None` also where the entries that would say it are gone or too many.
pub(crate) fn snapshot_back(
    blobs: &dyn Blobs,
    stream: Stream,
    last: u64,
    snapshots: SnapshotChoice,
) -> Result<Option<(u64, Named)>, StoreError> {
    for number in (last.saturating_sub(HEADERS_BACK_MAX)..=last).rev() {
        let header = match read_header(blobs, &key::journal_entry(stream, number)) {
            Ok(stored) => stored.header,
            Err(StoreError::Missing { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let named = named_by(&header, number, snapshots);
        if let Some(named) = named.map_err(|what| StoreError::Broken { stream, what })? {
            return Ok(Some((number, named)));
        }
    }
    Ok(None)
}

/// The snapshot that an entry names, if it may be used.
fn named_by(
    header: &EntryHeader,
    number: u64,
    snapshots: SnapshotChoice,
) -> Result<Option<Named>, String> {
    let Some(named) = &header.snapshot else { return Ok(None) };
    if named.after >= number {
        return Err(format!("entry {number} names a snapshot after entry {}", named.after));
    }
    let is_wanted = match snapshots {
        SnapshotChoice::Use => true,
        SnapshotChoice::Before(after) => named.after < after,
        SnapshotChoice::Ignore | SnapshotChoice::LastEntry => false,
    };
    Ok(is_wanted.then(|| named.clone()))
}

/// Where the next entry has to stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) number: u64,
    /// `None` where it may start anywhere: the first there is.
    pub(crate) offset: Option<i64>,
}

impl Expected {
    pub(crate) const fn after(header: &EntryHeader) -> Self {
        Self { number: header.number + 1, offset: Some(header.end) }
    }
}

/// Why an entry cannot stand where it does, if it cannot.
pub(crate) fn follows(
    expected: Expected,
    header: &EntryHeader,
    stream: Stream,
    key: &str,
) -> Result<(), String> {
    let Expected { number: expected, offset } = expected;
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
    let end = offset.unwrap_or(header.start);
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
