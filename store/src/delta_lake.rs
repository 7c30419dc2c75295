//! A Delta Lake log over the files of the tables, for readers that want a dataset as one table
//! with versions (feature `delta`).
//!
//! ```text
//! commit s of the chain ─► files, settled, dropped ─► by dataset: what is added, what is removed
//!                       ─► delta/<dataset>/_delta_log/<version>.json           put-if-absent
//!        each 100th ─► <version>.checkpoint.parquet, _last_checkpoint
//! state after s ─► system/delta/state                                           now and then
//! ```
//! Version 0 says the columns, each later one what one commit changed. A log follows from the chain
//! and from nothing else, so whoever writes a version, after whatever crash, writes the same bytes.
//! Files are named where they stand, by paths that leave the table's folder; nothing under
//! `tables/` and `settled/` knows of it. Other programs may read the table and must not write
//! to it: what they would clean up are our files ([`actions`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use metrics::counter;
use schemas::commit::DroppedDay;
use schemas::{Commit, Dataset, FileRecord, SCHEMA_VERSION};
use serde::{Deserialize, Serialize};

mod actions;
mod checkpoint;

use actions::{Action, Operation};

use crate::blobs::{Blobs, Claim, claim};
use crate::chain::Chain;
use crate::error::StoreError;
use crate::{key, metrics as names};

/// Versions between two checkpoints, which spare a reader the versions before. 100: a day of
/// quarters of an hour; the format's own default is 10, for tables whose versions are dearer.
const CHECKPOINT_EVERY: u64 = 100;

/// Commits of the chain between two states written down: what a restart reads again. 256: two
/// hours of leases, read in a second or two from an object store.
const KEEP_EVERY: u64 = 256;

/// How to make the logs anew; part of every error that says they are not as they should be.
const REMEDY: &str = "stop ringwatch, delete `delta` and `system/delta`, and start it again: the \
                      log is made anew from the chain";

/// The logs of all datasets, followed up to one commit of the chain.
#[derive(Debug)]
pub struct DeltaLake {
    blobs: Arc<dyn Blobs>,
    /// Tells this folder's tables from those of one made anew.
    seed: [u64; 2],
    state: State,
    /// `next_sequence` of the state that was last written down.
    kept: u64,
}

/// What the next version follows from, beside the next commit.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    schema_version: u32,
    /// The next commit to follow.
    next_sequence: u64,
    tables: BTreeMap<Dataset, Table>,
}

/// One dataset's log.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Table {
    next_version: u64,
    /// The newest version with a checkpoint; version 0 needs none.
    checkpoint: u64,
    /// By path below the data folder, the files that the newest version has.
    files: BTreeMap<String, File>,
}

/// One file of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct File {
    bytes: u64,
    rows: u64,
    /// Event time of the commit that named it, Unix milliseconds: a clock of ours would make
    /// other bytes each time.
    added_at_ms: i64,
}

/// What a commit does to one dataset.
#[derive(Debug, Default, PartialEq, Eq)]
struct Difference {
    added: BTreeMap<String, File>,
    removed: BTreeSet<String>,
}

impl DeltaLake {
    /// The logs of that store, as they were last written down.
    ///
    /// `seed` is the data folder's own. A state that cannot be read is derived again.
    pub fn open(blobs: Arc<dyn Blobs>, seed: [u64; 2]) -> Result<Self, StoreError> {
        let state = match blobs.get(key::DELTA_STATE)? {
            Some(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                tracing::warn!(%error, "the state of the Delta log is read from the chain again");
                State::empty()
            }),
            None => State::empty(),
        };
        if state.schema_version != SCHEMA_VERSION {
            let what = format!("it is of schema version {}; {REMEDY}", state.schema_version);
            return Err(StoreError::damaged(key::DELTA_STATE, what));
        }
        let kept = state.next_sequence;
        Ok(Self { blobs, seed, state, kept })
    }

    /// Whether every commit of `chain` is in the logs.
    pub const fn has_all_of(&self, chain: &Chain) -> bool {
        self.state.next_sequence >= chain.next_sequence()
    }

    /// Follows up to `commits_max` commits of `chain`; after an error the same call goes on.
    ///
    /// Every file of the commits in `chain` must have been published.
    pub fn follow(&mut self, chain: &Chain, commits_max: u64) -> Result<(), StoreError> {
        for &dataset in Dataset::ALL {
            self.begin(dataset)?;
        }
        let until = self.state.next_sequence.saturating_add(commits_max);
        while self.state.next_sequence < until.min(chain.next_sequence()) {
            let commit = chain.read(self.state.next_sequence)?;
            for &dataset in Dataset::ALL {
                self.note(dataset, &commit)?;
            }
            self.state.next_sequence += 1;
            if self.state.next_sequence - self.kept >= KEEP_EVERY {
                self.keep()?;
            }
        }
        Ok(())
    }

    /// Writes the state down, if it has changed. Where that fails a restart reads more again.
    pub fn keep(&mut self) -> Result<(), StoreError> {
        if self.kept == self.state.next_sequence {
            return Ok(());
        }
        let bytes = serde_json::to_vec(&self.state)
            .map_err(|error| StoreError::encode("the state of the Delta log")(error.into()))?;
        self.blobs.replace(key::DELTA_STATE, &bytes)?;
        self.kept = self.state.next_sequence;
        Ok(())
    }

    /// Writes version 0 of a dataset, which says what its columns are.
    fn begin(&mut self, dataset: Dataset) -> Result<(), StoreError> {
        if self.state.tables.contains_key(&dataset) {
            return Ok(());
        }
        self.put(dataset, 0, &actions::of_table(dataset, self.seed))?;
        self.state.tables.insert(dataset, Table { next_version: 1, ..Table::default() });
        Ok(())
    }

    /// Writes the version that a commit makes of a dataset, if it changes it.
    fn note(&mut self, dataset: Dataset, commit: &Commit) -> Result<(), StoreError> {
        let Some(table) = self.state.tables.get(&dataset) else { return Ok(()) };
        let difference = table.difference(dataset, commit);
        if difference == Difference::default() {
            // Also where the same commit was followed before, and failed after its version.
            return self.checkpoint(dataset, commit.sequence);
        }
        let version = table.next_version;
        let actions = difference.actions(commit, table);
        self.put(dataset, version, &actions)?;
        let Some(table) = self.state.tables.get_mut(&dataset) else { return Ok(()) };
        table.next_version += 1;
        table.files.retain(|path, _| !difference.removed.contains(path));
        table.files.extend(difference.added);
        self.checkpoint(dataset, commit.sequence)
    }

    /// Puts a version; one that stands already must be the same.
    fn put(&self, dataset: Dataset, version: u64, actions: &[Action]) -> Result<(), StoreError> {
        let key = key::delta_version(dataset, version);
        match claim(&*self.blobs, &key, &actions::lines(actions)?)? {
            Claim::Mine => {
                counter!(names::DELTA_VERSIONS).increment(1);
                Ok(())
            }
            Claim::Other(_) => {
                let what = format!("it is not the version that follows from the chain; {REMEDY}");
                Err(StoreError::damaged(&key, what))
            }
        }
    }

    /// Writes down all that the newest version has, if that is due, so that readers need none
    /// before it. One that stands there already says the same, whoever wrote it.
    fn checkpoint(&mut self, dataset: Dataset, sequence: u64) -> Result<(), StoreError> {
        let Some(table) = self.state.tables.get_mut(&dataset) else { return Ok(()) };
        let version = table.next_version - 1;
        if !version.is_multiple_of(CHECKPOINT_EVERY) || version == table.checkpoint {
            return Ok(());
        }
        let mut actions = actions::of_table(dataset, self.seed);
        actions.push(Action::txn(sequence));
        actions.extend(table.files.iter().map(|(path, file)| Action::add(path, *file)));
        let bytes = checkpoint::encode(&actions::lines(&actions)?)
            .map_err(StoreError::encode("a checkpoint of a Delta log"))?;
        self.blobs.put_if_absent(&key::delta_checkpoint(dataset, version), &bytes)?;
        let newest = actions::last_checkpoint(version, actions.len());
        self.blobs.replace(&key::delta_last_checkpoint(dataset), newest.as_bytes())?;
        table.checkpoint = version;
        Ok(())
    }
}

