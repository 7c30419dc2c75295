//! The publishing half: journal entries in; windows evaluated, commits, tables, alerts out.
//!
//! ```text
//! Entry ─► Merge ─► window ready ─► Engine ─► transitions ─► commit ─► deliveries
//!            └────── rows wait ─────────────► tables staged ─► commit ─► tables visible
//! ```
//! Its state is derived: after a restart the chain says which entries each commit merged, and the
//! same steps give the same windows, alerts and revisions again, or we stop (`ChainDiverged`).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use aggregate::merge::{Merge, MergeConfig, MergeRefused};
use alerts::Engine;
use schemas::commit::{Commit, FileRecord, MergedRange};
use schemas::{Alert, Entry, SCHEMA_VERSION, Stream, StreamKind, Timestamp};
use store::{Blobs, Chain, Journal, SourceRange, Tables, TopicNames};

mod ranges;

use ranges::Merged;

use crate::clock::Clock;
use crate::config::{Config, PublishRule};
use crate::deliveries::Outbox;
use crate::pipeline::PipelineError;
use crate::summary::{Summary, last_states};
use crate::view::SharedView;

/// How long one wait for entries may last, so that the lease and the interval are kept.
const WAIT: Duration = Duration::from_millis(200);

/// What a publisher is made of.
#[expect(missing_debug_implementations, reason = "made of parts that have none")]
pub struct PublisherParts<'a> {
    pub store: Arc<dyn Blobs>,
    pub streams: Vec<Stream>,
    pub topics: TopicNames,
    pub config: &'a Config,
    pub writer: String,
    pub view: SharedView,
    pub deliveries: Vec<Outbox>,
}

/// Follows every journal and writes the chain and the tables.
#[expect(missing_debug_implementations, reason = "made of parts that have none")]
pub struct Publisher {
    store: Arc<dyn Blobs>,
    chain: Chain,
    tables: Tables,
    topics: TopicNames,
    merge: Merge,
    engine: Engine,
    rule: PublishRule,
    writer: String,
    /// Number of the next entry to merge, by stream.
    next: BTreeMap<Stream, u64>,
    /// Entries merged since the last commit, and since the last commit with files.
    uncommitted: Merged,
    unpublished: Merged,
    /// Transitions since the last commit, and since the last commit with files.
    raised: Vec<Alert>,
    alerts_unpublished: Vec<Alert>,
    /// Every episode, in its last state.
    episodes: Vec<Alert>,
    evaluated_until: Option<Timestamp>,
    windows: u64,
    /// Windows evaluated when the verdicts were last shown.
    shown_windows: u64,
    /// What the merge had refused when that was last counted.
    refused: MergeRefused,
    totals: Summary,
    view: SharedView,
    deliveries: Vec<Outbox>,
}

/// Monotonic times of the last commit and the last publication.
struct Last {
    commit: Duration,
    publish: Duration,
}

impl Publisher {
    /// Derives the state of before from the chain and the journals.
    pub fn recover(parts: PublisherParts<'_>) -> Result<Self, PipelineError> {
        let config = parts.config;
        let merge_config = MergeConfig {
            window_length: config.fold.window_length,
            rings: config.fold.rings.clone(),
            topics: StreamKind::ALL
                .iter()
                .map(|kind| (*kind, parts.topics.of(*kind).to_owned()))
                .collect(),
            windows_max: config.windows_max,
            changes_max: usize::from(config.fold.limits.changes_max),
        };
        let mut publisher = Self {
            chain: Chain::open(Arc::clone(&parts.store))?,
            tables: Tables::new(Arc::clone(&parts.store)),
            topics: parts.topics,
            merge: Merge::new(merge_config, &parts.streams),
            engine: Engine::new(config.detection.clone()),
            rule: config.publish,
            writer: parts.writer,
            next: parts.streams.iter().map(|stream| (*stream, 0)).collect(),
            uncommitted: Merged::default(),
            unpublished: Merged::default(),
            raised: Vec::new(),
            alerts_unpublished: Vec::new(),
            episodes: Vec::new(),
            evaluated_until: None,
            windows: 0,
            shown_windows: 0,
            refused: MergeRefused::default(),
            totals: Summary::default(),
            view: parts.view,
            deliveries: parts.deliveries,
            store: parts.store,
        };
        publisher.replay_chain()?;
        publisher.catch_up(&parts.streams)?;
        publisher.show();
        Ok(publisher)
    }

