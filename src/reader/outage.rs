//! While the store is away: nothing is read, nothing is lost, and the group is kept.

use ingest::Source;
use store::StoreError;

use super::Reader;
use crate::patience::Outage;
use crate::pipeline::PipelineError;
use crate::worker::{Cut, Now, Worker};

impl<S: Source> Reader<'_, S> {
    /// The store took no entry, or opened no journal: nothing is read until it does.
    pub(super) fn pause_all(&mut self, error: &StoreError) -> Result<(), PipelineError> {
        let now = self.now().monotonic;
        if let Some(outage) = &mut self.outage {
            outage.go_on(error, now);
            return Ok(());
        }
        self.outage = Some(Outage::begin("journal", error, now));
        let streams = self.owned();
        self.pause(&streams)
    }

    /// Writes what waits and opens what was assigned meanwhile; once all of it is done, reading
    /// goes on. The first thing that fails ends the attempt: each may take seconds.
    pub(super) fn ask_store(&mut self, now: Now) -> Result<(), PipelineError> {
        if !self.outage.as_ref().is_some_and(|outage| outage.is_due(now.monotonic)) {
            return Ok(());
        }
        for stream in self.owned() {
            let Some(worker) = self.parts.lanes.get_mut(&stream) else { continue };
            let cut = worker.write();
            let is_away = matches!(cut, Ok(Cut::Waiting(_)));
            self.take_cut(stream, cut)?;
            if is_away {
                return Ok(());
            }
        }
        if let Some(streams) = self.unopened.take() {
            self.take_over(&streams)?;
            if self.unopened.is_some() {
                return Ok(());
            }
        }
        if self.parts.lanes.values().any(Worker::is_waiting) {
            // What was opened just now could not write its first entry.
            return Ok(());
        }
        if let Some(outage) = self.outage.take() {
            outage.end(now.monotonic);
        }
        let streams = self.owned();
        self.restart(&streams)
    }
}