impl State {
    const fn empty() -> Self {
        Self { schema_version: SCHEMA_VERSION, next_sequence: 0, tables: BTreeMap::new() }
    }
}

impl Table {
    /// What a commit adds and removes. A settled file takes the place of the table files of its
    /// day that came before it; a dropped day takes all that came up to the drop.
    fn difference(&self, dataset: Dataset, commit: &Commit) -> Difference {
        let of_dataset = |file: &&FileRecord| file.dataset == dataset.name();
        let added_at_ms = actions::event_time_ms(commit);
        let named = commit.files.iter().chain(&commit.settled).filter(of_dataset);
        let mut added: BTreeMap<String, File> = named
            .map(|file| {
                (file.path.clone(), File { bytes: file.bytes, rows: file.rows, added_at_ms })
            })
            .collect();
        let mut gone = BTreeSet::new();
        let mut take = |date: &str, until: u64, folders: &[&str]| {
            for path in self.files.keys().chain(added.keys()) {
                let is_of_day = key::parse_day(path).is_some_and(|(_, day)| day == date);
                let is_before = key::parse_file(path).is_some_and(|(of_file, _)| of_file < until);
                let is_in = folders.iter().any(|folder| path.starts_with(folder));
                if is_of_day && is_before && is_in {
                    gone.insert(path.clone());
                }
            }
        };
        for file in commit.settled.iter().filter(of_dataset) {
            if let Some((_, date)) = key::parse_day(&file.path) {
                take(date, commit.sequence, &[key::TABLES]);
            }
        }
        for day in commit.dropped.iter().filter(|day| day.dataset == dataset.name()) {
            take(&day.date, commit.sequence + 1, &[key::TABLES, key::SETTLED]);
        }
        added.retain(|path, _| !gone.contains(path) && !self.files.contains_key(path));
        gone.retain(|path| self.files.contains_key(path));
        Difference { added, removed: gone }
    }
}

impl Difference {
    /// The lines of the version, in the order that the format's own writers keep.
    fn actions(&self, commit: &Commit, before: &Table) -> Vec<Action> {
        let is_dropped = |path: &String| {
            key::parse_day(path).is_some_and(|(of, date)| {
                let is_it = |day: &DroppedDay| day.dataset == of.name() && day.date == date;
                commit.dropped.iter().any(is_it)
            })
        };
        // One commit can drop a day and settle another: each file goes for its own reason.
        let operation = match () {
            () if self.removed.iter().any(is_dropped) => Operation::Delete,
            () if !self.removed.is_empty() => Operation::Optimize,
            () => Operation::Write,
        };
        let mut actions = vec![
            Action::commit_info(operation, actions::event_time_ms(commit)),
            Action::txn(commit.sequence),
        ];
        for path in &self.removed {
            let bytes = before.files.get(path).map_or(0, |file| file.bytes);
            let why = if is_dropped(path) { Operation::Delete } else { Operation::Optimize };
            actions.push(Action::remove(path, bytes, why, actions::event_time_ms(commit)));
        }
        actions.extend(self.added.iter().map(|(path, file)| Action::add(path, *file)));
        actions
    }
}

#[cfg(test)]
mod tests;
