//! Log 2: the chain of commits, one object each.
//!
//! ```text
//! Commit ─► one line of JSON, one line with its SHA-256 ─► put-if-absent at the next sequence
//! ```
//! Dense from 0. What a commit says has happened: entries merged, alerts raised, files that exist.

use std::sync::Arc;

use metrics::counter;
use schemas::{Commit, Named};

use crate::blobs::{Blobs, Claim, claim, end_of_log};
use crate::error::StoreError;
use crate::hash::sha256;
use crate::{key, metrics as names};

/// Commits that are read back for the checkpoint named before the newest. 10,000: half a week of
/// leases; who names one each hour never comes near.
const COMMITS_BACK_MAX: u64 = 10_000;

/// Whether a chain has become longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grown {
    Yes,
    No,
}

/// The chain, as its publisher or a reader of it sees it; a copy sees what was there then.
#[derive(Clone, Debug)]
pub struct Chain {
    blobs: Arc<dyn Blobs>,
    next_sequence: u64,
}

impl Chain {
    /// Finds the end of the chain, in about twice the logarithm of its length of questions.
    ///
    /// That a commit is missing is noticed here only where the chain seems to end; elsewhere when
    /// it is read.
    pub fn open(blobs: Arc<dyn Blobs>) -> Result<Self, StoreError> {
        blobs.sync(key::CHAIN)?;
        let mut next_sequence = end_of_log(&*blobs, 0, key::commit)?;
        // What is listed has come since, or stands behind a hole.
        let last = next_sequence.checked_sub(1).map_or(key::CHAIN.to_owned(), key::commit);
        for found in blobs.list_after(key::CHAIN, &last)? {
            let expected = key::commit(next_sequence);
            if found != expected {
                let what = format!("it is missing before `{found}`");
                return Err(StoreError::damaged(&expected, what));
            }
            next_sequence += 1;
        }
        Ok(Self { blobs, next_sequence })
    }

    /// Moves the end on to what other publishers have written since; says whether they have.
    pub fn refresh(&mut self) -> Result<Grown, StoreError> {
        let before = self.next_sequence;
        self.next_sequence = end_of_log(&*self.blobs, before, key::commit)?;
        if self.next_sequence == before {
            return Ok(Grown::No);
        }
        self.blobs.sync(key::CHAIN)?;
        Ok(Grown::Yes)
    }

    /// The sequence of the next commit.
    pub const fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// Reads one commit.
    pub fn read(&self, sequence: u64) -> Result<Commit, StoreError> {
        read(&*self.blobs, sequence)
    }

    /// Reads every commit from `sequence` on, in order.
    pub fn read_from(&self, sequence: u64) -> Result<Vec<Commit>, StoreError> {
        (sequence..self.next_sequence).map(|sequence| self.read(sequence)).collect()
    }

    /// Reads every commit, in order.
    pub fn read_all(&self) -> Result<Vec<Commit>, StoreError> {
        self.read_from(0)
    }

    /// What every commit said, in order.
    pub fn read_said(&self) -> Result<Vec<Commit>, StoreError> {
        (0..self.next_sequence).map(|sequence| Ok(self.read(sequence)?.said())).collect()
    }

    /// From the newest commit back, as far as it is asked to: a chain has years.
    pub fn newest_first(&self) -> impl Iterator<Item = Result<Commit, StoreError>> {
        (0..self.next_sequence).rev().map(|sequence| self.read(sequence))
    }

    /// The newest commit; `None` while there is none.
    pub fn last(&self) -> Result<Option<Commit>, StoreError> {
        self.next_sequence.checked_sub(1).map(|last| self.read(last)).transpose()
    }

    /// The newest checkpoint to recover from: once one is named, every later commit repeats it.
    pub fn newest_checkpoint(&self) -> Result<Option<Named>, StoreError> {
        Ok(self.last()?.and_then(|commit| commit.checkpoint))
    }

    /// The checkpoint named before `newest`, should that one be damaged; `None` where there is
    /// none, or it is more than 10,000 commits back.
    pub fn checkpoint_before(&self, newest: &Named) -> Result<Option<Named>, StoreError> {
        let first = self.next_sequence.saturating_sub(COMMITS_BACK_MAX);
        for sequence in (first..self.next_sequence).rev() {
            match self.read(sequence)?.checkpoint {
                Some(named) if named.after < newest.after => return Ok(Some(named)),
                Some(_) => {}
                None => break,
            }
        }
        Ok(None)
    }

