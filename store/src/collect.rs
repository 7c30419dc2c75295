//! Collection: journal entries and states that no recovery can need any more are deleted.
//!
//! ```text
//! chain ─► commit that is old, below the older checkpoint, with its rows in tables ──┐
//! journal ─► the older named snapshot ────────────────────────────────────────────┼─► first number
//! journal_keep ─► the newest entries, so that a zombie meets a taken number ──────┘   that is kept
//! ```
//! Two checkpoints and two snapshots of each partition stay, and all that a recovery from the older
//! ones reads: one damaged state costs time and nothing else. Entries go in ascending order, so
//! after a crash what is left still follows on. The chain is never deleted.

use std::collections::BTreeMap;
use std::sync::Arc;

use metrics::counter;
use schemas::{Named, Stream, StreamKind, Timestamp};

use crate::blobs::{Blobs, end_of_log, exists, first_number};
use crate::chain::Chain;
use crate::error::StoreError;
use crate::journal::{SnapshotChoice, snapshot_back};
use crate::retention::Deleted;
use crate::tables::Tables;
use crate::{key, metrics as names};

/// The bounds of one collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CollectRule {
    /// Newest entries of each journal that stay whatever happens.
    pub journal_keep: u64,
    /// Objects deleted by one call.
    pub objects_max: u64,
    /// Commits read back by one call, for where each journal was merged.
    pub commits_max: u64,
}

impl Default for CollectRule {
    /// 100 entries: a worker that slept through them has long lost its session. 1,000 objects: a
    /// second or two on an object store, between two commits. 256 commits: two hours of commits.
    fn default() -> Self {
        Self { journal_keep: 100, objects_max: 1_000, commits_max: 256 }
    }
}

/// What one collection removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    pub entries: Deleted,
    /// Snapshots and checkpoints.
    pub states: Deleted,
    /// Staged files that no commit will name.
    pub leftovers: u64,
}

/// Deletes what no recovery needs, within the bounds; calling it again goes on.
///
/// `chain` is that of the publisher that calls, all of whose files have been published;
/// `old_until` is the newest commit that is old enough, by [`old_until()`] or otherwise.
/// Call it at least once every `commits_max` commits, or entries of idle partitions stay: where a
/// journal was merged is looked for that far back.
pub fn collect(
    blobs: &Arc<dyn Blobs>,
    chain: &Chain,
    old_until: Option<u64>,
    rule: CollectRule,
) -> Result<Collected, StoreError> {
    let mut collected = Collected::default();
    let tables = Tables::new(Arc::clone(blobs));
    collected.leftovers = tables.remove_leftovers(chain.next_sequence())?;
    let blobs = &**blobs;
    let newest = chain.newest_checkpoint()?;
    let before = match &newest {
        Some(newest) => chain.checkpoint_before(newest)?,
        None => None,
    };
    let states = &mut collected.states;
    delete_states(blobs, key::CHECKPOINTS, newest.as_ref(), before.as_ref(), states)?;
    let old = before.and_then(|named| Some(named.after.min(old_until?)));
    let last = chain.next_sequence().checked_sub(1);
    let merged = merged_until(chain, last, Rows::Anywhere, rule)?;
    let merged_old = merged_until(chain, old, Rows::InTables, rule)?;
    for (&stream, &merged) in &merged {
        let end = end_of_log(blobs, merged + 1, |number| key::journal_entry(stream, number))?;
        let mut kept = end.saturating_sub(rule.journal_keep);
        kept = kept.min(merged_old.get(&stream).map_or(0, |last| last + 1));
        if stream.kind == StreamKind::Telemetry {
            kept = kept.min(collect_snapshots(blobs, stream, end, &mut collected.states)?);
        }
        delete_entries(blobs, stream, kept, rule, &mut collected.entries)?;
    }
    counter!(names::COLLECTED).increment(collected.entries.objects + collected.states.objects);
    counter!(names::COLLECTED_BYTES).increment(collected.entries.bytes + collected.states.bytes);
    Ok(collected)
}

/// The newest commit by which nothing after `moment` had been evaluated.
pub fn old_until(chain: &Chain, moment: Timestamp) -> Result<Option<u64>, StoreError> {
    let is_newer = |sequence| Ok(chain.read(sequence)?.evaluated_until > Some(moment));
    Ok(first_number(0, chain.next_sequence(), is_newer)?.checked_sub(1))
}

/// Where the rows of a merged entry have to be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rows {
    Anywhere,
    InTables,
}

/// The last entry of each journal that the commits up to `until` merged.
fn merged_until(
    chain: &Chain,
    until: Option<u64>,
    rows: Rows,
    rule: CollectRule,
) -> Result<BTreeMap<Stream, u64>, StoreError> {
    let mut merged = BTreeMap::new();
    let mut counts = rows == Rows::Anywhere;
    let Some(until) = until else { return Ok(merged) };
    for sequence in (until.saturating_sub(rule.commits_max)..=until).rev() {
        let commit = chain.read(sequence)?;
        counts |= commit.cut;
        for range in commit.merged.iter().filter(|_| counts) {
            merged.entry(range.stream).or_insert(range.last);
        }
    }
    Ok(merged)
}

/// Deletes the snapshots of a partition but the newest two named; returns the first entry that a
/// recovery from the older one reads.
fn collect_snapshots(
    blobs: &dyn Blobs,
    stream: Stream,
    end: u64,
    deleted: &mut Deleted,
) -> Result<u64, StoreError> {
    let last = end.saturating_sub(1);
    let Some((at, newest)) = snapshot_back(blobs, stream, last, SnapshotChoice::Use)? else {
        return Ok(0);
    };
    let before = snapshot_back(blobs, stream, at, SnapshotChoice::Before(newest.after))?;
    let before = before.map(|(_, named)| named);
    let folder = key::snapshot_folder(stream);
    delete_states(blobs, &folder, Some(&newest), before.as_ref(), deleted)?;
    Ok(before.map_or(0, |named| named.after + 1))
}

/// Deletes the entries of a journal before `kept`, the oldest first.
fn delete_entries(
    blobs: &dyn Blobs,
    stream: Stream,
    kept: u64,
    rule: CollectRule,
    deleted: &mut Deleted,
) -> Result<(), StoreError> {
    let key_of = |number| key::journal_entry(stream, number);
    let first = first_number(0, kept, |number| exists(blobs, &key_of(number)))?;
    let room = rule.objects_max.saturating_sub(deleted.objects);
    for number in first..kept.min(first.saturating_add(room)) {
        deleted.delete(blobs, &key_of(number))?;
    }
    Ok(())
}

/// Deletes the states of a folder but the two, up to the newest: what was taken after that may be
/// about to be named.
fn delete_states(
    blobs: &dyn Blobs,
    folder: &str,
    newest: Option<&Named>,
    before: Option<&Named>,
    deleted: &mut Deleted,
) -> Result<(), StoreError> {
    let Some(newest) = newest else { return Ok(()) };
    for state in blobs.list(folder)? {
        let is_kept = state == newest.path || before.is_some_and(|named| named.path == state);
        if !is_kept && key::parse_state(&state).is_some_and(|after| after <= newest.after) {
            deleted.delete(blobs, &state)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
