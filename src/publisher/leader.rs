//! The steps of whoever publishes.
//!
//! ```text
//! Entry ─► Merge ─► window ready ─► Engine ─► transitions ─► commit ─► deliveries
//!            └────── rows wait ─────────────► tables staged ─► commit ─► visible ─► checkpoint
//! ```
//! Its state is derived: after a restart the chain says which entries each commit merged, and the
//! same steps give the same windows, alerts and revisions again, or we stop (`ChainDiverged`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aggregate::merge::{Merge, MergeConfig, MergeRefused, SKETCHES_MAX};
use alerts::delivery::Committed;
use alerts::{Desk, DetectionConfig, Engine, LinkRule, Said};
use schemas::commit::{Commit, FileRecord};
use schemas::{Alert, Counts, Entry, Named, SCHEMA_VERSION, Stream, StreamKind, Timestamp};
use serde::{Deserialize, Serialize};
use store::{Blobs, Chain, Journal, SourceRange, StoreError, Tables, TopicNames};
use tracing::debug_span;

use super::PublisherParts;
use super::housekeeping::{Chores, Housekeeping};
use super::office::Waits;
use super::ranges::Merged;
use super::stragglers::Stragglers;
use crate::clock::Clock;
use crate::config::{HousekeepingRule, PublishRule};
use crate::history::History;
use crate::patience::patiently;
use crate::pipeline::PipelineError;
use crate::shutdown::Stop;
use crate::summary::{Summary, last_states};
use crate::view::SharedView;

/// Entries read from one journal before others have their turn.
const ENTRIES_PER_TURN: usize = 64;

/// What stays the same whoever leads.
#[derive(Clone)]
pub(super) struct Setting {
    pub(super) store: Arc<dyn Blobs>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) stop: Stop,
    pub(super) streams: Vec<Stream>,
    pub(super) streams_begun: Vec<Stream>,
    pub(super) topics: TopicNames,
    pub(super) merge: MergeConfig,
    pub(super) detection: DetectionConfig,
    pub(super) links: LinkRule,
    pub(super) rule: PublishRule,
    pub(super) housekeeping: Option<HousekeepingRule>,
    #[cfg(feature = "delta")]
    pub(super) delta: crate::config::DeltaRule,
    pub(super) writer: String,
    /// Tells the folder from one made anew.
    pub(super) hash_seed: [u64; 2],
    pub(super) view: SharedView,
}

impl Setting {
    pub(super) fn new(parts: &PublisherParts<'_>) -> Self {
        let (config, topics) = (parts.config, &parts.topics);
        let names = StreamKind::ALL.iter().map(|kind| (*kind, topics.of(*kind).to_owned()));
        let merge = MergeConfig {
            window_length: config.fold.window_length,
            rings: config.fold.rings.clone(),
            topics: names.collect(),
            windows_max: config.windows_max,
            changes_max: usize::from(config.fold.limits.changes_max),
            sketches_max: SKETCHES_MAX,
        };
        Self {
            store: Arc::clone(&parts.store),
            clock: Arc::clone(&parts.clock),
            stop: parts.stop.clone(),
            streams: parts.streams.clone(),
            streams_begun: parts.streams_begun.clone(),
            topics: topics.clone(),
            merge,
            detection: config.detection.clone(),
            links: config.links.clone(),
            rule: config.publish,
            housekeeping: config.housekeeping,
            #[cfg(feature = "delta")]
            delta: config.delta,
            writer: parts.writer.clone(),
            hash_seed: config.fold.hash_seed,
            view: parts.view.clone(),
        }
    }
}