    /// Writes the next commit; durable when this returns. Errors as for `Journal::append`.
    pub fn append(&mut self, commit: &Commit) -> Result<(), StoreError> {
        assert_eq!(commit.sequence, self.next_sequence, "commits are dense");
        let key = key::commit(commit.sequence);
        let bytes = encode(commit)?;
        // One that cannot be read would stop every later start: a NaN does that, and is a bug.
        assert_eq!(decode(&bytes).as_ref(), Ok(commit), "a commit reads back as it was written");
        if let Claim::Other(standing) = claim(&*self.blobs, &key, &bytes)? {
            let other = decode(&standing).map_err(|what| StoreError::damaged(&key, what))?;
            counter!(names::LOST).increment(1);
            let (number, writer) = (commit.sequence, other.publisher);
            return Err(StoreError::Lost { key, number, writer });
        }
        counter!(names::COMMITS).increment(1);
        self.next_sequence += 1;
        Ok(())
    }
}

/// Reads the commit of that sequence; it must be there.
pub(crate) fn read(blobs: &dyn Blobs, sequence: u64) -> Result<Commit, StoreError> {
    let key = key::commit(sequence);
    let Some(bytes) = blobs.get(&key)? else {
        return Err(StoreError::Missing { key });
    };
    let commit = decode(&bytes).map_err(|what| StoreError::damaged(&key, what))?;
    if commit.sequence == sequence {
        Ok(commit)
    } else {
        Err(StoreError::damaged(&key, format!("it is commit {}", commit.sequence)))
    }
}

fn encode(commit: &Commit) -> Result<Vec<u8>, StoreError> {
    let json =
        serde_json::to_vec(commit).map_err(|error| StoreError::encode("a commit")(error.into()))?;
    Ok(with_checksum(json))
}

fn with_checksum(mut json: Vec<u8>) -> Vec<u8> {
    json.push(b'\n');
    let checksum = sha256(&json);
    json.extend(checksum.as_bytes());
    json.push(b'\n');
    json
}

