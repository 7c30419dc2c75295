//! The workers of the partitions that this process owns.

use std::collections::{BTreeMap, BTreeSet};

use ingest::Source;
use schemas::{Span, Stream};

use crate::config::Config;
use crate::pipeline::PipelineError;
use crate::worker::Worker;

/// By stream; partitions far ahead of the others are paused.
#[derive(Debug)]
pub(super) struct Workers {
    all: BTreeMap<Stream, Worker>,
    paused: BTreeSet<Stream>,
    /// How far ahead in event time a partition may run: what lies between is held in memory.
    ahead_max: Span,
}

impl Workers {
    pub(super) fn new(config: &Config) -> Self {
        let ahead_max = Span(config.fold.window_length.0.saturating_mul(config.windows_max as i64));
        Self { all: BTreeMap::new(), paused: BTreeSet::new(), ahead_max }
    }

    pub(super) fn get(&self, stream: Stream) -> Option<&Worker> {
        self.all.get(&stream)
    }

    pub(super) fn get_mut(&mut self, stream: Stream) -> Option<&mut Worker> {
        self.all.get_mut(&stream)
    }

    pub(super) fn insert(&mut self, stream: Stream, worker: Worker) {
        self.all.insert(stream, worker);
    }

    pub(super) fn remove(&mut self, stream: Stream) -> Option<Worker> {
        self.paused.remove(&stream);
        self.all.remove(&stream)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Worker> {
        self.all.values_mut()
    }

    /// Whether every journal has been folded again.
    pub(super) fn are_live(&self) -> bool {
        !self.all.is_empty() && self.all.values().all(Worker::is_live)
    }

    /// What is durable, by partition; those without an entry are left out.
    pub(super) fn durable_ends(&self) -> Vec<(Stream, i64)> {
        let ends = self.all.iter().map(|(stream, worker)| (*stream, worker.durable_end()));
        ends.filter(|(_, end)| *end > 0).collect()
    }

    /// Pauses partitions that are too far ahead of the one furthest behind, and resumes them.
    ///
    /// Windows stay in memory until every partition has closed them (A3).
    pub(super) fn keep_together<S: Source>(&mut self, source: &mut S) -> Result<(), PipelineError> {
        let progress: Vec<_> = self
            .all
            .iter()
            .filter_map(|(stream, worker)| Some((*stream, worker.event_progress()?)))
            .collect();
        let Some(slowest) = progress.iter().map(|(_, until)| *until).min() else { return Ok(()) };
        for (stream, until) in progress {
            let is_ahead = until - slowest > self.ahead_max;
            if is_ahead && self.paused.insert(stream) {
                tracing::warn!(%stream, %until, %slowest, "paused until the others catch up");
                source.pause(&[stream])?;
            } else if !is_ahead && self.paused.remove(&stream) {
                source.resume(&[stream])?;
            }
        }
        Ok(())
    }
}