/// The publisher's state while it leads.
pub(super) struct Leader {
    pub(super) setting: Setting,
    pub(super) chain: Chain,
    pub(super) tables: Tables,
    pub(super) merge: Merge,
    pub(super) engine: Engine,
    pub(super) desk: Desk,
    /// For people.
    pub(super) history: History,
    /// Entries merged since the last commit, and since the last commit with files.
    pub(super) uncommitted: Merged,
    pub(super) unpublished: Merged,
    /// Streams of which entries were read that another process wrote, since the last commit.
    foreign: Vec<Stream>,
    /// Transitions since the last commit, and since the last commit with files.
    pub(super) raised: Said,
    pub(super) alerts_unpublished: Vec<Alert>,
    /// Every episode, in its last state.
    pub(super) episodes: Vec<Alert>,
    pub(super) evaluated_until: Option<Timestamp>,
    pub(super) windows: u64,
    /// Windows evaluated when the verdicts were last shown.
    pub(super) shown_windows: u64,
    /// What the merge had refused when that was last counted.
    refused: MergeRefused,
    /// Of telemetry.
    pub(super) counts: Counts,
    pub(super) published: Published,
    /// The newest durable checkpoint: named by every later commit.
    pub(super) checkpoint: Option<Named>,
    pub(super) last: Last,
    /// When each stream last brought an entry by the queue.
    fed: BTreeMap<Stream, Duration>,
    pub(super) stragglers: Stragglers,
    /// For the next commit to say.
    pub(super) left_out: Vec<Stream>,
    pub(super) waits: Waits,
    /// Whether alerts may go out in this lead.
    pub(super) sends: bool,
    /// Commits to offer to the deliveries.
    pub(super) undelivered: Vec<Committed>,
    pub(super) house: Option<Housekeeping>,
    #[cfg(feature = "delta")]
    pub(super) following: super::delta_lake::Following,
    /// For the next commit to name.
    chores: Chores,
}

/// What has been shown to readers.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Published {
    pub(super) files: u64,
    pub(super) rows: u64,
}

/// Monotonic times of what is done at intervals.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Last {
    pub(super) commit: Duration,
    pub(super) publish: Duration,
    pub(super) checkpoint: Duration,
    pub(super) poll: Duration,
}

/// Whether a commit brings tables.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Publishing {
    Nothing,
    Tables,
}

/// Whether the publisher goes on after a commit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Leave {
    No,
    Yes,
}

impl Leader {
    /// A leader before the first commit, or with the state of a checkpoint.
    pub(super) fn new(setting: &Setting, chain: Chain, merge: Merge, engine: Engine) -> Self {
        let now = setting.clock.monotonic();
        Self {
            chain,
            tables: Tables::new(Arc::clone(&setting.store)),
            merge,
            engine,
            desk: Desk::default(),
            history: History::default(),
            uncommitted: Merged::default(),
            unpublished: Merged::default(),
            foreign: Vec::new(),
            raised: Said::default(),
            alerts_unpublished: Vec::new(),
            episodes: Vec::new(),
            evaluated_until: None,
            windows: 0,
            shown_windows: 0,
            refused: MergeRefused::default(),
            counts: Counts::default(),
            published: Published::default(),
            checkpoint: None,
            last: Last { commit: now, publish: now, checkpoint: now, poll: now },
            fed: BTreeMap::new(),
            stragglers: Stragglers::default(),
            left_out: Vec::new(),
            waits: Waits::default(),
            sends: false,
            undelivered: Vec::new(),
            house: None,
            #[cfg(feature = "delta")]
            following: super::delta_lake::Following::new(setting.delta),
            chores: Chores::default(),
            setting: setting.clone(),
        }
    }

    /// What time brings: entries of other processes, commits, tables.
    pub(super) fn tick(&mut self) -> Result<(), PipelineError> {
        let now = self.setting.clock.monotonic();
        let rule = self.setting.rule;
        if let Some(every) = rule.poll_interval
            && now.saturating_sub(self.last.poll) >= every
        {
            self.last.poll = now;
            let silent = |at: &Duration| now.saturating_sub(*at) >= every * 4;
            for stream in self.setting.streams.clone() {
                if self.fed.get(&stream).is_none_or(silent) {
                    self.read_journal(stream, ENTRIES_PER_TURN)?;
                }
            }
            self.leave_out_stragglers(now)?;
            self.obey_commands()?;
        }
        self.commit_if_raised()?;
        if self.is_publishing_due(now) {
            self.commit(Publishing::Tables, Leave::No)?;
        } else if rule.lease.is_some_and(|lease| now.saturating_sub(self.last.commit) >= lease) {
            self.commit(Publishing::Nothing, Leave::No)?;
        }
        #[cfg(feature = "delta")]
        self.follow_in_delta();
        self.keep_house()
    }

    fn commit_if_raised(&mut self) -> Result<(), PipelineError> {
        if self.raised.is_empty() {
            return Ok(());
        }
        self.commit(Publishing::Nothing, Leave::No)
    }

