//! Table files: encoded once, staged, and shown to readers after the commit that names them.
//!
//! ```text
//! RecordBatch ─► Parquet ─► system/staging/<sequence>-<n>-<hash>.parquet ─► FileRecord
//!                 (the commit names the record)     └─ publish ─► tables/<dataset>/date=…/…
//! ```
//! Nothing but finished files ever stands under `tables/` (A9), so a plain glob is always right.
//! Finished days come below `settled/` the same way. After a crash the staged bytes are linked
//! again; nothing is encoded twice.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use metrics::counter;
use schemas::commit::MergedRange;
use schemas::{Commit, Dataset, FileRecord, Stream};
use serde::{Deserialize, Serialize};

mod file;

use file::Origin;
pub(crate) use file::{Footer, Opened, open};

use crate::blobs::{Blobs, exists};
use crate::error::StoreError;
use crate::hash::sha256;
use crate::world::TopicNames;
use crate::{key, metrics as names, retention};

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
        assert!(key::is_date(date), "A10: `{date}` is no date");
        let origin = Origin { sequence, sources, covers: None };
        self.stage_at(key::table_file(dataset, date, sequence, n), dataset, batch, origin)
    }

    /// As [`Self::stage`], for a file of a finished day that holds the rows of the table files of
    /// sequences `[covers.0, covers.1]` once more.
    pub(crate) fn stage_settled(
        &self,
        n: u32,
        (dataset, date): (Dataset, &str),
        batch: &RecordBatch,
        sources: &[SourceRange],
        covers: (u64, u64),
    ) -> Result<FileRecord, StoreError> {
        let origin = Origin { sequence: covers.1 + 1, sources, covers: Some(covers) };
        let path = key::settled_file(dataset, date, origin.sequence, n);
        self.stage_at(path, dataset, batch, origin)
    }

    fn stage_at(
        &self,
        path: String,
        dataset: Dataset,
        batch: &RecordBatch,
        origin: Origin<'_>,
    ) -> Result<FileRecord, StoreError> {
        let bytes = file::encode(dataset, batch, origin)?;
        let record = FileRecord {
            dataset: dataset.name().to_owned(),
            path,
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

    /// Finishes what a crash left between commits and what they say: publishes files that are
    /// missing, deletes those of dropped days, removes staged files that no commit will name.
    ///
    /// `commits` are those since the checkpoint, its own included, or all: before a checkpoint is
    /// taken, the files of every commit up to it have been published. Returns how many were.
    pub fn recover_files(&self, commits: &[Commit]) -> Result<u64, StoreError> {
        let dropped = retention::newest_drops(commits);
        let mut published = 0;
        for commit in commits {
            for file in commit.files.iter().chain(&commit.settled) {
                let is_dropped = retention::is_dropped(&dropped, &file.path);
                if !is_dropped && !exists(&*self.blobs, &file.path)? {
                    self.publish(file)?;
                    published += 1;
                }
            }
        }
        for commit in commits.iter().filter(|commit| !commit.dropped.is_empty()) {
            retention::delete_days(&*self.blobs, &commit.dropped, commit.sequence)?;
        }
        if let Some(last) = commits.last() {
            self.remove_leftovers(last.sequence + 1)?;
        }
        Ok(published)
    }

    /// Removes staged files of sequences before `next_sequence`, which is the end of the chain.
    ///
    /// Those of a sequence not yet committed stay: another publisher may be about to commit.
    pub(crate) fn remove_leftovers(&self, next_sequence: u64) -> Result<u64, StoreError> {
        let mut removed = 0;
        for staged in self.blobs.list(key::STAGING)? {
            if key::parse_file(&staged).is_some_and(|(sequence, _)| sequence < next_sequence) {
                self.blobs.delete(&staged)?;
                counter!(names::LEFTOVERS).increment(1);
                removed += 1;
            }
        }
        Ok(removed)
    }

    pub(crate) fn blobs(&self) -> &dyn Blobs {
        &*self.blobs
    }
}

/// Where the bytes of a file wait until it is published.
pub(crate) fn staged_key(file: &FileRecord) -> Result<String, StoreError> {
    let unsound = || StoreError::damaged(&file.path, "its commit gives it a name of another kind");
    let (sequence, n) = key::parse_file(&file.path).ok_or_else(unsound)?;
    let is_hash = file.sha256.len() == 64 && file.sha256.bytes().all(|b| b.is_ascii_hexdigit());
    let is_below = file.path.starts_with("tables/") || file.path.starts_with("settled/");
    let is_sound = is_hash && is_below && key::is_sound(&file.path);
    if is_sound { Ok(key::staged_file(sequence, n, &file.sha256)) } else { Err(unsound()) }
}

#[cfg(test)]
mod tests;
