//! What the group decides: partitions are taken over, handed over, given up.

use std::sync::atomic::Ordering;
use std::time::Duration;

use ingest::Source;
use schemas::{Stream, StreamKind};
use store::StoreError;

use super::{FOREIGN_MAX, LEADING_STREAM, Reader};
use crate::metrics;
use crate::pipeline::{Gaps, PipelineError};
use crate::worker::{self, Cut, Now, Target, Worker, WorkerRules};

/// Between two looks whether the folder is still the one we know: it is what a process that keeps
/// all its partitions learns of a growth by, and one that slept of a folder set aside.
const LOOK_AT_FOLDER_EVERY: Duration = Duration::from_secs(30);

/// What the broker says of records that it no longer has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Missing {
    pub(super) wanted: i64,
    /// What the topic holds: offsets `[earliest, end)`; -1 where the broker does not say.
    pub(super) earliest: i64,
    pub(super) end: i64,
}

/// Whether a partition's journal could be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Opened {
    /// Its worker is there.
    Ready,
    /// Nothing is known yet.
    StoreAway,
}

impl<S: Source> Reader<'_, S> {
    /// Takes partitions up: nothing of them is fetched before their journal has been read. While
    /// the store is away the assignment waits for its answer.
    pub(super) fn take_over(&mut self, streams: &[Stream]) -> Result<(), PipelineError> {
        for &stream in streams {
            if !self.parts.streams.contains(&stream) {
                return Err(match stream.kind {
                    StreamKind::Telemetry => PipelineError::MorePartitions { stream },
                    StreamKind::Changes | StreamKind::Support => {
                        PipelineError::MoreOfRegistry { stream }
                    }
                });
            }
            if self.open(stream)? == Opened::StoreAway {
                self.unopened = Some(streams.to_vec());
                return Ok(());
            }
        }
        let starts = self.begin(streams)?;
        self.parts.source.start(&starts)?;
        self.tell_owned();
        for &stream in streams {
            self.take_up_growth(stream)?;
        }
        if self.outage.is_some() {
            self.pause(streams)?;
        }
        Ok(())
    }

    /// Reads a partition's journal and makes a worker of it.
    pub(super) fn open(&mut self, stream: Stream) -> Result<Opened, PipelineError> {
        let parts = &self.parts;
        let config = parts.config;
        let recovered =
            worker::recover(&parts.store, stream, &parts.writer, &config.fold, parts.counts);
        let recovered = match recovered {
            Ok(recovered) => recovered,
            Err(error) if error.is_transient() => {
                self.pause_all(&error)?;
                return Ok(Opened::StoreAway);
            }
            Err(error) => return Err(error.into()),
        };
        let rules = WorkerRules {
            entry: config.entry,
            idle: config.idle,
            lateness: config.fold.lateness,
            snapshot: config.snapshot.filter(|_| parts.snapshots.is_some()),
        };
        let (known, found) = (parts.counts.now, recovered.known);
        if found > known {
            return Err(PipelineError::Grown { known, found });
        }
        let entries = recovered.journal.headers().len();
        let snapshot = recovered.snapshot.as_ref().map(|named| named.after);
        let target = parts.targets.get(&stream).copied().unwrap_or(Target::None);
        let worker = Worker::open(recovered, rules, target, self.now())?;
        let start = worker.start();
        tracing::info!(%stream, entries, ?snapshot, ?start, "partition taken over");
        self.parts.lanes.insert(stream, worker);
        Ok(Opened::Ready)
    }

    /// To be called before any record is taken: the entry must hold none.
    pub(super) fn take_up_growth(&mut self, stream: Stream) -> Result<(), PipelineError> {
        let now = self.now();
        let Some(worker) = self.parts.lanes.get_mut(&stream) else { return Ok(()) };
        let cut = worker.take_up_growth(now);
        self.take_cut(stream, cut)
    }

    /// Ends the process where the folder is no longer the one it knows: it was set aside, or
    /// another process has taken up that the topic has more partitions.
    pub(super) fn look_at_folder(&mut self, now: Now) -> Result<(), PipelineError> {
        if now.monotonic.saturating_sub(self.folder_seen_at) < LOOK_AT_FOLDER_EVERY {
            return Ok(());
        }
        self.folder_seen_at = now.monotonic;
        let known = self.parts.counts.now;
        match store::look(&*self.parts.store, self.parts.config.fold.hash_seed) {
            Ok(Some(found)) if found > known => Err(PipelineError::Grown { known, found }),
            Ok(_) => Ok(()),
            // Asked again in a while; whatever is wrong with the store is told where it matters.
            Err(error) if error.is_transient() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes durable what was read of partitions that the group takes back, then gives them back.
    pub(super) fn hand_over(&mut self, streams: &[Stream]) -> Result<(), PipelineError> {
        self.flush_rejected()?;
        // A store that is away is asked once, not once for each partition.
        let mut is_away = self.outage.is_some();
        for &stream in streams {
            let Some(worker) = self.parts.lanes.get_mut(&stream).filter(|_| !is_away) else {
                continue;
            };
            match worker.cut() {
                Ok(Cut::Durable(entry)) => self.send(entry)?,
                Ok(Cut::Nothing) => {}
                Ok(Cut::Waiting(error)) => {
                    is_away = true;
                    tracing::warn!(%stream, %error, "handed over with an entry unwritten");
                }
                Err(PipelineError::Store(error @ StoreError::Lost { .. })) => {
                    tracing::warn!(%stream, %error, "handed over to who has it already");
                }
                Err(error) => return Err(error),
            }
        }
        tracing::info!(count = streams.len(), "partitions handed over");
        self.give_up(streams)
    }

    /// Drops the state of partitions that belong to others by now.
    pub(super) fn give_up(&mut self, streams: &[Stream]) -> Result<(), PipelineError> {
        for &stream in streams {
            let was_lost = self.lost.forget(stream);
            if self.parts.lanes.remove(&stream).is_some() || was_lost {
                tracing::info!(%stream, "partition given up");
            }
        }
        // What was heard was heard on these, too.
        self.heard = None;
        self.tell_owned();
        self.parts.lanes.stop(streams);
        Ok(self.parts.source.release(streams)?)
    }

    /// Records that are to be read are gone: stops, or goes on from the first that is still there
    /// if the operator has accepted that. A topic that ends before what is journalled is another
    /// one, and stays refused.
    pub(super) fn miss_records(
        &mut self,
        stream: Stream,
        missing: Missing,
    ) -> Result<(), PipelineError> {
        let Missing { wanted, earliest, end } = missing;
        let now = self.now();
        let journalled = self.parts.lanes.get(&stream).map_or(0, Worker::durable_end);
        if (0..journalled).contains(&end) {
            return Err(PipelineError::RecordsGone { stream, offset: end, wanted: journalled });
        }
        if self.parts.gaps == Gaps::Refused || earliest < 0 {
            return Err(PipelineError::Gap { stream, wanted, earliest, end, journalled });
        }
        if let Some(worker) = self.parts.lanes.get_mut(&stream) {
            // What came before the gap is an entry of its own.
            let cut = worker.cut();
            self.take_cut(stream, cut)?;
        }
        let Some(worker) = self.parts.lanes.get_mut(&stream) else { return Ok(()) };
        if worker.is_waiting() {
            // The place is asked for again once the store is back.
            return Ok(());
        }
        let cut = worker.accept_gap(earliest, &self.parts.config.fold, now);
        self.take_cut(stream, cut)?;
        if self.outage.is_some() {
            // The same.
            return Ok(());
        }
        self.restart(&[stream])
    }

    /// What is ours, for the metrics and the publisher.
    pub(super) fn tell_owned(&self) {
        metrics::partitions_owned().set(self.parts.lanes.streams().len() as f64);
        let leads = self.parts.lanes.has(LEADING_STREAM);
        self.parts.leads.store(leads, Ordering::Release);
    }

    /// Gives up a run to the end that waits for partitions of another member of the group.
    pub(super) fn miss_foreign(&mut self, now: Now) -> Result<(), PipelineError> {
        let missing = |stream: &&Stream| !self.parts.lanes.has(**stream);
        let foreign = self.parts.targets.keys().find(missing);
        let Some(&stream) = foreign.filter(|_| self.down_since.is_none()) else {
            self.foreign_since = None;
            return Ok(());
        };
        let since = *self.foreign_since.get_or_insert(now.monotonic);
        if now.monotonic.saturating_sub(since) >= FOREIGN_MAX {
            return Err(PipelineError::Foreign { stream });
        }
        Ok(())
    }
}