    /// Follows the workers until they are gone; then publishes what is left.
    pub fn follow(
        mut self,
        entries: &Receiver<Arc<Entry>>,
        clock: &dyn Clock,
    ) -> Result<Summary, PipelineError> {
        let start = clock.monotonic();
        let mut last = Last { commit: start, publish: start };
        if !self.uncommitted.is_empty() {
            // What was evaluated while catching up must be evaluated alike at the next start.
            self.commit(Publishing::Nothing)?;
        }
        loop {
            let received = entries.recv_timeout(WAIT);
            if let Ok(entry) = &received {
                self.merge_entry(entry)?;
                self.evaluate();
                self.count_refused();
                self.show();
            }
            let now = clock.monotonic();
            self.commit_if_raised(&mut last, now)?;
            if self.is_publishing_due(now, &last) {
                self.commit(Publishing::Tables)?;
                last = Last { commit: now, publish: now };
            } else if self.rule.lease.is_some_and(|lease| now.saturating_sub(last.commit) >= lease)
            {
                self.commit(Publishing::Nothing)?;
                last.commit = now;
            }
            if matches!(received, Err(RecvTimeoutError::Disconnected)) {
                break;
            }
        }
        if !self.uncommitted.is_empty() || self.has_rows() {
            self.commit(Publishing::Tables)?;
        }
        Ok(self.summary())
    }

    fn commit_if_raised(&mut self, last: &mut Last, now: Duration) -> Result<(), PipelineError> {
        if !self.raised.is_empty() {
            self.commit(Publishing::Nothing)?;
            last.commit = now;
        }
        Ok(())
    }

    fn has_rows(&self) -> bool {
        self.merge.rows_pending() > 0 || !self.alerts_unpublished.is_empty()
    }

    fn is_publishing_due(&self, now: Duration, last: &Last) -> bool {
        let interval_over =
            self.rule.interval.is_some_and(|interval| now.saturating_sub(last.publish) >= interval);
        let is_large = self.merge.rows_pending() >= self.rule.rows_max || self.merge.is_full();
        self.has_rows() && (interval_over || is_large)
    }

    /// Merges an entry, and before it those that came while nobody listened.
    fn merge_entry(&mut self, entry: &Entry) -> Result<(), PipelineError> {
        let stream = entry.header.stream;
        let next = self.next.get(&stream).copied().unwrap_or(0);
        if entry.header.number < next {
            return Ok(());
        }
        if entry.header.number > next {
            let journal = Journal::open(Arc::clone(&self.store), stream, self.writer.clone())?;
            for number in next..entry.header.number {
                self.take_in(&journal.read(number)?);
            }
        }
        self.take_in(entry);
        Ok(())
    }

    fn take_in(&mut self, entry: &Entry) {
        let header = &entry.header;
        self.merge.add(entry);
        self.uncommitted.add(header);
        self.unpublished.add(header);
        self.next.insert(header.stream, header.number + 1);
        if header.stream.kind == StreamKind::Telemetry {
            self.totals.count(&header.counts);
            self.view.lock().counts.add(&header.counts);
        }
    }

    /// Evaluates every window that all partitions have closed.
    fn evaluate(&mut self) {
        // Support cases are kept in the journal; the change process will watch them from here.
        while let Some((totals, registry, _support)) = self.merge.next_window() {
            for record in &registry {
                self.engine.register(record);
            }
            self.raised.extend(self.engine.evaluate(&totals));
            self.evaluated_until = Some(totals.end);
            self.windows += 1;
        }
    }

    /// Writes one commit; with tables, these become visible after it is durable.
    fn commit(&mut self, publishing: Publishing) -> Result<(), PipelineError> {
        let sequence = self.chain.next_sequence();
        self.alerts_unpublished.extend(self.raised.iter().cloned());
        let files = match publishing {
            Publishing::Nothing => Vec::new(),
            Publishing::Tables => self.stage(sequence)?,
        };
        let commit = Commit {
            v: SCHEMA_VERSION,
            sequence,
            publisher: self.writer.clone(),
            merged: self.uncommitted.take(),
            evaluated_until: self.evaluated_until,
            alerts: std::mem::take(&mut self.raised),
            cut: publishing == Publishing::Tables,
            files,
            ..Commit::default()
        };
        self.chain.append(&commit)?;
        for file in &commit.files {
            self.tables.publish(file)?;
        }
        self.note(&commit);
        self.show();
        let alerts: Vec<Arc<Alert>> = commit.alerts.into_iter().map(Arc::new).collect();
        for outbox in &self.deliveries {
            outbox.offer(sequence, &alerts);
        }
        Ok(())
    }