    pub(super) fn has_rows(&self) -> bool {
        self.merge.rows_pending() > 0 || !self.alerts_unpublished.is_empty()
    }

    fn is_publishing_due(&self, now: Duration) -> bool {
        let rule = &self.setting.rule;
        let past = |interval| now.saturating_sub(self.last.publish) >= interval;
        let is_large = self.merge.rows_pending() >= rule.rows_max || self.merge.is_full();
        self.has_rows() && (rule.interval.is_some_and(past) || is_large)
    }

    /// Merges an entry of ours, and before it those that did not find room in the queue.
    pub(super) fn merge_entry(&mut self, entry: &Entry) -> Result<(), PipelineError> {
        let (stream, number) = (entry.header.stream, entry.header.number);
        if self.setting.rule.poll_interval.is_some() {
            self.fed.insert(stream, self.setting.clock.monotonic());
        }
        while self.merge.next_number(stream) < number {
            if self.read_journal(stream, ENTRIES_PER_TURN)? == 0 {
                return Ok(());
            }
        }
        // One far ahead is left in its journal until the others have come closer.
        if self.merge.next_number(stream) == number && !self.merge.is_ahead(stream) {
            self.take_in(entry);
            self.show();
        }
        self.commit_if_raised()
    }

    /// Merges whatever stands in the journals.
    pub(super) fn catch_up(&mut self) -> Result<(), PipelineError> {
        loop {
            let mut read = 0;
            for stream in self.setting.streams.clone() {
                read += self.read_journal(stream, ENTRIES_PER_TURN)?;
            }
            if read == 0 {
                return Ok(());
            }
            self.commit_if_raised()?;
        }
    }

    /// Merges up to `count_max` next entries of a journal: how many there were.
    fn read_journal(&mut self, stream: Stream, count_max: usize) -> Result<usize, PipelineError> {
        for read in 0..count_max {
            if self.merge.is_ahead(stream) {
                return Ok(read);
            }
            let number = self.merge.next_number(stream);
            let store = Arc::clone(&self.setting.store);
            let next =
                self.patiently("read a journal", || Journal::read_next(&*store, stream, number))?;
            let Some(entry) = next else { return Ok(read) };
            if !self.foreign.contains(&stream) {
                self.foreign.push(stream);
            }
            self.take_in(&entry);
            self.commit_if_raised()?;
        }
        Ok(count_max)
    }

    /// Merges an entry and evaluates what it makes ready.
    pub(super) fn take_in(&mut self, entry: &Entry) {
        let header = &entry.header;
        let (stream, number) = (header.stream, header.number);
        let _span = debug_span!(target: "spans", "merge", %stream, number).entered();
        self.merge.add(entry);
        self.uncommitted.add(header);
        self.unpublished.add(header);
        self.history.note(entry);
        if header.stream.kind == StreamKind::Telemetry {
            self.counts.add(&header.counts);
        }
        self.evaluate_ready();
    }

    /// Evaluates every window that all partitions waited for have closed.
    pub(super) fn evaluate_ready(&mut self) {
        while let Some((totals, registry, support)) = self.merge.next_window() {
            for record in &registry {
                self.engine.register(record);
            }
            for record in &support {
                self.engine.support(record);
            }
            self.desk.take(self.engine.evaluate(&totals), totals.end, &mut self.raised);
            self.history.add(&totals, &self.engine);
            self.evaluated_until = Some(totals.end);
            self.windows += 1;
        }
        let refused = self.merge.refused();
        refused.publish_since(&self.refused);
        self.refused = refused;
    }

