//! The publisher's state, written down and derived again.
//!
//! ```text
//! last commit ─► names a checkpoint ─► state after an earlier commit ─┐
//!        └─ none, or unreadable: the empty state ─────────────────────┴─► every later commit again
//! ```
//! A checkpoint counts only because a later commit names it with its hash.

use std::sync::Arc;
use std::time::Duration;

use aggregate::merge::Merge;
use alerts::{Desk, Engine};
use schemas::commit::{Commit, MergedRange};
use schemas::{Alert, Counts, Named, Timestamp};
use serde::{Deserialize, Serialize};
use store::states::{self, Holder};
use store::{Chain, Journal, StoreError};

use super::leader::{Leader, Published, Setting, is_unreadable};
use super::office::Waits;
use super::ranges::Merged;
use crate::history::History;
use crate::metrics;
use crate::patience::patiently;
use crate::pipeline::PipelineError;

/// What a checkpoint holds beside merge and engine.
#[derive(Serialize, Deserialize)]
struct Kept {
    unpublished: Vec<MergedRange>,
    alerts_unpublished: Vec<Alert>,
    episodes: Vec<Alert>,
    /// Absent in states of versions without one.
    #[serde(default)]
    desk: Option<Desk>,
    evaluated_until: Option<Timestamp>,
    windows: u64,
    counts: Counts,
    published: Published,
}

impl Leader {
    /// Derives the state of the last commit from the chain and the journals.
    pub(super) fn recover(setting: &Setting, waits: Waits) -> Result<Self, PipelineError> {
        let (clock, stop) = (&*setting.clock, &setting.stop);
        let (chain, last) = patiently("read the chain", clock, stop, || {
            let chain = Chain::open(Arc::clone(&setting.store))?;
            let last = chain.next_sequence().checked_sub(1);
            let last = last.map(|last| chain.read(last)).transpose()?;
            Ok((chain, last))
        })?;
        let mut named = last.as_ref().and_then(|last| last.checkpoint.clone());
        let (mut leader, next) = loop {
            let Some(tried) = named else { break (Self::empty(setting, chain), 0) };
            match Self::from_checkpoint(setting, chain.clone(), &tried) {
                Err(PipelineError::Store(error)) if is_unreadable(&error) => {
                    tracing::warn!(%error, "passing over a checkpoint");
                    let before = || chain.checkpoint_before(&tried);
                    named = patiently("read the chain", clock, stop, before)?;
                }
                recovered => break recovered?,
            }
        };
        let end = leader.chain.next_sequence();
        let mut commits = Vec::new();
        for sequence in next..end {
            let commit = leader.patiently("read the chain", || leader.chain.read(sequence))?;
            leader.repeat(&commit)?;
            commits.push(commit);
        }
        leader.patiently("publish", || leader.tables.recover_files(&commits))?;
        leader.waits = waits.after(last.as_ref(), &setting.writer, clock.monotonic());
        tracing::info!(commits = end, repeated = end - next, "publisher recovered");
        Ok(leader)
    }

    fn empty(setting: &Setting, chain: Chain) -> Self {
        let merge = Merge::new(setting.merge.clone(), &setting.streams_begun);
        let engine = Engine::new(setting.detection.clone());
        Self::new(setting, chain, merge, engine)
    }

    /// The state of a checkpoint and the next commit to repeat.
    fn from_checkpoint(
        setting: &Setting,
        chain: Chain,
        named: &Named,
    ) -> Result<(Self, u64), PipelineError> {
        let read = || states::read(&*setting.store, named);
        let bytes = patiently("read a checkpoint", &*setting.clock, &setting.stop, read)?;
        let unreadable = |what: String| StoreError::Damaged { key: named.path.clone(), what };
        let ([kept, merge, engine], history) =
            sections(&bytes).ok_or_else(|| unreadable("it is cut short".to_owned()))?;
        let kept: Kept =
            serde_json::from_slice(kept).map_err(|error| unreadable(error.to_string()))?;
        let merge = Merge::load(setting.merge.clone(), &setting.streams_begun, merge)
            .map_err(|error| unreadable(error.to_string()))?;
        let engine = Engine::load(setting.detection.clone(), engine)
            .map_err(|error| unreadable(error.to_string()))?;
        let mut leader = Self::new(setting, chain, merge, engine);
        leader.unpublished = Merged::of(kept.unpublished);
        leader.alerts_unpublished = kept.alerts_unpublished;
        leader.desk = kept.desk.unwrap_or_else(|| Desk::with_open(&kept.episodes));
        leader.episodes = kept.episodes;
        leader.evaluated_until = kept.evaluated_until;
        leader.windows = kept.windows;
        leader.counts = kept.counts;
        leader.published = kept.published;
        leader.history = history.map(History::load).unwrap_or_default();
        leader.checkpoint = Some(named.clone());
        Ok((leader, named.after + 1))
    }

