//! Table files: encoded once, staged, and shown to readers after the commit that names them.
//!
//! ```text
//! RecordBatch ─► Parquet ─► system/staging/<sequence>-<n>-<hash>.parquet ─► FileRecord
//!                 (the commit names the record)     └─ publish ─► tables/<dataset>/date=…/…
//! ```
//! Nothing but finished files ever stands under `tables/` (A9), so a plain glob is always right.
//! After a crash the staged bytes are linked again; nothing is encoded twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use metrics::counter;
use schemas::commit::MergedRange;
use schemas::{Commit, Dataset, FileRecord, Stream};
use serde::{Deserialize, Serialize};

mod file;

pub(crate) use file::{Footer, Opened, open};

use crate::blobs::Blobs;
use crate::error::StoreError;
use crate::hash::sha256;
use crate::world::TopicNames;
use crate::{key, metrics as names};

/// Offsets `[start, end)` of one partition: one element of the footer `ringwatch.sources`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRange {
    pub topic: String,
    pub partition: i32,
    pub start: i64,
    pub end: i64,
}

impl SourceRange {
    /// The offsets of merged entries, one range per partition in stream order, empty ones left
    /// out. The ranges of a partition must follow one another (A5).
    pub fn of<'a>(
        merged: impl IntoIterator<Item = &'a MergedRange>,
        topics: &TopicNames,
    ) -> Vec<Self> {
        match Self::joined(merged, topics) {
            Ok(sources) => sources,
            Err(stream) => panic!("A5: merged ranges of {stream} do not follow one another"),
        }
    }

    /// As [`Self::of`]; the error is a partition whose ranges do not follow one another.
    pub(crate) fn joined<'a>(
        merged: impl IntoIterator<Item = &'a MergedRange>,
        topics: &TopicNames,
    ) -> Result<Vec<Self>, Stream> {
        let mut joined: BTreeMap<Stream, (i64, i64)> = BTreeMap::new();
        for range in merged {
            let (_, end) = joined.entry(range.stream).or_insert((range.start, range.start));
            if *end != range.start {
                return Err(range.stream);
            }
            *end = range.end;
        }
        joined.retain(|_, (start, end)| start < end);
        let source = |(stream, (start, end)): (Stream, _)| Self {
            topic: topics.of(stream.kind).to_owned(),
            partition: stream.partition,
            start,
            end,
        };
        Ok(joined.into_iter().map(source).collect())
    }
}

/// The table files of a data folder.
#[derive(Clone, Debug)]
pub struct Tables {
    blobs: Arc<dyn Blobs>,
}

impl Tables {
    /// The tables of that store.
    pub fn new(blobs: Arc<dyn Blobs>) -> Self {
        Self { blobs }
    }

    /// Encodes the rows of one file and stages it; durable, and not yet visible to readers.
    ///
    /// `n` numbers the files of a sequence; `date` is `YYYY-MM-DD`. The same arguments give the
    /// same bytes.
    pub fn stage(
        &self,
        sequence: u64,
        n: u32,
        dataset: Dataset,
        date: &str,
        batch: &RecordBatch,
        sources: &[SourceRange],
    ) -> Result<FileRecord, StoreError> {
        assert!(is_date(date), "A10: `{date}` is no date");
        let bytes = file::encode(dataset, batch, sequence, sources)?;
        let record = FileRecord {
            dataset: dataset.name().to_owned(),
            path: key::table_file(dataset, date, sequence, n),
            bytes: bytes.len() as u64,
            rows: batch.num_rows() as u64,
            sha256: sha256(&bytes),
        };
        // Taken is as good as written: the name holds the hash of the content.
        self.blobs.put_if_absent(&staged_key(&record)?, &bytes)?;
        counter!(names::FILES).increment(1);
        counter!(names::FILE_BYTES).increment(record.bytes);
        counter!(names::FILE_ROWS).increment(record.rows);
        Ok(record)
    }

    /// Shows a committed file to readers, and drops its staged name. Doing it again is fine.
    pub fn publish(&self, file: &FileRecord) -> Result<(), StoreError> {
        let staged = staged_key(file)?;
        match self.blobs.publish(&staged, &file.path) {
            Err(StoreError::Missing { .. }) => return self.check_published(file),
            outcome => outcome?,
        }
        self.blobs.delete(&staged)
    }

    /// The staged name is gone, which is right only if the file has been published already.
    fn check_published(&self, file: &FileRecord) -> Result<(), StoreError> {
        match self.blobs.get(&file.path)? {
            Some(bytes) if sha256(&bytes) == file.sha256 => Ok(()),
            Some(_) => Err(StoreError::damaged(&file.path, "it does not match its commit")),
            None => Err(StoreError::Missing { key: file.path.clone() }),
        }
    }

    /// Finishes what a crash left between commit and table: publishes committed files that are
    /// missing, then removes staged files that no commit will name any more.
    ///
    /// `commits` are all commits of the chain. Returns how many files were published.
    pub fn recover_files(&self, commits: &[Commit]) -> Result<u64, StoreError> {
        let visible: BTreeSet<String> = self.blobs.list(key::TABLES)?.into_iter().collect();
        let files = commits.iter().flat_map(|commit| &commit.files);
        let mut published = 0;
        for file in files.filter(|file| !visible.contains(&file.path)) {
            self.publish(file)?;
            published += 1;
        }
        // Files of a sequence not yet committed stay: another publisher may be about to commit.
        let next_sequence = commits.last().map_or(0, |commit| commit.sequence + 1);
        for staged in self.blobs.list(key::STAGING)? {
            if key::parse_file(&staged).is_some_and(|(sequence, _)| sequence < next_sequence) {
                self.blobs.delete(&staged)?;
                counter!(names::LEFTOVERS).increment(1);
            }
        }
        Ok(published)
    }
}

/// Where the bytes of a file wait until it is published.
pub(crate) fn staged_key(file: &FileRecord) -> Result<String, StoreError> {
    let unsound = || StoreError::damaged(&file.path, "its commit gives it a name of another kind");
    let (sequence, n) = key::parse_file(&file.path).ok_or_else(unsound)?;
    let is_hash = file.sha256.len() == 64 && file.sha256.bytes().all(|b| b.is_ascii_hexdigit());
    let is_sound = is_hash && file.path.starts_with("tables/") && key::is_sound(&file.path);
    if is_sound { Ok(key::staged_file(sequence, n, &file.sha256)) } else { Err(unsound()) }
}

pub(crate) fn is_date(date: &str) -> bool {
    let dashes = |(at, byte): (usize, u8)| match at {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    };
    date.len() == 10 && date.bytes().enumerate().all(dashes)
}

#[cfg(test)]
mod tests;