    /// Writes one commit; with tables, these become visible after it is durable.
    pub(super) fn commit(
        &mut self,
        publishing: Publishing,
        leave: Leave,
    ) -> Result<(), PipelineError> {
        let store = Arc::clone(&self.setting.store);
        for stream in std::mem::take(&mut self.foreign) {
            // What another process wrote may be seen before it is durable.
            self.patiently("sync a journal", || Journal::sync(&*store, stream))?;
        }
        let seed = self.setting.hash_seed;
        // Whoever slept through a rebuild finds the next number free.
        self.patiently("look at the data folder", || store::look(&*store, seed))?;
        let sequence = self.chain.next_sequence();
        let said = std::mem::take(&mut self.raised);
        let alerts = said.alerts.len();
        let _span = debug_span!(target: "spans", "commit", sequence, alerts).entered();
        self.alerts_unpublished.extend(said.alerts.iter().cloned());
        let files = match publishing {
            Publishing::Nothing => Vec::new(),
            Publishing::Tables => self.stage(sequence)?,
        };
        let chores = std::mem::take(&mut self.chores);
        let commit = Commit {
            v: SCHEMA_VERSION,
            sequence,
            publisher: self.setting.writer.clone(),
            merged: self.uncommitted.to_vec(),
            order: self.uncommitted.order(),
            left_out: std::mem::take(&mut self.left_out),
            evaluated_until: self.evaluated_until,
            alerts: said.alerts,
            quiet: said.quiet,
            muted: said.muted,
            commands: said.commands,
            cut: publishing == Publishing::Tables,
            files,
            checkpoint: self.checkpoint.clone(),
            settled: chores.settled,
            dropped: chores.dropped,
            released: leave == Leave::Yes,
        };
        // From before the append: whoever takes over waits from after it.
        let now = self.setting.clock.monotonic();
        self.append(&commit)?;
        self.uncommitted = Merged::default();
        self.publish(&commit.files)?;
        self.publish(&commit.settled)?;
        self.note(&commit);
        self.last.commit = now;
        if publishing == Publishing::Tables {
            self.last.publish = now;
            self.write_checkpoint(sequence, now);
        }
        self.show();
        self.undelivered.push(Committed::of(commit, &self.setting.links));
        Ok(())
    }

    /// Commits what housekeeping has prepared, if anything; gives it back.
    pub(super) fn name_chores(&mut self, chores: Chores) -> Result<Chores, PipelineError> {
        if !chores.is_empty() {
            self.chores = chores.clone();
            self.commit(Publishing::Nothing, Leave::No)?;
            // Before files of dropped days go.
            #[cfg(feature = "delta")]
            self.follow_in_delta();
        }
        Ok(chores)
    }

    fn append(&mut self, commit: &Commit) -> Result<(), PipelineError> {
        let _span = debug_span!(target: "spans", "append to the chain").entered();
        let Self { chain, setting, .. } = self;
        Ok(patiently("commit", &*setting.clock, &setting.stop, || chain.append(commit))?)
    }

    fn publish(&self, files: &[FileRecord]) -> Result<(), PipelineError> {
        if files.is_empty() {
            return Ok(());
        }
        let _span = debug_span!(target: "spans", "publish", files = files.len()).entered();
        files.iter().try_for_each(|file| self.patiently("publish", || self.tables.publish(file)))
    }

    /// Encodes everything that waits into staged files.
    fn stage(&mut self, sequence: u64) -> Result<Vec<FileRecord>, PipelineError> {
        let _span = debug_span!(target: "spans", "stage tables").entered();
        let mut rows = self.merge.cut();
        let links = &self.setting.links;
        let alerts = self.alerts_unpublished.iter().map(|alert| links.linked(alert));
        rows.extend(aggregate::batches::alert_rows(&alerts.collect::<Vec<_>>()));
        let sources = SourceRange::of(self.unpublished.iter(), &self.setting.topics);
        let mut files = Vec::with_capacity(rows.len());
        for (number, rows) in (0..).zip(&rows) {
            let (dataset, date) = (rows.dataset, &rows.date);
            let file = self.patiently("stage a file", || {
                self.tables.stage(sequence, number, dataset, date, &rows.batch, &sources)
            })?;
            files.push(file);
        }
        Ok(files)
    }

    /// What a durable commit changes in memory, written now or read again.
    pub(super) fn note(&mut self, commit: &Commit) {
        if !commit.files.is_empty() {
            self.alerts_unpublished.clear();
            self.unpublished = Merged::default();
        }
        self.episodes = last_states(self.episodes.iter().chain(&commit.alerts));
        self.published.files += commit.files.len() as u64;
        self.published.rows += commit.files.iter().map(|file| file.rows).sum::<u64>();
    }

    pub(super) fn summary(self) -> Summary {
        let summary =
            Summary { windows: self.windows, alerts: self.episodes, ..Default::default() };
        summary.with(&self.counts)
    }
}

/// Whether a checkpoint or snapshot that cannot be read leaves an older one to try.
pub(super) const fn is_unreadable(error: &StoreError) -> bool {
    matches!(error, StoreError::Damaged { .. } | StoreError::Missing { .. })
}