    /// Writes the state down, if that is due. A failure only makes a later recovery longer.
    pub(super) fn write_checkpoint(&mut self, sequence: u64, now: Duration) {
        let Some(interval) = self.setting.rule.checkpoint_interval else { return };
        if now.saturating_sub(self.last.checkpoint) < interval {
            return;
        }
        let _span = tracing::debug_span!(target: "spans", "checkpoint").entered();
        self.last.checkpoint = now;
        let kept = Kept {
            unpublished: self.unpublished.to_vec(),
            alerts_unpublished: self.alerts_unpublished.clone(),
            episodes: self.episodes.clone(),
            desk: Some(self.desk.clone()),
            evaluated_until: self.evaluated_until,
            windows: self.windows,
            counts: self.counts,
            published: self.published,
        };
        let written =
            serde_json::to_vec(&kept).map_err(|error| error.to_string()).and_then(|kept| {
                let history = self.history.save().map_err(|error| error.to_string())?;
                let parts = [&kept[..], &self.merge.save(), &self.engine.save(), &history];
                let bytes = joined(parts);
                states::write(
                    &*self.setting.store,
                    Holder::Publisher,
                    sequence,
                    &self.setting.writer,
                    &bytes,
                )
                .map_err(|error| error.to_string())
            });
        match written {
            Ok(named) => {
                metrics::checkpoint();
                self.checkpoint = Some(named);
            }
            Err(error) => tracing::warn!(error, "a checkpoint could not be written"),
        }
    }

    /// Takes the steps of a commit again: the same alerts must come of it.
    fn repeat(&mut self, commit: &Commit) -> Result<(), PipelineError> {
        for stream in &commit.left_out {
            self.merge.leave_out(*stream);
        }
        self.evaluate_ready();
        let mut next: Vec<u64> = commit.merged.iter().map(|range| range.first).collect();
        let by_stream = || {
            let ranges = (0..).zip(&commit.merged);
            ranges.flat_map(|(at, range)| (range.first..=range.last).map(move |_| at)).collect()
        };
        let order = if commit.order.is_empty() { by_stream() } else { commit.order.clone() };
        for at in order {
            let (Some(range), Some(number)) =
                (commit.merged.get(at as usize), next.get_mut(at as usize))
            else {
                return Err(PipelineError::ChainDiverged { sequence: commit.sequence });
            };
            let (stream, store) = (range.stream, &self.setting.store);
            let entry = self.patiently("read a journal", || {
                let missing = || StoreError::Broken {
                    stream,
                    what: format!(
                        "entry {number} is missing, which commit {} names",
                        commit.sequence
                    ),
                };
                Journal::read_next(&**store, stream, *number)?.ok_or_else(missing)
            })?;
            *number += 1;
            self.take_in(&entry);
        }
        for command in &commit.commands {
            self.desk.obey(command, self.evaluated_until, &mut self.raised);
        }
        let said = std::mem::take(&mut self.raised);
        if (&said.alerts, &said.quiet) != (&commit.alerts, &commit.quiet) {
            return Err(PipelineError::ChainDiverged { sequence: commit.sequence });
        }
        self.alerts_unpublished.extend(commit.alerts.iter().cloned());
        self.uncommitted = Merged::default();
        if commit.cut {
            // The rows are in the files; cutting again moves the revisions on.
            drop(self.merge.cut());
        }
        self.checkpoint.clone_from(&commit.checkpoint);
        self.note(commit);
        Ok(())
    }
}

/// Parts of a checkpoint, each after its length.
fn joined(parts: [&[u8]; 4]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.len() + 8).sum());
    for part in parts {
        bytes.extend((part.len() as u64).to_le_bytes());
        bytes.extend(part);
    }
    bytes
}

/// The three parts that every state has, and the curves, which states of older versions lack.
type Sections<'a> = ([&'a [u8]; 3], Option<&'a [u8]>);

fn sections(mut bytes: &[u8]) -> Option<Sections<'_>> {
    let rest = &mut bytes;
    let parts = [section(rest)?, section(rest)?, section(rest)?];
    let history = if rest.is_empty() { None } else { Some(section(rest)?) };
    Some((parts, history))
}

fn section<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let (part, rest) = rest.split_at_checked(u64::from_le_bytes(*length) as usize)?;
    *bytes = rest;
    Some(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_checkpoint_are_found_again_and_every_cut_is_noticed() {
        let bytes = joined([b"one", b"", b"three", b"four"]);
        let whole = ([&b"one"[..], b"", b"three"], Some(&b"four"[..]));
        assert_eq!(sections(&bytes), Some(whole));
        // Without the last part it is a state of an older version.
        let older = bytes.len() - 12;
        assert_eq!(sections(&bytes[..older]), Some((whole.0, None)));
        let cut = (0..bytes.len()).filter(|length| *length != older);
        assert!(cut.into_iter().all(|length| sections(&bytes[..length]).is_none()));
    }
}