    /// Encodes everything that waits into staged files.
    fn stage(&mut self, sequence: u64) -> Result<Vec<FileRecord>, PipelineError> {
        let mut rows = self.merge.cut();
        rows.extend(aggregate::batches::alert_rows(&self.alerts_unpublished));
        let sources = SourceRange::of(self.unpublished.iter(), &self.topics);
        let mut files = Vec::with_capacity(rows.len());
        for (number, rows) in (0..).zip(&rows) {
            let file = self.tables.stage(
                sequence,
                number,
                rows.dataset,
                &rows.date,
                &rows.batch,
                &sources,
            )?;
            files.push(file);
        }
        Ok(files)
    }

    /// What a durable commit changes in memory, written now or read again.
    fn note(&mut self, commit: &Commit) {
        if !commit.files.is_empty() {
            self.alerts_unpublished.clear();
            self.unpublished.take();
        }
        self.episodes = last_states(self.episodes.iter().chain(&commit.alerts));
        let mut view = self.view.lock();
        view.files_published += commit.files.len() as u64;
        view.rows_published += commit.files.iter().map(|file| file.rows).sum::<u64>();
    }

    /// Adds what the merge's bounds refused since the last call to the counters.
    fn count_refused(&mut self) {
        let refused = self.merge.refused();
        refused.publish_since(&self.refused);
        self.refused = refused;
    }

    fn show(&mut self) {
        // Verdicts change with windows only, and making them takes longer than a lock may be held.
        let verdicts = (self.shown_windows != self.windows).then(|| self.engine.verdicts());
        self.shown_windows = self.windows;
        let mut view = self.view.lock();
        view.evaluated_until = self.evaluated_until;
        view.windows = self.windows;
        if let Some(verdicts) = verdicts {
            view.verdicts = verdicts;
        }
        view.alerts.clone_from(&self.episodes);
        view.recovered = true;
    }

    fn summary(self) -> Summary {
        Summary { windows: self.windows, alerts: self.episodes, ..self.totals }
    }

    /// Takes the steps of every commit again, and makes its files visible if a crash came between.
    fn replay_chain(&mut self) -> Result<(), PipelineError> {
        let commits = self.chain.read_all()?;
        let mut journals = BTreeMap::new();
        for commit in &commits {
            for range in &commit.merged {
                self.merge_range(range, &mut journals)?;
            }
            self.evaluate();
            if std::mem::take(&mut self.raised) != commit.alerts {
                return Err(PipelineError::ChainDiverged { sequence: commit.sequence });
            }
            self.alerts_unpublished.extend(commit.alerts.iter().cloned());
            self.uncommitted.take();
            if commit.cut {
                // The rows are in the files; cutting again moves the revisions on.
                drop(self.merge.cut());
            }
            self.note(commit);
        }
        self.tables.recover_files(&commits)?;
        Ok(())
    }

    fn merge_range(
        &mut self,
        range: &MergedRange,
        journals: &mut BTreeMap<Stream, Journal>,
    ) -> Result<(), PipelineError> {
        let journal = match journals.entry(range.stream) {
            Slot::Occupied(journal) => journal.into_mut(),
            Slot::Vacant(slot) => {
                let store = Arc::clone(&self.store);
                slot.insert(Journal::open(store, range.stream, self.writer.clone())?)
            }
        };
        for number in range.first..=range.last {
            self.take_in(&journal.read(number)?);
        }
        Ok(())
    }

    /// Merges the entries that no commit names yet.
    fn catch_up(&mut self, streams: &[Stream]) -> Result<(), PipelineError> {
        for &stream in streams {
            let journal = Journal::open(Arc::clone(&self.store), stream, self.writer.clone())?;
            for number in self.next.get(&stream).copied().unwrap_or(0)..journal.next_number() {
                self.take_in(&journal.read(number)?);
            }
        }
        self.evaluate();
        Ok(())
    }
}

/// Whether a commit brings tables.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Publishing {
    Nothing,
    Tables,
}