fn decode(bytes: &[u8]) -> Result<Commit, String> {
    let json = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if with_checksum(json.to_owned()) != bytes {
        return Err("it does not match its checksum".to_owned());
    }
    serde_json::from_slice(json).map_err(|error| format!("it cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use schemas::commit::MergedRange;
    use schemas::{Counts, FileRecord, Stream, StreamKind, Timestamp};

    use super::*;
    use crate::blobs::MemoryStore;

    fn commit(sequence: u64, publisher: &str) -> Commit {
        let stream = Stream { kind: StreamKind::Telemetry, partition: 0 };
        let counts = Counts { received: 3, applied: 3, ..Counts::default() };
        Commit {
            v: 1,
            sequence,
            publisher: publisher.to_owned(),
            merged: vec![MergedRange { stream, first: 0, last: 0, start: 0, end: 3, counts }],
            evaluated_until: Some(Timestamp(60_000_000)),
            alerts: Vec::new(),
            cut: true,
            files: vec![FileRecord {
                dataset: "ring_health".to_owned(),
                path: "tables/ring_health/date=1970-01-01/x.parquet".to_owned(),
                bytes: 1,
                rows: 1,
                sha256: "00".repeat(32),
            }],
            ..Commit::default()
        }
    }

    fn chain_of(length: u64) -> Arc<MemoryStore> {
        let blobs = Arc::new(MemoryStore::new());
        let mut chain = Chain::open(Arc::<MemoryStore>::clone(&blobs)).unwrap();
        for sequence in 0..length {
            chain.append(&commit(sequence, "a")).unwrap();
        }
        blobs
    }

    fn open(blobs: &Arc<MemoryStore>) -> Result<Chain, StoreError> {
        Chain::open(Arc::<MemoryStore>::clone(blobs))
    }

    #[test]
    fn a_chain_is_read_back_as_it_was_written() {
        let chain = open(&chain_of(3)).unwrap();
        assert_eq!(chain.next_sequence(), 3);
        let expected: Vec<_> = (0..3).map(|sequence| commit(sequence, "a")).collect();
        assert_eq!(chain.read_all().unwrap(), expected);
        assert_eq!(chain.read_from(2).unwrap(), expected[2..]);
        let newest: Vec<_> = chain.newest_first().map(Result::unwrap).collect();
        assert!(newest.iter().rev().eq(&expected));
        let bare = |commit: &Commit| (commit.merged.is_empty(), commit.files.is_empty());
        let said = chain.read_said().unwrap();
        assert!(said.iter().all(|commit| bare(commit) == (true, true)));
        assert!(said.iter().map(|commit| commit.sequence).eq(0..3));
    }

    #[test]
    fn a_sequence_taken_by_another_is_lost_and_one_of_ours_is_not() {
        let blobs = chain_of(1);
        let (mut one, mut again) = (open(&blobs).unwrap(), open(&blobs).unwrap());
        let mut other = open(&blobs).unwrap();
        one.append(&commit(1, "a")).unwrap();
        again.append(&commit(1, "a")).unwrap();
        let lost = other.append(&commit(1, "b")).unwrap_err();
        assert!(
            matches!(&lost, StoreError::Lost { number: 1, writer, .. } if writer == "a"),
            "{lost}"
        );
    }

    #[test]
    fn the_end_is_found_at_every_length_and_from_every_hint() {
        for length in 0..40 {
            let blobs = chain_of(length);
            assert_eq!(open(&blobs).unwrap().next_sequence(), length);
            for hint in 0..=length {
                assert_eq!(end_of_log(&*blobs, hint, key::commit).unwrap(), length, "from {hint}");
            }
        }
    }

    #[test]
    fn a_reader_follows_a_chain_that_grows() {
        let blobs = chain_of(3);
        let (mut reader, mut writer) = (open(&blobs).unwrap(), open(&blobs).unwrap());
        assert_eq!(reader.refresh().unwrap(), Grown::No);
        writer.append(&commit(3, "a")).unwrap();
        writer.append(&commit(4, "a")).unwrap();
        assert_eq!((reader.refresh().unwrap(), reader.next_sequence()), (Grown::Yes, 5));
    }

    #[test]
    fn a_missing_commit_is_named() {
        for missing in 0..9 {
            let blobs = chain_of(10);
            blobs.delete(&key::commit(missing)).unwrap();
            // Where the end was looked for: at the opening; elsewhere as soon as it is read.
            let error = open(&blobs).and_then(|chain| chain.read_all()).unwrap_err().to_string();
            let named = format!("`{}` is ", key::commit(missing));
            assert!(error.starts_with(&named) && error.contains("missing"), "{error}");
        }
    }

    #[test]
    fn the_newest_checkpoint_is_that_of_the_last_commit_and_the_one_before_is_found() {
        let named = |after| Named {
            after,
            path: format!("system/checkpoints/{after}"),
            bytes: 1,
            sha256: String::new(),
        };
        let blobs = chain_of(1);
        let mut chain = open(&blobs).unwrap();
        assert_eq!(chain.newest_checkpoint().unwrap(), None);
        for checkpoint in [None, Some(0), Some(0), Some(2), Some(2), Some(4), Some(4)] {
            let sequence = chain.next_sequence();
            let checkpoint = checkpoint.map(named);
            chain.append(&Commit { checkpoint, ..commit(sequence, "a") }).unwrap();
        }
        assert_eq!(chain.newest_checkpoint().unwrap(), Some(named(4)));
        let before = |after| chain.checkpoint_before(&named(after)).unwrap();
        assert_eq!(before(4), Some(named(2)));
        assert_eq!(before(2), Some(named(0)));
        assert_eq!(before(0), None);
    }

    #[test]
    fn every_flipped_byte_and_every_cut_is_noticed() {
        let sound = encode(&commit(0, "a")).unwrap();
        for at in 0..sound.len() {
            let mut flipped = sound.clone();
            flipped[at] ^= 1 << (at % 8);
            assert!(decode(&flipped).is_err(), "byte {at} flipped");
            assert!(decode(&sound[..at]).is_err(), "cut to {at} bytes");
        }
    }
}
